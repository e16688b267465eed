#pragma once
#include <deepseek/core/metric_list.hpp>
#include <deepseek/policy/detail/store_watches.hpp>

#include <deepseek/policy/impl/watches.ipp>
#include <deepseek/policy/limits.hpp>

#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL Function<void(std::string_view, std::uint64_t)> make_cache_drop_watch(const ObserveOptions& options) {
  if (!options.metrics && !options.log) return {};
  return [options](std::string_view level, std::uint64_t count) {
    if (options.metrics) options.metrics->add(metric::dropped, {"cache_write"}, static_cast<double>(count));
    if (!options.log || LogLevel::warn < options.log_level) return;
    LogRecord record(LogLevel::warn, LogEvent::cache_dropped, wall_now(options));
    record.text(LogField::cache_level, level);
    record.number(LogField::count, static_cast<std::int64_t>(count));
    options.log->write(record);
  };
}

/// Looks after each answer whether the budget behind it is degraded. On the loop.
class WatchedBudget final : public SharedBudget, public std::enable_shared_from_this<WatchedBudget> {
 public:
  WatchedBudget(std::shared_ptr<SharedBudget> budget, const ObserveOptions& options)
      : budget_(std::move(budget)), options_(options) {}

  void attach(Loop& loop) override {
    if (options_.metrics) options_.metrics->set(metric::limits_local, {}, 0);
    budget_->attach(loop);
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
  void look() {
    const bool local = budget_->degraded();
    if (std::exchange(local_, local) == local) return;
    if (options_.metrics) options_.metrics->set(metric::limits_local, {}, local ? 1 : 0);
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
