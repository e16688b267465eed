// TokenBucket: GCRA on one 64-bit word. Private.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>

#include <deepseek/core/clock.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Fills at `units` per `period` and holds `burst`; begins full. The word is the time at which the bucket will be full
/// again: a token is a span of that time, so taking one is one addition and nothing has to be refilled. Spans are
/// rounded up (to a 16th of a nanosecond): what is granted never exceeds burst + rate * time. Safe from all threads, no
/// lock.
///
/// A clock that lags (another thread's, read earlier) only makes the bucket stricter. One that jumps back by more than
/// ten seconds moves the word with it: no token is made twice and none is lost. One that jumps ahead fills the bucket.
class alignas(64) TokenBucket {  // one cache line: all of it is read whenever the word is written
 public:
  static constexpr Duration never = Duration::max();

  /// `units` from 1 to 1e9, `period` from 1 ms to 1 h, `burst` from 1 to what fills in a day.
  TokenBucket(std::uint64_t units, Duration period, std::uint64_t burst, TimePoint now) noexcept
      : start_(now),
        one_((period.count() * ticks_per_ns + static_cast<std::int64_t>(units) - 1) / static_cast<std::int64_t>(units)),
        burst_(burst),
        capacity_(static_cast<std::int64_t>(burst) * one_),
        most_ahead_(capacity_ + most_debt) {}

  std::uint64_t burst() const noexcept { return burst_; }

  /// Takes `n` and returns zero, or takes nothing and returns how long it will be until they are there (`never`: more
  /// than it holds).
  Duration acquire(std::uint64_t n, TimePoint now) noexcept {
    if (n > burst_) return never;
    const std::int64_t cost = static_cast<std::int64_t>(n) * one_;
    const std::int64_t t = tick(now);
    std::int64_t full_at = full_at_.load(std::memory_order_relaxed);
    while (true) {
      const std::int64_t next = in_reach(full_at, t) + cost;
      const std::int64_t missing = next - t - capacity_;
      if (missing > 0) return Duration((missing + ticks_per_ns - 1) / ticks_per_ns);
      if (full_at_.compare_exchange_weak(full_at, next, std::memory_order_relaxed)) return Duration::zero();
    }
  }

  /// Takes `n` that were used already, there or not: the bucket may go into debt, by an hour's tokens at most.
  void charge(std::uint64_t n, TimePoint now) noexcept {
    const std::int64_t cost = span(n);
    const std::int64_t t = tick(now);
    std::int64_t full_at = full_at_.load(std::memory_order_relaxed);
    while (!full_at_.compare_exchange_weak(full_at, std::min(in_reach(full_at, t) + cost, t + most_ahead_),
                                           std::memory_order_relaxed)) {
    }
  }

  /// Puts back `n` of those that were taken. The bucket never holds more than its burst.
  void give_back(std::uint64_t n) noexcept { full_at_.fetch_sub(span(n), std::memory_order_relaxed); }

  /// How many could be taken now; negative: the debt.
  std::int64_t available(TimePoint now) noexcept {
    const std::int64_t t = tick(now);
    const std::int64_t left = t + capacity_ - in_reach(full_at_.load(std::memory_order_relaxed), t);
    return left >= 0 ? left / one_ : -((-left + one_ - 1) / one_);
  }

 private:
  static constexpr std::int64_t ticks_per_ns = 16;
  static constexpr std::int64_t second = 1'000'000'000 * ticks_per_ns;
  static constexpr std::int64_t most_debt = 3600 * second;
  static constexpr std::int64_t jump = 10 * second;
  static constexpr std::int64_t end_of_time = std::int64_t{1} << 61;  // 4 years of ticks

  /// Never in the past, where the bucket would hold more than its burst; nor beyond the largest debt.
  std::int64_t in_reach(std::int64_t full_at, std::int64_t t) const noexcept {
    return std::clamp(full_at, t, t + most_ahead_);
  }
  std::int64_t span(std::uint64_t n) const noexcept {
    const std::uint64_t most = static_cast<std::uint64_t>(most_ahead_ / one_);
    return static_cast<std::int64_t>(std::min(n, most)) * one_;
  }
  std::int64_t tick(TimePoint now) noexcept {
    constexpr std::int64_t most_ns = end_of_time / ticks_per_ns;
    const std::int64_t t = std::clamp<std::int64_t>((now - start_).count(), -most_ns, most_ns) * ticks_per_ns;
    const std::int64_t seen = seen_.load(std::memory_order_relaxed);
    if (t > seen + second || t < seen - jump) note(t, seen);
    return t;
  }
  void note(std::int64_t t, std::int64_t seen) noexcept {
    if (!seen_.compare_exchange_strong(seen, t, std::memory_order_relaxed) || t > seen) return;
    full_at_.fetch_sub(seen - t, std::memory_order_relaxed);
  }

  const TimePoint start_;
  const std::int64_t one_;  // ticks of one token
  const std::uint64_t burst_;
  const std::int64_t capacity_;                      // ticks
  const std::int64_t most_ahead_;                    // ticks
  std::atomic<std::int64_t> full_at_{-end_of_time};  // the past: full
  std::atomic<std::int64_t> seen_{0};                // the latest tick, give or take a second
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
