// Keeps a credential out of what servers say. Private.
#pragma once
#include <string>
#include <string_view>

#include <deepseek/core/secret.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What follows the scheme of an Authorization header ("Bearer ", "Basic "). Empty if it is shorter than 8 bytes: no
/// key is, and common words would be hidden with it.
std::string_view credential_in(const Secret& authorization) noexcept;

/// Every place where `text` repeats the credential becomes "***".
void hide_credential(std::string& text, const Secret& authorization);

/// True if `text` repeats the credential, or is a part of it.
bool tells_credential(std::string_view text, const Secret& authorization) noexcept;

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/redact.ipp>
#endif
