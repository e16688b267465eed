// Serves the metrics of the command while it runs: --metrics-port.
#pragma once
#include <memory>
#include <string>
#include <thread>

#include <deepseek/core/metrics.hpp>
#include <deepseek/result.hpp>

namespace deepseek::cli {

/// GET /metrics on 127.0.0.1, one request at a time on a thread of its own, until it is destroyed.
class MetricsServer {
 public:
  /// Port 0: one that is free. Fails with io_error if the port is taken.
  static Result<std::unique_ptr<MetricsServer>> listen(int port, std::shared_ptr<const Metrics> metrics);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  int port() const noexcept { return port_; }

 private:
  MetricsServer(int listener, int stop, int port, std::shared_ptr<const Metrics> metrics);
  void run() const;
  void serve(int connection) const;
  bool await(int fd, short events) const;

  int listener_;
  int stop_;  // readable: the end
  int port_;
  std::shared_ptr<const Metrics> metrics_;
  std::thread thread_;
};

}  // namespace deepseek::cli
