// C++20 coroutines over the callback face, a pull stream for them, and the std::stop_token adapter. The only header
// that needs C++20.
//
// A coroutine resumes on the I/O thread or the client's executor. Dropping a coroutine that waits for a whole reply is
// not possible: an awaiter must live until its call ends; cancel it instead. One that waits in coro::Stream may be
// destroyed, on the thread where it would resume: its stream goes with it, and the call is cancelled. What leaves a
// coroutine while it is resumed here (an unhandled_exception() that throws) cancels the call of a Stream and is
// dropped: it cannot cross libcurl.
//
// GCC 12 frees a braced temporary in a co_await expression twice, without a warning:
//     co_await coro::chat(client, ChatRequest{.model = "x"});   // do not: name the request first
// Also, GCC without optimisation turns a chain of awaits that complete at once into recursion: do not loop
// over tens of thousands of refusals.
#pragma once
#include <coroutine>
#include <stop_token>

#include <deepseek/client.hpp>
#include <deepseek/core/function.hpp>
#include <deepseek/detail/awaited.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace coro {

/// Awaits one Result<T>. Made by the functions below; await it once, at once.
template <class T>
class [[nodiscard]] Awaiter {
 public:
  using Start = Function<CallHandle(Function<void(Result<T>)>)>;
  explicit Awaiter(Start start) : start_(std::move(start)) {}
  Awaiter(Awaiter&&) = default;

  bool await_ready() const noexcept { return false; }
  // The completion may resume the coroutine on another thread, and destroy this awaiter, before the call
  // below has returned: what it needs lives on this stack, and nothing of *this is touched after it.
  void await_suspend(std::coroutine_handle<> waiting) {
    const Start start = std::move(start_);
    start([this, waiting](Result<T> result) {
      result_ = std::move(result);
      waiting.resume();
    });
  }
  Result<T> await_resume() { return *std::move(result_); }

 private:
  Start start_;
  std::optional<Result<T>> result_;
};

/// Awaits DeepSeekClient::chat. The request is copied.
inline Awaiter<ChatReply> chat(DeepSeekClient client, ChatRequest request, CallOptions options = {}) {
  return Awaiter<ChatReply>([client = std::move(client), request = std::move(request),
                             options = std::move(options)](Function<void(Result<ChatReply>)> done) {
    return client.chat_whole_async(request, std::move(done), options);
  });
}

inline Awaiter<ChatReply> chat(DeepSeekClient client, std::string_view prompt, CallOptions options = {}) {
  ChatRequest request;
  request.messages.push_back(Message::user(std::string(prompt)));
  return chat(std::move(client), std::move(request), std::move(options));
}

/// Awaits DeepSeekClient::complete (FIM). The request is copied.
inline Awaiter<ChatReply> complete(DeepSeekClient client, CompletionRequest request, CallOptions options = {}) {
  return Awaiter<ChatReply>([client = std::move(client), request = std::move(request),
                             options = std::move(options)](Function<void(Result<ChatReply>)> done) {
    return client.complete_whole_async(request, std::move(done), options);
  });
}

/// Awaits DeepSeekClient::models.
inline Awaiter<ModelList> models(DeepSeekClient client, CallOptions options = {}) {
  return Awaiter<ModelList>(
      [client = std::move(client), options = std::move(options)](Function<void(Result<ModelList>)> done) {
        return client.models_async(std::move(done), options);
      });
}

/// Awaits DeepSeekClient::balance.
inline Awaiter<Balance> balance(DeepSeekClient client, CallOptions options = {}) {
  return Awaiter<Balance>(
      [client = std::move(client), options = std::move(options)](Function<void(Result<Balance>)> done) {
        return client.balance_async(std::move(done), options);
      });
}

/// A streamed reply, pulled by one coroutine at a time. Made by stream() and complete_stream() below, which start it.
///
///     coro::Stream stream = coro::stream(client, request);
///     while (const ChatChunk* chunk = co_await stream.next()) text += chunk->content();
///     Result<ChatReply> reply = co_await stream.result();
///
/// As with deepseek::Stream the end of the loop does not say how the reply ended: result() does. No thread waits
/// meanwhile. Chunks that nobody takes are kept up to ClientOptions::stream_buffer_bytes; beyond that the transfer is
/// paused until the coroutine comes back for them.
class [[nodiscard]] Stream {
 public:
  class [[nodiscard]] Next {
   public:
    explicit Next(detail::AwaitedStream& from) : from_(from) {}
    bool await_ready() { return (chunk_ = from_.next()) != nullptr || from_.ended(); }
    // The coroutine may go on, and this awaiter be gone, before wait() has returned.
    bool await_suspend(std::coroutine_handle<> waiting) { return from_.wait(wake(waiting), false); }
    const ChatChunk* await_resume() { return chunk_ ? chunk_ : from_.next(); }

   private:
    detail::AwaitedStream& from_;
    const ChatChunk* chunk_ = nullptr;
  };
  class [[nodiscard]] End {
   public:
    explicit End(detail::AwaitedStream& from) : from_(from) {}
    bool await_ready() const { return from_.ended(); }
    bool await_suspend(std::coroutine_handle<> waiting) { return from_.wait(wake(waiting), true); }
    Result<ChatReply> await_resume() const { return from_.result(); }

   private:
    detail::AwaitedStream& from_;
  };

  explicit Stream(detail::AwaitedStream stream) : stream_(std::move(stream)) {}

  /// `co_await`: the next chunk, or null at the end, whatever the outcome. It and its views live until the next step;
  /// a copy owns.
  Next next() { return Next(stream_); }
  /// `co_await`: how the reply ended; chunks not pulled yet are dropped (their text is in the reply). May be awaited
  /// again.
  End result() { return End(stream_); }
  /// Stops the call now; what is awaited then ends, result() with `cancelled` and the partial reply. Safe from any
  /// thread while the stream lives. Dropping the stream cancels too.
  void cancel() noexcept { stream_.cancel(); }

 private:
  static detail::Wake wake(std::coroutine_handle<> waiting) {
    return {[](void* address) { std::coroutine_handle<>::from_address(address).resume(); }, waiting.address()};
  }
  detail::AwaitedStream stream_;
};

/// DeepSeekClient::stream for a coroutine. Never fails here: a refusal is the stream's result.
inline Stream stream(const DeepSeekClient& client, const ChatRequest& request, const CallOptions& options = {}) {
  return Stream(detail::AwaitedStream(client, request, options));
}
inline Stream stream(const DeepSeekClient& client, std::string_view prompt, const CallOptions& options = {}) {
  ChatRequest request;
  request.messages.push_back(Message::user(std::string(prompt)));
  return stream(client, request, options);
}
/// DeepSeekClient::complete_stream (FIM) for a coroutine.
inline Stream complete_stream(const DeepSeekClient& client, const CompletionRequest& request,
                              const CallOptions& options = {}) {
  return Stream(detail::AwaitedStream(client, request, options));
}

}  // namespace coro

/// Cancels calls when `token` is stopped: give token() to CallOptions::cancel and keep this object as
/// long as the calls run.
class StopTokenAdapter {
 public:
  explicit StopTokenAdapter(std::stop_token token) : callback_(std::move(token), Cancel{source_}) {}
  CancelToken token() const noexcept { return source_.token(); }

 private:
  struct Cancel {
    CancelSource source;
    void operator()() const { source.cancel(); }
  };
  CancelSource source_;
  std::stop_callback<Cancel> callback_;
};

DEEPSEEK_END_NAMESPACE
