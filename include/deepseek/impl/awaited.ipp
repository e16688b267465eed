#pragma once
#include <deepseek/detail/awaited.hpp>

#include <deepseek/detail/call.hpp>

#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What the loop and a consumer that is woken share: chunks, then one result. A wake stays here until it runs,
/// so that a consumer who goes meanwhile takes it along.
class AwaitedCall final : public ReplyCall {
 public:
  AwaitedCall(std::shared_ptr<ClientCore> core, CallPtr call, std::shared_ptr<ReplyDecoder> decoder)
      : ReplyCall(std::move(core), std::move(call), std::move(decoder), true),
        executor_(this->core().options().executor.get()) {}

  const ChatChunk* next();
  bool ended();
  bool wait(Wake wake, bool end_only);
  Result<ChatReply> result();
  void close() noexcept;

 private:
  void on_chunk(const ChatChunk& chunk) override;
  void on_result(Result<ChatReply>&& result) override;
  void deliver() noexcept;
  void resume_transfer();
  bool forked() const noexcept { return fork_generation() != fork_generation_; }

  // Null: the I/O thread. Not owned: this object may end on the executor, which must not end itself.
  Executor* executor_;
  ChunkBatch reading_;  // consumer only

  std::mutex mutex_;
  ChunkBatch incoming_;                      // guarded
  std::optional<Result<ChatReply>> result_;  // guarded
  Wake waiting_;                             // guarded
  bool posted_ = false;                      // guarded: deliver() is on its way to the executor
  bool discard_ = false;                     // guarded: nobody will take chunks any more
  bool paused_ = false;                      // guarded
};

// --- the loop's side ---------------------------------------------------------------------------------

DEEPSEEK_DECL void AwaitedCall::on_chunk(const ChatChunk& chunk) {
  bool full = false;
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (discard_) return;
    incoming_.append(chunk);
    full = !paused_ && incoming_.bytes() > core().options().stream_buffer_bytes;
    paused_ = paused_ || full;
    wake = waiting_.run && !std::exchange(posted_, true);
  }
  if (full) pause(true);
  if (!wake) return;
  if (executor_)
    executor_->post([self = shared_from_this(), this] { deliver(); });
  else
    deliver();
}

DEEPSEEK_DECL void AwaitedCall::on_result(Result<ChatReply>&& result) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    result_ = std::move(result);
  }
  finish_with([this] { deliver(); });
}

/// Runs user code; what it throws cannot cross libcurl.
DEEPSEEK_DECL void AwaitedCall::deliver() noexcept {
  Wake wake;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    posted_ = false;
    wake = std::exchange(waiting_, Wake());
  }
  if (!wake.run) return;
  try {
    wake.run(wake.context);
  } catch (...) {
    cancel();
  }
}

// --- the consumer's side -----------------------------------------------------------------------------

DEEPSEEK_DECL void AwaitedCall::resume_transfer() {
  if (const auto reactor = reactor_.lock()) reactor->post([self = shared_from_this(), this] { pause(false); });
}

DEEPSEEK_DECL const ChatChunk* AwaitedCall::next() {
  if (const ChatChunk* chunk = reading_.next()) return chunk;
  if (forked()) return nullptr;
  bool resume = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (incoming_.empty()) return nullptr;
    reading_.clear();
    reading_.swap(incoming_);
    resume = std::exchange(paused_, false);
  }
  if (resume) resume_transfer();
  return reading_.next();
}

DEEPSEEK_DECL bool AwaitedCall::ended() {
  if (forked()) return true;
  std::lock_guard<std::mutex> lock(mutex_);
  return result_ && incoming_.empty() && reading_.empty();
}

DEEPSEEK_DECL bool AwaitedCall::wait(Wake wake, bool end_only) {
  if (forked()) return false;
  bool resume = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (end_only) {
      discard_ = true;
      incoming_.clear();
      resume = std::exchange(paused_, false);
    }
    if (result_ || !incoming_.empty()) return false;
    waiting_ = wake;
  }
  if (resume) resume_transfer();
  return true;
}

DEEPSEEK_DECL Result<ChatReply> AwaitedCall::result() {
  if (forked()) return forked_error();
  std::lock_guard<std::mutex> lock(mutex_);
  if (result_) return *result_;
  return Error(ErrorCode::invalid_argument, "the stream has not ended yet", "await its result");
}

DEEPSEEK_DECL void AwaitedCall::close() noexcept {
  if (forked()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    waiting_ = Wake();
    discard_ = true;
  }
  cancel();
}

// --- the handle --------------------------------------------------------------------------------------

template <class Request>
std::shared_ptr<AwaitedCall> start_awaited(const DeepSeekClient& client, const Request& request,
                                           const CallOptions& options, std::shared_ptr<const Error>& refusal) {
  const auto& core = ClientAccess::core(client);
  Result<Prepared> prepared = prepare(*core, request, true, options);
  if (!prepared) {
    refusal = std::make_shared<const Error>(std::move(prepared).error());
    return nullptr;
  }
  auto call = std::make_shared<AwaitedCall>(core, prepared->call, prepared->decoder);
  call->launch(options.cancel, false);
  return call;
}

DEEPSEEK_DECL AwaitedStream::AwaitedStream(const DeepSeekClient& client, const ChatRequest& request,
                                           const CallOptions& options)
    : call_(start_awaited(client, request, options, refusal_)) {}
DEEPSEEK_DECL AwaitedStream::AwaitedStream(const DeepSeekClient& client, const CompletionRequest& request,
                                           const CallOptions& options)
    : call_(start_awaited(client, request, options, refusal_)) {}

DEEPSEEK_DECL AwaitedStream& AwaitedStream::operator=(AwaitedStream&& other) noexcept {
  if (this == &other) return *this;
  close();
  call_ = std::move(other.call_);
  refusal_ = std::move(other.refusal_);
  return *this;
}

DEEPSEEK_DECL const ChatChunk* AwaitedStream::next() { return call_ ? call_->next() : nullptr; }
DEEPSEEK_DECL bool AwaitedStream::ended() const { return !call_ || call_->ended(); }

DEEPSEEK_DECL bool AwaitedStream::wait(Wake wake, bool end_only) {
  // The consumer may be woken, and drop this handle, before wait() has returned.
  const std::shared_ptr<AwaitedCall> call = call_;
  return call && call->wait(wake, end_only);
}

DEEPSEEK_DECL Result<ChatReply> AwaitedStream::result() const {
  if (call_) return call_->result();
  return refusal_ ? *refusal_ : Error(ErrorCode::closed, "the stream was moved away");
}

DEEPSEEK_DECL void AwaitedStream::cancel() noexcept {
  if (call_) call_->cancel();
}

DEEPSEEK_DECL void AwaitedStream::close() noexcept {
  if (call_) call_->close();
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
