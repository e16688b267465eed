#pragma once
#include <deepseek/policy/detail/usage.hpp>

#include <algorithm>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL std::optional<TokenUsage> told_usage(const Call& call) noexcept {
  if (!call.facts.usage.told()) return std::nullopt;
  constexpr std::uint64_t most = 1'000'000'000;
  TokenUsage usage = call.facts.usage;
  usage.prompt = std::min(usage.prompt, most);
  usage.cached_prompt = std::min(usage.cached_prompt, usage.prompt);
  usage.completion = std::min(usage.completion, most);
  usage.reasoning = std::min(usage.reasoning, usage.completion);
  return usage;
}

DEEPSEEK_DECL bool used_nothing(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::dns_failed:
    case ErrorCode::connect_failed:
    case ErrorCode::tls_failed:
    case ErrorCode::proxy_failed:
    case ErrorCode::timeout_dns:
    case ErrorCode::timeout_connect:
    case ErrorCode::timeout_tls:
      return true;
    default:
      return error.outcome() == Outcome::refused || error.outcome() == Outcome::http_error;
  }
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
