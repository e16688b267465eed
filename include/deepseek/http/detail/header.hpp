// Header names and values. Private.
#pragma once
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Compares ASCII letters without case.
bool same_header_name(std::string_view a, std::string_view b) noexcept;
/// Drops blanks and a CR from both ends.
std::string_view without_header_blanks(std::string_view text) noexcept;

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/engine.ipp>
#endif
