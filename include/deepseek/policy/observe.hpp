// Observation: metrics, logs and trace context of calls and of their attempts.
#pragma once
#include <memory>
#include <vector>

#include <deepseek/core/clock.hpp>
#include <deepseek/core/log.hpp>
#include <deepseek/core/metrics.hpp>
#include <deepseek/policy/policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// What is told of each call, and to whom.
struct ObserveOptions {
  std::shared_ptr<MetricSink> metrics{};  ///< null: nothing is counted
  std::shared_ptr<LogSink> log{};         ///< null: nothing is logged
  /// Records below are not made. Calls that went well are `info`, failed ones `error`; attempts `debug` and `warn`.
  LogLevel log_level = LogLevel::info;
  /// Sends W3C trace context: each attempt carries a `traceparent` with a span id of its own, in the trace that the
  /// call's own `traceparent` header names, else in a new one. Off: a header of the caller's travels as it is.
  bool traceparent = false;
  std::shared_ptr<const Clock> clock{};  ///< null: the system's
};

/// Policies at Phase::observe_operation and Phase::observe_attempt, for one client; none if nothing is wanted. They
/// look at ends only: an event that passes costs one more virtual call each. Of a call's content they see nothing.
std::vector<std::shared_ptr<Policy>> make_observe_policies(const ObserveOptions& options);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/observe.ipp>
#endif
