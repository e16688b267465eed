// A client with what chat and fim keep beside it: the disk cache, the books, the port for metrics.
#pragma once
#include <memory>
#include <string>

#include <deepseek/client.hpp>

#include "cli/ledger.hpp"
#include "cli/metrics_server.hpp"
#include "cli/options.hpp"

namespace deepseek::cli {

struct Session {
  std::unique_ptr<MetricsServer> metrics;  ///< null: nobody asked for it
  DeepSeekClient client;
};

/// Opens what the options ask for and tells the port of --metrics-port on standard error. Errors are outcomes of the
/// call (refused).
Result<Session> open_session(const ConnectionOptions& connection, const std::shared_ptr<Ledger>& ledger);

/// False: this command was built without deepseek::sqlite.
bool has_disk_cache();
/// The cache of a folder; null without deepseek::sqlite.
std::shared_ptr<CacheStore> disk_cache(const std::string& folder);

}  // namespace deepseek::cli
