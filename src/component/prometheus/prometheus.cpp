#include <deepseek/component/prometheus.hpp>

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include <limits>
#include <utility>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE
namespace {

namespace prom = ::prometheus;

prom::ClientMetric::Histogram histogram_of(const Metric& metric, const MetricSample& sample) {
  prom::ClientMetric::Histogram histogram;
  for (std::size_t i = 0; i <= metric.bound_count; ++i) {
    histogram.sample_count += sample.buckets[i];
    const double bound = i < metric.bound_count ? metric.bounds[i] : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({histogram.sample_count, bound});
  }
  histogram.sample_sum = sample.value;
  return histogram;
}

prom::ClientMetric client_metric_of(const Metric& metric, const MetricSample& sample) {
  prom::ClientMetric out;
  for (std::size_t i = 0; i < sample.labels.size(); ++i)
    if (!sample.labels[i].empty()) out.label.push_back({std::string(metric.labels[i]), sample.labels[i]});
  switch (metric.kind) {
    case MetricKind::counter:
      out.counter.value = sample.value;
      break;
    case MetricKind::gauge:
      out.gauge.value = sample.value;
      break;
    case MetricKind::histogram:
      out.histogram = histogram_of(metric, sample);
      break;
  }
  return out;
}

prom::MetricType type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::counter:
      return prom::MetricType::Counter;
    case MetricKind::gauge:
      return prom::MetricType::Gauge;
    case MetricKind::histogram:
      return prom::MetricType::Histogram;
  }
  return prom::MetricType::Untyped;
}

class RegistryCollectable final : public prom::Collectable {
 public:
  explicit RegistryCollectable(std::shared_ptr<const Metrics> metrics) : metrics_(std::move(metrics)) {}

  std::vector<prom::MetricFamily> Collect() const override {
    std::vector<prom::MetricFamily> families;
    for (const MetricFamily& family : metrics_->collect()) {
      if (family.samples.empty()) continue;  // prometheus-cpp's writer expects at least one
      prom::MetricFamily out;
      out.name = std::string(family.metric->name);
      out.help = std::string(family.metric->help);
      out.type = type_of(family.metric->kind);
      for (const MetricSample& sample : family.samples) out.metric.push_back(client_metric_of(*family.metric, sample));
      families.push_back(std::move(out));
    }
    return families;
  }

 private:
  std::shared_ptr<const Metrics> metrics_;
};

}  // namespace

std::shared_ptr<prom::Collectable> make_collectable(std::shared_ptr<const Metrics> metrics) {
  return std::make_shared<RegistryCollectable>(std::move(metrics));
}

struct PrometheusServer::State {
  State(const std::string& address, std::shared_ptr<const Metrics> metrics)
      : collectable(make_collectable(std::move(metrics))), exposer(address, 1) {
    exposer.RegisterCollectable(collectable);
  }
  std::shared_ptr<prom::Collectable> collectable;
  prom::Exposer exposer;  // goes first: its threads read the collectable
};

PrometheusServer::PrometheusServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
PrometheusServer::PrometheusServer(PrometheusServer&&) noexcept = default;
PrometheusServer& PrometheusServer::operator=(PrometheusServer&&) noexcept = default;
PrometheusServer::~PrometheusServer() = default;

Result<PrometheusServer> PrometheusServer::listen(const std::string& address, std::shared_ptr<const Metrics> metrics) {
  if (!metrics) return Error(ErrorCode::invalid_argument, "there are no metrics to serve");
  try {
    return PrometheusServer(std::make_unique<State>(address, std::move(metrics)));
  } catch (const std::exception&) {
    return Error(ErrorCode::io_error, "nothing can listen on this address for metrics",
                 "use HOST:PORT with a port that is free");
  }
}

int PrometheusServer::port() const noexcept {
  try {
    const std::vector<int> ports = state_->exposer.GetListeningPorts();
    return ports.empty() ? 0 : ports.front();
  } catch (...) {
    return 0;
  }
}

DEEPSEEK_END_NAMESPACE
