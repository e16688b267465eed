#pragma once
#include <deepseek/core/detail/host.hpp>
#include <deepseek/core/detail/platform.hpp>
#include <deepseek/core/detail/socket.hpp>
#include <deepseek/http/impl/curl_types.ipp>

#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// No message here quotes a value: it may hold a password.

inline Error curl_option_error(std::string what, std::string advice) {
  return Error(ErrorCode::invalid_options, std::move(what), std::move(advice));
}

inline bool has_nul(std::string_view text) { return text.find('\0') != text.npos; }

inline bool has_blank_or_control(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7F) return true;
  return false;
}

/// A NUL would cut the text short on its way to libcurl.
DEEPSEEK_DECL std::optional<Error> check_nul_bytes(const CurlOptions& options) {
  const TlsOptions& tls = options.tls;
  const ProxyOptions& proxy = options.proxy;
  const struct {
    std::string_view text;
    const char* name;
  } members[] = {{options.unix_socket, "unix_socket"},
                 {proxy.url, "ProxyOptions::url"},
                 {proxy.user, "ProxyOptions::user"},
                 {proxy.password.reveal(), "ProxyOptions::password"},
                 {proxy.no_proxy, "ProxyOptions::no_proxy"},
                 {tls.ca_file, "TlsOptions::ca_file"},
                 {tls.ca_path, "TlsOptions::ca_path"},
                 {tls.client_cert_file, "TlsOptions::client_cert_file"},
                 {tls.client_key_file, "TlsOptions::client_key_file"},
                 {tls.client_key_password.reveal(), "TlsOptions::client_key_password"},
                 {tls.pinned_public_key, "TlsOptions::pinned_public_key"}};
  for (const auto& member : members)
    if (has_nul(member.text)) return curl_option_error(std::string(member.name) + " has a NUL byte", "leave it out");
  return std::nullopt;
}

DEEPSEEK_DECL std::optional<Error> check_tls_files(const TlsOptions& tls) {
  const auto missing = [](const std::string& file, const char* name) -> std::optional<Error> {
    if (file.empty() || is_readable_file(file.c_str())) return std::nullopt;
    return curl_option_error(std::string(name) + " cannot be read", "check the path and its permissions");
  };
  if (auto error = missing(tls.ca_file, "TlsOptions::ca_file")) return error;
  if (auto error = missing(tls.client_cert_file, "TlsOptions::client_cert_file")) return error;
  if (auto error = missing(tls.client_key_file, "TlsOptions::client_key_file")) return error;
  if (tls.client_cert_file.empty() != tls.client_key_file.empty())
    return curl_option_error("a client certificate needs its key, and a key its certificate",
                             "set both TlsOptions::client_cert_file and client_key_file");
  return std::nullopt;
}

