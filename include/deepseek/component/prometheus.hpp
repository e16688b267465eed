// Metrics for Prometheus, over prometheus-cpp. Component deepseek::prometheus.
#pragma once
#include <memory>
#include <string>

#include <deepseek/core/metrics.hpp>
#include <deepseek/result.hpp>

namespace prometheus {
class Collectable;
}

DEEPSEEK_BEGIN_NAMESPACE

/// The registry as prometheus-cpp reads it, for a host that has an Exposer or a Gateway of its own: register it beside
/// the host's metrics. Safe from all threads. Keeps `metrics` alive; the host must keep the result, since
/// prometheus-cpp holds it weakly.
std::shared_ptr<::prometheus::Collectable> make_collectable(std::shared_ptr<const Metrics> metrics);

/// Serves the metrics at /metrics, with threads of prometheus-cpp's own, until it is destroyed. Anybody who can reach
/// the address can read them; nothing in them is secret.
class PrometheusServer {
 public:
  /// `address` is HOST:PORT; port 0: one that is free. Fails with io_error where nothing can listen.
  static Result<PrometheusServer> listen(const std::string& address, std::shared_ptr<const Metrics> metrics);
  PrometheusServer(PrometheusServer&&) noexcept;
  PrometheusServer& operator=(PrometheusServer&&) noexcept;
  ~PrometheusServer();
  /// The port that it listens on.
  int port() const noexcept;

 private:
  struct State;
  explicit PrometheusServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

DEEPSEEK_END_NAMESPACE
