#pragma once
#include <deepseek/auth/detail/encoding.hpp>

#include <openssl/crypto.h>
#include <openssl/rand.h>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

inline constexpr char base64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
inline constexpr char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

DEEPSEEK_DECL std::string base64_with(const char* alphabet, std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3 + 2);
  unsigned bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = (bits << 8 | static_cast<unsigned char>(c)) & 0xFFFFFFu;
    for (count += 8; count >= 6; count -= 6) out += alphabet[bits >> (count - 6) & 63];
  }
  if (count > 0) out += alphabet[bits << (6 - count) & 63];
  return out;
}

DEEPSEEK_DECL std::string base64url(std::string_view bytes) { return base64_with(base64url_alphabet, bytes); }

DEEPSEEK_DECL std::string base64(std::string_view bytes) {
  std::string out = base64_with(base64_alphabet, bytes);
  while (out.size() % 4 != 0) out += '=';
  return out;
}

DEEPSEEK_DECL int base64url_value(char c) noexcept {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '-') return 62;
  return c == '_' ? 63 : -1;
}

DEEPSEEK_DECL std::optional<std::string> from_base64url(std::string_view text) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = base64url_value(c);
    if (value < 0) return std::nullopt;
    bits = (bits << 6 | static_cast<unsigned>(value)) & 0xFFFFu;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xFF);
  }
  if ((bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return out;
}

DEEPSEEK_DECL void append_form(std::string& out, std::string_view text) {
  constexpr char hex[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '*';
    if (plain)
      out += c;
    else if (c == ' ')
      out += '+';
    else
      (out += '%', out += hex[byte >> 4], out += hex[byte & 15]);
  }
}

DEEPSEEK_DECL void append_form(std::string& out, std::string_view name, std::string_view value) {
  if (!out.empty()) out += '&';
  append_form(out, name);
  out += '=';
  append_form(out, value);
}

DEEPSEEK_DECL std::string random_text(std::size_t bytes) {
  std::string raw(bytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(raw.data()), static_cast<int>(raw.size())) != 1) return {};
  return base64url(raw);
}

DEEPSEEK_DECL void wipe(std::string& text) noexcept {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
