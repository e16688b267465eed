#pragma once
#include <deepseek/core/metric_list.hpp>
#include <deepseek/policy/detail/budget_watch.hpp>

#include <deepseek/policy/detail/wall_now.hpp>
#include <deepseek/policy/limits.hpp>

#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Looks after each answer whether the budget behind it is degraded. On the loop.
class WatchedBudget final : public SharedBudget, public std::enable_shared_from_this<WatchedBudget> {
 public:
  WatchedBudget(std::shared_ptr<SharedBudget> budget, const ObserveOptions& options)
      : budget_(std::move(budget)), options_(options) {}

  void attach(Loop& loop) override {
    count(0);  // to be seen before anything happens
    budget_->attach(loop);
  }
  void detach() override {
    budget_->detach();
    if (std::exchange(local_, false)) count(-1);
  }
  void take(const BudgetAsk& ask, Function<void(BudgetGrant)> done) override {
    budget_->take(ask, [weak = weak_from_this(), done = std::move(done)](BudgetGrant grant) {
      if (const auto self = weak.lock()) self->look();
      done(grant);
    });
  }
  void settle(std::uint64_t lease, std::optional<std::uint64_t> tokens) override { budget_->settle(lease, tokens); }
  bool degraded() const noexcept override { return budget_->degraded(); }

 private:
  /// The gauge is the sum over all clients that tell the same sink.
  void count(double change) {
    if (options_.metrics) options_.metrics->add(metric::limits_local, {}, change);
  }

  void look() {
    const bool local = budget_->degraded();
    if (std::exchange(local_, local) == local) return;
    count(local ? 1 : -1);
    const LogLevel level = local ? LogLevel::warn : LogLevel::info;
    if (!options_.log || level < options_.log_level) return;
    LogRecord record(level, LogEvent::limits_changed, wall_now(options_));
    record.text(LogField::state, local ? "local" : "shared");
    options_.log->write(record);
  }

  const std::shared_ptr<SharedBudget> budget_;
  const ObserveOptions options_;
  bool local_ = false;
};

DEEPSEEK_DECL std::shared_ptr<SharedBudget> make_watched_budget(std::shared_ptr<SharedBudget> budget,
                                                                const ObserveOptions& options) {
  if (!budget || (!options.metrics && !options.log)) return budget;
  return std::make_shared<WatchedBudget>(std::move(budget), options);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
