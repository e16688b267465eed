// Encodings of tokens and of the token endpoint. Pure functions. Private.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Without padding.
std::string base64url(std::string_view bytes);
/// Nothing for padding, for a character outside the alphabet, and for spare bits that are not zero: each byte
/// string has one text only.
std::optional<std::string> from_base64url(std::string_view text);
/// With padding, as Basic authentication has it.
std::string base64(std::string_view bytes);

/// Appends `text` in application/x-www-form-urlencoded.
void append_form(std::string& out, std::string_view text);
/// Appends `name=value`, after an `&` unless it is the first.
void append_form(std::string& out, std::string_view name, std::string_view value);

/// `bytes` random bytes in base64url. Empty if the system has none to give.
std::string random_text(std::size_t bytes);

/// Overwrites and empties.
void wipe(std::string& text) noexcept;

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/auth/impl/encoding.ipp>
#endif
