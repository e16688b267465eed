#pragma once
#include <charconv>

#include <deepseek/core/detail/host.hpp>
#include <deepseek/transport/detail/url.hpp>
#include <deepseek/transport/endpoint.hpp>
#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

inline char url_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
inline bool url_is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool url_is_hex(char c) { return url_is_digit(c) || (url_lower(c) >= 'a' && url_lower(c) <= 'f'); }

inline bool url_ends_with(std::string_view text, std::string_view tail) {
  return text.size() >= tail.size() && text.substr(text.size() - tail.size()) == tail;
}

inline std::string_view url_without(std::string_view text, std::string_view tail) {
  if (url_ends_with(text, tail)) text.remove_suffix(tail.size());
  return text;
}

inline Error url_error(const char* what) {
  return Error(ErrorCode::invalid_options, std::string("base URL: ") + what, "use http(s)://host[:port][/path]");
}

DEEPSEEK_DECL bool url_valid_ipv6(std::string_view host) {
  const std::size_t zone = host.find('%');
  if (zone != std::string_view::npos && zone + 1 == host.size()) return false;
  int colons = 0;
  for (std::size_t i = 0; i < host.size(); ++i) {
    const char c = host[i];
    if (i >= zone ? c != '%' && !is_host_name({&c, 1}) && c != '.' : !url_is_hex(c) && c != ':' && c != '.')
      return false;
    if (i < zone && c == ':') ++colons;
  }
  return colons >= 2;
}

DEEPSEEK_DECL Result<BaseUrl> parse_base_url(std::string_view text) {
  if (text.empty()) return url_error("it is empty");
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7F) return url_error("it contains a blank or a control character");
    if (c == '?' || c == '#') return url_error("it has a query or a fragment");
  }
  BaseUrl base;
  std::size_t start = 0;
  if (same_word(text.substr(0, 8), "https://")) {
    start = 8;
    base.https = true;
  } else if (same_word(text.substr(0, 7), "http://")) {
    start = 7;
  } else {
    return url_error("it does not begin with http:// or https://");
  }
  while (text.size() > start && text.back() == '/') text.remove_suffix(1);
  base.text = text;
  std::string_view authority = text.substr(start);
  if (const std::size_t slash = authority.find('/'); slash != std::string_view::npos) {
    base.path = authority.substr(slash);
    authority = authority.substr(0, slash);
  }
  if (authority.find('@') != std::string_view::npos) return url_error("it has a user name or password");
  std::string_view port;
  bool has_port = false;
  if (!authority.empty() && authority.front() == '[') {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return url_error("a bracket is not closed");
    base.host = authority.substr(1, close - 1);
    std::string_view rest = authority.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return url_error("there is text between the address and its port");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
    if (!url_valid_ipv6(base.host)) return url_error("the address in brackets is not an IPv6 address");
  } else {
    const std::size_t colon = authority.find(':');
    base.host = authority.substr(0, colon);
    has_port = colon != std::string_view::npos;
    if (has_port) port = authority.substr(colon + 1);
    if (!is_host_name(base.host)) return url_error("the host name is missing or has unusual characters");
  }
  if (has_port) {
    const auto [stop, failure] = std::from_chars(port.data(), port.data() + port.size(), base.port);
    if (failure != std::errc() || stop != port.data() + port.size() || base.port < 1 || base.port > 65535)
      return url_error("the port is not a number from 1 to 65535");
  }
  return base;
}

DEEPSEEK_DECL bool url_names_deepseek(const BaseUrl& base) {
  return same_word(url_without(base.host, "."), "api.deepseek.com");
}

DEEPSEEK_DECL bool is_deepseek(const BaseUrl& base, std::optional<bool> said) {
  if (said) return *said;
  return url_names_deepseek(base) || url_ends_with(base.path, "/beta");
}

DEEPSEEK_DECL bool is_deepseek_host(std::string_view base_url) {
  const Result<BaseUrl> base = parse_base_url(base_url);
  return base && url_names_deepseek(*base);
}

DEEPSEEK_DECL std::optional<Error> check_http_endpoint(const Endpoint& endpoint) {
  if (const Result<BaseUrl> base = parse_base_url(endpoint.base_url); !base) return base.error();
  return std::nullopt;
}

DEEPSEEK_DECL bool is_confidential_http(const Endpoint& endpoint) {
  const Result<BaseUrl> base = parse_base_url(endpoint.base_url);
  return base && (base->https || is_loopback(base->host));
}

DEEPSEEK_DECL Result<std::string> compose_url(std::string_view base_url, std::optional<bool> deepseek,
                                              const Operation& operation) {
  const Result<BaseUrl> parsed = parse_base_url(base_url);
  if (!parsed) return parsed.error();
  const bool knows_beta = is_deepseek(*parsed, deepseek);
  if (operation.base == Operation::Base::beta_only && !knows_beta)
    return Error(ErrorCode::unsupported, "this endpoint has no /beta, which the request needs",
                 "use https://api.deepseek.com, or set Endpoint::deepseek if this server has a /beta");
  std::string_view base = parsed->text;
  std::string_view beta;
  switch (operation.base) {
    case Operation::Base::plain:
      break;
    case Operation::Base::beta_if_deepseek:
    case Operation::Base::beta_only:
      if (!knows_beta || url_ends_with(parsed->path, "/beta")) break;
      if (url_ends_with(parsed->path, "/v1")) base = url_without(base, "/v1");
      beta = "/beta";
      break;
    case Operation::Base::host_root:
      if (url_ends_with(parsed->path, "/v1"))
        base = url_without(base, "/v1");
      else if (url_ends_with(parsed->path, "/beta"))
        base = url_without(base, "/beta");
      break;
  }
  std::string url;
  url.reserve(base.size() + beta.size() + operation.path.size());
  url.append(base).append(beta).append(operation.path);
  return url;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
