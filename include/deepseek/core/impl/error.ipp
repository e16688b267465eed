#pragma once
#include <deepseek/core/detail/host.hpp>
#include <deepseek/error.hpp>

#include <ostream>

DEEPSEEK_BEGIN_NAMESPACE

DEEPSEEK_DECL const char* to_string(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::complete:
      return "complete";
    case Outcome::truncated:
      return "truncated";
    case Outcome::empty:
      return "empty";
    case Outcome::malformed:
      return "malformed";
    case Outcome::service_error:
      return "service_error";
    case Outcome::filtered:
      return "filtered";
    case Outcome::no_capacity:
      return "no_capacity";
    case Outcome::refused:
      return "refused";
    case Outcome::http_error:
      return "http_error";
    case Outcome::network_error:
      return "network_error";
    case Outcome::timed_out:
      return "timed_out";
    case Outcome::cancelled:
      return "cancelled";
  }
  return "refused";
}

namespace detail {

/// One row per code: its word, its usual outcome, and whether a repeat may help.
struct CodeRow {
  ErrorCode code;
  const char* word;
  Outcome outcome;
  bool retryable;
};

inline constexpr CodeRow code_table[] = {
    {ErrorCode::invalid_argument, "invalid_argument", Outcome::refused, false},
    {ErrorCode::invalid_options, "invalid_options", Outcome::refused, false},
    {ErrorCode::invalid_request, "invalid_request", Outcome::refused, false},
    {ErrorCode::wrong_thread, "wrong_thread", Outcome::refused, false},
    {ErrorCode::forked, "forked", Outcome::refused, false},
    {ErrorCode::missing_key, "missing_key", Outcome::refused, false},
    {ErrorCode::insecure_credential, "insecure_credential", Outcome::refused, false},
    {ErrorCode::unsupported, "unsupported", Outcome::refused, false},
    {ErrorCode::closed, "closed", Outcome::refused, false},
    {ErrorCode::io_error, "io_error", Outcome::refused, false},
    {ErrorCode::dns_failed, "dns_failed", Outcome::network_error, true},
    {ErrorCode::connect_failed, "connect_failed", Outcome::network_error, true},
    {ErrorCode::tls_failed, "tls_failed", Outcome::network_error, false},
    {ErrorCode::connection_lost, "connection_lost", Outcome::network_error, true},
    {ErrorCode::proxy_failed, "proxy_failed", Outcome::network_error, true},
    {ErrorCode::http_protocol, "http_protocol", Outcome::malformed, false},
    {ErrorCode::limit_exceeded, "limit_exceeded", Outcome::malformed, false},
    {ErrorCode::timeout_dns, "timeout_dns", Outcome::timed_out, true},
    {ErrorCode::timeout_connect, "timeout_connect", Outcome::timed_out, true},
    {ErrorCode::timeout_tls, "timeout_tls", Outcome::timed_out, true},
    {ErrorCode::timeout_first_byte, "timeout_first_byte", Outcome::timed_out, true},
    {ErrorCode::timeout_first_token, "timeout_first_token", Outcome::timed_out, true},
    {ErrorCode::timeout_between_tokens, "timeout_between_tokens", Outcome::timed_out, true},
    {ErrorCode::timeout_idle, "timeout_idle", Outcome::timed_out, true},
    {ErrorCode::timeout_total, "timeout_total", Outcome::timed_out, false},
    {ErrorCode::cancelled, "cancelled", Outcome::cancelled, false},
    {ErrorCode::http_error, "http_error", Outcome::http_error, false},
    {ErrorCode::bad_request, "bad_request", Outcome::http_error, false},
    {ErrorCode::authentication, "authentication", Outcome::http_error, false},
    {ErrorCode::insufficient_balance, "insufficient_balance", Outcome::http_error, false},
    {ErrorCode::not_found, "not_found", Outcome::http_error, false},
    {ErrorCode::rate_limited, "rate_limited", Outcome::http_error, true},
    {ErrorCode::server_error, "server_error", Outcome::http_error, true},
    {ErrorCode::overloaded, "overloaded", Outcome::http_error, true},
    {ErrorCode::redirected, "redirected", Outcome::http_error, false},
    {ErrorCode::service_error, "service_error", Outcome::service_error, true},
    {ErrorCode::filtered, "filtered", Outcome::filtered, false},
    {ErrorCode::no_capacity, "no_capacity", Outcome::no_capacity, true},
    {ErrorCode::malformed_json, "malformed_json", Outcome::malformed, false},
    {ErrorCode::malformed_stream, "malformed_stream", Outcome::malformed, false},
    {ErrorCode::schema_mismatch, "schema_mismatch", Outcome::malformed, false},
    {ErrorCode::truncated, "truncated", Outcome::truncated, true},
    {ErrorCode::empty_reply, "empty_reply", Outcome::empty, true},
    {ErrorCode::slow_reader, "slow_reader", Outcome::truncated, false},
    {ErrorCode::too_many_rounds, "too_many_rounds", Outcome::refused, false},
    {ErrorCode::tool_failed, "tool_failed", Outcome::refused, false},
    {ErrorCode::rate_limited_locally, "rate_limited_locally", Outcome::refused, true},
    {ErrorCode::budget_exceeded, "budget_exceeded", Outcome::refused, false},
    {ErrorCode::circuit_open, "circuit_open", Outcome::refused, true},
    {ErrorCode::token_failed, "token_failed", Outcome::refused, true},
    {ErrorCode::internal, "internal", Outcome::refused, false},
};

DEEPSEEK_DECL const CodeRow& row_of(ErrorCode code) noexcept {
  for (const CodeRow& row : code_table)
    if (row.code == code) return row;
  return code_table[sizeof code_table / sizeof *code_table - 1];
}

DEEPSEEK_DECL ErrorDetails make_details(ErrorCode code, std::string message, std::string advice) {
  ErrorDetails details;
  details.code = code;
  details.outcome = row_of(code).outcome;
  details.message = std::move(message);
  details.advice = std::move(advice);
  return details;
}

DEEPSEEK_DECL void throw_exception(const Error& error) { throw Exception(error); }

}  // namespace detail

