#pragma once
#include <deepseek/model/detail/codec.hpp>
#include <deepseek/model/detail/service_error.hpp>

#include <algorithm>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

inline constexpr std::size_t quoted_message_limit = 500;
inline constexpr std::size_t quoted_word_limit = 100;
inline constexpr std::size_t quoted_excerpt_limit = 200;

constexpr bool key_char(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
         c == '.' || c == '+' || c == '/' || c == '=' || c == '~';
}

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

/// `word` is in lower case.
DEEPSEEK_DECL bool starts_with_word(std::string_view text, std::string_view word) noexcept {
  if (text.size() < word.size()) return false;
  return std::equal(word.begin(), word.end(), text.begin(), [](char a, char b) { return a == lower(b); });
}

DEEPSEEK_DECL bool contains_word(std::string_view text, std::string_view word) noexcept {
  for (std::size_t i = 0; i + word.size() <= text.size(); ++i)
    if (starts_with_word(text.substr(i), word)) return true;
  return false;
}

/// How many bytes of `text` look like a credential: "sk-...", or what follows "Bearer ".
DEEPSEEK_DECL std::size_t credential_length(std::string_view text, std::size_t marker) noexcept {
  std::size_t length = marker;
  while (length < text.size() && key_char(text[length])) ++length;
  constexpr std::size_t shortest = 6;
  return length - marker >= shortest ? length : 0;
}

DEEPSEEK_DECL std::string without_credentials(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::size_t marker = 0;
    for (const std::string_view word :
         {std::string_view("sk-"), std::string_view("bearer "), std::string_view("basic ")})
      if (starts_with_word(text, word)) marker = word.size();
    const std::size_t length = marker != 0 ? credential_length(text, marker) : 0;
    if (length == 0) {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    out.append(text.data(), marker).append("***");
    text.remove_prefix(length);
  }
  return out;
}

/// Cuts at the end of a character.
DEEPSEEK_DECL void shorten(std::string& text, std::size_t limit) {
  constexpr std::string_view mark = "...";
  if (text.size() <= limit) return;
  std::size_t length = limit - mark.size();
  while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) --length;
  text.resize(length);
  text += mark;
}

DEEPSEEK_DECL std::string quotable(std::string_view text, std::size_t limit) {
  const bool utf8 = valid_utf8(text);
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f) {
      if (!line.empty() && line.back() != ' ') line += ' ';
    } else {
      line += byte < 0x80 || utf8 ? c : '?';
    }
    if (line.size() > 8 * limit && byte < 0x80) break;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  line = without_credentials(line);
  shorten(line, limit);
  return line;
}

/// The words of a page, without its marks.
DEEPSEEK_DECL std::string without_tags(std::string_view page) {
  std::string text;
  bool in_tag = false;
  for (const char c : page) {
    if (c == '<') {
      in_tag = true;
      text += ' ';
    } else if (c == '>' && in_tag) {
      in_tag = false;
    } else if (!in_tag) {
      text += c;
    }
    if (text.size() > 8 * quoted_excerpt_limit && c == '>') break;
  }
  return text;
}

/// A word of an error object: a string, or a number as it stands.
DEEPSEEK_DECL std::string word_of(JsonValue value, std::size_t limit) {
  if (value.is_string()) return quotable(value.text(), limit);
  if (value.kind() == JsonKind::number) return quotable(value.raw(), limit);
  return {};
}

DEEPSEEK_DECL bool read_error_members(JsonValue object, ServiceError& out) {
  for (JsonMembers members{object}; members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (key == "message" || key == "msg" || key == "detail" || key == "error_msg") {
      if (out.message.empty()) out.message = word_of(value, quoted_message_limit);
    } else if (key == "type") {
      out.type = word_of(value, quoted_word_limit);
    } else if (key == "code") {
      out.code = word_of(value, quoted_word_limit);
    } else if (key == "param") {
      out.param = word_of(value, quoted_word_limit);
    }
  }
  return !out.message.empty() || !out.type.empty() || !out.code.empty();
}

DEEPSEEK_DECL bool read_service_error(JsonValue root, ServiceError& out) {
  for (JsonMembers members{root}; members.next();) {
    if (members.key() != "error") continue;
    const JsonValue error = members.value();
    if (error.is_object()) return read_error_members(error, out) || true;
    if (!error.is_string()) continue;
    out.message = word_of(error, quoted_message_limit);
    if (!out.message.empty()) return true;
  }
  return root.is_object() && read_error_members(root, out);
}

