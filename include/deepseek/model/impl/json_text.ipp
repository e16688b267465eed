#pragma once
#include <deepseek/model/detail/json_text.hpp>

#include <deepseek/model/detail/plain_text.hpp>

#include <simdjson.h>

#include <charconv>
#include <cstring>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// Nearly every byte that is asked about is a mark or a letter: the first comparison tells.
constexpr bool json_space(char c) noexcept {
  return static_cast<unsigned char>(c) <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n');
}
constexpr bool json_digit(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The code unit of the four hex digits at `at`, or -1.
DEEPSEEK_DECL int hex_unit(const char* at, const char* end) noexcept {
  if (end - at < 4) return -1;
  int unit = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_digit(at[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

/// The end of the number that starts at `at` by JSON's grammar, or null.
DEEPSEEK_DECL const char* number_end(const char* at, const char* end) noexcept {
  const auto digits = [&] {
    const char* first = at;
    while (at != end && json_digit(*at)) ++at;
    return at != first;
  };
  if (at != end && *at == '-') ++at;
  if (at != end && *at == '0') {
    ++at;
  } else if (!digits()) {
    return nullptr;
  }
  if (at != end && *at == '.') {
    ++at;
    if (!digits()) return nullptr;
  }
  if (at != end && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != end && (*at == '+' || *at == '-')) ++at;
    if (!digits()) return nullptr;
  }
  return at;
}

/// Replaces what simdjson refuses although it is JSON: numbers (it knows only those a double or a 64-bit
/// integer can hold) and surrogate escapes (it knows only pairs). Lengths do not change.
DEEPSEEK_DECL void blunt_extremes(std::string& text) {
  char* at = text.data();
  char* const end = at + text.size();
  bool in_string = false;
  while (at != end) {
    if (*at == '"') {
      in_string = !in_string;
    } else if (in_string && *at == '\\') {
      if (++at == end) return;
      if (*at == 'u') {
        const int unit = hex_unit(at + 1, end);
        if (unit >= 0xd800 && unit <= 0xdfff) std::memcpy(at + 1, "fffd", 4);
      }
    } else if (!in_string && (*at == '-' || json_digit(*at))) {
      const char* stop = number_end(at, end);
      if (stop == nullptr) return;
      *at++ = '0';
      while (at != stop) *at++ = ' ';
      continue;
    }
    ++at;
  }
}

/// simdjson's reader with its buffers, one per thread: streams need none of their own.
class JsonChecker {
 public:
  JsonChecker() { renew(); }

  simdjson::error_code check(std::string_view text) {
    // simdjson reads beyond the end; `true` makes it copy into its own padded buffer first.
    simdjson::dom::element root;
    const auto error = parser_.parse(text.data(), text.size(), true).get(root);
    if (text.size() > largest_kept) renew();
    return error;
  }

 private:
  static constexpr std::size_t first_capacity = 2048;
  static constexpr std::size_t largest_kept = 1 << 20;

  void renew() {
    parser_ = simdjson::dom::parser();
    const auto no_memory = parser_.allocate(first_capacity, max_json_depth);
    static_cast<void>(no_memory);  // parse() tries again and reports it
  }

  simdjson::dom::parser parser_;
};

DEEPSEEK_DECL const char* json_fault(std::string_view text) {
  if (text.empty()) return "it is empty";  // simdjson would hand a null pointer to memcpy()
  thread_local JsonChecker checker;
  const auto error = checker.check(text);
  if (error == simdjson::SUCCESS) return nullptr;
  if (error == simdjson::NUMBER_ERROR || error == simdjson::STRING_ERROR) {
    std::string blunted(text);
    blunt_extremes(blunted);
    if (checker.check(blunted) == simdjson::SUCCESS) return nullptr;
  }
  return simdjson::error_message(error);
}

DEEPSEEK_DECL bool valid_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

DEEPSEEK_DECL std::string_view json_trim(std::string_view text) {
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  if (text.substr(0, mark.size()) == mark) text.remove_prefix(mark.size());
  while (!text.empty() && json_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && json_space(text.back())) text.remove_suffix(1);
  return text;
}

/// Past the character of several bytes that starts at `at`, or null if it is not one.
DEEPSEEK_DECL const char* skip_wide_character(const char* at, const char* end) noexcept {
  const auto byte = [at](int i) { return static_cast<unsigned char>(at[i]); };
  const auto follows = [&byte](int i) { return (byte(i) & 0xc0) == 0x80; };
  const std::ptrdiff_t left = end - at;
  const unsigned first = byte(0);
  if (first < 0xc2 || left < 2 || !follows(1)) return nullptr;
  if (first < 0xe0) return at + 2;
  if (left < 3 || !follows(2)) return nullptr;
  if (first < 0xf0) {
    const bool overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = first == 0xed && byte(1) >= 0xa0;
    return overlong || surrogate ? nullptr : at + 3;
  }
  if (first > 0xf4 || left < 4 || !follows(3)) return nullptr;
  const bool overlong = first == 0xf0 && byte(1) < 0x90;
  const bool beyond = first == 0xf4 && byte(1) >= 0x90;
  return overlong || beyond ? nullptr : at + 4;
}

/// Past the escape whose backslash is at `at`, or null if it is not one.
DEEPSEEK_DECL const char* skip_escape(const char* at, const char* end) noexcept {
  if (end - at < 2) return nullptr;
  switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
      return at + 2;
    case 'u':
      return hex_unit(at + 2, end) < 0 ? nullptr : at + 6;
    default:
      return nullptr;
  }
}

DEEPSEEK_DECL StringBody classify_string_body(std::string_view body) {
  const char* at = body.data();
  const char* const end = at + body.size();
  auto result = StringBody::literal;
  while ((at = skip_plain(at, end)) != end) {
    if (static_cast<unsigned char>(*at) >= 0x80) {
      at = skip_wide_character(at, end);
    } else if (*at == '\\') {
      at = skip_escape(at, end);
      result = StringBody::escaped;
    } else {
      return StringBody::invalid;
    }
    if (at == nullptr) return StringBody::invalid;
  }
  return result;
}

/// Writes the character in UTF-8; returns the end.
DEEPSEEK_DECL char* put_utf8(char* to, unsigned code) noexcept {
  const auto put = [&to](unsigned byte) { *to++ = static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | (code >> 6));
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3f));
    put(0x80 | ((code >> 6) & 0x3f));
    put(0x80 | (code & 0x3f));
  }
  return to;
}