DEEPSEEK_DECL const char* to_string(ErrorCode code) noexcept { return detail::row_of(code).word; }

DEEPSEEK_DECL Error::Error(const Error&) noexcept = default;
DEEPSEEK_DECL Error::Error(Error&&) noexcept = default;
DEEPSEEK_DECL Error& Error::operator=(const Error&) noexcept = default;
DEEPSEEK_DECL Error& Error::operator=(Error&&) noexcept = default;
DEEPSEEK_DECL Error::~Error() = default;

DEEPSEEK_DECL Error::Error(ErrorCode code, std::string message, std::string advice)
    : Error(detail::make_details(code, std::move(message), std::move(advice))) {}

DEEPSEEK_DECL Error::Error(ErrorDetails details) : details_(std::make_shared<const ErrorDetails>(std::move(details))) {}

DEEPSEEK_DECL std::string_view Error::clock() const noexcept {
  if (outcome() != Outcome::timed_out) return {};
  return std::string_view(to_string(code())).substr(sizeof "timeout_" - 1);
}

DEEPSEEK_DECL bool Error::retryable() const noexcept {
  return detail::row_of(code()).retryable || http_status() == 408;
}

DEEPSEEK_DECL std::string to_string(const Error& error) {
  std::string text = to_string(error.code());
  text += ": ";
  text += error.message();
  if (!error.cause().empty()) text += " (" + error.cause() + ')';
  if (!error.endpoint().empty()) ((text += " [server ") += detail::authority_of_url(error.endpoint())) += ']';
  if (!error.trace_id().empty()) text += " [trace " + error.trace_id() + ']';
  if (!error.advice().empty()) text += "; " + error.advice();
  return text;
}

DEEPSEEK_DECL std::ostream& operator<<(std::ostream& out, Outcome outcome) { return out << to_string(outcome); }
DEEPSEEK_DECL std::ostream& operator<<(std::ostream& out, ErrorCode code) { return out << to_string(code); }
DEEPSEEK_DECL std::ostream& operator<<(std::ostream& out, const Error& error) { return out << to_string(error); }

DEEPSEEK_DECL Exception::Exception(Error error) : error_(std::move(error)), text_(to_string(error_)) {}

DEEPSEEK_END_NAMESPACE
