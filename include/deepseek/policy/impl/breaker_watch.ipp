#pragma once
#include <deepseek/core/metric_list.hpp>
#include <deepseek/policy/detail/breaker_watch.hpp>

#include <deepseek/policy/detail/server_name.hpp>
#include <deepseek/policy/detail/wall_now.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The word for logs and the number for metrics::breaker_state.
struct BreakerWord {
  const char* word;
  double number;
};
inline BreakerWord breaker_word(CircuitBreaker::State state) noexcept {
  switch (state) {
    case CircuitBreaker::State::closed:
      return {"closed", 0};
    case CircuitBreaker::State::half_open:
      return {"half_open", 1};
    case CircuitBreaker::State::open:
      break;
  }
  return {"open", 2};
}

DEEPSEEK_DECL BreakerWatch make_breaker_watch(const ObserveOptions& options) {
  if (!options.metrics && !options.log) return {};
  return [options](const Endpoint& endpoint, CircuitBreaker::State state) {
    const ServerName server = server_name_of(endpoint);
    const BreakerWord told = breaker_word(state);
    if (options.metrics) options.metrics->set(metric::breaker_state, {server.label}, told.number);
    if (!options.log || LogLevel::warn < options.log_level) return;
    LogRecord record(LogLevel::warn, LogEvent::breaker_changed, wall_now(options));
    record.text(LogField::state, told.word);
    record.text(LogField::server_address, server.host);
    options.log->write(record);
  };
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
