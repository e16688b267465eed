// Finds the bytes of a text that JSON treats specially, several at a time. Private.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

template <class Word>
std::uint64_t load(const char* at) noexcept {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

inline constexpr std::uint64_t high_bits = 0x8080808080808080u;

/// Has the high bit of each byte that is a control character, a quote or a backslash. A byte above such a one may
/// be marked in error, the lowest never is. Bytes beyond ASCII are marked at random, and the other bits too.
inline std::uint64_t mark_special(std::uint64_t bytes) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101u;
  const std::uint64_t quote = bytes ^ (ones * '"');
  const std::uint64_t slash = bytes ^ (ones * '\\');
  // A byte with its high bit clear has it set after the subtraction only if it was too small.
  return (bytes - ones * 0x20) | (quote - ones) | (slash - ones);
}

/// What must be escaped. Zero: none of the eight.
inline std::uint64_t mark_escapes(std::uint64_t bytes) noexcept { return mark_special(bytes) & ~bytes & high_bits; }

/// That and what lies beyond ASCII. Zero: all eight are plain.
inline std::uint64_t mark_unplain(std::uint64_t bytes) noexcept { return (mark_special(bytes) | bytes) & high_bits; }

constexpr bool is_plain(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

/// The first byte that is not plain ASCII: a control character, a quote, a backslash or beyond ASCII. Or `end`.
inline const char* skip_plain(const char* at, const char* end) noexcept {
  while (end - at >= 8 && mark_unplain(load<std::uint64_t>(at)) == 0) at += 8;
  while (at != end && is_plain(*at)) ++at;
  return at;
}

constexpr bool must_escape(char c) noexcept { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; }

inline constexpr std::ptrdiff_t block_bytes = 32;

/// Whether one of the bytes of a block must be escaped. Two lanes of 16 without a branch: compilers make vector
/// instructions of it, of a plain loop over all 32 worse ones.
inline bool block_has_escape(const char* at) noexcept {
  const auto mark = [at](std::ptrdiff_t i) { return static_cast<unsigned>(must_escape(at[i])); };
  constexpr std::ptrdiff_t lane = block_bytes / 2;
  unsigned char found[lane];
  for (std::ptrdiff_t i = 0; i < lane; ++i) found[i] = static_cast<unsigned char>(mark(i) | mark(i + lane));
  std::uint64_t halves[2];
  std::memcpy(halves, found, sizeof halves);
  return (halves[0] | halves[1]) != 0;
}

/// The first control character, quote or backslash, or `end`.
inline const char* skip_unescaped(const char* at, const char* end) noexcept {
  // Most strings are short, so the first word is looked at alone.
  while (end - at >= 8 && mark_escapes(load<std::uint64_t>(at)) == 0) {
    at += 8;
    while (end - at >= block_bytes && !block_has_escape(at)) at += block_bytes;
  }
  while (at != end && !must_escape(*at)) ++at;
  return at;
}

/// True if skip_plain() finds nothing: nearly every piece of a stream is such text. Reads nothing beyond it.
inline bool is_plain_ascii(std::string_view text) noexcept {
  const char* at = text.data();
  const std::size_t size = text.size();
  const char* const end = at + size;
  if (size >= 8) {
    for (; end - at > 8; at += 8)
      if (mark_unplain(load<std::uint64_t>(at)) != 0) return false;
    return mark_unplain(load<std::uint64_t>(end - 8)) == 0;
  }
  if (size >= 4) return mark_unplain(load<std::uint32_t>(at) | load<std::uint32_t>(end - 4) << 32) == 0;
  if (size == 0) return true;
  constexpr std::uint64_t harmless = 0x6161616161000000u;
  return mark_unplain(harmless | load<std::uint8_t>(at) | load<std::uint8_t>(at + size / 2) << 8 |
                      load<std::uint8_t>(end - 1) << 16) == 0;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
