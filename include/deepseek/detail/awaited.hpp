// A streamed reply for a consumer that is woken and never waits: what coro::Stream stands on. Private, C++17.
#pragma once
#include <memory>

#include <deepseek/client.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class AwaitedCall;

/// Runs once, where user code runs. Not a Function: waiting for a chunk should allocate nothing.
struct Wake {
  void (*run)(void* context) = nullptr;
  void* context = nullptr;
};

/// One consumer at a time. Moved from: ended, and result() says so.
class AwaitedStream {
 public:
  AwaitedStream(const DeepSeekClient& client, const ChatRequest& request, const CallOptions& options);
  AwaitedStream(const DeepSeekClient& client, const CompletionRequest& request, const CallOptions& options);
  AwaitedStream(AwaitedStream&&) noexcept = default;
  AwaitedStream& operator=(AwaitedStream&& other) noexcept;
  ~AwaitedStream() { close(); }

  /// A chunk that is here already, or null. Valid until the next call.
  const ChatChunk* next();
  /// True once every chunk was taken (or dropped) and the result is there.
  bool ended() const;
  /// `wake` runs when a chunk or the end has come; with `end_only` for the end alone, and chunks are dropped. False:
  /// that is so already, and it will not run.
  bool wait(Wake wake, bool end_only);
  /// Only once ended() or after wait(..., true).
  Result<ChatReply> result() const;
  void cancel() noexcept;

 private:
  void close() noexcept;
  std::shared_ptr<const Error> refusal_;  // why it never began
  std::shared_ptr<AwaitedCall> call_;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/impl/awaited.ipp>
#endif
