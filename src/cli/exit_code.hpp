// The exit codes of the command, by class of error.
#pragma once
#include <deepseek/result.hpp>

namespace deepseek::cli {

namespace exit_code {
inline constexpr int complete = 0;
inline constexpr int other = 1;
inline constexpr int usage = 2;        ///< or refused before sending
inline constexpr int credentials = 3;  ///< or balance
inline constexpr int busy = 4;         ///< 429 or no_capacity
inline constexpr int service = 5;      ///< any other http_error, or service_error
inline constexpr int network = 6;      ///< network_error or timed_out
inline constexpr int incomplete = 7;   ///< truncated, empty or malformed
inline constexpr int filtered = 8;
inline constexpr int cancelled = 130;
inline constexpr int broken_pipe = 141;  ///< the reader of standard output went away, as SIGPIPE would say
}  // namespace exit_code

int exit_code_of(const Error& error);

}  // namespace deepseek::cli
