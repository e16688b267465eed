#pragma once
#include <deepseek/model/chat.hpp>

#include <deepseek/model/detail/chunk_access.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What stands for a choice that did not come.
DEEPSEEK_DECL const ChatChoice& first_choice(const ChatReply& reply) noexcept {
  static const ChatChoice none;
  return reply.choices.empty() ? none : reply.choices.front();
}

/// The bytes behind a chunk that was copied.
struct OwnedChunk {
  std::string text;
  std::vector<ToolCallDelta> calls;
  std::optional<Usage> usage;

  /// Moves `view` to a copy of its bytes in `text`, which has room for all of them.
  void adopt(std::string_view& view) {
    const std::size_t first = text.size();
    text.append(view);
    view = std::string_view(text).substr(first);
  }
};

/// Every view of `fields` and of `calls`.
template <class Fields, class Calls, class Apply>
void each_view(Fields& fields, Calls& calls, Apply&& apply) {
  for (auto* view : {&fields.raw, &fields.content, &fields.reasoning_content, &fields.finish_reason, &fields.id,
                     &fields.model, &fields.system_fingerprint, &fields.role, &fields.title, &fields.logprobs})
    apply(*view);
  for (auto& call : calls)
    for (auto* view : {&call.id, &call.name, &call.arguments}) apply(*view);
}

/// Lets `fields` point into a block of its own, which is returned; null if there is nothing to keep.
DEEPSEEK_DECL std::shared_ptr<const void> own_fields(ChunkFields& fields) {
  std::size_t bytes = 0;
  const ToolCallDeltas borrowed(fields.tool_calls, fields.tool_call_count);
  each_view(fields, borrowed, [&bytes](const std::string_view& view) { bytes += view.size(); });
  if (bytes == 0 && borrowed.empty() && fields.usage == nullptr) return nullptr;

  auto owned = std::make_shared<OwnedChunk>();
  owned->calls.assign(borrowed.begin(), borrowed.end());
  owned->text.reserve(bytes);
  each_view(fields, owned->calls, [&owned](std::string_view& view) { owned->adopt(view); });
  fields.tool_calls = owned->calls.data();
  if (fields.usage != nullptr) fields.usage = &owned->usage.emplace(*fields.usage);
  return owned;
}

}  // namespace detail

DEEPSEEK_DECL const Message& ChatReply::message() const noexcept { return detail::first_choice(*this).message; }

DEEPSEEK_DECL const std::string& ChatReply::content() const noexcept { return message().content; }

DEEPSEEK_DECL const std::string& ChatReply::reasoning_content() const noexcept {
  static const std::string none;
  const auto& reasoning = message().reasoning_content;
  return reasoning ? *reasoning : none;
}

DEEPSEEK_DECL const std::vector<ToolCall>& ChatReply::tool_calls() const noexcept { return message().tool_calls; }

DEEPSEEK_DECL const std::string& ChatReply::finish_reason() const noexcept {
  return detail::first_choice(*this).finish_reason;
}

DEEPSEEK_DECL ChatChunk::ChatChunk(const ChatChunk& other) : fields_(other.fields_), owned_(other.owned_) {
  // What is owned is never changed, so copies share it.
  if (!owned_) owned_ = detail::own_fields(fields_);
}

DEEPSEEK_DECL ChatChunk& ChatChunk::operator=(const ChatChunk& other) {
  if (this == &other) return *this;
  ChatChunk copy(other);
  fields_ = copy.fields_;
  owned_ = std::move(copy.owned_);
  return *this;
}

DEEPSEEK_END_NAMESPACE
