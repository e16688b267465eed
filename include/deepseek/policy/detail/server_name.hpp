// How metrics and logs name an endpoint. Private.
#pragma once
#include <string>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct Endpoint;

namespace detail {

/// Host and port of a base URL; no user, path or query.
struct ServerName {
  std::string host{};   ///< "other" for what is no http address
  int port = 0;         ///< 0: not given
  std::string label{};  ///< the host, with the port if one is given: the label server_address of metrics
};
ServerName server_name_of(const Endpoint& endpoint);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/observe.ipp>
#endif
