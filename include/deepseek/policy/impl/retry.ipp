#pragma once
#include <algorithm>
#include <string>
#include <utility>

#include <deepseek/core/detail/splitmix.hpp>
#include <deepseek/policy/detail/retry_policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL RetryKind retry_kind(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::rate_limited:
      return RetryKind::throttled;
    case ErrorCode::rate_limited_locally:  // who has waited there has waited enough
    case ErrorCode::circuit_open:
    case ErrorCode::token_failed:  // the source has a back-off of its own
      return RetryKind::never;
    default:
      break;
  }
  const int status = error.http_status();
  const bool by_status = error.outcome() == Outcome::http_error && (status == 408 || status == 409 || status >= 500);
  return by_status || error.retryable() ? RetryKind::transient : RetryKind::never;
}

DEEPSEEK_DECL int RetryBudget::take(RetryKind kind) noexcept {
  const int cost = kind == RetryKind::throttled ? options_.throttled_cost : options_.cost;
  if (cost > left_) return 0;
  left_ -= cost;
  return cost;
}

DEEPSEEK_DECL void RetryBudget::give(int cost) noexcept {
  left_ = std::min(options_.budget, left_ + std::max(cost, 1));
}

DEEPSEEK_DECL Function<double()> make_jitter() {
  struct Jitter {
    std::uint64_t state;
    double operator()() { return static_cast<double>(splitmix64(state) >> 11) / 9007199254740992.0; }
  };
  // Clients that start together must not wait alike: the clock tells processes apart, the address those of one process.
  auto own = std::make_shared<Jitter>();
  own->state = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
               (static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(own.get())) << 20);
  return [own] { return (*own)(); };
}

/// One call over its attempts.
class RetryPolicy::Attempts final : public CallSink, public std::enable_shared_from_this<Attempts> {
 public:
  Attempts(RetryPolicy& policy, CallPtr call, SinkPtr sink, Next next)
      : policy_(policy), router_(policy.router_), call_(std::move(call)), sink_(std::move(sink)), next_(next) {}
  ~Attempts() override {
    router_->release(*call_);  // an attempt that was dropped without an end
  }

  void begin() {
    ++tries_;
    next_(call_, shared_from_this());
  }

  void on_frame(const Frame& frame) override {
    if (frame.kind == FrameKind::token) delivered_ = true;
    sink_->on_frame(frame);
  }

  void on_end(std::optional<Error> error) override {
    const auto keep = shared_from_this();
    router_->report(*call_, judge_endpoint(error));
    if (!error) {
      policy_.budget_.give(cost_);
      return finish(std::nullopt);
    }
    const char* const why_not = next_step(*error);
    if (why_not == nullptr) return;
    finish(*why_not == '\0' ? std::move(error) : explained(*error, why_not));
  }

 private:
  /// Goes on and returns null, or says why nothing more is done; "" if there is nothing to say.
  const char* next_step(const Error& error) {
    const EndpointVerdict verdict = judge_endpoint(error);
    if (verdict == EndpointVerdict::barred && router_->has_other(*call_)) {
      router_->leave(*call_);
      --tries_;  // nothing was sent
      begin();
      return nullptr;
    }
    const RetryKind kind = retry_kind(error);
    const bool elsewhere = verdict == EndpointVerdict::refused && router_->has_other(*call_);
    if (!elsewhere && kind == RetryKind::never) return "";
    if (delivered_) return "not repeated: part of the answer was delivered already";
    if (!call_->safe_to_repeat) return "not repeated: the request is not safe to repeat";
    if (tries_ >= policy_.options_.max_attempts)
      return policy_.options_.max_attempts > 1 ? "given up: RetryOptions::max_attempts is reached" : "";
    if (elsewhere) {
      router_->leave(*call_);
      repeat();
      return nullptr;
    }
    call_->endpoints_left = 0;  // they have been asked all: after the wait each may be again
    return wait(kind);
  }

