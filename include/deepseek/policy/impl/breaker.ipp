#pragma once
#include <algorithm>

#include <deepseek/policy/detail/circuit_breaker.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL CircuitBreaker::CircuitBreaker(const BreakerOptions& options) : options_(options) {}

DEEPSEEK_DECL std::int64_t CircuitBreaker::turn_of(TimePoint now) const noexcept {
  const Duration width = std::max<Duration>(options_.window / bucket_count, Duration(1));
  return now.time_since_epoch() / width;
}

DEEPSEEK_DECL CircuitBreaker::Counts CircuitBreaker::window(TimePoint now) const noexcept {
  const std::int64_t oldest = turn_of(now) - bucket_count + 1;
  Counts sum;
  for (const Bucket& bucket : buckets_) {
    if (bucket.turn < oldest) continue;
    sum.calls += bucket.counts.calls;
    sum.failed += bucket.counts.failed;
    sum.slow += bucket.counts.slow;
  }
  return sum;
}

DEEPSEEK_DECL bool CircuitBreaker::too_bad(const Counts& counts) const noexcept {
  return counts.failed * 100 >= counts.calls * options_.failure_percent ||
         (options_.slow.count() > 0 && counts.slow * 100 >= counts.calls * options_.slow_percent);
}

DEEPSEEK_DECL void CircuitBreaker::open(TimePoint now) {
  state_ = State::open;
  open_until_ = now + options_.open_for;
}

DEEPSEEK_DECL void CircuitBreaker::close() {
  state_ = State::closed;
  for (Bucket& bucket : buckets_) bucket = Bucket();
}

DEEPSEEK_DECL bool CircuitBreaker::permits(TimePoint now) const noexcept {
  switch (state_) {
    case State::closed:
      return true;
    case State::open:
      return now >= open_until_;
    case State::half_open:
      break;
  }
  return on_trial_ + trials_.calls < options_.trial_calls;
}

DEEPSEEK_DECL bool CircuitBreaker::acquire(TimePoint now) {
  if (!enabled()) return true;
  if (!permits(now)) return false;
  if (state_ == State::open) {
    state_ = State::half_open;
    trials_ = Counts();
    on_trial_ = 0;
  }
  if (state_ == State::half_open) ++on_trial_;
  return true;
}

DEEPSEEK_DECL void CircuitBreaker::release() noexcept {
  if (state_ == State::half_open && on_trial_ > 0) --on_trial_;
}

DEEPSEEK_DECL void CircuitBreaker::record(TimePoint now, bool failed, Duration took) {
  if (!enabled()) return;
  const Counts one{1, failed ? 1 : 0, options_.slow.count() > 0 && took > options_.slow ? 1 : 0};
  const auto add = [&one](Counts& to) {
    to.calls += one.calls;
    to.failed += one.failed;
    to.slow += one.slow;
  };
  switch (state_) {
    case State::open:  // began before it opened: what it tells is known already
      return;
    case State::closed: {
      const std::int64_t turn = turn_of(now);
      Bucket& bucket = buckets_[static_cast<std::size_t>(turn % bucket_count)];
      if (bucket.turn != turn) bucket = Bucket{turn, Counts()};
      add(bucket.counts);
      const Counts sum = window(now);
      if (sum.calls >= options_.minimum_calls && too_bad(sum)) open(now);
      return;
    }
    case State::half_open:
      if (on_trial_ == 0) return;  // began before it opened
      --on_trial_;
      add(trials_);
      if (trials_.calls < options_.trial_calls) return;
      return too_bad(trials_) ? open(now) : close();
  }
}

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> check(const BreakerOptions& o) {
  if (o.minimum_calls == 0) return std::nullopt;
  const auto wrong = [](const char* what) { return Error(ErrorCode::invalid_options, what); };
  if (o.minimum_calls < 0 || o.trial_calls < 1 || o.trial_calls > 1000)
    return wrong("BreakerOptions: minimum_calls is negative or trial_calls is outside 1 ... 1000");
  if (o.failure_percent < 1 || o.failure_percent > 100 || o.slow_percent < 1 || o.slow_percent > 100)
    return wrong("BreakerOptions: a percentage is outside 1 ... 100");
  if (o.window.count() < 1 || o.window > std::chrono::hours(24) || o.open_for.count() < 1 ||
      o.open_for > std::chrono::hours(24) || o.slow.count() < 0)
    return wrong("BreakerOptions: window or open_for is outside 1 ms ... 24 h, or slow is negative");
  return std::nullopt;
}

DEEPSEEK_END_NAMESPACE
