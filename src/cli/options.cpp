#include "cli/options.hpp"

#include "cli/advice.hpp"

namespace deepseek::cli {

namespace {

constexpr OptionSpec shared_options[] = {
    {"base-url", "URL", "the server; default: DEEPSEEK_BASE_URL, then https://api.deepseek.com"},
    {"api-key-file", "FILE", "read the key from FILE instead of DEEPSEEK_API_KEY"},
    {"deepseek", nullptr, "the server speaks DeepSeek's dialect (it has /beta)"},
    {"timeout", "SECONDS", "give up after so long in all; default: no limit on the whole"},
    {"retries", "N", "repeats after the first request, while nothing was shown yet; default: 0"},
    {"ca-file", "FILE", "PEM authorities that replace the system's"},
    {"proxy", "URL", "http, https or socks5 proxy; \"env\": as http_proxy and its kin say"},
    {"allow-plain-http", nullptr, "send the key over http:// to a host that is not this one"},
    {"json", nullptr, "JSON for programs instead of text for people"},
    {"help", nullptr, "show this text"},
};

Result<void> not_empty(const Args& args, std::string_view name) {
  const std::string* value = args.value(name);
  if (value && value->empty()) return Error(ErrorCode::invalid_argument, "--" + std::string(name) + " is empty");
  return {};
}

ClientOptions client_options(const ConnectionOptions& connection, Credential credential) {
  ClientOptions options;
  Endpoint endpoint;
  endpoint.base_url = connection.base_url;
  endpoint.credential = std::move(credential);
  if (connection.deepseek) endpoint.deepseek = true;
  endpoint.allow_plain_http = connection.allow_plain_http;
  options.endpoints.push_back(std::move(endpoint));
  if (!connection.model.empty()) options.model = connection.model;
  options.timeouts.total = connection.timeout;
  options.retry.max_attempts = 1 + connection.retries;
  options.tls.ca_file = connection.ca_file;
  options.proxy.from_environment = connection.proxy == "env";
  if (!options.proxy.from_environment) options.proxy.url = connection.proxy;
  return options;
}

/// The library names what is wrong with a base URL, and never the URL: it may hold a password.
Error with_base_url(const Error& error, const ConnectionOptions& connection) {
  constexpr std::string_view mark = "base URL: ";
  if (error.message().compare(0, mark.size(), mark) != 0) return error;
  return error.with([&](ErrorDetails& details) {
    details.message = std::string(connection.base_url_from) + " \"" + shown_url(connection.base_url) +
                      "\": " + details.message.substr(mark.size());
  });
}

}  // namespace

std::span<const OptionSpec> connection_options() { return shared_options; }

Result<ConnectionOptions> connection_from(const Args& args) {
  for (const char* name : {"base-url", "api-key-file", "ca-file", "proxy", "model"})
    if (auto fine = not_empty(args, name); !fine) return fine.error();
  ConnectionOptions connection;
  connection.base_url = args.value_or("base-url", base_url_from_env());
  connection.base_url_from = args.has("base-url") ? "--base-url" : "DEEPSEEK_BASE_URL";
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
    auto retries = parse_integer("retries", *text, 0, 99);
    if (!retries) return retries.error();
    connection.retries = static_cast<int>(*retries);
  }
  return connection;
}

Result<Credential> credential_of(const ConnectionOptions& connection) {
  if (connection.key_file.empty()) return api_key_from_env("DEEPSEEK_API_KEY");
  auto key = api_key_from_file(connection.key_file);
  if (key) return key;
  return key.error().with(
      [&](ErrorDetails& details) { details.message = connection.key_file + ": " + details.message; });
}

Result<DeepSeekClient> make_client(const ConnectionOptions& connection) {
  auto credential = credential_of(connection);
  if (!credential) return credential.error();
  return make_client(connection, *std::move(credential));
}

Result<DeepSeekClient> make_client(const ConnectionOptions& connection, Credential credential) {
  auto client = DeepSeekClient::create(client_options(connection, std::move(credential)));
  if (!client) return with_base_url(client.error(), connection);
  return client;
}

}  // namespace deepseek::cli
