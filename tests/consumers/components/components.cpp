// components BASE_URL FOLDER: answers from memory, from the disk and in the absence of a Redis server; metrics served.
// What cannot work is an error as a value.
#include <deepseek/component/prometheus.hpp>
#include <deepseek/component/redis.hpp>
#include <deepseek/component/redis_limits.hpp>
#include <deepseek/component/sqlite.hpp>
#include <deepseek/deepseek.hpp>
#include <functional>
#include <iostream>
#include <string>

#include "../../support/closed_port.hpp"

namespace {

int failures = 0;
void check(bool good, const char* what) {
  if (good) return;
  std::cerr << "failed: " << what << '\n';
  ++failures;
}

/// Which cache answered, or the error.
std::string ask(const std::string& base_url, int times, const std::function<void(deepseek::ClientOptions&)>& edit) {
  deepseek::ClientOptions options;
  options.endpoints = {{base_url, deepseek::api_key("a-key-for-the-double")}};
  edit(options);
  const auto client = deepseek::DeepSeekClient::create(std::move(options));
  if (!client) return deepseek::to_string(client.error());
  std::string last;
  for (int i = 0; i < times; ++i) {
    const auto reply = client->chat("Hello");
    if (!reply) return deepseek::to_string(reply.error());
    last = reply->info.cache;
  }
  return last;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string url = argv[1], folder = argv[2];
  const deepseek_tests::ClosedPort closed;
  const std::string nobody = "redis://127.0.0.1:" + std::to_string(closed.port());

  const auto both = [&](deepseek::ClientOptions& options) {
    options.cache.memory_bytes = 1 * deepseek::MiB;
    options.cache.disk = deepseek::sqlite(folder);
  };
  check(ask(url, 1, both) == "miss", "the first call reaches the server");
  check(ask(url, 1, both) == "disk", "the disk outlives a client");
  check(ask(url, 2, both) == "memory", "memory comes first");

  check(ask(url, 2, [&](deepseek::ClientOptions& options) { options.cache.redis = deepseek::redis(nobody); }) == "miss",
        "without a Redis server calls go on");
  check(!deepseek::redis_server("http://127.0.0.1:1"), "an address of another kind is refused");
  deepseek::SharedLimitOptions limits;
  limits.limits.requests_per_minute = 100;
  auto budget = deepseek::redis_limits(nobody, limits);
  check(budget.has_value(), "limits need no server to be made");
  check(ask(url, 1, [&](deepseek::ClientOptions& options) { options.shared_budget = *budget; }) == "off",
        "without a Redis server a client has its share");
  limits.share_percent = 0;
  check(!deepseek::redis_limits(nobody, limits), "a share of nothing is refused");

  const auto metrics = std::make_shared<deepseek::Metrics>();
  const auto served = deepseek::PrometheusServer::listen("127.0.0.1:0", metrics);
  check(served && served->port() > 0, "metrics are served");
  check(!deepseek::PrometheusServer::listen("256.0.0.1:0", metrics), "an address that is none is an error");
  return failures == 0 ? 0 : 1;
}
