// Retry-After and HTTP dates, in UTC and without a locale. Private.
#pragma once
#include <chrono>
#include <optional>
#include <string_view>

#include <deepseek/core/clock.hpp>
#include <deepseek/http/engine.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The three date forms of RFC 9110. Nothing if it is none of them or no such day exists.
std::optional<WallTime> parse_http_date(std::string_view text);

/// What a server asked for. A date needs a clock to become a delay: `delay` is set from it only if the
/// response told its own time.
struct RetryAfter {
  std::optional<std::chrono::milliseconds> delay{};
  std::optional<WallTime> date{};
};

/// The headers that tell it, without surrounding blanks; empty: absent.
struct RetryAfterHeaders {
  std::string_view milliseconds{};  ///< retry-after-ms
  std::string_view text{};          ///< retry-after
  std::string_view date{};
};

/// Reads retry-after-ms, else Retry-After (seconds, fractions allowed, or a date). What is negative, not
/// finite or beyond ten years is ignored; a date that has passed is a delay of zero.
RetryAfter parse_retry_after(const RetryAfterHeaders& headers);
RetryAfter parse_retry_after(const HttpHead& head);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/transport/impl/retry_after.ipp>
#endif
