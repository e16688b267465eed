#pragma once
#include <deepseek/queue.hpp>

#include <deepseek/detail/call.hpp>

#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class QueueCall;

/// What the loop and the consumer of a queue share. Events of all calls stand in one line, chunks in one
/// batch: the consumer swaps both and then reads without a lock.
class QueueState final : public std::enable_shared_from_this<QueueState> {
 public:
  explicit QueueState(std::shared_ptr<ClientLife> life) : life_(std::move(life)) {}

  CallHandle submit(Result<Prepared> prepared, std::uint64_t tag, const CancelToken& token);
  std::optional<QueueEvent> next();
  int fd() const noexcept { return ready_.fd(); }
  std::size_t live() const;
  void close();
  const std::shared_ptr<ClientCore>& core() const noexcept { return life_->core(); }

  // From the loop. True: the call has too much waiting here and must be paused.
  bool push_chunk(QueueCall& call, const ChatChunk& chunk);
  void push_end(const std::shared_ptr<QueueCall>& call, Result<ChatReply> result);

 private:
  struct Event {
    std::shared_ptr<QueueCall> call;
    std::uint32_t bytes = 0;                  // of a chunk
    std::optional<Result<ChatReply>> result;  // of an end
  };
  bool refill();
  void taken(QueueCall& call, std::uint32_t bytes);

  std::shared_ptr<ClientLife> life_;
  ReadyFd ready_;
  ChunkBatch reading_;         // consumer only
  std::vector<Event> events_;  // consumer only
  std::size_t position_ = 0;   // consumer only

  mutable std::mutex mutex_;
  ChunkBatch incoming_;                          // guarded
  std::vector<Event> pending_;                   // guarded
  bool readable_ = false;                        // guarded: ready_ is set
  bool closed_ = false;                          // guarded
  std::vector<std::weak_ptr<QueueCall>> calls_;  // guarded: for close()
  std::size_t live_ = 0;                         // guarded
};

class QueueCall final : public ReplyCall {
 public:
  QueueCall(std::shared_ptr<ClientCore> core, CallPtr call, std::shared_ptr<ReplyDecoder> decoder,
            std::shared_ptr<QueueState> queue, std::uint64_t tag)
      : ReplyCall(std::move(core), std::move(call), std::move(decoder), true), queue_(std::move(queue)), tag_(tag) {}
  std::uint64_t tag() const noexcept { return tag_; }
  void resume() {
    if (const auto reactor = reactor_.lock()) reactor->post([self = shared_from_this(), this] { pause(false); });
  }

  // Guarded by the queue's mutex.
  std::uint64_t waiting_bytes = 0;
  bool paused = false;

 private:
  void on_chunk(const ChatChunk& chunk) override {
    if (queue_->push_chunk(*this, chunk)) pause(true);
  }
  void on_result(Result<ChatReply>&& result) override {
    const auto self = std::static_pointer_cast<QueueCall>(shared_from_this());
    const auto queue = std::exchange(queue_, nullptr);
    release();
    queue->push_end(self, std::move(result));
  }

  std::shared_ptr<QueueState> queue_;
  std::uint64_t tag_;
};

DEEPSEEK_DECL CallHandle QueueState::submit(Result<Prepared> prepared, std::uint64_t tag, const CancelToken& token) {
  if (core()->forked()) return CallHandle();
  const Prepared ready = prepared ? *prepared : Prepared{std::make_shared<Call>(), make_reply_decoder(true)};
  auto call = std::make_shared<QueueCall>(core(), ready.call, ready.decoder, shared_from_this(), tag);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ++live_;
    if (calls_.size() > 2 * live_ + 16) {
      std::vector<std::weak_ptr<QueueCall>> kept;
      for (auto& entry : calls_)
        if (!entry.expired()) kept.push_back(std::move(entry));
      calls_.swap(kept);
    }
    calls_.push_back(call);
  }
  if (!prepared) call->refuse(prepared.error());
  call->launch(token, false);
  return CallHandle(std::move(call));
}

