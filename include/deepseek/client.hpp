// DeepSeekClient: the whole API in one class. Start here.
#pragma once
#include <future>
#include <memory>
#include <string>
#include <string_view>

#include <deepseek/core/function.hpp>
#include <deepseek/model/balance.hpp>
#include <deepseek/model/chat.hpp>
#include <deepseek/model/completion.hpp>
#include <deepseek/model/models.hpp>
#include <deepseek/options.hpp>
#include <deepseek/result.hpp>
#include <deepseek/stream.hpp>

DEEPSEEK_BEGIN_NAMESPACE

namespace detail {
class ClientCore;
class ClientLife;
class CallControl;
struct ClientAccess;
}  // namespace detail

/// Receives a streamed reply: on_chunk any number of times, then on_end exactly once and nothing after
/// it; both on the I/O thread or the client's executor, in order, never two at once, never before
/// chat_async() has returned (but in a forked child, which has no such thread, at once and inside it). They may start
/// and cancel calls and must not block. An exception that leaves on_chunk cancels the call; what on_end throws is
/// dropped. ChatChunk and ChatReply: <deepseek/model/chat.hpp>. Moved in, and destroyed after on_end has returned.
struct ChatHandler {
  Function<void(const ChatChunk&)> on_chunk{};  ///< may be empty
  Function<void(Result<ChatReply>)> on_end{};   ///< may be empty
};

/// A started call. Copies share it; dropping it does not cancel. Safe from all threads.
class CallHandle {
 public:
  CallHandle() = default;
  explicit CallHandle(std::shared_ptr<detail::CallControl> control) : control_(std::move(control)) {}
  /// Ends the call as cancelled, down to the socket or RST_STREAM, without waiting. on_end still comes. Idempotent.
  /// Where there is no memory to ask for it, nothing happens and it may be called again.
  void cancel() const noexcept;
  /// True once on_end has been called.
  bool finished() const noexcept;

 private:
  std::shared_ptr<detail::CallControl> control_;
};

/// DEEPSEEK_BASE_URL, read now; https://api.deepseek.com if it is unset or empty.
std::string base_url_from_env();

/// A client of one service. Copies are handles to the same client; all members are safe from all threads.
///
/// Every call exists in faces that share one engine and end in the same Result: `chat` waits here (not
/// on the I/O thread: wrong_thread), `chat_async` calls a handler, `chat_future` and, with
/// <deepseek/coro.hpp>, `co_await coro::chat(client, request)`; `stream` pulls.
///
/// Lifetime: when the last copy goes, live calls are cancelled and each gets its one completion; the
/// destructor returns after the last callback, except on the I/O thread, where it does not wait. Streams,
/// queues and conversations keep what they need. In a forked child an old client answers `forked` and may
/// be destroyed; a new one works. The library must not be unloaded (dlclose) while a client lives.
class DeepSeekClient {
 public:
  DeepSeekClient(const DeepSeekClient&) noexcept;
  DeepSeekClient(DeepSeekClient&&) noexcept;
  DeepSeekClient& operator=(const DeepSeekClient&) noexcept;
  DeepSeekClient& operator=(DeepSeekClient&&) noexcept;
  ~DeepSeekClient();

  /// Checks the options once; contradictions are named in the error.
  static Result<DeepSeekClient> create(ClientOptions options = {});
  /// DEEPSEEK_API_KEY and DEEPSEEK_BASE_URL fill what `options` leaves unset.
  static Result<DeepSeekClient> from_environment(ClientOptions options = {});

  /// One whole reply. Sends stream=false.
  Result<ChatReply> chat(const ChatRequest& request, const CallOptions& options = {}) const;
  Result<ChatReply> chat(std::string_view prompt, const CallOptions& options = {}) const;
  /// A streamed reply, pulled. Never fails here: a refusal is the stream's result.
  Stream stream(const ChatRequest& request, const CallOptions& options = {}) const;
  Stream stream(std::string_view prompt, const CallOptions& options = {}) const;
  /// A streamed reply, pushed to `handler`. A refusal comes to on_end too.
  CallHandle chat_async(const ChatRequest& request, ChatHandler handler, const CallOptions& options = {}) const;
  /// One whole reply, later. The future does not block when dropped.
  std::future<Result<ChatReply>> chat_future(const ChatRequest& request, const CallOptions& options = {}) const;
  /// One whole reply to a handler, not streamed: what the future and the coroutine stand on.
  CallHandle chat_whole_async(const ChatRequest& request, Function<void(Result<ChatReply>)> on_end,
                              const CallOptions& options = {}) const;

  /// A reply as a struct: JSON mode with the schema of T in the prompt, checked against it. T needs a Schema<T>;
  /// defined in <deepseek/schema.hpp>. malformed_json or schema_mismatch after one correction, truncated if the token
  /// limit cut it off, invalid_argument for a request with tools; partial() is the last answer.
  template <class T>
  Result<T> chat_as(std::string_view prompt, const CallOptions& options = {}) const;
  template <class T>
  Result<T> chat_as(const ChatRequest& request, const CallOptions& options = {}) const;

  /// FIM completion (beta), in the same faces. The reply's content() is the inserted text.
  Result<ChatReply> complete(const CompletionRequest& request, const CallOptions& options = {}) const;
  Stream complete_stream(const CompletionRequest& request, const CallOptions& options = {}) const;
  CallHandle complete_async(const CompletionRequest& request, ChatHandler handler,
                            const CallOptions& options = {}) const;
  CallHandle complete_whole_async(const CompletionRequest& request, Function<void(Result<ChatReply>)> on_end,
                                  const CallOptions& options = {}) const;
  std::future<Result<ChatReply>> complete_future(const CompletionRequest& request,
                                                 const CallOptions& options = {}) const;

  Result<ModelList> models(const CallOptions& options = {}) const;
  std::future<Result<ModelList>> models_future(const CallOptions& options = {}) const;
  CallHandle models_async(Function<void(Result<ModelList>)> on_end, const CallOptions& options = {}) const;
  Result<Balance> balance(const CallOptions& options = {}) const;
  std::future<Result<Balance>> balance_future(const CallOptions& options = {}) const;
  CallHandle balance_async(Function<void(Result<Balance>)> on_end, const CallOptions& options = {}) const;

 private:
  friend struct detail::ClientAccess;
  explicit DeepSeekClient(std::shared_ptr<detail::ClientLife> life);
  std::shared_ptr<detail::ClientLife> life_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/impl/client.ipp>
#include <deepseek/impl/stream.ipp>
#endif
