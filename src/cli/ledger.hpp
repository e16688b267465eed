// What the end line tells beside the reply: moves between servers, what the cache said, what it cost.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/core/metrics.hpp>
#include <deepseek/policy/cost.hpp>

namespace deepseek::cli {

struct CallFacts {
  int failovers = 0;
  std::string_view cache = "off";  ///< off, miss, memory, redis, disk
  std::string cost = {};           ///< "0.000123 USD"; empty: none, or no price is known
};

/// Keeps the books of one client whose calls come one after the other; what is counted is passed on to the metrics.
class Ledger final : public MetricSink {
 public:
  /// Before the first call. `metrics` may be null.
  void open(std::shared_ptr<Metrics> metrics, CostMeter meter);
  /// The facts since this was last asked.
  CallFacts take();

  void add(const Metric& metric, MetricLabels labels, double amount) noexcept override;
  void set(const Metric& metric, MetricLabels labels, double value) noexcept override;
  void observe(const Metric& metric, MetricLabels labels, double value) noexcept override;

 private:
  std::shared_ptr<Metrics> metrics_;
  CostMeter meter_;
  std::int64_t told_picos_ = 0;
  std::atomic<int> failovers_{0};
  std::atomic<const char*> cache_{"off"};
};

}  // namespace deepseek::cli
