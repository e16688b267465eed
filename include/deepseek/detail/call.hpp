// What stands behind every face: one live call, and the client's core. Private.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include <deepseek/client.hpp>
#include <deepseek/core/detail/reactor.hpp>
#include <deepseek/detail/chunk_batch.hpp>
#include <deepseek/model/detail/codec.hpp>
#include <deepseek/policy/detail/end_watch.hpp>
#include <deepseek/policy/pipeline.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class LiveCall;

/// The part of a client that calls keep alive: loop, transport, pipeline, settled options.
class ClientCore final : public std::enable_shared_from_this<ClientCore> {
 public:
  ClientCore(ClientOptions options, std::shared_ptr<Reactor> reactor, std::shared_ptr<Transport> transport);
  ~ClientCore();

  const ClientOptions& options() const noexcept { return options_; }
  Reactor& reactor() noexcept { return *reactor_; }
  const std::shared_ptr<Reactor>& shared_reactor() const noexcept { return reactor_; }
  Pipeline& pipeline() noexcept { return *pipeline_; }
  bool deepseek() const noexcept { return deepseek_; }
  /// Metrics and log learn how `call` ended, unless they have. Any thread.
  void tell_end(Call& call, const std::optional<Error>& error) const {
    if (watch_ && !call.end_told) watch_(call, error);
  }
  /// True in a child that was forked after this client was made: nothing here may be touched then.
  bool forked() const noexcept { return fork_generation() != fork_generation_; }

  // The list of live calls. On the loop only.
  void add(LiveCall& call);
  void remove(LiveCall& call);
  void cancel_all();
  /// Signals `waiter` when no call is live; at once if none is.
  void signal_when_idle(Waiter& waiter);

 private:
  std::shared_ptr<Reactor> reactor_;  // first: credentials and policies may hold on to their loop to the end
  ClientOptions options_;
  std::unique_ptr<Pipeline> pipeline_;
  EndWatch watch_;
  bool deepseek_;
  unsigned fork_generation_;
  LiveCall* first_ = nullptr;
  Waiter* idle_waiter_ = nullptr;
};

/// What the client handles share: its end is the client's end.
class ClientLife {
 public:
  explicit ClientLife(std::shared_ptr<ClientCore> core) : core_(std::move(core)) {}
  ~ClientLife();
  const std::shared_ptr<ClientCore>& core() const noexcept { return core_; }

 private:
  std::shared_ptr<ClientCore> core_;
};

/// What a CallHandle needs: a way to cancel that keeps no client alive.
class CallControl : public std::enable_shared_from_this<CallControl> {
 public:
  virtual ~CallControl() = default;
  /// Any thread.
  void cancel() noexcept;
  bool finished() const noexcept { return finished_.load(std::memory_order_acquire); }

 protected:
  virtual void abort(Error reason) = 0;  // on the loop
  void set_reactor(const std::shared_ptr<Reactor>& reactor) { reactor_ = reactor; }

  std::weak_ptr<Reactor> reactor_;  // set before the call is shared, not changed after
  unsigned fork_generation_ = fork_generation();
  std::atomic<bool> cancel_requested_{false};
  std::atomic<bool> finished_{false};
};

/// One call from its start to its completion. All on the loop, except what CallControl says.
class LiveCall : public CallSink, public CallControl {  // the sink first: frames come by it, without a thunk
 public:
  /// `hosted`: only the I/O thread may run it, because user code or a host's loop hangs on it.
  LiveCall(std::shared_ptr<ClientCore> core, CallPtr call, bool hosted);

  /// The call ends with this instead of being sent: a refusal reaches a handler like any other end.
  /// Metrics and log have been told of it (see refused()).
  void refuse(Error reason) {
    refusal_ = std::move(reason);
    call_->end_told = true;
  }
  /// Registers the token and puts the call on the loop. `wait_follows`: the caller drives the loop next.
  void launch(const CancelToken& token, bool wait_follows);

  std::shared_ptr<ClientCore> shared_core() const noexcept { return core_; }

  // CallSink; on_frame() is the answer's own
  void on_end(std::optional<Error> error) override;

