#pragma once
#include <deepseek/model/detail/json_writer.hpp>

#include <charconv>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL void append_escape(std::string& out, char c) {
  constexpr char digits[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  out += "\\u00";
  out.push_back(digits[(static_cast<unsigned char>(c) >> 4) & 0xf]);
  out.push_back(digits[static_cast<unsigned char>(c) & 0xf]);
}

DEEPSEEK_DECL void append_escaped(std::string& out, std::string_view text) {
  const char* run = text.data();
  const char* const end = run + text.size();
  for (const char* at = run; at != end; ++at) {
    if (static_cast<unsigned char>(*at) >= 0x20 && *at != '"' && *at != '\\') continue;
    out.append(run, at);
    append_escape(out, *at);
    run = at + 1;
  }
  out.append(run, end);
}

DEEPSEEK_DECL void JsonWriter::separate() {
  if (comma_) out_.push_back(',');
  comma_ = true;
}

DEEPSEEK_DECL void JsonWriter::open(char bracket) {
  separate();
  out_.push_back(bracket);
  comma_ = false;
}

DEEPSEEK_DECL void JsonWriter::close(char bracket) {
  out_.push_back(bracket);
  comma_ = true;
}

DEEPSEEK_DECL void JsonWriter::key(std::string_view name) {
  separate();
  out_.push_back('"');
  out_ += name;
  out_ += "\":";
  comma_ = false;
}

DEEPSEEK_DECL void JsonWriter::string(std::string_view text) {
  separate();
  out_.push_back('"');
  append_escaped(out_, text);
  out_.push_back('"');
}

DEEPSEEK_DECL void JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
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
