// Metrics: a small interface that the library counts into, and a registry behind it that Prometheus can read.
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/core/metric.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Values of a metric's labels, in its order. Borrowed until the call returns. An empty one counts as absent.
using MetricLabels = std::initializer_list<std::string_view>;

/// Receives what the library counts. From any thread, several at once; must not block and must not throw.
class MetricSink {
 public:
  virtual ~MetricSink() = default;
  /// A counter goes up by `amount`, a gauge by `amount` up or down.
  virtual void add(const Metric& metric, MetricLabels labels, double amount) noexcept = 0;
  /// A gauge becomes `value`.
  virtual void set(const Metric& metric, MetricLabels labels, double value) noexcept = 0;
  /// A histogram takes one value.
  virtual void observe(const Metric& metric, MetricLabels labels, double value) noexcept = 0;
};

/// One series as it stood when it was read.
struct MetricSample {
  std::vector<std::string> labels{};     ///< values, in the metric's order
  double value = 0;                      ///< of a counter or gauge; a histogram's sum
  std::vector<std::uint64_t> buckets{};  ///< of a histogram: counts per bucket, not cumulative, infinity last
};

/// A metric with its series, sorted by labels.
struct MetricFamily {
  const Metric* metric = nullptr;
  std::vector<MetricSample> samples{};
};

/// Counts into memory, bounded: at most 100 values of each label are told apart, later ones count as "other", and so
/// do values that are not plain words, names or addresses. May serve several clients; safe from all threads. Counting
/// takes no lock once a series exists.
class Metrics final : public MetricSink {
 public:
  static constexpr std::size_t most_label_values = 100;
  static constexpr std::size_t most_series = 4096;

  Metrics();
  ~Metrics() override;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void add(const Metric& metric, MetricLabels labels, double amount) noexcept override;
  void set(const Metric& metric, MetricLabels labels, double value) noexcept override;
  void observe(const Metric& metric, MetricLabels labels, double value) noexcept override;

  /// All metrics of the library, those without a series too, and whatever else was counted, sorted by name. Reads this
  /// process's memory while it is at it.
  std::vector<MetricFamily> collect() const;
  /// The same in Prometheus' text format 0.0.4 ("text/plain; version=0.0.4").
  std::string prometheus_text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/metrics.ipp>
#endif
