#pragma once
#include <deepseek/core/metric_list.hpp>
#include <deepseek/policy/limits.hpp>

#include <deepseek/policy/detail/endpoint_memo.hpp>
#include <deepseek/policy/impl/limiter_core.ipp>
#include <deepseek/policy/impl/usage.ipp>
#include <deepseek/policy/pipeline.hpp>

#include <algorithm>
#include <charconv>
#include <list>
#include <string>
#include <utility>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE

// --- options ------------------------------------------------------------------------------------------

DEEPSEEK_DECL bool LimitOptions::any() const noexcept {
  return detail::limits_anything(*this) || detail::limits_anything(per_key) || detail::limits_anything(per_model) ||
         detail::limits_anything(per_user);
}

namespace detail {

DEEPSEEK_DECL Error wrong_limit(const std::string& what, std::string must) {
  return Error(ErrorCode::invalid_options, "limits" + what + " " + std::move(must));
}

DEEPSEEK_DECL std::optional<Error> check_limits(const Limits& limits, const std::string& path) {
  constexpr std::uint64_t most_requests = 100'000'000;
  constexpr std::uint64_t most_tokens = 1'000'000'000;
  constexpr std::uint64_t minutes_a_day = 1440;
  constexpr std::uint32_t most_slots = 1'000'000;
  if (limits.requests_per_minute > most_requests) {
    return wrong_limit(path + ".requests_per_minute", "must be 1 to 100,000,000, or 0 for no limit");
  }
  if (limits.requests_burst > 0 && limits.requests_per_minute == 0)
    return wrong_limit(path + ".requests_burst", "needs requests_per_minute beside it");
  if (limits.tokens_burst > 0 && limits.tokens_per_minute == 0)
    return wrong_limit(path + ".tokens_burst", "needs tokens_per_minute beside it");
  if (limits.requests_burst > limits.requests_per_minute * minutes_a_day) {
    return wrong_limit(path + ".requests_burst",
                       "must not be larger than 1440 * requests_per_minute, a day's requests");
  }
  if (limits.tokens_per_minute > most_tokens) {
    return wrong_limit(path + ".tokens_per_minute", "must be 1 to 1,000,000,000, or 0 for no limit");
  }
  if (limits.tokens_burst > limits.tokens_per_minute * minutes_a_day) {
    return wrong_limit(path + ".tokens_burst", "must not be larger than 1440 * tokens_per_minute, a day's tokens");
  }
  if (limits.in_flight > most_slots) {
    return wrong_limit(path + ".in_flight", "must be 1 to 1,000,000, or 0 for no limit");
  }
  return std::nullopt;
}

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> check(const LimitOptions& options) {
  if (auto error = detail::check_limits(options, "")) return error;
  const std::pair<const Limits*, const char*> parts[] = {
      {&options.per_key, ".per_key"}, {&options.per_model, ".per_model"}, {&options.per_user, ".per_user"}};
  for (const auto& [limits, path] : parts) {
    if (auto error = detail::check_limits(*limits, path)) return error;
    if (options.max_partitions == 0 && detail::limits_anything(*limits)) {
      return detail::wrong_limit(".max_partitions", "must not be 0 where limits" + std::string(path) + " is set");
    }
  }
  if (options.max_partitions > 1'000'000) return detail::wrong_limit(".max_partitions", "must be at most 1,000,000");
  if (options.max_waiting > 1'000'000) return detail::wrong_limit(".max_waiting", "must be at most 1,000,000");
  if (options.max_wait < std::chrono::milliseconds::zero() || options.max_wait > std::chrono::hours(24)) {
    return detail::wrong_limit(".max_wait", "must be 0 to 24 hours");
  }
  return std::nullopt;
}

DEEPSEEK_DECL Result<Limiter> Limiter::create(const LimitOptions& options) {
  if (auto error = check(options)) return *std::move(error);
  return Limiter(std::make_shared<detail::LimiterCore>(options, std::chrono::steady_clock::now()));
}

DEEPSEEK_DECL LimiterState Limiter::state() const { return core_ ? core_->state() : LimiterState(); }
DEEPSEEK_DECL LimitOptions Limiter::options() const { return core_ ? core_->options() : LimitOptions(); }

// --- the policy ---------------------------------------------------------------------------------------

namespace detail {

DEEPSEEK_DECL std::string milliseconds_text(Duration span) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(span).count()) + " ms";
}

