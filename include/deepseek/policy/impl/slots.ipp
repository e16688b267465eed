#pragma once
#include <deepseek/policy/detail/slots.hpp>

#include <algorithm>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL Slots::Slots(std::uint32_t most, bool adaptive) noexcept
    : most_(most != 0  ? most
            : adaptive ? learned_most
                       : unlimited),
      adaptive_(adaptive) {
  limit_.store(adaptive ? std::min(most_, learned_first) : most_, std::memory_order_relaxed);
}

DEEPSEEK_DECL void Slots::learn(const LoadSign& sign, TimePoint now) noexcept {
  if (!adaptive_) return;
  const bool of_this_round = sign.began >= shrunk_;  // older ones were sent under the limit before
  if (sign.overloaded) {
    if (of_this_round) shrink(70, now);
    return;
  }
  if (!sign.answered) return;
  if (sign.first_token > Duration::zero() && slow(sign.first_token)) {
    if (of_this_round) shrink(90, now);
    return;
  }
  const bool used = taken() > limit() / 2;  // a limit that nobody needs is no evidence for a higher one
  if (used) grow();
}

DEEPSEEK_DECL void Slots::shrink(std::uint32_t percent, TimePoint now) noexcept {
  const std::uint64_t less = std::uint64_t{limit()} * percent / 100;
  limit_.store(static_cast<std::uint32_t>(std::max<std::uint64_t>(less, 1)), std::memory_order_relaxed);
  shrunk_ = now;
  probing_ = false;
  answers_ = 0;
}

DEEPSEEK_DECL void Slots::grow() noexcept {
  if (!probing_ && ++answers_ < limit()) return;
  answers_ = 0;
  limit_.store(std::min(limit() + 1, most_), std::memory_order_relaxed);
}

/// Prompts differ widely, so one late token proves nothing: a sample counts as eight times the usual at most, and
/// nothing is judged before 32 have been seen.
DEEPSEEK_DECL bool Slots::slow(Duration first_token) noexcept {
  constexpr std::uint32_t enough = 32;
  const std::int64_t seen = first_token.count();
  if (samples_ < enough) {
    ++samples_;
    usual_ns_ += (seen - usual_ns_) / samples_;
    recent_ns_ = usual_ns_;
    return false;
  }
  const std::int64_t sample = std::min(seen, 8 * usual_ns_);
  recent_ns_ += (sample - recent_ns_) / 8;
  usual_ns_ += (sample - usual_ns_) / 128;
  return recent_ns_ > 3 * usual_ns_;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
