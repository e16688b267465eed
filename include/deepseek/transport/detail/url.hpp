// Addresses: base URLs and where an operation goes. Pure functions. Private.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/core/detail/host.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct Endpoint;
struct Operation;  // transport.hpp itself stands on this header where bodies are inline

namespace detail {

/// A checked base URL. The views point into the text it was made from.
struct BaseUrl {
  std::string_view text{};  ///< the whole, without trailing slashes
  std::string_view host{};  ///< without the brackets of an IPv6 address
  std::string_view path{};  ///< "" or "/..." without trailing slashes, byte for byte
  int port = 0;             ///< 0: the scheme's own
  bool https = false;
};

/// Takes http(s)://host[:port][/path]. Fails with invalid_options, without quoting the text: it may hold
/// a password.
Result<BaseUrl> parse_base_url(std::string_view text);

/// True if the endpoint speaks DeepSeek's dialect: what `said` says, else by host or a final /beta.
bool is_deepseek(const BaseUrl& base, std::optional<bool> said);

/// True for api.deepseek.com itself, which needs a key. False for what is no base URL.
bool is_deepseek_host(std::string_view base_url);

/// The address of `operation` below a base URL. `deepseek` as in Endpoint. Fails with invalid_options, or
/// with unsupported where only /beta could do it.
Result<std::string> compose_url(std::string_view base_url, std::optional<bool> deepseek, const Operation& operation);

/// Transport::check() and Transport::confidential() of what speaks HTTP.
std::optional<Error> check_http_endpoint(const Endpoint& endpoint);
bool is_confidential_http(const Endpoint& endpoint);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/transport/impl/url.ipp>
#endif
