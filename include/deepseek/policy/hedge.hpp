// Hedge: a request that is slow to answer is sent a second time, and the first answer is taken.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>

#include <deepseek/error.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// An attempt whose first token (of a whole reply: the reply) is not there after a while is sent once more, to another
/// endpoint if a healthy one is left, else to the same. The first of the two that answers is the reply; the other is
/// broken off at once, and nothing of it is ever delivered. What comes before the first token is held back until then.
///
/// Off by default: both requests are paid for. A hedge takes its own place under the limits and budgets of the client,
/// but is not sent where it would have to wait for one. Chat and FIM only; RetryOptions::max_attempts counts both once.
struct HedgeOptions {
  /// How long an attempt may be without a first token, counted from when it was sent; where it waited for its turn
  /// before, up to twice as long. 0: nothing is hedged. Else 1 ms to 1 h, and well above the usual time.
  std::chrono::milliseconds after{0};
  /// The ceiling: for each 100 tokens that attempts are estimated to use, hedges may use so many. 1 to 100.
  int percent = 5;
  /// Tokens that a new client may use for hedges, and the most it saves up for later, 1 to 1e9. A call that is
  /// estimated to use more is never hedged. The default: some forty short calls.
  std::uint64_t burst = 50'000;
};

/// Why these options cannot be used; nothing: they can.
std::optional<Error> check(const HedgeOptions& options);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/detail/hedge_policy.hpp>
#endif
