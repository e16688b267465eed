// The time of log records. Private.
#pragma once
#include <deepseek/policy/observe.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// By the clock of `options`; a null clock is the system's.
inline WallTime wall_now(const ObserveOptions& options) {
  return options.clock ? options.clock->wall_now() : Clock().wall_now();
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
