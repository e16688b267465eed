// Both clocks, injected, so that tests can own time.
#pragma once
#include <chrono>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

/// Durations and deadlines run on the steady clock; the wall clock serves only Retry-After dates, token
/// expiry, prices and logs. Must be safe to call from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint steady_now() const { return std::chrono::steady_clock::now(); }
  virtual WallTime wall_now() const { return std::chrono::system_clock::now(); }
};

DEEPSEEK_END_NAMESPACE
