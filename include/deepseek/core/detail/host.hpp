// Names of hosts: what they look like and which of them are this machine. Pure functions. Private.
#pragma once
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Compares ASCII letters without case; `lower` has none in upper case.
bool same_word(std::string_view a, std::string_view lower) noexcept;
/// Letters, digits, '-', '.', '_': what DNS and host files know.
bool is_host_name(std::string_view host) noexcept;
/// True if traffic to `host` cannot leave this machine: localhost, 127.0.0.0/8, ::1.
bool is_loopback(std::string_view host) noexcept;
/// What stands between the scheme and the path, user and password left out: host[:port].
std::string_view authority_of_url(std::string_view url) noexcept;
/// The host of scheme://[user@]host[:port][/...], without the brackets of an IPv6 address. Empty: there is none.
std::string_view host_of_url(std::string_view url) noexcept;

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/host.ipp>
#endif