DEEPSEEK_DECL const char* shortage_word(Shortage::Of of) noexcept {
  switch (of) {
    case Shortage::Of::requests:
      return "requests per minute";
    case Shortage::Of::tokens:
      return "tokens per minute";
    case Shortage::Of::shared:
      return "shared budget";
    default:
      return "calls in flight";
  }
}

/// The same as a label of metric::limiter_wait.
DEEPSEEK_DECL std::string_view shortage_label(Shortage::Of of) noexcept {
  switch (of) {
    case Shortage::Of::requests:
      return "requests";
    case Shortage::Of::tokens:
      return "tokens";
    case Shortage::Of::shared:
      return "shared";
    default:
      return "concurrency";
  }
}

/// Why there was no turn, for `shortage`.
DEEPSEEK_DECL Error no_turn(const Shortage& shortage, const std::string& why) {
  ErrorDetails details;
  details.code = ErrorCode::rate_limited_locally;
  details.outcome = Outcome::refused;
  details.message =
      "the limits of " + std::string(shortage.where) + " leave no room (" + shortage_word(shortage.of) + "): " + why;
  details.advice = "send less, or raise the limits (ClientOptions::limits, or those its limiter was made with)";
  if (shortage.wait > Duration::zero()) {
    details.retry_after = std::chrono::ceil<std::chrono::milliseconds>(shortage.wait);
  }
  return Error(std::move(details));
}

DEEPSEEK_DECL Error too_large_for_limits(std::uint64_t tokens, const std::string& allowed) {
  return Error(ErrorCode::budget_exceeded,
               "the call is estimated at " + std::to_string(tokens) + " tokens, more than " + allowed,
               "set max_tokens, or raise tokens_per_minute or tokens_burst");
}

/// What the reply used, or the best that is known of it.
DEEPSEEK_DECL std::uint64_t tokens_used(const Call& call, const std::optional<Error>& error, std::uint64_t estimate) {
  if (const auto usage = told_usage(call)) return usage->prompt + usage->completion;
  return error && used_nothing(*error) ? 0 : estimate;
}

class LimitedCall;

/// What the calls of one client share; also the queue of those for whom the shared budget has no room now. While
/// there are any, only the first of them asks: otherwise all would ask again at the same moment.
class LimitPolicyState : public std::enable_shared_from_this<LimitPolicyState> {
 public:
  using List = std::list<std::shared_ptr<LimitedCall>>;

  void close();
  bool queued() const noexcept { return !interactive_.empty() || !batch_.empty(); }
  bool full() const noexcept { return interactive_.size() + batch_.size() >= core->options().max_waiting; }
  List::iterator add(Priority priority, std::shared_ptr<LimitedCall> call) {
    List& list = priority == Priority::batch ? batch_ : interactive_;
    return list.insert(list.end(), std::move(call));
  }
  void remove(Priority priority, List::iterator place) {
    (priority == Priority::batch ? batch_ : interactive_).erase(place);
  }
  /// Lets the first one ask after `wait`, unless one of them asks already.
  void ask_after(Duration wait);
  /// The one who was let ask has its answer; the next asks after `next`.
  void asked(Duration next);

  std::shared_ptr<LimiterCore> core;
  std::shared_ptr<SharedBudget> shared;
  std::shared_ptr<LimitClient> client;
  std::shared_ptr<MetricSink> metrics;
  Loop* loop = nullptr;

 private:
  void ask_next();

  List interactive_, batch_;
  unsigned in_a_row_ = 0;  // interactive ones that got their turn while a batch call waited
  Loop::TimerId timer_ = 0;
  bool asking_ = false;  // one asks, or will
};

/// One attempt: first the client's own limits, then the shared budget if there is one, then the rest of the pipeline.
class LimitedCall final : public CallSink, public LimitWaiter {
 public:
  LimitedCall(std::shared_ptr<LimitPolicyState> state, CallPtr call, SinkPtr sink, Next next)
      : state_(std::move(state)), call_(std::move(call)), sink_(std::move(sink)), next_(next) {}
  ~LimitedCall() override {
    // A pipeline that went without an end.
    core().release(permit_, permit_.tokens, {}, permit_.began);
    if (lease_ != 0 && state_->shared) state_->shared->settle(lease_, std::nullopt);
  }

