#pragma once
#include <deepseek/model/detail/json_index.hpp>

#include <deepseek/model/detail/plain_text.hpp>
#include <deepseek/model/impl/json_text.ipp>

#include <limits>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// What is read here ends with a bracket. So a string, a number or a comma is never the last byte, and what comes
// after one may be looked at; only what closes a bracket may stand at the end.

inline const char* skip_space(const char* at) noexcept {
  while (json_space(*at)) ++at;
  return at;
}

/// Past `word`, or null if it does not stand at `at`.
template <std::size_t size>
const char* skip_word(const char* at, const char* end, const char (&word)[size]) noexcept {
  const bool there = end - at >= static_cast<std::ptrdiff_t>(size - 1) && std::memcmp(at, word, size - 1) == 0;
  return there ? at + (size - 1) : nullptr;
}

inline const char* skip_scalar(const char* at, const char* end) noexcept {
  switch (*at) {
    case 'n':
      return skip_word(at, end, "null");
    case 't':
      return skip_word(at, end, "true");
    case 'f':
      return skip_word(at, end, "false");
    default:
      return number_end(at, end);
  }
}

/// Past the string whose first escape is at `at`; null if it is not one.
inline const char* skip_escaped_rest(const char* at, const char* end) noexcept {
  while (at != end && *at == '\\') {
    at = skip_escape(at, end);
    if (at == nullptr) return nullptr;
    at = skip_unescaped(at, end);
  }
  return at != end && *at == '"' ? at + 1 : nullptr;
}

/// Makes the node of the string whose opening quote is at `first`; returns what comes after it, or null.
inline const char* index_string(const char* first, const char* end, JsonNode& node) noexcept {
  const char* at = skip_unescaped(first + 1, end);
  const bool escaped = at != end && *at != '"';
  at = escaped ? skip_escaped_rest(at, end) : at + 1;
  if (at == nullptr || at > end) return nullptr;
  node = {first, static_cast<std::uint32_t>(at - first), 1, escaped};
  return at;
}

inline const char* index_scalar(const char* first, const char* end, JsonNode& node) noexcept {
  const char* const at = skip_scalar(first, end);
  if (at != nullptr) node = {first, static_cast<std::uint32_t>(at - first), 1, 0};
  return at;
}

/// The key that stands at `at` and its colon; returns where its value starts, or null.
inline const char* index_key(const char* at, const char* end, JsonNode& node) noexcept {
  if (json_space(*at)) at = skip_space(at);
  if (*at != '"') return nullptr;
  at = index_string(at, end, node);
  if (at == nullptr) return nullptr;
  if (*at != ':') at = skip_space(at);
  return *at == ':' ? at + 1 : nullptr;
}

// One function, for its state to stay in registers. While a container is open, its node's `size` is the place of
// the one around it. Space is skipped only where something else was expected: compact text has none.
DEEPSEEK_DECL bool JsonIndex::read(std::string_view text) noexcept {
  if (text.size() < 2 || text.size() > std::numeric_limits<std::uint32_t>::max()) return false;
  const char last = text.front() == '{' ? '}' : ']';
  if ((text.front() != '{' && text.front() != '[') || text.back() != last || !valid_utf8(text)) return false;
  const char* at = text.data();
  const char* const end = at + text.size();
  JsonNode* next = nodes_;
  JsonNode* open = nodes_;
  char close = last;
  for (std::size_t depth = 0;;) {
    // A value starts here: there must be room for it, and for a key after it.
    if (next + 2 > nodes_ + room) return false;
    if (json_space(*at)) at = skip_space(at);
    JsonNode& node = *next++;
    if (*at == '"') {
      at = index_string(at, end, node);
    } else if (*at == '{' || *at == '[') {
      if (++depth > max_depth) return false;
      node = {at, static_cast<std::uint32_t>(open - nodes_), 1, 0};
      open = &node;
      close = *at++ == '{' ? '}' : ']';
    } else {
      at = index_scalar(at, end, node);
    }
    if (at == nullptr) return false;

    const bool first = open + 1 == next;
    for (;;) {
      if (json_space(*at)) at = skip_space(at);
      if (*at != close) break;
      const std::uint32_t around = open->size;
      open->size = static_cast<std::uint32_t>(++at - open->first);
      open->span = static_cast<std::uint16_t>(next - open);
      if (--depth == 0) return at == end;
      if (at == end) return false;
      open = nodes_ + around;
      close = *open->first == '{' ? '}' : ']';
    }
    // Unless a container was opened just now and not closed, a comma separates.
    if (!first || open + 1 != next) {
      if (*at++ != ',') return false;
    }
    if (close != '}') continue;
    at = index_key(at, end, *next++);
    if (at == nullptr) return false;
  }
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
