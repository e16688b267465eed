// Circuit breaker: an endpoint that fails too often is left alone for a while.
#pragma once
#include <chrono>
#include <optional>

#include <deepseek/error.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// One breaker for each endpoint. Closed: all requests pass and are judged by how they ended. Open: none passes. After
/// `open_for` it is half-open: `trial_calls` pass, and their failures decide whether it closes or opens again. If no
/// endpoint may be asked, a call ends with circuit_open. Failures are network errors, timeouts, statuses >= 500, errors
/// inside a 200, replies cut off, and lack of capacity; a 4xx is the request's fault.
struct BreakerOptions {
  int minimum_calls = 0;                     ///< in `window`, before anything is judged. 0: no breaker
  int failure_percent = 50;                  ///< of the calls in `window`, at which it opens. 1 ... 100
  std::chrono::milliseconds window{20'000};  ///< what is looked back on
  std::chrono::milliseconds open_for{5'000};
  int trial_calls = 4;                ///< while half-open
  std::chrono::milliseconds slow{0};  ///< a call that takes longer is slow. 0: none is
  int slow_percent = 50;              ///< of slow calls, at which it opens. 1 ... 100
};

/// Why these options cannot be used; nothing: they can.
std::optional<Error> check(const BreakerOptions& options);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/detail/circuit_breaker.hpp>
#endif
