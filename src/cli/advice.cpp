#include "cli/advice.hpp"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace deepseek::cli {

namespace {

bool says_one_of(const std::string& text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.find(word) != std::string::npos; });
}

/// By the words of libcurl and of OpenSSL, which name the same faults differently.
std::string tls_advice(const Error& error) {
  const std::string words = error.message() + ' ' + error.cause();
  if (says_one_of(words, {"expired", "not yet valid"}))
    return "check this machine's clock, then the server's certificate";
  if (says_one_of(words, {"mismatch", "subject name"}))
    return "the certificate is for another name: check the base URL";
  if (says_one_of(words, {"--ca-file"})) return "it needs a readable file with certificates in PEM";
  if (says_one_of(words, {"issuer", "self-signed", "self signed", "certificate"}))
    return "install the authority (ca-certificates), or name it with --ca-file";
  return "the server may not speak TLS on this port: try http://, or another port";
}

std::string advice_of(const Error& error) {
  switch (error.code()) {
    case ErrorCode::missing_key:
      return "set DEEPSEEK_API_KEY, name a file with --api-key-file, or give --oauth-*";
    case ErrorCode::authentication:
      if (says_one_of(error.advice(), {"no key was sent"}))
        return "no key was sent: set DEEPSEEK_API_KEY, name a file with --api-key-file, or give --oauth-*";
      return says_one_of(error.message(), {"authorization server"})
                 ? "check --oauth-client-id, --oauth-client-secret-file and --oauth-scopes"
                 : "check DEEPSEEK_API_KEY, --api-key-file or --oauth-*";
    case ErrorCode::token_failed:
      return "check --oauth-token-url, and whether that server runs";
    case ErrorCode::insecure_credential:
      return "use https://, or allow it with --allow-plain-http";
    case ErrorCode::unsupported:
      return "use https://api.deepseek.com, or give --deepseek if this server has a /beta";
    case ErrorCode::dns_failed:
      return "check the spelling of the base URL, and whether this machine has a name server";
    case ErrorCode::connect_failed:
      return "check host and port, and whether the server runs; a firewall may be in the way, or a proxy be needed "
             "(--proxy)";
    case ErrorCode::tls_failed:
      return tls_advice(error);
    case ErrorCode::proxy_failed:
      return "check --proxy, or leave it out";
    case ErrorCode::timeout_dns:
    case ErrorCode::timeout_connect:
    case ErrorCode::timeout_tls:
      return "a firewall may be in the way; if a proxy is needed give --proxy";
    case ErrorCode::timeout_first_byte:
    case ErrorCode::timeout_first_token:
    case ErrorCode::timeout_between_tokens:
    case ErrorCode::timeout_idle:
      return "the service is busy or the connection is gone: try again";
    case ErrorCode::timeout_total:
      return "allow more with --timeout";
    case ErrorCode::bad_request:
      return says_one_of(error.message(), {"model names are", "Model Not Exist", "model does not exist"})
                 ? "check --model: deepseek models lists those there are"
                 : error.advice();
    case ErrorCode::limit_exceeded:
      return "a server that sends so much is not what it should be: check the base URL";
    default:
      return error.advice();
  }
}

std::string in_flag_words(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> names[] = {
      {"what came is kept in Error::partial(); repeat", "repeat"},
      {"what came before is kept in Error::partial()", "what came before it is all there is"},
      {"TlsOptions::ca_file", "--ca-file"},
      {"ProxyOptions::url", "--proxy"},
      {"ClientOptions::model", "--model"},
      {"ClientOptions::endpoints", "--endpoint"},
      {"OAuth2Options::token_url", "--oauth-token-url"},
      {"OAuth2Options::client_id", "--oauth-client-id"},
      {"OAuth2Options::client_secret_file", "--oauth-client-secret-file"},
      {"OAuth2Options::client_secret", "--oauth-client-secret-file"},
      {"OAuth2Options::scopes", "--oauth-scopes"},
      {"OAuth2Options::allow_plain_http", "--allow-plain-http"}};
  for (const auto& [name, flag] : names)
    for (std::size_t at; (at = text.find(name)) != std::string::npos;) text.replace(at, name.size(), flag);
  return text;
}

}  // namespace

Error in_flags(const Error& error) {
  return error.with([&](ErrorDetails& details) {
    details.advice = in_flag_words(advice_of(error));
    details.message = error.code() == ErrorCode::timeout_total ? "not done within the time that --timeout allows"
                                                               : in_flag_words(std::move(details.message));
  });
}

std::string shown_url(std::string_view url) {
  constexpr std::size_t longest = 200;
  const std::size_t scheme = url.find("://");
  const std::size_t start = scheme == std::string_view::npos ? 0 : scheme + 3;
  std::string shown(url.substr(0, start));
  std::string_view rest = url.substr(start);
  // A password may hold any character: everything before the last @ goes.
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    shown += "***";
    rest.remove_prefix(at);
  }
  const std::size_t end = rest.find_first_of("?#");
  shown += rest.substr(0, end);
  if (end != std::string_view::npos) shown += "?...";
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (shown.size() > longest) shown = shown.substr(0, longest) + "...";
  return shown;
}

}  // namespace deepseek::cli
