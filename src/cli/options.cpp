#include "cli/options.hpp"

#include <algorithm>
#include <deepseek/auth/credentials.hpp>
#include <deepseek/auth/oauth.hpp>
#include <deepseek/core/log.hpp>
#include <filesystem>

#include "cli/advice.hpp"
#include "cli/output.hpp"
#include "cli/session.hpp"

namespace deepseek::cli {

namespace {

constexpr int retries_with_failover = 3;

constexpr OptionSpec shared_options[] = {
    {"base-url", "URL", "the server; default: DEEPSEEK_BASE_URL, then https://api.deepseek.com"},
    {"endpoint", "URL",
     "a server; given again: where to go when those before it fail. Instead of --base-url\nand DEEPSEEK_BASE_URL",
     true},
    {"api-key-file", "FILE", "read the key from FILE instead of DEEPSEEK_API_KEY"},
    {"oauth-token-url", "URL", "fetch a token here (OAuth 2.0 client credentials) and send it instead of the key"},
    {"oauth-client-id", "ID", "who asks for the token"},
    {"oauth-client-secret-file", "FILE", "read its secret from FILE"},
    {"oauth-scopes", "\"A B\"", "what the token should allow, with blanks between"},
    {"deepseek", nullptr, "the server speaks DeepSeek's dialect (it has /beta)"},
    {"timeout", "SECONDS", "give up after so long in all; default: no limit on the whole"},
    {"retries", "N",
     "repeats after the first request, while nothing was shown yet; default: 0,\nand 3 if there are several "
     "--endpoint"},
    {"log", "FILE", "append what happens to FILE, as JSON lines without keys and prompts"},
    {"ca-file", "FILE", "PEM authorities that replace the system's"},
    {"proxy", "URL", "http, https or socks5 proxy; \"env\": as http_proxy and its kin say"},
    {"allow-plain-http", nullptr, "send the key over http:// to a host that is not this one"},
};

constexpr OptionSpec options_of_all[] = {
    {"json", nullptr, "JSON for programs instead of text for people"},
    {"help", nullptr, "show this text"},
};

Result<void> not_empty(const Args& args, std::string_view name) {
  const std::string* value = args.value(name);
  if (value && value->empty()) return Error(ErrorCode::invalid_argument, "--" + std::string(name) + " is empty");
  return {};
}

Error usage(std::string message, std::string advice = {}) {
  return Error(ErrorCode::invalid_argument, std::move(message), std::move(advice));
}

ProxyOptions proxy_options(const ConnectionOptions& connection) {
  ProxyOptions proxy;
  proxy.from_environment = connection.proxy == "env";
  if (!proxy.from_environment) proxy.url = connection.proxy;
  return proxy;
}

OAuth2Options oauth_options(const ConnectionOptions& connection) {
  OAuth2Options options;
  options.token_url = connection.oauth->token_url;
  options.client_id = connection.oauth->client_id;
  options.client_secret_file = connection.oauth->secret_file;
  options.scopes = connection.oauth->scopes;
  options.tls.ca_file = connection.ca_file;
  options.proxy = proxy_options(connection);
  options.allow_plain_http = connection.allow_plain_http;
  return options;
}

/// Said, not refused: files that containers mount are often readable by all.
void warn_if_loose(const std::string& path) {
  using std::filesystem::perms;
  std::error_code failed;
  const auto status = std::filesystem::status(path, failed);
  const auto loose = status.permissions() & (perms::others_all | perms::group_write);
  if (!failed && std::filesystem::is_regular_file(status) && loose != perms::none)
    print_note(path + " may be read by others or written by its group: chmod 600");
}

/// Reads the secret now, so that a wrong file is told before anything is asked.
Result<Credential> oauth_credential(const ConnectionOptions& connection, const ClientOptions& told) {
  OAuth2Options options = oauth_options(connection);
  SecretFileOptions any_mode;
  any_mode.allow_loose_permissions = true;
  auto secret = secret_from_file(connection.oauth->secret_file, any_mode);
  if (!secret)
    return secret.error().with(
        [&](ErrorDetails& details) { details.message = connection.oauth->secret_file + ": " + details.message; });
  warn_if_loose(connection.oauth->secret_file);
  options.client_secret_file.clear();
  options.client_secret = *std::move(secret);
  options.metrics = told.metrics;
  options.log = told.log;
  options.log_level = told.log_level;
  return oauth2(std::move(options));
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    if (text.empty()) return words;
    words.emplace_back(text.substr(0, text.find(' ')));
    text.remove_prefix(words.back().size());
  }
}

Result<void> read_servers(const Args& args, ConnectionOptions& connection) {
  if (auto fine = exclude(args, "endpoint", "base-url"); !fine) return fine;
  connection.base_urls = args.values("endpoint");
  connection.base_url_from = "--endpoint";
  for (const std::string& url : connection.base_urls)
    if (url.empty()) return usage("--endpoint is empty");
  if (!connection.base_urls.empty()) return {};
  connection.base_urls.push_back(args.value_or("base-url", base_url_from_env()));
  connection.base_url_from = args.has("base-url") ? "--base-url" : "DEEPSEEK_BASE_URL";
  return {};
}

Result<void> read_oauth(const Args& args, ConnectionOptions& connection) {
  constexpr const char* needed[] = {"oauth-token-url", "oauth-client-id", "oauth-client-secret-file"};
  const char* given = args.has("oauth-scopes") ? "oauth-scopes" : nullptr;
  for (const char* name : needed)
    if (args.has(name)) given = name;
  if (!given) return {};
  if (auto fine = exclude(args, given, "api-key-file"); !fine) return fine;
  for (const char* name : needed)
    if (!args.has(name)) return usage("--" + std::string(given) + " needs --" + name + " beside it");
  connection.oauth = OAuthFlags{*args.value("oauth-token-url"), *args.value("oauth-client-id"),
                                *args.value("oauth-client-secret-file"), words_of(args.value_or("oauth-scopes", ""))};
  if (const auto wrong = check(oauth_options(connection))) return in_flags(*wrong);
  return {};
}

Result<void> read_numbers(const Args& args, ConnectionOptions& connection) {
  if (const std::string* text = args.value("timeout")) {
    auto timeout = parse_seconds("timeout", *text);
    if (!timeout) return timeout.error();
    connection.timeout = *timeout;
  }
  // A server that is down costs an attempt: without any to spare nothing could go on at the next.
  if (connection.base_urls.size() > 1) connection.retries = retries_with_failover;
  if (const std::string* text = args.value("retries")) {
    auto retries = parse_integer("retries", *text, 0, 99);
    if (!retries) return retries.error();
    connection.retries = static_cast<int>(*retries);
  }
  if (const std::string* text = args.value("hedge-after")) {
    auto after = parse_integer("hedge-after", *text, 1, 599'999);  // the clocks of an answer strike at 600 s
    if (!after) return after.error();
    connection.hedge_after = std::chrono::milliseconds(*after);
  }
  if (const std::string* text = args.value("metrics-port")) {
    auto port = parse_integer("metrics-port", *text, 0, 65535);
    if (!port) return port.error();
    connection.metrics_port = static_cast<int>(*port);
  }
  return {};
}

ClientOptions with_connection(ClientOptions options, const ConnectionOptions& connection,
                              const Credential& credential) {
  for (const std::string& url : connection.base_urls) {
    Endpoint endpoint;
    endpoint.base_url = url;
    endpoint.credential = credential;
    if (connection.deepseek) endpoint.deepseek = true;
    endpoint.allow_plain_http = connection.allow_plain_http;
    options.endpoints.push_back(std::move(endpoint));
  }
  if (!connection.model.empty()) options.model = connection.model;
  options.timeouts.total = connection.timeout;
  options.retry.max_attempts = 1 + connection.retries;
  options.hedge.after = connection.hedge_after;
  options.tls.ca_file = connection.ca_file;
  options.proxy = proxy_options(connection);
  return options;
}

/// The library names what is wrong with a base URL, and never the URL: it may hold a password.
Error with_base_url(const Error& error, const ConnectionOptions& connection) {
  constexpr std::string_view mark = "base URL: ";
  if (error.message().compare(0, mark.size(), mark) != 0) return error;
  const auto refused = [](const std::string& url) {
    ClientOptions alone;
    alone.endpoints.push_back(Endpoint{url});
    return !DeepSeekClient::create(std::move(alone));
  };
  const auto& urls = connection.base_urls;
  auto which = urls.begin();
  if (urls.size() > 1) which = std::find_if(urls.begin(), urls.end(), refused);
  if (which == urls.end()) return error;
  return error.with([&](ErrorDetails& details) {
    details.message = std::string(connection.base_url_from) + " \"" + shown_url(*which) +
                      "\": " + details.message.substr(mark.size());
  });
}

}  // namespace

std::span<const OptionSpec> connection_options() { return shared_options; }
std::span<const OptionSpec> general_options() { return options_of_all; }

Result<ConnectionOptions> connection_from(const Args& args) {
  for (const char* name : {"base-url", "api-key-file", "ca-file", "proxy", "model", "cache", "log", "oauth-token-url",
                           "oauth-client-id", "oauth-client-secret-file"})
    if (auto fine = not_empty(args, name); !fine) return fine.error();
  ConnectionOptions connection;
  if (auto fine = read_servers(args, connection); !fine) return fine.error();
  connection.key_file = args.value_or("api-key-file", "");
  connection.ca_file = args.value_or("ca-file", "");
  connection.proxy = args.value_or("proxy", "");
  connection.model = args.value_or("model", "");
  connection.deepseek = args.has("deepseek");
  connection.allow_plain_http = args.has("allow-plain-http");
  connection.cache_folder = args.value_or("cache", "");
  connection.log_file = args.value_or("log", "");
  if (!connection.cache_folder.empty() && !has_disk_cache())
    return usage("--cache is not in this build", "build it with SQLite: DEEPSEEK_WITH_SQLITE=ON");
  if (auto fine = read_numbers(args, connection); !fine) return fine.error();
  if (auto fine = read_oauth(args, connection); !fine) return fine.error();
  return connection;
}

/// A log that says in the end if not all of it could be written.
class CommandLog final : public LogSink {
 public:
  CommandLog(std::shared_ptr<LogFile> file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  ~CommandLog() override {
    const bool all = file_->flush(std::chrono::milliseconds(500));
    if (!all || file_->counts().dropped > 0) print_note("--log: not all could be written to " + path_);
  }
  CommandLog(const CommandLog&) = delete;
  CommandLog& operator=(const CommandLog&) = delete;
  void write(const LogRecord& record) noexcept override { file_->write(record); }

 private:
  std::shared_ptr<LogFile> file_;
  std::string path_;
};

Result<std::shared_ptr<LogSink>> open_log(const ConnectionOptions& connection) {
  if (connection.log_file.empty()) return std::shared_ptr<LogSink>();
  auto log = LogFile::open(connection.log_file);
  if (!log) return log.error().with([&](ErrorDetails& details) { details.message = "--log: " + details.message; });
  return std::shared_ptr<LogSink>(std::make_shared<CommandLog>(*std::move(log), connection.log_file));
}

Result<Credential> credential_of(const ConnectionOptions& connection, const ClientOptions& told) {
  if (connection.oauth) return oauth_credential(connection, told);
  if (connection.key_file.empty()) return api_key_from_env("DEEPSEEK_API_KEY");
  auto key = api_key_from_file(connection.key_file);
  if (key) {
    warn_if_loose(connection.key_file);
    return key;
  }
  return key.error().with(
      [&](ErrorDetails& details) { details.message = connection.key_file + ": " + details.message; });
}

Result<DeepSeekClient> make_client(const ConnectionOptions& connection) {
  auto log = open_log(connection);
  if (!log) return log.error();
  ClientOptions options;
  options.log = *std::move(log);
  auto credential = credential_of(connection, options);
  if (!credential) return credential.error();
  return make_client(connection, *std::move(credential), std::move(options));
}

Result<DeepSeekClient> make_client(const ConnectionOptions& connection, Credential credential, ClientOptions options) {
  auto client = DeepSeekClient::create(with_connection(std::move(options), connection, credential));
  if (!client) return with_base_url(client.error(), connection);
  return client;
}

}  // namespace deepseek::cli