  void start(std::string_view key);

  // CallSink
  void on_frame(const Frame& frame) override { sink_->on_frame(frame); }
  void on_end(std::optional<Error> error) override;

  // LimitWaiter
  void on_turn() override;

 private:
  friend class LimitPolicyState;
  enum class Step { local, ask, wait, sent, over };

  LimiterCore& core() const noexcept { return *state_->core; }
  Loop& loop() const noexcept { return *state_->loop; }
  std::shared_ptr<LimitedCall> self() { return std::static_pointer_cast<LimitedCall>(shared_from_this()); }

  void wait_for_turn(const LimitAsk& ask);
  void hold();
  void hold_until(Shortage::Of what);
  void begin_shared();
  void ask_shared();
  void on_shared(const BudgetGrant& grant);
  void wait_for_shared(Duration wait);
  void unqueue();
  void send();
  void give_up();
  void abort(Error reason);
  void refuse(Error reason);
  void let_go();

  std::shared_ptr<LimitPolicyState> state_;
  CallPtr call_;
  SinkPtr sink_;
  Next next_;
  Permit permit_;
  TimePoint began_ = {};
  TimePoint until_ = {};
  Loop::TimerId timer_ = 0;  // to give up
  std::uint64_t lease_ = 0;
  std::optional<LimitPolicyState::List::iterator> place_;  // in the queue for the shared budget
  Step step_ = Step::local;
  bool asks_for_queue_ = false;  // its answer lets the next one ask
  bool holds_ = false;
  Shortage::Of lacked_ = Shortage::Of::nothing;  // what it waited for, if it did
};

DEEPSEEK_DECL void LimitedCall::start(std::string_view key) {
  const LimitOptions& options = core().options();
  began_ = loop().now();
  until_ = began_ + (call_->may_wait ? options.max_wait : std::chrono::milliseconds(0));
  if (call_->deadline) until_ = std::min(until_, *call_->deadline);
  if (call_->weight > core().most_tokens()) {
    const std::string most = std::to_string(core().most_tokens());
    return refuse(too_large_for_limits(call_->weight, "the " + most + " that its limits ever allow"));
  }

  const LimitAsk ask{key, call_->model, call_->user_id, call_->weight, call_->priority};
  const Shortage shortage = core().take(ask, permit_, began_);
  if (shortage.of == Shortage::Of::nothing) return state_->shared ? begin_shared() : send();
  if (options.max_waiting == 0 || until_ <= began_) return refuse(no_turn(shortage, "it may not wait"));
  wait_for_turn(ask);
}

DEEPSEEK_DECL void LimitedCall::wait_for_turn(const LimitAsk& ask) {
  const auto joined = core().join(*this, state_->client, ask, until_, began_);
  if (joined == LimiterCore::Joined::turn) return on_turn();
  if (joined == LimiterCore::Joined::refused) {
    const Shortage shortage = core().shortage_of(*this);
    const bool late = shortage.wait > until_ - began_;
    return refuse(no_turn(shortage, late ? "its turn would come in " + milliseconds_text(shortage.wait)
                                         : std::to_string(core().options().max_waiting) + " calls wait already"));
  }
  hold_until(core().shortage_of(*this).of);
}

/// From here on the call is ours to abort.
DEEPSEEK_DECL void LimitedCall::hold() {
  if (std::exchange(holds_, true)) return;
  call_->on_abort = [self = self()](Error reason) { self->abort(std::move(reason)); };
}

/// And it waits, for so long at most.
DEEPSEEK_DECL void LimitedCall::hold_until(Shortage::Of what) {
  hold();
  if (timer_ != 0) return;
  if (lacked_ == Shortage::Of::nothing) core().count_wait();
  lacked_ = what;
  timer_ = loop().schedule(until_, [self = self()] {
    self->timer_ = 0;
    self->give_up();
  });
}

DEEPSEEK_DECL void LimitedCall::on_turn() {
  const auto keep = shared_from_this();
  if (step_ != Step::local || !core().accept(*this, permit_)) return;
  if (state_->shared) return begin_shared();
  send();
}

// --- the shared budget

DEEPSEEK_DECL Error no_shared_turn(Duration wait, const std::string& why) {
  return no_turn({Shortage::Of::shared, wait, "all processes together"}, why);
}

