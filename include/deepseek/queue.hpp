// EventQueue: many calls, one readable descriptor, no waiting. What a host's event loop stands on.
#pragma once
#include <cstdint>
#include <memory>

#include <deepseek/client.hpp>

DEEPSEEK_BEGIN_NAMESPACE

namespace detail {
class QueueState;
}

/// One event of a queue. Made by the library alone, so `result` needs no `= {}` (which costs every including file).
struct QueueEvent {
  std::uint64_t tag = 0;                    ///< as given to submit()
  const ChatChunk* chunk = nullptr;         ///< a chunk, or null at the end of the call; valid until the next next()
  std::optional<Result<ChatReply>> result;  ///< set at the end of the call, exactly once per call
};

/// Calls submitted here run on the I/O thread, which reads bytes and keeps the clocks even when the
/// host is slow; a call whose events wait beyond stream_buffer_bytes is paused. One thread at a time
/// may call next(); submit() and CallHandle::cancel() are safe from any. Dropping the queue cancels its calls.
/// In a forked child the parent's queue is dead: submit() gives an empty handle, next() nothing. So is one that was
/// moved from.
class EventQueue {
 public:
  explicit EventQueue(DeepSeekClient client);
  EventQueue(EventQueue&&) noexcept;
  EventQueue& operator=(EventQueue&&) noexcept;
  ~EventQueue();

  /// Starts a streamed call; its events carry `tag`. A refusal comes as an end event, not here.
  CallHandle submit(ChatRequest request, std::uint64_t tag, CallOptions options = {});
  /// The next event, or nothing if none waits now. Never blocks.
  std::optional<QueueEvent> next();
  /// Level-readable while events wait: for poll, epoll, asyncio, gevent, libuv. Owned by the queue; do
  /// not read from it. -1 if the process has no descriptors left (next() still works).
  int fd() const noexcept;
  /// Calls whose end has not been taken yet.
  std::size_t live() const;

 private:
  std::shared_ptr<detail::QueueState> state_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/impl/queue.ipp>
#endif
