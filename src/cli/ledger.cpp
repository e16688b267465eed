#include "cli/ledger.hpp"
#include <deepseek/core/metric_list.hpp>

#include <algorithm>

namespace deepseek::cli {

namespace {

/// The sum over the models that have a price. The meter takes the dearest for others, which is right for a ceiling and
/// wrong for a bill.
std::int64_t known_cost(const CostReport& report) {
  static const PriceTable prices = default_prices();
  const auto priced = [](const std::string& name) {
    return std::any_of(prices.models.begin(), prices.models.end(),
                       [&](const ModelPrice& entry) { return entry.model == name; });
  };
  std::int64_t picos = 0;
  for (const auto& [model, used] : report.models)
    if (priced(model)) picos += used.cost.picos;
  return picos;
}

}  // namespace

void Ledger::open(std::shared_ptr<Metrics> metrics, CostMeter meter) {
  metrics_ = std::move(metrics);
  meter_ = std::move(meter);
}

CallFacts Ledger::take() {
  CallFacts facts;
  facts.failovers = failovers_.exchange(0);
  facts.cache = cache_.exchange("off");
  if (!meter_) return facts;
  const CostReport report = meter_.report();
  const std::int64_t picos = known_cost(report);
  if (picos > told_picos_) facts.cost = to_string(Money{picos - told_picos_}) + ' ' + report.currency;
  told_picos_ = picos;
  return facts;
}

void Ledger::add(const Metric& metric, MetricLabels labels, double amount) noexcept {
  if (metric.name == metric::failovers.name) failovers_ += static_cast<int>(amount);
  if (metric.name == metric::cache_lookups.name && labels.size() == 1)
    for (const char* level : {"miss", "memory", "redis", "disk"})
      if (*labels.begin() == level) cache_ = level;
  if (metrics_) metrics_->add(metric, labels, amount);
}

void Ledger::set(const Metric& metric, MetricLabels labels, double value) noexcept {
  if (metrics_) metrics_->set(metric, labels, value);
}

void Ledger::observe(const Metric& metric, MetricLabels labels, double value) noexcept {
  if (metrics_) metrics_->observe(metric, labels, value);
}

}  // namespace deepseek::cli
