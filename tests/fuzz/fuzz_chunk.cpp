// Events and bodies of any shape: never a crash, and a template never changes what an event means.
// Input: lines are the events of one stream; the whole is also read as a body and as a request's extra.
#include <deepseek/model/detail/codec.hpp>
#include <deepseek/model/detail/json_index.hpp>
#include <deepseek/model/detail/json_text.hpp>

#include <algorithm>
#include <cstdlib>
#include <vector>

using namespace deepseek;

namespace {

std::string picture(const detail::ReplyDecoder& decoder, FrameKind kind) {
  std::string text = std::to_string(static_cast<int>(kind));
  for (std::size_t i = 0; i != decoder.chunk_count(); ++i) {
    const ChatChunk chunk = decoder.chunks()[i];
    for (const std::string_view part :
         {chunk.content(), chunk.reasoning_content(), chunk.finish_reason(), chunk.role(), chunk.id(), chunk.model(),
          chunk.system_fingerprint(), chunk.title(), chunk.logprobs(), chunk.raw()})
      text.append(part).push_back('|');
    for (const ToolCallDelta& call : chunk.tool_calls()) text.append(call.id).append(call.name).append(call.arguments);
    if (chunk.usage() != nullptr) text += chunk.usage()->raw.text();
  }
  return text;
}

void require(bool condition) {
  if (!condition) std::abort();
}

/// The index takes nothing that the checker refuses, and finds what a walk over the text finds.
void compare_index(std::string_view input) {
  const std::string_view text = detail::json_trim(input);
  detail::JsonIndex index;
  if (!index.read(text)) return;
  require(detail::json_fault(text) == nullptr);
  detail::JsonMembers indexed(index.root());
  for (detail::JsonMembers walked{detail::JsonValue(text)}; walked.next();) {
    require(indexed.next());
    require(indexed.key() == walked.key() && indexed.value().raw() == walked.value().raw());
  }
  require(!indexed.next());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto warm = detail::make_reply_decoder(true);
  for (std::size_t at = 0; at < input.size();) {
    const std::size_t end = std::min(input.find('\n', at), input.size());
    // A heap copy of the exact length shows any read beyond it.
    const std::vector<char> line(input.begin() + static_cast<std::ptrdiff_t>(at),
                                 input.begin() + static_cast<std::ptrdiff_t>(end));
    const std::string_view event(line.data(), line.size());
    at = end + 1;
    compare_index(event);
    const auto cold = detail::make_reply_decoder(true);
    const FrameKind kind = warm->inspect(event);
    if (kind == FrameKind::end) continue;
    require(cold->inspect(event) == kind);
    require(picture(*cold, kind) == picture(*warm, kind));
  }
  const auto error = warm->conclude(size % 2 == 0);
  require(!error || !error->message().empty());

  const auto body = detail::make_reply_decoder(false);
  body->inspect(input);
  body->conclude(true);
  ChatRequest request;
  request.messages.push_back(body->reply().message());
  request.extra = RawJson(std::string(input));
  const auto encoded = detail::encode(request, "m", false);
  if (encoded) require(detail::json_fault(*encoded) == nullptr);
  (void)detail::decode_models(input);
  (void)detail::decode_balance(input);
  return 0;
}