/// As libcurl's own parser takes it, which quotes what it does not take, with its password.
DEEPSEEK_DECL bool is_proxy_url(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parts(curl_url(), &curl_url_cleanup);
  if (!parts || curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
    return false;
  char* text = nullptr;
  const auto get = [&](CURLUPart part, unsigned flags) {
    const CURLUcode result = curl_url_get(parts.get(), part, &text, flags);
    const std::string value = text ? text : "";
    curl_free(std::exchange(text, nullptr));
    return std::make_pair(result, value);
  };
  const auto [user, user_text] = get(CURLUPART_USER, CURLU_URLDECODE);
  const auto [password, password_text] = get(CURLUPART_PASSWORD, CURLU_URLDECODE);
  const auto [port, port_text] = get(CURLUPART_PORT, 0);
  return (user == CURLUE_OK || user == CURLUE_NO_USER) && (password == CURLUE_OK || password == CURLUE_NO_PASSWORD) &&
         (port == CURLUE_NO_PORT || port_text.find_first_not_of('0') != std::string::npos) && !host_of_url(url).empty();
}

DEEPSEEK_DECL std::optional<Error> check_proxy(const ProxyOptions& proxy) {
  if (!proxy.url.empty() && proxy.from_environment)
    return curl_option_error("ProxyOptions::url and from_environment contradict each other", "set one");
  if (proxy.url.empty() && !proxy.from_environment && !proxy.user.empty())
    return curl_option_error("ProxyOptions::user is set without a proxy", "set ProxyOptions::url");
  if (proxy.url.empty()) return std::nullopt;
  if (has_blank_or_control(proxy.url))
    return curl_option_error("ProxyOptions::url has a blank or a control character", "leave it out");
  bool known = false;
  for (const std::string_view scheme : {"http://", "https://", "socks5://", "socks5h://"})
    known = known || proxy.url.compare(0, scheme.size(), scheme) == 0;
  if (!known)
    return curl_option_error("ProxyOptions::url has a scheme this engine does not know",
                             "use http://, https://, socks5:// or socks5h://");
  if (!is_proxy_url(proxy.url))
    return curl_option_error("ProxyOptions::url has no host, a bad port or a bad user",
                             "use scheme://host:port, with a port from 1 to 65535");
  return std::nullopt;
}

/// One of the addresses behind HOST:PORT: a number, an IPv6 one also in brackets.
inline std::string_view without_brackets(std::string_view address) {
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    return address.substr(1, address.size() - 2);
  return address;
}

DEEPSEEK_DECL std::optional<Error> check_resolve_entry(std::string_view entry) {
  const char* const advice = "use HOST:PORT:ADDRESS[,ADDRESS]..., with a port from 1 to 65535 and numeric addresses";
  const auto malformed = [&] { return curl_option_error("an entry of resolve is not HOST:PORT:ADDRESS", advice); };
  const std::size_t first = entry.find(':');
  const std::size_t second = first == entry.npos ? entry.npos : entry.find(':', first + 1);
  if (second == entry.npos || has_blank_or_control(entry)) return malformed();
  const std::string_view host = entry.substr(0, first);
  const std::string_view port = entry.substr(first + 1, second - first - 1);
  int number = 0;
  const auto [stop, failure] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (failure != std::errc() || stop != port.data() + port.size() || number < 1 || number > 65535) return malformed();
  if (!is_host_name(host) || host.front() == '-') return malformed();  // "-" would take an entry away
  std::string_view rest = entry.substr(second + 1);
  while (true) {
    const std::size_t comma = rest.find(',');
    const std::string_view address = without_brackets(rest.substr(0, comma));
    SocketAddress parsed;
    if (!numeric_address(address, number, parsed)) return malformed();
    if (is_loopback(host) && !is_loopback(address))
      return curl_option_error("an entry of resolve sends a loopback name to another host",
                               "keys may go to loopback in clear text: use another name");
    if (comma == rest.npos) return std::nullopt;
    rest.remove_prefix(comma + 1);
  }
}

DEEPSEEK_DECL bool is_known(HttpVersion version) {
  switch (version) {
    case HttpVersion::automatic:
    case HttpVersion::http1:
    case HttpVersion::http2_prior_knowledge:
      return true;
  }
  return false;
}

DEEPSEEK_DECL std::optional<Error> check_curl_options(const CurlOptions& options) {
  if (auto error = check_nul_bytes(options)) return error;
  if (auto error = check_tls_files(options.tls)) return error;
  if (auto error = check_proxy(options.proxy)) return error;
  SocketAddress parsed;
  if (!options.unix_socket.empty() && !unix_address(options.unix_socket, parsed))
    return curl_option_error("unix_socket is longer than a socket's path can be", "use a shorter path");
  for (const std::string& entry : options.resolve)
    if (auto error = check_resolve_entry(entry)) return error;
  if (!is_known(options.version))
    return curl_option_error("http_version (CurlOptions::version) is no HttpVersion", "use one of its values");
  if (options.read_buffer_bytes != 0 && (options.read_buffer_bytes < 1024 || options.read_buffer_bytes > 524288))
    return curl_option_error("CurlOptions::read_buffer_bytes is outside 1024 ... 524288", "use 0 for automatic");
  return std::nullopt;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
