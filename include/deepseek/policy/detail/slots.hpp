// Slots: how many attempts are under way, and how many may be. Private.
#pragma once
#include <atomic>
#include <cstdint>

#include <deepseek/core/clock.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What one attempt tells about the server's load.
struct LoadSign {
  TimePoint began{};
  bool answered = false;    ///< it ended well
  bool overloaded = false;  ///< the server had no room for it
  Duration first_token{0};  ///< since it began; zero: not known
};

/// Counts slots; fixed, or a limit that learns: additive increase, multiplicative decrease. take() and give_back() are
/// safe from all threads; learn() from one at a time.
class Slots {
 public:
  static constexpr std::uint32_t unlimited = 0xffffffff;
  static constexpr std::uint32_t learned_most = 2500;  // what the service grants an account for its larger model
  static constexpr std::uint32_t learned_first = 16;

  /// `most` 0: no limit, or learned_most if `adaptive`.
  Slots(std::uint32_t most, bool adaptive) noexcept;

  bool take() noexcept {
    std::uint32_t taken = taken_.load(std::memory_order_seq_cst);
    do {
      if (taken >= limit_.load(std::memory_order_relaxed)) return false;
    } while (!taken_.compare_exchange_weak(taken, taken + 1, std::memory_order_seq_cst));
    return true;
  }
  void give_back() noexcept { taken_.fetch_sub(1, std::memory_order_seq_cst); }

  std::uint32_t taken() const noexcept { return taken_.load(std::memory_order_relaxed); }
  std::uint32_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }
  bool adaptive() const noexcept { return adaptive_; }

  /// Before the attempt's slot is given back.
  void learn(const LoadSign& sign, TimePoint now) noexcept;

 private:
  void shrink(std::uint32_t percent, TimePoint now) noexcept;
  void grow() noexcept;
  bool slow(Duration first_token) noexcept;

  std::atomic<std::uint32_t> taken_{0};
  std::atomic<std::uint32_t> limit_;
  const std::uint32_t most_;
  const bool adaptive_;
  bool probing_ = true;         // until the first sign of overload: one more per answer
  std::uint32_t answers_ = 0;   // since the limit last grew by one
  std::uint32_t samples_ = 0;   // first tokens seen, up to those needed for a judgement
  std::int64_t usual_ns_ = 0;   // first token, averaged over some 128
  std::int64_t recent_ns_ = 0;  // the same over some 8
  TimePoint shrunk_ = TimePoint::min();
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