DEEPSEEK_DECL void LimitedCall::begin_shared() {
  if (!state_->queued()) return ask_shared();
  if (!call_->may_wait) return refuse(no_shared_turn({}, "it may not wait"));
  if (state_->full()) return refuse(no_shared_turn({}, "too many calls wait already"));
  wait_for_shared({});
}

DEEPSEEK_DECL void LimitedCall::ask_shared() {
  step_ = Step::ask;
  hold();
  state_->shared->take({call_->model, call_->user_id, call_->weight},
                       [self = self()](BudgetGrant grant) { self->on_shared(grant); });
}

DEEPSEEK_DECL void LimitedCall::on_shared(const BudgetGrant& grant) {
  const auto keep = self();
  constexpr Duration unknown = std::chrono::milliseconds(50);
  constexpr Duration least = std::chrono::milliseconds(1);
  const Duration wait = grant.wait > Duration::zero() ? std::max(grant.wait, least) : unknown;
  const bool may_wait = core().options().max_waiting != 0 && loop().now() < until_;
  const bool for_queue = std::exchange(asks_for_queue_, false);

  if (step_ != Step::ask) {  // it was given up meanwhile
    if (grant.granted && state_->shared) state_->shared->settle(grant.lease, 0);
  } else if (grant.granted) {
    lease_ = grant.lease;
    unqueue();
    send();
  } else if (grant.never) {
    refuse(too_large_for_limits(call_->weight, "all processes together may ever take"));
  } else if (!may_wait) {
    refuse(no_shared_turn(grant.wait, "it may not wait"));
  } else if (!for_queue) {
    return wait_for_shared(wait);
  } else {
    step_ = Step::wait;
  }
  if (for_queue) state_->asked(grant.granted || grant.never ? Duration::zero() : wait);
}

DEEPSEEK_DECL void LimitedCall::wait_for_shared(Duration wait) {
  step_ = Step::wait;
  hold_until(Shortage::Of::shared);
  place_ = state_->add(call_->priority, self());
  if (wait > Duration::zero()) state_->ask_after(wait);
}

DEEPSEEK_DECL void LimitedCall::unqueue() {
  if (place_) state_->remove(call_->priority, *std::exchange(place_, std::nullopt));
}

/// The policy goes. What the budget has not answered yet holds calls, and they hold this: detaching ends that.
DEEPSEEK_DECL void LimitPolicyState::close() {
  if (client) client->close();
  if (timer_ != 0) loop->unschedule(std::exchange(timer_, 0));
  if (const auto last = std::exchange(shared, nullptr)) last->detach();
}

DEEPSEEK_DECL void LimitPolicyState::ask_after(Duration wait) {
  if (std::exchange(asking_, true)) return;
  timer_ = loop->schedule(loop->now() + wait, [self = shared_from_this()] {
    self->timer_ = 0;
    self->ask_next();
  });
}

DEEPSEEK_DECL void LimitPolicyState::asked(Duration next) {
  asking_ = false;
  if (queued()) ask_after(next);
}

DEEPSEEK_DECL void LimitPolicyState::ask_next() {
  asking_ = queued();
  if (!asking_) return;
  constexpr unsigned interactive_in_a_row = 7;
  const bool batch = interactive_.empty() || (!batch_.empty() && in_a_row_ >= interactive_in_a_row);
  in_a_row_ = batch || batch_.empty() ? 0 : in_a_row_ + 1;
  const auto first = (batch ? batch_ : interactive_).front();
  first->asks_for_queue_ = true;
  first->ask_shared();
}

// --- the ends of waiting

DEEPSEEK_DECL void LimitedCall::send() {
  step_ = Step::sent;
  const auto keep = shared_from_this();
  let_go();
  permit_.began = loop().now();
  next_(call_, SinkPtr(keep, this));
}

DEEPSEEK_DECL void LimitedCall::let_go() {
  if (timer_ != 0) loop().unschedule(std::exchange(timer_, 0));
  if (lacked_ != Shortage::Of::nothing) {
    const Duration waited = loop().now() - began_;
    call_->facts.waited += waited;
    if (state_->metrics)
      state_->metrics->observe(metric::limiter_wait, {shortage_label(lacked_)},
                               std::chrono::duration<double>(waited).count());
  }
  if (std::exchange(holds_, false)) call_->release_holds();
}