/// Decodes the \u escape whose digits start at `at`, a pair together; returns the end of what it used.
DEEPSEEK_DECL const char* decode_unicode_escape(const char* at, const char* end, char*& to) noexcept {
  constexpr unsigned replacement = 0xfffd;
  const auto unit = static_cast<unsigned>(hex_unit(at, end));
  at += 4;
  if (unit < 0xd800 || unit > 0xdfff) {
    to = put_utf8(to, unit);
    return at;
  }
  if (unit < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
    const auto low = static_cast<unsigned>(hex_unit(at + 2, end));
    if (low >= 0xdc00 && low <= 0xdfff) {
      to = put_utf8(to, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
      return at + 6;
    }
  }
  to = put_utf8(to, replacement);
  return at;
}

/// What an escape of one letter stands for.
constexpr char unescaped(char letter) noexcept {
  switch (letter) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    default:
      return letter;
  }
}

inline const char* find_escape(const char* at, const char* end) noexcept {
  return at == end ? nullptr : static_cast<const char*>(std::memchr(at, '\\', static_cast<std::size_t>(end - at)));
}

DEEPSEEK_DECL void append_string_body(std::string_view body, std::string& out) {
  const std::size_t before = out.size();
  out.resize(before + body.size());  // no escape is shorter than what it stands for
  char* to = out.data() + before;
  const char* at = body.data();
  const char* const end = at + body.size();
  const auto copy_to = [&](const char* stop) {
    std::memcpy(to, at, static_cast<std::size_t>(stop - at));
    to += stop - at;
  };
  for (const char* escape = find_escape(at, end); escape != nullptr && end - escape >= 2;
       escape = find_escape(at, end)) {
    copy_to(escape);
    at = escape + 2;
    if (escape[1] == 'u')
      at = decode_unicode_escape(at, end, to);
    else
      *to++ = unescaped(escape[1]);
  }
  if (at != end) copy_to(end);
  out.resize(static_cast<std::size_t>(to - out.data()));
}

DEEPSEEK_DECL std::string_view decode_string_body(std::string_view body, std::string& scratch) {
  if (find_escape(body.data(), body.data() + body.size()) == nullptr) return body;
  const std::size_t first = scratch.size();
  append_string_body(body, scratch);
  return std::string_view(scratch).substr(first);
}

/// Past the string whose opening quote is at `at`.
DEEPSEEK_DECL const char* skip_string(const char* at, const char* end) noexcept {
  const char* const first = ++at;
  while (at < end) {
    const auto* quote = static_cast<const char*>(std::memchr(at, '"', static_cast<std::size_t>(end - at)));
    if (quote == nullptr) return end;
    const char* slash = quote;
    while (slash != first && slash[-1] == '\\') --slash;
    at = quote + 1;
    if ((quote - slash) % 2 == 0) return at;
  }
  return end;
}

