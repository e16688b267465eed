#include "cli/session.hpp"

#include <fmt/format.h>

#ifdef DEEPSEEK_HAS_SQLITE
#include <deepseek/component/sqlite.hpp>
#endif

#include "cli/output.hpp"

namespace deepseek::cli {

namespace {

constexpr std::uint64_t memory_level_bytes = 16 * MiB;

CacheOptions cache_options(const ConnectionOptions& connection) {
  CacheOptions options;
  if (connection.cache_folder.empty()) return options;
  options.memory_bytes = memory_level_bytes;
  options.disk = disk_cache(connection.cache_folder);
  options.notice = [](std::string_view level, std::string_view text) {
    print_note(fmt::format("cache ({}): {}", level, text));
  };
  return options;
}

}  // namespace

#ifdef DEEPSEEK_HAS_SQLITE
bool has_disk_cache() { return true; }
std::shared_ptr<CacheStore> disk_cache(const std::string& folder) { return sqlite(folder); }
#else
bool has_disk_cache() { return false; }
std::shared_ptr<CacheStore> disk_cache(const std::string&) { return nullptr; }
#endif

Result<Session> open_session(const ConnectionOptions& connection, const std::shared_ptr<Ledger>& ledger) {
  auto log = open_log(connection);
  if (!log) return log.error();
  auto meter = CostMeter::create({});
  if (!meter) return meter.error();
  const auto metrics = connection.metrics_port ? std::make_shared<Metrics>() : nullptr;
  ledger->open(metrics, *meter);
  ClientOptions options;
  options.cost = *meter;
  options.metrics = ledger;
  options.log = *std::move(log);
  options.cache = cache_options(connection);
  auto credential = credential_of(connection, options);
  if (!credential) return credential.error();
  auto client = make_client(connection, *std::move(credential), std::move(options));
  if (!client) return client.error();
  Session session{nullptr, *client};
  if (!metrics) return session;
  auto server = MetricsServer::listen(*connection.metrics_port, metrics);
  if (!server) return server.error();
  session.metrics = *std::move(server);
  print_note(fmt::format("metrics are at http://127.0.0.1:{}/metrics", session.metrics->port()));
  return session;
}

}  // namespace deepseek::cli
