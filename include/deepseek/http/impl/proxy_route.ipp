#pragma once
#include <deepseek/core/detail/host.hpp>
#include <deepseek/http/detail/proxy_route.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL bool is_proxy_elsewhere(const ProxyOptions& proxy) {
  return proxy.from_environment || (!proxy.url.empty() && !is_loopback(host_of_url(proxy.url)));
}

DEEPSEEK_DECL bool is_kept_on_this_machine(std::string_view url) {
  return same_word(url.substr(0, 7), "http://") && is_loopback(host_of_url(url));
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
