// C++20 coroutines over the callback face, and the std::stop_token adapter. The only header that needs C++20.
//
// A coroutine resumes on the I/O thread or the client's executor. Dropping a coroutine that waits here is
// not possible: an awaiter must live until its call ends; cancel it instead.
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
