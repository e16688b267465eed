// Which requests keep away from a proxy, whatever it is. Private.
#pragma once
#include <string_view>

#include <deepseek/http/curl.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// True if the proxy may be on another host: where the environment decides, nobody knows.
bool is_proxy_elsewhere(const ProxyOptions& proxy);

/// True if `url` must be reached without a proxy on another host: cleartext to loopback counts as confidential,
/// because it does not leave this machine.
bool is_kept_on_this_machine(std::string_view url);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/proxy_route.ipp>
#endif
