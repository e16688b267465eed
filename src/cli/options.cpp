#include "cli/options.hpp"

#include <cstdlib>

namespace deepseek::cli {

namespace {

constexpr OptionSpec shared_options[] = {
    {"base-url", "URL", "the server; default: DEEPSEEK_BASE_URL, then https://api.deepseek.com"},
    {"api-key-file", "FILE", "read the key from FILE instead of DEEPSEEK_API_KEY"},
    {"deepseek", nullptr, "the server speaks DeepSeek's dialect (it has /beta)"},
    {"timeout", "SECONDS", "give up after so long in all; default: no limit on the whole"},
    {"retries", "N", "repeats after the first request; only 0 in this version"},
    {"ca-file", "FILE", "PEM authorities that replace the system's"},
    {"proxy", "URL", "http, https or socks5 proxy; \"env\": as http_proxy and its kin say"},
    {"allow-plain-http", nullptr, "send the key over http:// to a host that is not this one"},
    {"json", nullptr, "JSON for programs instead of text for people"},
    {"help", nullptr, "show this text"},
};

std::string default_address() {
  const char* set = std::getenv("DEEPSEEK_BASE_URL");
  return set && *set ? set : default_base_url;
}

Result<void> not_empty(const Args& args, std::string_view name) {
  const std::string* value = args.value(name);
  if (value && value->empty()) return Error(ErrorCode::invalid_argument, "--" + std::string(name) + " is empty");
  return {};
}

Result<Credential> credential_of(const ConnectionOptions& connection) {
  if (connection.key_file.empty()) return api_key_from_env("DEEPSEEK_API_KEY");
  return api_key_from_file(connection.key_file);
}

}  // namespace

std::span<const OptionSpec> connection_options() { return shared_options; }

Result<ConnectionOptions> connection_from(const Args& args) {
  for (const char* name : {"base-url", "api-key-file", "ca-file", "proxy", "model"})
    if (auto fine = not_empty(args, name); !fine) return fine.error();
  ConnectionOptions connection;
  connection.base_url = args.value_or("base-url", default_address());
  connection.key_file = args.value_or("api-key-file", "");
  connection.ca_file = args.value_or("ca-file", "");
  connection.proxy = args.value_or("proxy", "");
  connection.model = args.value_or("model", "");
  connection.deepseek = args.has("deepseek");
  connection.allow_plain_http = args.has("allow-plain-http");
  if (const std::string* text = args.value("timeout")) {
    auto timeout = parse_seconds("timeout", *text);
    if (!timeout) return timeout.error();
    connection.timeout = *timeout;
  }
  if (const std::string* text = args.value("retries")) {
    auto retries = parse_integer("retries", *text, 0, 1'000'000);
    if (!retries) return retries.error();
    if (*retries != 0)
      return Error(ErrorCode::invalid_argument, "--retries above 0 is not available in this version",
                   "leave it out or give 0");
  }
  return connection;
}

Result<ClientOptions> client_options(const ConnectionOptions& connection) {
  auto credential = credential_of(connection);
  if (!credential) return credential.error();
  ClientOptions options;
  Endpoint endpoint;
  endpoint.base_url = connection.base_url;
  endpoint.credential = *credential;
  if (connection.deepseek) endpoint.deepseek = true;
  endpoint.allow_plain_http = connection.allow_plain_http;
  options.endpoints.push_back(std::move(endpoint));
  if (!connection.model.empty()) options.model = connection.model;
  options.timeouts.total = connection.timeout;
  options.tls.ca_file = connection.ca_file;
  options.proxy.from_environment = connection.proxy == "env";
  if (!options.proxy.from_environment) options.proxy.url = connection.proxy;
  return options;
}

Result<DeepSeekClient> make_client(const ConnectionOptions& connection) {
  auto options = client_options(connection);
  if (!options) return options.error();
  return DeepSeekClient::create(*std::move(options));
}

}  // namespace deepseek::cli
