// Failover: which of several endpoints a request goes to.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/error.hpp>
#include <deepseek/transport/endpoint.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Endpoints are asked in their order, or, if any has a weight, spread by it: equal beginnings of a request go to the
/// same endpoint, whose prompt cache knows them. Those of this zone, then of this region come first. An endpoint that
/// keeps failing cools down: others are asked before it.
///
/// A call stays where it is while that endpoint is healthy. A refused connection, an open breaker and a 401, 402 or 403
/// go on at another endpoint at once; RetryOptions::max_attempts counts over all of them.
struct FailoverOptions {
  int failures_to_cool = 3;                     ///< failures in a row; a refused connection or credential needs but one
  std::chrono::milliseconds cool_down{10'000};  ///< doubles up to eightfold while it goes on failing
  std::string region{};                         ///< where this process is; empty: anywhere
  std::string zone{};
};

/// Why these options cannot be used; nothing: they can.
std::optional<Error> check(const FailoverOptions& options, const std::vector<Endpoint>& endpoints);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/detail/router.hpp>
#endif
