#pragma once
#include <deepseek/stream.hpp>

#include <deepseek/detail/call.hpp>

#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL Error wrong_thread_error() {
  return Error(ErrorCode::wrong_thread, "a waiting call was made on the client's I/O thread, where it could never end",
               "use chat_async there, or give ClientOptions::executor");
}

// --- the loop's side ---------------------------------------------------------------------------------

DEEPSEEK_DECL void PullCall::append(const ChatChunk& chunk, bool& wake, bool& full) {
  if (discard_) return;
  incoming_.append(chunk);
  wake = std::exchange(wanted_, false);
  full = !paused_ && incoming_.bytes() > core().options().stream_buffer_bytes;
  if (full) paused_ = true;
}

DEEPSEEK_DECL void PullCall::on_chunk(const ChatChunk& chunk) {
  bool wake = false;
  bool full = false;
  if (core().reactor().driven_by(waiter_)) {
    append(chunk, wake, full);
  } else {
    std::lock_guard<std::mutex> lock(mutex_);
    append(chunk, wake, full);
  }
  if (full) pause(true);
  if (wake) core().reactor().signal(waiter_);
}

DEEPSEEK_DECL void PullCall::on_result(Result<ChatReply>&& result) {
  Reactor& reactor = core().reactor();
  const auto keep = shared_from_this();
  const auto core_kept = shared_core();  // the waiter may go on as soon as it is signalled
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    result_ = std::move(result);
    wake = std::exchange(wanted_, false);
  }
  release();
  if (wake) reactor.signal(waiter_);
}

// --- the consumer's side -----------------------------------------------------------------------------

DEEPSEEK_DECL std::optional<Error> PullCall::cannot_wait() const {
  if (fork_generation() != fork_generation_) return forked_error();
  const auto reactor = reactor_.lock();
  if (reactor && reactor->on_loop()) return wrong_thread_error();
  return std::nullopt;
}

/// Sleeps, or drives the loop, until the call has something new.
DEEPSEEK_DECL void PullCall::wait_for_more(std::unique_lock<std::mutex>& lock) {
  const auto reactor = reactor_.lock();  // there while no result is: the live call keeps it
  wanted_ = true;
  lock.unlock();
  reactor->wait(waiter_);
  lock.lock();
}

DEEPSEEK_DECL void PullCall::resume_if_room(std::unique_lock<std::mutex>& lock) {
  if (!std::exchange(paused_, false)) return;
  const auto reactor = reactor_.lock();
  lock.unlock();
  if (reactor) reactor->post([self = shared_from_this(), this] { pause(false); });
  lock.lock();
}

DEEPSEEK_DECL bool PullCall::take_batch() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    if (!incoming_.empty()) {
      reading_.clear();
      reading_.swap(incoming_);
      resume_if_room(lock);
      return true;
    }
    if (result_) return false;
    wait_for_more(lock);
  }
}

DEEPSEEK_DECL const ChatChunk* PullCall::next() {
  if (const ChatChunk* chunk = reading_.next()) return chunk;
  if (cannot_wait()) return nullptr;
  return take_batch() ? reading_.next() : nullptr;
}

DEEPSEEK_DECL Result<ChatReply> PullCall::result() {
  if (auto error = cannot_wait()) return *error;
  std::unique_lock<std::mutex> lock(mutex_);
  discard_ = true;
  incoming_.clear();
  resume_if_room(lock);
  while (!result_) wait_for_more(lock);
  return *result_;
}

}  // namespace detail

DEEPSEEK_DECL Stream::Stream(std::shared_ptr<detail::PullCall> call) : call_(std::move(call)) {}
DEEPSEEK_DECL Stream::Stream(Error refusal) : refusal_(std::make_shared<const Error>(std::move(refusal))) {}
DEEPSEEK_DECL Stream::Stream(Stream&&) noexcept = default;

DEEPSEEK_DECL Stream& Stream::operator=(Stream&& other) noexcept {
  if (this == &other) return *this;
  cancel();
  call_ = std::move(other.call_);
  refusal_ = std::move(other.refusal_);
  return *this;
}

DEEPSEEK_DECL Stream::~Stream() { cancel(); }

DEEPSEEK_DECL const ChatChunk* Stream::next() { return call_ ? call_->next() : nullptr; }

DEEPSEEK_DECL Result<ChatReply> Stream::result() {
  if (call_) return call_->result();
  return refusal_ ? *refusal_ : Error(ErrorCode::closed, "the stream was moved away");
}

DEEPSEEK_DECL void Stream::cancel() noexcept {
  if (call_) call_->cancel();
}

DEEPSEEK_END_NAMESPACE