/// Past the value that starts at `at`. No recursion: the text may nest.
DEEPSEEK_DECL const char* skip_value(const char* at, const char* end) noexcept {
  std::size_t depth = 0;
  while (at < end) {
    switch (*at) {
      case '"':
        at = skip_string(at, end);
        break;
      case '{':
      case '[':
        ++depth;
        ++at;
        continue;
      case '}':
      case ']':
        if (depth == 0) return at;
        --depth;
        ++at;
        break;
      case ',':
      case ':':
      case ' ':
      case '\t':
      case '\r':
      case '\n':
        if (depth == 0) return at;
        ++at;
        continue;
      default:
        while (at < end && !json_space(*at) && *at != ',' && *at != '}' && *at != ']') ++at;
        break;
    }
    if (depth == 0) return at;
  }
  return end;
}

DEEPSEEK_DECL const char* skip_separators(const char* at, const char* end) noexcept {
  while (at < end && (json_space(*at) || *at == ',' || *at == ':')) ++at;
  return at;
}

DEEPSEEK_DECL JsonKind JsonValue::kind() const noexcept {
  if (text_.empty()) return JsonKind::none;
  switch (text_.front()) {
    case '{':
      return JsonKind::object;
    case '[':
      return JsonKind::array;
    case '"':
      return JsonKind::string;
    case 't':
    case 'f':
      return JsonKind::boolean;
    case 'n':
      return JsonKind::null;
    default:
      return JsonKind::number;
  }
}

DEEPSEEK_DECL std::string JsonValue::text() const {
  std::string scratch;
  const std::string_view decoded = decode_string_body(body(), scratch);
  return scratch.empty() ? std::string(decoded) : scratch;
}

DEEPSEEK_DECL bool JsonValue::get(std::int64_t& out) const noexcept {
  if (text_.empty() || !(text_.front() == '-' || json_digit(text_.front()))) return false;
  const char* const end = text_.data() + text_.size();
  constexpr std::size_t surely_fits = 18;
  if (text_.size() <= surely_fits) {
    std::int64_t count = 0;
    const char* at = text_.data();
    while (at != end && json_digit(*at)) count = count * 10 + (*at++ - '0');
    if (at == end) return out = count, true;
  }
  std::int64_t whole = 0;
  const auto integer = std::from_chars(text_.data(), end, whole);
  if (integer.ec == std::errc() && integer.ptr == end) {
    out = whole;
    return true;
  }
  double real = 0;
  const auto fraction = std::from_chars(text_.data(), end, real);
  if (fraction.ec != std::errc() || !(real > -9.2e18 && real < 9.2e18)) return false;
  out = static_cast<std::int64_t>(real);
  return true;
}

DEEPSEEK_DECL JsonMembers::JsonMembers(JsonValue object)
    : at_(object.raw().data()), end_(object.raw().data() + object.raw().size()), node_(object.node()) {
  at_ = object.is_object() ? at_ + 1 : end_;
  if (node_ == nullptr) return;
  last_node_ = object.is_object() ? node_ + node_->span : node_ + 1;
  ++node_;
}

DEEPSEEK_DECL bool JsonMembers::next_node() {
  if (node_ == last_node_) return false;
  const JsonNode* const key = node_;
  raw_key_ = std::string_view(key->first, key->size);
  key_ = raw_key_.substr(1, raw_key_.size() - 2);
  if (key->escaped) {
    decoded_.clear();
    key_ = decode_string_body(key_, decoded_);
  }
  value_ = JsonValue(key + 1);
  node_ = key + 1 + key[1].span;
  return true;
}

DEEPSEEK_DECL bool JsonMembers::scan() {
  at_ = skip_separators(at_, end_);
  if (at_ >= end_ || *at_ != '"') return false;
  const char* key_end = skip_string(at_, end_);
  raw_key_ = std::string_view(at_, static_cast<std::size_t>(key_end - at_));
  decoded_.clear();
  key_ = decode_string_body(JsonValue(raw_key_).body(), decoded_);
  const char* first = skip_separators(key_end, end_);
  at_ = skip_value(first, end_);
  value_ = JsonValue(std::string_view(first, static_cast<std::size_t>(at_ - first)));
  return true;
}

DEEPSEEK_DECL JsonItems::JsonItems(JsonValue array)
    : at_(array.raw().data()), end_(array.raw().data() + array.raw().size()), node_(array.node()) {
  at_ = array.is_array() ? at_ + 1 : end_;
  if (node_ == nullptr) return;
  last_node_ = array.is_array() ? node_ + node_->span : node_ + 1;
  ++node_;
}

DEEPSEEK_DECL bool JsonItems::next_node() {
  if (node_ == last_node_) return false;
  value_ = JsonValue(node_);
  node_ += node_->span;
  return true;
}

DEEPSEEK_DECL bool JsonItems::scan() {
  at_ = skip_separators(at_, end_);
  if (at_ >= end_ || *at_ == ']') return false;
  const char* const first = at_;
  at_ = skip_value(first, end_);
  value_ = JsonValue(std::string_view(first, static_cast<std::size_t>(at_ - first)));
  return true;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
