// The retry policy and its shared budget. Private.
#pragma once
#include <memory>

#include <deepseek/core/function.hpp>
#include <deepseek/policy/detail/router.hpp>
#include <deepseek/policy/policy.hpp>
#include <deepseek/policy/retry.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What an error says about sending the request again.
enum class RetryKind { never, transient, throttled };
RetryKind retry_kind(const Error& error) noexcept;

/// Tokens that all calls of a client share. On the loop only.
class RetryBudget {
 public:
  explicit RetryBudget(const RetryOptions& options) : options_(options), left_(options.budget) {}
  /// What a repeat costs, taken; 0 if there is not so much left.
  int take(RetryKind kind) noexcept;
  /// A call that succeeded gives back what its last repeat had cost; 0: it had none.
  void give(int cost) noexcept;
  int left() const noexcept { return left_; }

 private:
  const RetryOptions& options_;
  int left_;
};

/// Starts attempts until one is good or it is no use to go on. Also tells the router how each of them ended.
class RetryPolicy final : public Policy {
 public:
  /// `random` gives numbers in [0, 1).
  RetryPolicy(RetryOptions options, std::shared_ptr<Router> router, std::shared_ptr<const Clock> clock,
              Function<double()> random);
  Phase phase() const override { return Phase::retry; }
  void attach(Loop& loop) override { loop_ = &loop; }
  void start(CallPtr call, SinkPtr sink, Next next) override;

  /// The longest wait before repeat number `repeat` (from 1) of a call.
  std::chrono::milliseconds longest_wait(int repeat, RetryKind kind) const noexcept;
  const RetryBudget& budget() const noexcept { return budget_; }

 private:
  class Attempts;

  RetryOptions options_;
  std::shared_ptr<Router> router_;
  std::shared_ptr<const Clock> clock_;
  Function<double()> random_;
  RetryBudget budget_;
  Loop* loop_ = nullptr;
};

/// A source of numbers in [0, 1) that is good enough to keep clients apart.
Function<double()> make_jitter();

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/retry.ipp>
#endif
