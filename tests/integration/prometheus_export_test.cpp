// The Prometheus component: prometheus-cpp must say what the library's own text says.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <deepseek/component/prometheus.hpp>
#include <deepseek/core/metric_list.hpp>

using namespace deepseek;

namespace {

/// Samples only, sorted, with numbers as numbers: the two writers spell and order them differently.
std::vector<std::string> samples_in(const std::string& text) {
  std::vector<std::string> samples;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#' || line.rfind("deepseek_process_", 0) == 0) continue;
    const std::size_t blank = line.rfind(' ');
    std::string name = line.substr(0, blank);
    for (std::size_t at = name.find("le=\""); at != std::string::npos; at = name.find("le=\"", at + 1)) {
      const std::size_t end = name.find('"', at + 4);
      name.replace(at + 4, end - at - 4, std::to_string(std::stod(name.substr(at + 4, end - at - 4))));
    }
    samples.push_back(name + ' ' + std::to_string(std::stod(line.substr(blank + 1))));
  }
  std::sort(samples.begin(), samples.end());
  return samples;
}

std::string get(int port, const std::string& path) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string reply;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    (void)::send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    char block[4096];
    for (ssize_t count; (count = ::read(fd, block, sizeof block)) > 0;)
      reply.append(block, static_cast<std::size_t>(count));
  }
  ::close(fd);
  return reply;
}

std::shared_ptr<Metrics> some_metrics() {
  auto metrics = std::make_shared<Metrics>();
  metrics->add(metric::attempts, {"api.deepseek.com", "2xx", ""}, 3);
  metrics->add(metric::attempts, {"[::1]:8080", "5xx", "server_error"}, 1);
  metrics->add(metric::in_flight, {"chat"}, 2);
  for (const double seconds : {0.005, 0.02, 0.3, 700.0})
    metrics->observe(metric::operation_duration, {"chat", "deepseek-flash", ""}, seconds);
  return metrics;
}

}  // namespace

TEST_CASE("prometheus-cpp writes the samples that the library writes", "[integration][observe][prometheus]") {
  const auto metrics = some_metrics();
  const auto collectable = make_collectable(metrics);
  const std::string theirs = prometheus::TextSerializer().Serialize(collectable->Collect());
  INFO(theirs);
  const auto samples = samples_in(theirs);
  CHECK(samples.size() > 20);
  CHECK(samples == samples_in(metrics->prometheus_text()));
}

TEST_CASE("the metrics can be fetched over HTTP", "[integration][observe][prometheus]") {
  const auto metrics = some_metrics();
  auto server = PrometheusServer::listen("127.0.0.1:0", metrics);
  REQUIRE(server.has_value());
  REQUIRE(server->port() > 0);
  const std::string reply = get(server->port(), "/metrics");
  CHECK(reply.rfind("HTTP/1.1 200", 0) == 0);
  CHECK(reply.find("deepseek_calls_in_flight{gen_ai_operation_name=\"chat\"} 2") != std::string::npos);
  metrics->add(metric::in_flight, {"chat"}, 5);
  CHECK(get(server->port(), "/metrics").find("} 7") != std::string::npos);
  CHECK(get(server->port(), "/other").rfind("HTTP/1.1 404", 0) == 0);
}

TEST_CASE("an address that cannot be listened on is an error", "[integration][observe][prometheus]") {
  const auto metrics = std::make_shared<Metrics>();
  auto first = PrometheusServer::listen("127.0.0.1:0", metrics);
  REQUIRE(first.has_value());
  CHECK(PrometheusServer::listen("127.0.0.1:" + std::to_string(first->port()), metrics).error().code() ==
        ErrorCode::io_error);
  CHECK(PrometheusServer::listen("not an address", metrics).error().code() == ErrorCode::io_error);
  CHECK(PrometheusServer::listen("127.0.0.1:0", nullptr).error().code() == ErrorCode::invalid_argument);
}
