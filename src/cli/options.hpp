// The options that every command shares: which server, which key, how long.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <deepseek/client.hpp>

#include "cli/args.hpp"

namespace deepseek::cli {

std::span<const OptionSpec> connection_options();
std::span<const OptionSpec> general_options();

// Of the commands whose answers are generated.
inline constexpr OptionSpec cache_option = {
    "cache", "DIR", "keep complete answers in this folder, and answer an equal request from it"};
inline constexpr OptionSpec metrics_port_option = {
    "metrics-port", "N", "serve metrics for Prometheus on 127.0.0.1 meanwhile; 0: a free port, which\nis told"};
inline constexpr OptionSpec hedge_after_option = {
    "hedge-after", "MS",
    "ask once more if nothing was shown after MS milliseconds, another --endpoint if there\nis one; the first answer "
    "counts, both are paid for"};

/// --oauth-*: a token instead of a key.
struct OAuthFlags {
  std::string token_url;
  std::string client_id;
  std::string secret_file;
  std::vector<std::string> scopes;
};

/// The shared options, checked but with nothing read yet.
struct ConnectionOptions {
  std::vector<std::string> base_urls;  ///< in failover order, at least one
  const char* base_url_from = "";      ///< the flag or variable they were given by
  std::string key_file;                ///< empty: DEEPSEEK_API_KEY
  std::string ca_file;
  std::string proxy;  ///< "env": as the environment says
  std::string model;
  std::chrono::milliseconds timeout{0};
  int retries = 0;                           ///< after the first request, over all servers
  std::chrono::milliseconds hedge_after{0};  ///< 0: nothing is asked twice
  std::optional<OAuthFlags> oauth;
  std::string cache_folder;         ///< empty: nothing is kept
  std::string log_file;             ///< empty: nothing is logged
  std::optional<int> metrics_port;  ///< 0: one that is free
  bool deepseek = false;
  bool allow_plain_http = false;
};

Result<ConnectionOptions> connection_from(const Args& args);

/// What --log says; null: nothing. Errors are outcomes of the call.
Result<std::shared_ptr<LogSink>> open_log(const ConnectionOptions& connection);
/// The key of the file or the environment, or what fetches tokens and tells of it the sinks of `told`.
Result<Credential> credential_of(const ConnectionOptions& connection, const ClientOptions& told);
/// Errors from here on are outcomes of the call (refused), not of the usage.
Result<DeepSeekClient> make_client(const ConnectionOptions& connection);
/// `options`: what the connection does not say, and the log.
Result<DeepSeekClient> make_client(const ConnectionOptions& connection, Credential credential, ClientOptions options);

}  // namespace deepseek::cli
