#pragma once
#include <deepseek/http/detail/chunked.hpp>

#include <algorithm>
#include <cstring>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The value of a hex digit, else 16.
constexpr unsigned char hex_value(unsigned c) noexcept {
  if (c - '0' < 10u) return static_cast<unsigned char>(c - '0');
  if ((c | 0x20u) - 'a' < 6u) return static_cast<unsigned char>((c | 0x20u) - 'a' + 10);
  return 16;
}

struct HexTable {
  unsigned char values[256] = {};
  constexpr HexTable() noexcept {
    for (unsigned c = 0; c < 256; ++c) values[c] = hex_value(c);
  }
  constexpr unsigned operator[](char c) const noexcept { return values[static_cast<unsigned char>(c)]; }
};
inline constexpr HexTable hex_digits;

DEEPSEEK_DECL void ChunkedReader::take_size(char c) {
  if (const unsigned digit = hex_digits[c]; digit < 16) {
    has_digit_ = true;
    if (left_ >> 59 != 0) state_ = State::fault;  // no body is that long
    left_ = left_ << 4 | digit;
    return;
  }
  if (!has_digit_) {
    state_ = State::fault;
  } else if (c != '\n') {
    state_ = State::extension;  // also the CR before the line end
  } else {
    state_ = left_ == 0 ? State::trailer : State::data;
  }
}

/// The payload of a chunk that begins at `at` and lies whole before `end`, and where the next one begins;
/// null if it is the last one, has an extension, or is anything but plain.
inline const char* plain_chunk(const char* at, const char* end, std::string_view& payload) noexcept {
  if (end - at < 12) return nullptr;
  std::size_t size = 0;
  const char* const last_digit = at + 7;
  for (unsigned digit = 0; at != last_digit && (digit = hex_digits[*at]) < 16; ++at) size = size << 4 | digit;
  if (size == 0 || static_cast<std::size_t>(end - at) < size + 4 || at[0] != '\r' || at[1] != '\n') return nullptr;
  payload = {at + 2, size};
  at += 2 + size;
  return at[0] == '\r' && at[1] == '\n' ? at + 2 : nullptr;
}

/// Joins pieces in `scratch`, which is at least as large as the block they lie in; a lone piece stays where it is.
struct ChunkJoin {
  std::string_view first = {};
  std::size_t used = 0;  // of scratch, once there is a second piece

  void add(std::string_view piece, std::string& scratch) {
    if (first.empty()) {
      first = piece;
      return;
    }
    if (used == 0) std::memcpy(scratch.data(), first.data(), used = first.size());
    std::memcpy(scratch.data() + used, piece.data(), piece.size());
    used += piece.size();
  }
};

DEEPSEEK_DECL void ChunkedReader::take_trailer(char c) {
  constexpr std::uint64_t longest = 64 * 1024;
  if (c == '\n')
    state_ = state_ == State::trailer ? State::done : State::trailer;
  else if (++left_ > longest)
    state_ = State::fault;
  else if (c != '\r')
    state_ = State::trailer_line;
}

DEEPSEEK_DECL std::string_view ChunkedReader::feed(std::string_view& block, std::string& scratch) {
  if (scratch.size() < block.size()) scratch.resize(block.size());
  ChunkJoin body;
  const char* at = block.data();
  const char* const end = at + block.size();
  while (at != end && state_ != State::done && state_ != State::fault) {
    switch (state_) {
      case State::size:
        if (!has_digit_) {
          std::string_view payload;
          while (const char* const next = plain_chunk(at, end, payload)) {
            body.add(payload, scratch);
            at = next;
          }
          if (at == end) break;
        }
        take_size(*at++);
        break;
      case State::extension:
        if (*at++ == '\n') state_ = left_ == 0 ? State::trailer : State::data;
        break;
      case State::data: {
        const auto count =
            static_cast<std::size_t>(std::min<std::uint64_t>(left_, static_cast<std::uint64_t>(end - at)));
        body.add({at, count}, scratch);
        at += count;
        left_ -= count;
        if (left_ == 0) state_ = State::data_end;
        break;
      }
      case State::data_end:
        if (*at == '\n') {
          state_ = State::size;
          has_digit_ = false;
        } else if (*at != '\r') {
          state_ = State::fault;
        }
        ++at;
        break;
      case State::trailer:
      case State::trailer_line:
        take_trailer(*at++);
        break;
      case State::done:
      case State::fault:
        break;
    }
  }
  block.remove_prefix(static_cast<std::size_t>(at - block.data()));
  return body.used > 0 ? std::string_view(scratch).substr(0, body.used) : body.first;
}

DEEPSEEK_DECL bool is_coding(std::string_view given, std::string_view word) noexcept {
  return std::equal(given.begin(), given.end(), word.begin(), word.end(),
                    [](char a, char b) { return (a | 0x20) == b; });
}

DEEPSEEK_DECL Framing framing_of(std::string_view codings) noexcept {
  Framing result = Framing::plain;
  while (!codings.empty()) {
    const std::size_t comma = std::min(codings.find(','), codings.size());
    std::string_view coding = codings.substr(0, comma);
    codings.remove_prefix(std::min(comma + 1, codings.size()));
    const auto blank = [](char c) { return c == ' ' || c == '\t'; };
    while (!coding.empty() && blank(coding.front())) coding.remove_prefix(1);
    while (!coding.empty() && blank(coding.back())) coding.remove_suffix(1);
    if (coding.empty() || is_coding(coding, "identity")) continue;
    if (!is_coding(coding, "chunked") || result != Framing::plain) return Framing::unknown;
    result = Framing::chunked;
  }
  return result;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
