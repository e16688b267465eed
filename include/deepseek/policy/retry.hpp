// Retry: when a failed request is sent again, and how long is waited before.
#pragma once
#include <chrono>
#include <optional>

#include <deepseek/error.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// A request is sent again after a network failure, a timeout of a phase (never the total), a status of 408, 409, 429
/// or >= 500, an error inside a 200, a reply that is empty or cut off, and lack of capacity; never once a byte of the
/// answer was delivered. The reason why it was not sent once more is in Error::advice().
///
/// The wait is random between zero and `base`, doubled with each repeat, at most `cap` (full jitter); a server's
/// Retry-After lengthens it. Before a deadline that would pass meanwhile nothing is waited for.
struct RetryOptions {
  /// Requests for one call over all endpoints, the first included. 1: none is repeated. At most 100.
  int max_attempts = 4;
  std::chrono::milliseconds base{500};             ///< longest wait before the first repeat
  std::chrono::milliseconds throttled_base{1000};  ///< the same after a 429
  std::chrono::milliseconds cap{20'000};           ///< longest wait of our own choice
  /// Longest Retry-After that is obeyed. A server that asks for more ends the call: better to say so than to wait.
  std::chrono::milliseconds retry_after_cap{120'000};
  /// Tokens that all calls of a client share, so that an outage is not multiplied by repeats: a repeat costs `cost`
  /// (after a 429 `throttled_cost`, for the server is alive), success gives the last repeat's cost back, success
  /// without a repeat gives 1. Where they are used up nothing is repeated.
  int budget = 500;
  int cost = 14;
  int throttled_cost = 5;
};

/// Why these options cannot be used; nothing: they can.
std::optional<Error> check(const RetryOptions& options);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/detail/retry_policy.hpp>
#endif