  const char* wait(RetryKind kind) {
    const auto ceiling = policy_.longest_wait(++backed_off_, kind);
    std::chrono::nanoseconds delay(
        static_cast<std::int64_t>(policy_.random_() * static_cast<double>(std::chrono::nanoseconds(ceiling).count())));
    const std::chrono::milliseconds asked = asked_for();
    if (asked > policy_.options_.retry_after_cap)
      return "not repeated: the server asks to wait for longer than allowed";
    delay = std::max<std::chrono::nanoseconds>(delay, asked);
    const TimePoint when = policy_.loop_->now() + delay;
    if (call_->deadline && when >= *call_->deadline) return "not repeated: the deadline would have passed";
    const int cost = policy_.budget_.take(kind);
    if (cost == 0) return "not repeated: too much is failing, the client's budget for repeats is used up";
    cost_ = cost;
    call_->on_abort = [self = shared_from_this()](Error reason) { self->give_up(std::move(reason)); };
    timer_ = policy_.loop_->schedule(when, [self = shared_from_this()] {
      self->timer_ = 0;
      self->call_->on_abort = nullptr;
      self->repeat();
    });
    return nullptr;
  }

  std::chrono::milliseconds asked_for() const {
    const CallFacts& facts = call_->facts;
    if (facts.retry_after) return *facts.retry_after;
    if (facts.retry_at == WallTime()) return std::chrono::milliseconds(0);
    return std::chrono::ceil<std::chrono::milliseconds>(facts.retry_at - policy_.clock_->wall_now());
  }

  void repeat() {
    ++call_->facts.retries;
    call_->decoder->reset();
    begin();
  }

  void give_up(Error reason) {
    const auto keep = shared_from_this();
    if (timer_ != 0) policy_.loop_->unschedule(std::exchange(timer_, 0));
    call_->on_abort = nullptr;
    finish(std::move(reason));
  }

  void finish(std::optional<Error> error) { sink_->on_end(std::move(error)); }

  static Error explained(const Error& error, const char* why) {
    return error.with([why](ErrorDetails& details) {
      details.advice = details.advice.empty() ? std::string(why) : why + ("; " + details.advice);
    });
  }

  RetryPolicy& policy_;
  std::shared_ptr<Router> router_;  // may be told when the policy has gone
  CallPtr call_;
  SinkPtr sink_;
  Next next_;
  Loop::TimerId timer_ = 0;
  int tries_ = 0;
  int backed_off_ = 0;
  int cost_ = 0;  // of the last repeat
  bool delivered_ = false;
};

DEEPSEEK_DECL RetryPolicy::RetryPolicy(RetryOptions options, std::shared_ptr<Router> router,
                                       std::shared_ptr<const Clock> clock, Function<double()> random)
    : options_(options),
      router_(std::move(router)),
      clock_(std::move(clock)),
      random_(std::move(random)),
      budget_(options_) {}

DEEPSEEK_DECL void RetryPolicy::start(CallPtr call, SinkPtr sink, Next next) {
  std::make_shared<Attempts>(*this, std::move(call), std::move(sink), next)->begin();
}

DEEPSEEK_DECL std::chrono::milliseconds RetryPolicy::longest_wait(int repeat, RetryKind kind) const noexcept {
  const std::chrono::milliseconds first = kind == RetryKind::throttled ? options_.throttled_base : options_.base;
  std::chrono::milliseconds wait = std::min(first, options_.cap);
  for (int i = 1; i < repeat && wait < options_.cap && wait.count() > 0; ++i) wait = std::min(wait * 2, options_.cap);
  return wait;
}

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> check(const RetryOptions& o) {
  const auto wrong = [](const char* what) { return Error(ErrorCode::invalid_options, what); };
  if (o.max_attempts < 1 || o.max_attempts > 100) return wrong("RetryOptions::max_attempts is outside 1 ... 100");
  for (const auto wait : {o.base, o.throttled_base, o.cap, o.retry_after_cap})
    if (wait.count() < 0 || wait > std::chrono::hours(24)) return wrong("RetryOptions: a wait is outside 0 ... 24 h");
  if (o.budget < 0 || o.cost < 1 || o.throttled_cost < 1)
    return wrong("RetryOptions: budget is negative, or a cost is below 1");
  return std::nullopt;
}

DEEPSEEK_END_NAMESPACE
