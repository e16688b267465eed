#pragma once
#include <deepseek/core/detail/host.hpp>

#include <charconv>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

inline char host_lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

DEEPSEEK_DECL bool same_word(std::string_view a, std::string_view lower) noexcept {
  if (a.size() != lower.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (host_lower(a[i]) != lower[i]) return false;
  return true;
}

DEEPSEEK_DECL bool is_host_name(std::string_view host) noexcept {
  if (host.empty() || host.front() == '.' || host.size() > 254) return false;
  for (const char c : host) {
    const bool plain = (c >= '0' && c <= '9') || (host_lower(c) >= 'a' && host_lower(c) <= 'z');
    if (!plain && c != '-' && c != '.' && c != '_') return false;
  }
  return true;
}

/// Four decimal numbers, the first of them 127. A name that merely begins so is not an address.
DEEPSEEK_DECL bool is_loopback_ipv4(std::string_view host) noexcept {
  int parts = 0;
  while (true) {
    const std::size_t dot = host.find('.');
    const std::string_view part = host.substr(0, dot);
    int number = -1;
    const auto [stop, failure] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (part.empty() || part.size() > 3 || failure != std::errc() || stop != part.data() + part.size()) return false;
    if (number < 0 || number > 255 || (parts == 0 && number != 127)) return false;
    ++parts;
    if (dot == std::string_view::npos) return parts == 4;
    host.remove_prefix(dot + 1);
  }
}

DEEPSEEK_DECL bool is_loopback(std::string_view host) noexcept {
  if (host == "::1" || host == "0:0:0:0:0:0:0:1") return true;
  if (is_loopback_ipv4(host)) return true;
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (same_word(host, "localhost")) return true;
  constexpr std::string_view tail = ".localhost";  // RFC 6761: never resolved to elsewhere
  return host.size() > tail.size() && same_word(host.substr(host.size() - tail.size()), tail);
}

DEEPSEEK_DECL std::string_view authority_of_url(std::string_view url) noexcept {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  std::string_view authority = url.substr(scheme + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  return authority;
}

DEEPSEEK_DECL std::string_view host_of_url(std::string_view url) noexcept {
  const std::string_view host = authority_of_url(url);
  if (host.empty() || host.front() != '[') return host.substr(0, host.find(':'));
  return host.substr(1, host.find(']') - 1);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