DEEPSEEK_DECL void LimitedCall::give_up() {
  const Shortage shortage = step_ == Step::local
                                ? core().shortage_of(*this)
                                : Shortage{Shortage::Of::shared, Duration::zero(), "all processes together"};
  refuse(no_turn(shortage, "waited " + milliseconds_text(loop().now() - began_)));
}

DEEPSEEK_DECL void LimitedCall::refuse(Error reason) {
  core().count_refusal();
  abort(std::move(reason));
}

/// Ends the call while it is ours.
DEEPSEEK_DECL void LimitedCall::abort(Error reason) {
  if (step_ == Step::sent || step_ == Step::over) return;
  const auto keep = self();  // the hold below may be the last that knows us
  step_ = Step::over;
  unqueue();
  let_go();
  const TimePoint now = loop().now();
  core().leave(*this, now);
  core().undo(permit_, now);
  sink_->on_end(std::move(reason));
}

DEEPSEEK_DECL void LimitedCall::on_end(std::optional<Error> error) {
  if (std::exchange(step_, Step::over) == Step::sent) {
    const std::uint64_t used = tokens_used(*call_, error, permit_.tokens);
    const TimePoint now = loop().now();
    LoadSign sign;
    sign.began = permit_.began;
    sign.answered = !error;
    sign.overloaded = error && (error->code() == ErrorCode::rate_limited || error->code() == ErrorCode::overloaded ||
                                error->code() == ErrorCode::no_capacity);
    if (call_->facts.first_token.count() > 0) {
      sign.first_token = call_->started + call_->facts.first_token - permit_.began;
    }
    core().release(permit_, used, sign, now);
    if (state_->shared && lease_ != 0) state_->shared->settle(std::exchange(lease_, 0), used);
  }
  sink_->on_end(std::move(error));
}

class LimitPolicy final : public Policy {
 public:
  LimitPolicy(std::shared_ptr<LimiterCore> core, std::shared_ptr<SharedBudget> shared,
              std::shared_ptr<MetricSink> metrics)
      : by_key_(limits_anything(core->options().per_key)) {
    state_->core = std::move(core);
    state_->metrics = std::move(metrics);
    state_->shared = std::move(shared);
  }
  ~LimitPolicy() override { state_->close(); }
  Phase phase() const override { return Phase::admission; }
  void attach(Loop& loop) override {
    state_->loop = &loop;
    state_->client = std::make_shared<LimitClient>(state_->core, loop);
    if (state_->shared) state_->shared->attach(loop);
  }
  void detach() override { state_->close(); }
  void start(CallPtr call, SinkPtr sink, Next next) override {
    const std::string_view key = by_key_ ? key_of(call->endpoint) : std::string_view();
    const auto limited = std::make_shared<LimitedCall>(state_, std::move(call), std::move(sink), next);
    limited->start(key);
  }

 private:
  /// A name for what an endpoint authenticates with: equal keys have one name in all clients of this process, and no
  /// key can be had from it.
  std::string_view key_of(const std::shared_ptr<const Endpoint>& endpoint) {
    return keys_.of(endpoint, [&] { return name_of(endpoint); });
  }
  static std::string name_of(const std::shared_ptr<const Endpoint>& endpoint) {
    if (!endpoint || !endpoint->credential.present()) return {};
    CredentialSource& source = endpoint->credential.source();
    if (const Secret* value = source.known()) {
      return "key " + std::to_string(std::hash<std::string_view>()(value->reveal()));
    }
    return "source " + std::to_string(reinterpret_cast<std::uintptr_t>(&source));
  }

  std::shared_ptr<LimitPolicyState> state_ = std::make_shared<LimitPolicyState>();
  const bool by_key_;
  EndpointMemo<std::string> keys_;
};

}  // namespace detail

DEEPSEEK_DECL std::shared_ptr<Policy> make_limit_policy(Limiter limiter, std::shared_ptr<SharedBudget> shared,
                                                        std::shared_ptr<MetricSink> metrics) {
  if (!limiter) limiter = *Limiter::create({});
  return std::make_shared<detail::LimitPolicy>(std::move(limiter.core_), std::move(shared), std::move(metrics));
}

DEEPSEEK_END_NAMESPACE
