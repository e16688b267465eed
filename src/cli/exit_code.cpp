#include "cli/exit_code.hpp"

namespace deepseek::cli {

int exit_code_of(const Error& error) {
  switch (error.code()) {
    case ErrorCode::missing_key:
    case ErrorCode::authentication:
    case ErrorCode::token_failed:
    case ErrorCode::insufficient_balance:
      return exit_code::credentials;
    case ErrorCode::rate_limited:
      return exit_code::busy;
    case ErrorCode::too_many_rounds:
    case ErrorCode::tool_failed:
    case ErrorCode::internal:
      return exit_code::other;
    default:
      break;
  }
  switch (error.outcome()) {
    case Outcome::complete:
      return exit_code::other;
    case Outcome::truncated:
    case Outcome::empty:
    case Outcome::malformed:
      return exit_code::incomplete;
    case Outcome::service_error:
    case Outcome::http_error:
      return exit_code::service;
    case Outcome::filtered:
      return exit_code::filtered;
    case Outcome::no_capacity:
      return exit_code::busy;
    case Outcome::refused:
      return exit_code::usage;
    case Outcome::network_error:
    case Outcome::timed_out:
      return exit_code::network;
    case Outcome::cancelled:
      return exit_code::cancelled;
  }
  return exit_code::other;
}

}  // namespace deepseek::cli