 protected:
  /// True for a frame that holds something of the answer.
  bool wanted(const Frame& frame) const noexcept {
    return !ended_ && (frame.kind == FrameKind::token || frame.kind == FrameKind::data);
  }
  /// The one completion. `error` carries the facts of the call. Must lead to release(), now or later.
  virtual void complete(std::optional<Error> error) = 0;
  /// Adds what is known of the answer so far to an error.
  virtual void describe(ErrorDetails& details) { (void)details; }
  void abort(Error reason) override;
  void pause(bool paused);
  /// Puts the result down for a thread that waits, releases the call and lets the thread go on.
  template <class T, class From>
  void hand_to_waiter(Waiter& waiter, std::optional<Result<T>>& place, From&& result) {
    const auto keep = shared_from_this();
    const auto core = core_;
    place.emplace(std::forward<From>(result));
    release();
    core->reactor().signal(waiter);
  }
  /// Runs the user's completion where user code runs, then releases the call. What it throws is lost:
  /// the call is over.
  void finish_with(Task completion);
  /// Unlinks the call: the client may go from here on.
  void release();
  const Call& call() const noexcept { return *call_; }
  ClientCore& core() noexcept { return *core_; }
  /// What the reply tells about its call. Once, at the end.
  CallInfo take_info();

 private:
  friend class ClientCore;
  void begin();

  std::shared_ptr<ClientCore> core_;
  CallPtr call_;
  bool hosted_;
  bool ended_ = false;
  std::optional<Error> refusal_;
  std::shared_ptr<CallControl> until_begun_;
  CancelToken token_;
  CancelRegistration registration_;
  LiveCall* previous_ = nullptr;
  LiveCall* next_ = nullptr;
};

/// A live call whose answer is a ChatReply.
class ReplyCall : public LiveCall {
 public:
  ReplyCall(std::shared_ptr<ClientCore> core, CallPtr call, std::shared_ptr<ReplyDecoder> decoder, bool hosted)
      : LiveCall(std::move(core), std::move(call), hosted), decoder_(std::move(decoder)) {}

  void on_frame(const Frame& frame) final;

 protected:
  virtual void on_chunk(const ChatChunk& chunk) = 0;
  virtual void on_result(Result<ChatReply>&& result) = 0;  // a reply is half a KiB: not moved more than it must
  virtual void on_reply(ChatReply&& reply) { on_result(Result<ChatReply>(std::move(reply))); }
  void complete(std::optional<Error> error) override;
  void describe(ErrorDetails& details) override;

 private:
  void fill_info(ChatReply& reply);

  std::shared_ptr<ReplyDecoder> decoder_;
};

/// What a stream's consumer on another thread shares with the loop: chunks, then one result. While the consumer itself
/// drives the loop it is no other thread, and the loop's side takes no lock: who drives before or after it does so
/// under the reactor's mutex, and thus sees what was written here.
class PullCall final : public ReplyCall {
 public:
  using ReplyCall::ReplyCall;
  const ChatChunk* next();
  Result<ChatReply> result();

 private:
  void on_chunk(const ChatChunk& chunk) override;
  void on_result(Result<ChatReply>&& result) override;
  void append(const ChatChunk& chunk, bool& wake, bool& full);
  bool take_batch();
  void wait_for_more(std::unique_lock<std::mutex>& lock);
  std::optional<Error> cannot_wait() const;
  void resume_if_room(std::unique_lock<std::mutex>& lock);

  ChunkBatch reading_;  // consumer only

  std::mutex mutex_;
  ChunkBatch incoming_;                      // guarded
  std::optional<Result<ChatReply>> result_;  // guarded
  bool wanted_ = false;                      // guarded: a consumer sleeps
  bool discard_ = false;                     // guarded: nobody will pull chunks any more
  bool paused_ = false;                      // guarded
  Waiter waiter_;
};

/// The way from a public handle to its core.
struct ClientAccess {
  static const std::shared_ptr<ClientCore>& core(const DeepSeekClient& client);
  static const std::shared_ptr<ClientLife>& life(const DeepSeekClient& client) { return client.life_; }
  static DeepSeekClient make(std::shared_ptr<ClientLife> life) { return DeepSeekClient(std::move(life)); }
};

std::optional<Error> check_timeouts(const Timeouts& timeouts);
Error forked_error();
Error wrong_thread_error();

/// A checked and encoded request, ready to go.
struct Prepared {
  CallPtr call;
  std::shared_ptr<ReplyDecoder> decoder;
};
Result<Prepared> prepare(ClientCore& core, const ChatRequest& request, bool stream, const CallOptions& options);
Result<Prepared> prepare(ClientCore& core, const CompletionRequest& request, bool stream, const CallOptions& options);

/// `error`, after metrics and log have been told that a call ends with it before it is put on the loop. Any thread.
Error refused(ClientCore& core, Call& call, Error error);

/// A call without a body yet, with the client's and the caller's options settled.
Result<CallPtr> make_call(ClientCore& core, const Operation& operation, const CallOptions& options);

struct StreamAccess {
  static Stream make(std::shared_ptr<PullCall> call) { return Stream(std::move(call)); }
  static Stream refused(Error error) { return Stream(std::move(error)); }
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/impl/call.ipp>
#endif
