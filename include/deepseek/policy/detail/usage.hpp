// What an attempt used, as far as is known. Private.
#pragma once
#include <cstdint>
#include <optional>

#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What the reply said, within reason: a server's numbers are not trusted to be sane. Nothing: it did not say.
std::optional<TokenUsage> told_usage(const Call& call) noexcept;

/// True if an attempt that ended with `error` cannot have used any tokens: it never reached the service, or was
/// refused there.
bool used_nothing(const Error& error) noexcept;

}  // namespace detail
DEEPSEEK_END_NAMESPACE
