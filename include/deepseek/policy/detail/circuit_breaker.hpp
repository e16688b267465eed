// The state machine of one breaker. Private.
#pragma once
#include <cstdint>

#include <deepseek/core/clock.hpp>
#include <deepseek/policy/breaker.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Not thread-safe. Every permission is given back by record() or release().
class CircuitBreaker {
 public:
  enum class State { closed, open, half_open };

  explicit CircuitBreaker(const BreakerOptions& options);
  State state() const noexcept { return state_; }
  /// True if acquire() would say yes.
  bool permits(TimePoint now) const noexcept;
  bool acquire(TimePoint now);
  /// The outcome of a call that was permitted.
  void record(TimePoint now, bool failed, Duration took);
  /// A call that was permitted came to nothing that could be judged.
  void release() noexcept;
  /// When an open breaker becomes half-open.
  TimePoint opens_until() const noexcept { return open_until_; }

 private:
  static constexpr int bucket_count = 20;
  struct Counts {
    std::int64_t calls = 0;
    std::int64_t failed = 0;
    std::int64_t slow = 0;
  };
  struct Bucket {
    std::int64_t turn = -1;  // which of all the turns since the clock's epoch it counts
    Counts counts;
  };

  bool enabled() const noexcept { return options_.minimum_calls > 0; }
  bool too_bad(const Counts& counts) const noexcept;
  Counts window(TimePoint now) const noexcept;
  std::int64_t turn_of(TimePoint now) const noexcept;
  void open(TimePoint now);
  void close();

  BreakerOptions options_;
  State state_ = State::closed;
  TimePoint open_until_{};
  Counts trials_;     // half-open
  int on_trial_ = 0;  // half-open: permitted and not given back
  Bucket buckets_[bucket_count];
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/breaker.ipp>
#endif
