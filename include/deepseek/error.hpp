// What went wrong, as a value: a stable code, one clear line, and the facts beside it.
#pragma once
#include <chrono>
#include <cstdint>
#include <exception>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/fwd.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// How a call ended. Only `complete` is a value; every other outcome is an Error.
enum class Outcome {
  complete,       ///< the whole body, or a stream with a finish_reason and a clean end
  truncated,      ///< ended before that: no finish_reason, an unclean end, or inside the header block
  empty,          ///< whole, but no content, no reasoning, no tool call
  malformed,      ///< a frame or body that cannot be decoded
  service_error,  ///< an error object inside a 200
  filtered,       ///< finish_reason `content_filter`
  no_capacity,    ///< finish_reason `insufficient_system_resource` or `aborted`
  refused,        ///< not sent: lint, options, limits, budget
  http_error,     ///< status >= 400 (or a redirect, which is never followed), whatever its body
  network_error,  ///< DNS, connect, TLS, or a break before the response head
  timed_out,      ///< one of the clocks struck; Error::clock() says which
  cancelled,      ///< by the caller, or because the client went away
};

/// The outcome's fixed word, for example "no_capacity". Never null.
const char* to_string(Outcome outcome) noexcept;
/// Writes that word.
std::ostream& operator<<(std::ostream& out, Outcome outcome);

/// Stable numbers: the C ABI uses the same ones negated. 100 per class, never reused.
enum class ErrorCode : int {
  // 1xx usage: the request was never sent
  invalid_argument = 101,     ///< a value outside its range, or a call on an empty handle
  invalid_options = 102,      ///< ClientOptions that contradict each other
  invalid_request = 103,      ///< the lint knows that the service refuses this request
  wrong_thread = 104,         ///< a waiting call made on the I/O thread: it could never end
  forked = 105,               ///< the client belongs to the parent process
  missing_key = 106,          ///< api.deepseek.com needs a key and none was given
  insecure_credential = 107,  ///< a key would travel over plain http to another host
  unsupported = 108,          ///< this endpoint cannot do it (prefix completion away from DeepSeek)
  closed = 109,               ///< the stream was moved away
  io_error = 110,             ///< a file could not be read or written
  // 2xx transport
  dns_failed = 201,
  connect_failed = 202,
  tls_failed = 203,
  connection_lost = 204,  ///< broken before the response head was whole
  proxy_failed = 205,
  http_protocol = 206,   ///< the peer does not speak HTTP
  limit_exceeded = 207,  ///< headers, line, event or body larger than the limits allow
  // 3xx timeouts, one per clock
  timeout_dns = 301,
  timeout_connect = 302,
  timeout_tls = 303,
  timeout_first_byte = 304,
  timeout_first_token = 305,
  timeout_between_tokens = 306,
  timeout_idle = 307,
  timeout_total = 308,
  // 4xx
  cancelled = 401,
  // 5xx: the service answered with a status >= 400
  http_error = 501,            ///< a status without a code of its own below
  bad_request = 502,           ///< 400, 413, 422
  authentication = 503,        ///< 401, 403
  insufficient_balance = 504,  ///< 402
  not_found = 505,             ///< 404
  rate_limited = 506,          ///< 429
  server_error = 507,          ///< 500, 502, 504
  overloaded = 508,            ///< 503
  redirected = 509,            ///< 3xx: never followed, a credential must not travel
  // 6xx: said inside a 200
  service_error = 601,
  filtered = 602,
  no_capacity = 603,
  // 7xx decode
  malformed_json = 701,
  malformed_stream = 702,
  schema_mismatch = 703,  ///< valid JSON that does not fit the wanted type
  // 8xx stream
  truncated = 801,
  empty_reply = 802,
  slow_reader = 803,  ///< the reader fell behind and the buffer's cap was reached
  // 9xx policy and tools
  too_many_rounds = 901,  ///< the tool loop reached its bound
  tool_failed = 902,
  rate_limited_locally = 903,  ///< this client's own limits left no room in time
  budget_exceeded = 904,       ///< a ceiling on tokens or cost is reached
  circuit_open = 905,          ///< every endpoint failed too often lately; none was asked
  token_failed = 906,          ///< the authorization server gave no usable token
  internal = 999,              ///< a broken promise of this library: please report
};

