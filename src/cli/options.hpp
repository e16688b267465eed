// The options that every command shares: which server, which key, how long.
#pragma once
#include <string>
#include <vector>

#include <deepseek/client.hpp>

#include "cli/args.hpp"

namespace deepseek::cli {

std::span<const OptionSpec> connection_options();

/// The shared options, checked but with nothing read yet.
struct ConnectionOptions {
  std::string base_url;
  const char* base_url_from = "";  ///< the flag or variable it was given by
  std::string key_file;            ///< empty: DEEPSEEK_API_KEY
  std::string ca_file;
  std::string proxy;  ///< "env": as the environment says
  std::string model;
  std::chrono::milliseconds timeout{0};
  int retries = 0;  ///< after the first request
  bool deepseek = false;
  bool allow_plain_http = false;
};

Result<ConnectionOptions> connection_from(const Args& args);

/// The key of the file or the environment.
Result<Credential> credential_of(const ConnectionOptions& connection);
/// Errors from here on are outcomes of the call (refused), not of the usage.
Result<DeepSeekClient> make_client(const ConnectionOptions& connection);
Result<DeepSeekClient> make_client(const ConnectionOptions& connection, Credential credential);

}  // namespace deepseek::cli
