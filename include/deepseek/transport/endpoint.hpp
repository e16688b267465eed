// Endpoint: a server and how to prove who asks.
#pragma once
#include <optional>
#include <string>

#include <deepseek/core/credential.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// A server that a client may use.
struct Endpoint {
  std::string base_url{};  ///< http(s)://host[:port][/path]; trailing slashes are dropped
  Credential credential{};
  /// Speaks DeepSeek's dialect (has /beta). Unset: true for host api.deepseek.com and for a base that
  /// ends in /beta.
  std::optional<bool> deepseek{};
  bool allow_plain_http = false;  ///< let the credential travel over http:// to a host that is not loopback
  double weight = 0;              ///< share of the calls; 0 everywhere: endpoints are asked in their order
  std::string region{};           ///< where it is, for FailoverOptions; empty: nobody says
  std::string zone{};
};

DEEPSEEK_END_NAMESPACE