/// The code's stable word, for example "rate_limited"; `deepseek chat --json` prints it as `code`.
const char* to_string(ErrorCode code) noexcept;
/// Writes that word.
std::ostream& operator<<(std::ostream& out, ErrorCode code);

/// The error object as the service sent it. Any member may be empty.
struct ServiceError {
  std::string message{};
  std::string type{};
  std::string code{};
  std::string param{};
};

/// The facts of an Error. Everything has a default; an absent fact is empty or zero.
struct ErrorDetails {
  ErrorCode code = ErrorCode::internal;
  Outcome outcome = Outcome::refused;
  std::string message{};  ///< one line, without keys, tokens or prompts
  std::string advice{};   ///< what to do next, one line; may be empty
  std::string cause{};    ///< the lower layer's own words, quoted
  int http_status = 0;    ///< 0: no response head came
  ServiceError service{};
  std::string endpoint{};  ///< base URL of the server asked last, or that may not be asked; empty: none
  std::string trace_id{};  ///< x-ds-trace-id or x-request-id of the response
  int attempts = 0;        ///< requests sent for this call
  /// Bytes of answer, reasoning and tool arguments that were read for the caller before the end: with a callback all
  /// of them were handed over, a pull stream or queue may still hold some. 0 if the reply is not streamed.
  std::uint64_t bytes_delivered = 0;
  std::optional<std::chrono::milliseconds> retry_after{};  ///< what the server asked for
  std::shared_ptr<const ChatReply> partial{};
};

/// One failed call. Cheap to copy (shared, immutable facts). Safe to read from any thread.
class Error {
 public:
  /// An error whose outcome is the usual one of its code.
  Error(ErrorCode code, std::string message, std::string advice = {});
  explicit Error(ErrorDetails details);
  Error(const Error&) noexcept;
  Error(Error&&) noexcept;
  Error& operator=(const Error&) noexcept;
  Error& operator=(Error&&) noexcept;
  ~Error();

  ErrorCode code() const noexcept { return details_->code; }
  Outcome outcome() const noexcept { return details_->outcome; }
  const std::string& message() const noexcept { return details_->message; }
  const std::string& advice() const noexcept { return details_->advice; }
  const std::string& cause() const noexcept { return details_->cause; }
  int http_status() const noexcept { return details_->http_status; }
  const ServiceError& service() const noexcept { return details_->service; }
  const std::string& endpoint() const noexcept { return details_->endpoint; }
  const std::string& trace_id() const noexcept { return details_->trace_id; }
  int attempts() const noexcept { return details_->attempts; }
  std::uint64_t bytes_delivered() const noexcept { return details_->bytes_delivered; }
  std::optional<std::chrono::milliseconds> retry_after() const noexcept { return details_->retry_after; }

  /// The clock that struck ("first_token", "total", ...); empty unless the outcome is timed_out.
  std::string_view clock() const noexcept;
  /// True if the same request may succeed later (network, 408, 429, 5xx, empty, no capacity). Says
  /// nothing about whether repeating is safe: see bytes_delivered().
  bool retryable() const noexcept;
  /// The reply so far, or null if nothing came. Holds the text that was already delivered. ChatReply is defined in
  /// <deepseek/model/chat.hpp>. Valid as long as this error or a copy of it.
  const ChatReply* partial() const noexcept { return details_->partial.get(); }
  const ErrorDetails& details() const noexcept { return *details_; }

  /// The same error with some facts changed: `edit` takes an ErrorDetails&.
  template <class Edit>
  Error with(Edit&& edit) const {
    ErrorDetails copy = *details_;
    edit(copy);
    return Error(std::move(copy));
  }

 private:
  template <class T>
  friend class Result;
  explicit Error(std::nullptr_t) noexcept {}  // without facts: in a Result that has a value, never seen by anyone

  std::shared_ptr<const ErrorDetails> details_;
};

/// "code: message (cause) [server api.deepseek.com] [trace 0f7c...]; advice", one line; what is not known is
/// left out.
std::string to_string(const Error& error);
std::ostream& operator<<(std::ostream& out, const Error& error);

/// Thrown only by Result::value() on an error.
class Exception : public std::exception {
 public:
  explicit Exception(Error error);
  const Error& error() const noexcept { return error_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  Error error_;
  std::string text_;
};

namespace detail {
[[noreturn]] void throw_exception(const Error& error);
}

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/error.ipp>
#endif
