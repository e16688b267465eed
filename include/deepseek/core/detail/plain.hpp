// Which text may stand in a log or a metric: only such as cannot hold a sentence, a header or a key. Private.
#pragma once
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

constexpr bool is_plain_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_plain_digit(char c) { return c >= '0' && c <= '9'; }

/// A word of this library's own tables: lower-case letters, digits and underscores.
constexpr bool is_plain_word(std::string_view text) {
  if (text.empty() || text.size() > 40) return false;
  for (const char c : text)
    if (!(c >= 'a' && c <= 'z') && !is_plain_digit(c) && c != '_') return false;
  return true;
}

/// A model's name, or a host: letters, digits and . _ - : / + [ ]; but nothing that begins like an API key.
constexpr bool is_plain_name(std::string_view text) {
  if (text.empty() || text.size() > 96 || text.substr(0, 3) == "sk-") return false;
  for (const char c : text)
    if (!is_plain_letter(c) && !is_plain_digit(c) && std::string_view("._-:/+[]").find(c) == std::string_view::npos)
      return false;
  return true;
}

/// An id: hex digits and dashes.
constexpr bool is_plain_id(std::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  for (const char c : text)
    if (!is_plain_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F') && c != '-') return false;
  return true;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
