// Wire codec: model structs <-> JSON text. Private. Knows no HTTP and no threads.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/model/balance.hpp>
#include <deepseek/model/chat.hpp>
#include <deepseek/model/completion.hpp>
#include <deepseek/model/models.hpp>
#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The request body. Fails with invalid_request on text that is not UTF-8 or on RawJson that is not JSON.
Result<std::string> encode(const ChatRequest& request, const std::string& default_model, bool stream);
Result<std::string> encode(const CompletionRequest& request, bool stream);

/// Where the request must go.
Operation operation_of(const ChatRequest& request, bool stream);
Operation operation_of(const CompletionRequest& request, bool stream);
Operation models_operation();
Operation balance_operation();

/// Decodes a chat or FIM reply, streamed or not, and gathers it into a ChatReply. A body that was read to its
/// closing brace is whole even if its choices name no finish_reason; a stream is not. Of several choices,
/// each must have ended, and one that was filtered or broke off decides. Unknown members are kept (at most
/// 256 names in one place): in a stream strings and arrays grow, of anything else the newest value stays.
class ReplyDecoder : public Decoder {
 public:
  /// The chunks of the frame inspected last (streams: usually one, one per choice). Borrowed until the
  /// next inspect().
  const ChatChunk* chunks() const noexcept { return shown_; }
  std::size_t chunk_count() const noexcept { return shown_count_; }
  /// The reply so far.
  virtual ChatReply& reply() = 0;
  /// Bytes of content, reasoning and tool arguments decoded so far.
  virtual std::uint64_t answer_bytes() const = 0;

 protected:
  const ChatChunk* shown_ = nullptr;
  std::size_t shown_count_ = 0;
};
std::shared_ptr<ReplyDecoder> make_reply_decoder(bool stream);

/// Decodes any other JSON reply: keeps the body for decode_models() and decode_balance().
class BodyDecoder : public Decoder {
 public:
  virtual const std::string& body() const = 0;
};
std::shared_ptr<BodyDecoder> make_body_decoder();
Result<ModelList> decode_models(std::string_view json);
Result<Balance> decode_balance(std::string_view json);

/// The typed error of an HTTP status and its body (JSON under any content type, HTML, text or nothing). Below 300: of
/// an event that is named an error.
Error decode_error(int status, std::string_view body);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/codec.ipp>
#endif