/// An object, or, as Google's gateways have it, the first of an array.
DEEPSEEK_DECL bool read_error_body(std::string_view text, ServiceError& out) {
  if (text.empty() || (text.front() != '{' && text.front() != '[') || json_fault(text) != nullptr) return false;
  const JsonValue root(text);
  if (root.is_object()) return read_service_error(root, out);
  JsonItems items(root);
  return items.next() && read_service_error(items.value(), out);
}

DEEPSEEK_DECL bool is_about_balance(const ServiceError& service) {
  constexpr std::string_view words[] = {"insufficient balance", "insufficient_balance", "insufficient_quota",
                                        "exceeded your current quota"};
  return std::any_of(std::begin(words), std::end(words), [&](std::string_view word) {
    return contains_word(service.message, word) || contains_word(service.code, word) ||
           contains_word(service.type, word);
  });
}

struct StatusRow {
  int status;
  ErrorCode code;
  const char* words;  ///< when the service gives none
  const char* advice;
};

inline constexpr const char* advice_repeat = "try again later";

inline constexpr StatusRow status_table[] = {
    {400, ErrorCode::bad_request, "the service refuses the request", "correct the request; repeating it does not help"},
    {401, ErrorCode::authentication, "the key is not accepted", "check the API key and which endpoint it belongs to"},
    {402, ErrorCode::insufficient_balance, "the account's balance is used up",
     "top up the account; repeating does not help"},
    {403, ErrorCode::authentication, "the key may not do this",
     "check the key's rights and which endpoint it belongs to"},
    {404, ErrorCode::not_found, "nothing is there", "check the base URL and the model's name"},
    {408, ErrorCode::http_error, "the request arrived too slowly", advice_repeat},
    {413, ErrorCode::bad_request, "the request is too large", "shorten the messages or attach less"},
    {422, ErrorCode::bad_request, "a parameter is invalid", "correct the request; repeating it does not help"},
    {429, ErrorCode::rate_limited, "too many requests at once",
     "send fewer requests at a time, and wait before the next"},
    {500, ErrorCode::server_error, "the service failed", advice_repeat},
    {502, ErrorCode::server_error, "a gateway got no good answer", advice_repeat},
    {503, ErrorCode::overloaded, "the service is overloaded", advice_repeat},
    {504, ErrorCode::server_error, "a gateway waited in vain", advice_repeat},
    {529, ErrorCode::overloaded, "the service is overloaded", advice_repeat},
};

DEEPSEEK_DECL StatusRow status_row(int status) {
  for (const StatusRow& row : status_table)
    if (row.status == status) return row;
  if (status >= 300 && status < 400)
    return {status, ErrorCode::redirected, "a redirect, which is never followed because a key would travel with it",
            "set the base URL to where the service really is"};
  if (status >= 500) return {status, ErrorCode::server_error, "the service failed", advice_repeat};
  return {status, ErrorCode::http_error, "the service refuses the request", "see the status and the service's words"};
}

DEEPSEEK_DECL Error error_in_reply(ServiceError service, bool stream) {
  ErrorDetails details;
  const bool balance = is_about_balance(service);
  details.code = balance ? ErrorCode::insufficient_balance : ErrorCode::service_error;
  details.outcome = Outcome::service_error;
  details.message = stream ? "the service ended the stream with an error" : "the service answered with an error";
  if (!service.message.empty()) details.message += ": " + service.message;
  details.advice = balance ? status_row(402).advice : "what came before is kept; the same request may succeed later";
  details.service = std::move(service);
  return Error(std::move(details));
}

DEEPSEEK_DECL Error decode_error(int status, std::string_view body) {
  ServiceError service;
  std::string excerpt;
  const std::string_view trimmed = json_trim(body);
  if (!read_error_body(trimmed, service)) {
    const bool page = !trimmed.empty() && trimmed.front() == '<';
    excerpt = quotable(page ? without_tags(trimmed) : std::string(trimmed), quoted_excerpt_limit);
  }
  if (status < 300) {  // an event that only its name calls an error
    if (service.message.empty()) service.message = std::move(excerpt);
    return error_in_reply(std::move(service), true);
  }
  StatusRow row = status_row(status);
  ServiceError plain;
  plain.message = excerpt;
  if (is_about_balance(service) || is_about_balance(plain)) row = status_row(402);
  ErrorDetails details;
  details.code = row.code;
  details.outcome = Outcome::http_error;
  details.http_status = status;
  details.message =
      std::to_string(status) + ": " + (service.message.empty() ? std::string(row.words) : service.message);
  details.advice = row.advice;
  details.cause = std::move(excerpt);
  details.service = std::move(service);
  return Error(std::move(details));
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
