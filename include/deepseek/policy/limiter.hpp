// Limiter: the handle that options hold. Its policy, and limits shared by processes: limits.hpp.
#pragma once
#include <memory>
#include <optional>
#include <utility>

#include <deepseek/policy/limit_options.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

class MetricSink;
class Policy;
class SharedBudget;

namespace detail {
class LimiterCore;
}

/// Why these options cannot be used; nothing: they can.
std::optional<Error> check(const LimitOptions& options);

/// Takes and returns slots and tokens. Safe from all threads; clients that share one share its limits (they must share
/// a clock too). Copies are one limiter. An empty one limits nothing.
class Limiter {
 public:
  Limiter() noexcept = default;
  static Result<Limiter> create(const LimitOptions& options);
  explicit operator bool() const noexcept { return core_ != nullptr; }
  /// All zero if empty.
  LimiterState state() const;
  /// Of an empty one: no limits.
  LimitOptions options() const;

 private:
  friend std::shared_ptr<Policy> make_limit_policy(Limiter limiter, std::shared_ptr<SharedBudget> shared,
                                                   std::shared_ptr<MetricSink> metrics);
  explicit Limiter(std::shared_ptr<detail::LimiterCore> core) : core_(std::move(core)) {}
  std::shared_ptr<detail::LimiterCore> core_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/limits.hpp>
#endif