DEEPSEEK_DECL bool QueueState::push_chunk(QueueCall& call, const ChatChunk& chunk) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return false;
  const std::uint64_t before = incoming_.bytes();
  incoming_.append(chunk);
  const auto bytes = static_cast<std::uint32_t>(incoming_.bytes() - before);
  pending_.push_back({std::static_pointer_cast<QueueCall>(call.shared_from_this()), bytes, std::nullopt});
  call.waiting_bytes += bytes;
  if (!std::exchange(readable_, true)) ready_.set();
  if (call.paused || call.waiting_bytes <= core()->options().stream_buffer_bytes) return false;
  return call.paused = true;
}

DEEPSEEK_DECL void QueueState::push_end(const std::shared_ptr<QueueCall>& call, Result<ChatReply> result) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return;
  pending_.push_back({call, 0, std::move(result)});
  if (!std::exchange(readable_, true)) ready_.set();
}

DEEPSEEK_DECL bool QueueState::refill() {
  std::lock_guard<std::mutex> lock(mutex_);
  events_.clear();
  position_ = 0;
  reading_.clear();
  reading_.swap(incoming_);
  events_.swap(pending_);
  if (events_.empty() && std::exchange(readable_, false)) ready_.clear();
  return !events_.empty();
}

DEEPSEEK_DECL void QueueState::taken(QueueCall& call, std::uint32_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  call.waiting_bytes -= bytes;
  if (!call.paused || call.waiting_bytes > core()->options().stream_buffer_bytes / 2) return;
  call.paused = false;
  call.resume();
}

DEEPSEEK_DECL std::optional<QueueEvent> QueueState::next() {
  if (core()->forked()) return std::nullopt;  // the descriptor and the events are the parent's
  // The descriptor is level-readable while events wait, also those already taken over by refill(): it is
  // cleared only by a look that finds nothing.
  if (position_ == events_.size() && !refill()) return std::nullopt;
  Event& event = events_[position_++];
  const auto call = std::move(event.call);
  QueueEvent out;
  out.tag = call->tag();
  if (event.result) {
    out.result = std::move(event.result);
    std::lock_guard<std::mutex> lock(mutex_);
    --live_;
  } else {
    out.chunk = reading_.next();
    taken(*call, event.bytes);
  }
  return out;
}

DEEPSEEK_DECL std::size_t QueueState::live() const {
  if (core()->forked()) return 0;
  std::lock_guard<std::mutex> lock(mutex_);
  return live_;
}

DEEPSEEK_DECL void QueueState::close() {
  if (core()->forked()) return;
  std::vector<std::weak_ptr<QueueCall>> calls;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    calls.swap(calls_);
    pending_.clear();
  }
  for (const auto& entry : calls)
    if (const auto call = entry.lock()) call->cancel();
}

DEEPSEEK_DECL std::shared_ptr<QueueState> make_queue(const DeepSeekClient& client) {
  return std::make_shared<QueueState>(ClientAccess::life(client));
}

}  // namespace detail

DEEPSEEK_DECL EventQueue::EventQueue(DeepSeekClient client) : state_(detail::make_queue(client)) {}
DEEPSEEK_DECL EventQueue::EventQueue(EventQueue&&) noexcept = default;

DEEPSEEK_DECL EventQueue& EventQueue::operator=(EventQueue&& other) noexcept {
  if (this == &other) return *this;
  if (state_) state_->close();
  state_ = std::move(other.state_);
  return *this;
}

DEEPSEEK_DECL EventQueue::~EventQueue() {
  if (state_) state_->close();
}

DEEPSEEK_DECL CallHandle EventQueue::submit(ChatRequest request, std::uint64_t tag, CallOptions options) {
  if (!state_) return CallHandle();
  auto& core = *state_->core();
  return state_->submit(detail::prepare(core, request, true, options), tag, options.cancel);
}

DEEPSEEK_DECL std::optional<QueueEvent> EventQueue::next() {
  if (!state_) return std::nullopt;
  return state_->next();
}
DEEPSEEK_DECL int EventQueue::fd() const noexcept { return state_ ? state_->fd() : -1; }
DEEPSEEK_DECL std::size_t EventQueue::live() const { return state_ ? state_->live() : 0; }

DEEPSEEK_END_NAMESPACE
