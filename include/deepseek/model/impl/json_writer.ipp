#pragma once
#include <deepseek/model/detail/json_writer.hpp>

#include <deepseek/model/detail/plain_text.hpp>

#include <algorithm>
#include <charconv>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

template <class Text>
void append_escape(Text& out, char c) {
  constexpr char digits[] = "0123456789abcdef";
  constexpr std::string_view letters = "btnvfr";  // of the bytes from 8; JSON has no letter for \v
  const auto byte = static_cast<unsigned char>(c);
  out.push_back('\\');
  if (c == '"' || c == '\\') return out.push_back(c);
  if (byte >= 8 && byte - 8u < letters.size() && c != '\v') return out.push_back(letters[byte - 8u]);
  for (const char each : {'u', '0', '0', digits[(byte >> 4) & 0xf], digits[byte & 0xf]}) out.push_back(each);
}

template <class Text>
void append_escaped_to(Text& out, std::string_view text) {
  const char* run = text.data();
  const char* const end = run + text.size();
  for (const char* at = skip_unescaped(run, end); at != end; at = skip_unescaped(run, end)) {
    out.append(run, at);
    append_escape(out, *at);
    run = at + 1;
  }
  out.append(run, end);
}

DEEPSEEK_DECL void append_escaped(std::string& out, std::string_view text) { append_escaped_to(out, text); }

DEEPSEEK_DECL void JsonWriter::move_to(std::size_t capacity) {
  std::unique_ptr<char[]> larger(new char[capacity]);
  std::memcpy(larger.get(), at_, size_);
  larger_ = std::move(larger);
  at_ = larger_.get();
  capacity_ = capacity;
}

DEEPSEEK_DECL void JsonWriter::grow(std::size_t bytes) { move_to(std::max(size_ + bytes, 2 * capacity_)); }

DEEPSEEK_DECL void JsonWriter::open(char bracket) {
  separate();
  push_back(bracket);
  comma_ = false;
}

DEEPSEEK_DECL void JsonWriter::close(char bracket) {
  push_back(bracket);
  comma_ = true;
}

DEEPSEEK_DECL void JsonWriter::key(std::string_view name) {
  separate();
  push_back('"');
  append(name);
  append("\":");
  comma_ = false;
}

DEEPSEEK_DECL void JsonWriter::string(std::string_view text) {
  separate();
  push_back('"');
  append_escaped_to(*this, text);
  push_back('"');
}

DEEPSEEK_DECL void JsonWriter::plain_string(std::string_view text) {
  separate();
  push_back('"');
  append(text);
  push_back('"');
}

DEEPSEEK_DECL void JsonWriter::raw(std::string_view json) {
  separate();
  append(json);
}

DEEPSEEK_DECL void JsonWriter::integer(std::int64_t value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  raw(std::string_view(digits, static_cast<std::size_t>(end - digits)));
}

DEEPSEEK_DECL void JsonWriter::number(double value) {
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  raw(std::string_view(digits, static_cast<std::size_t>(end - digits)));
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
