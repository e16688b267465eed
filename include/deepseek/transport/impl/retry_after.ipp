#pragma once
#include <algorithm>
#include <charconv>
#include <cstdint>

#include <deepseek/transport/detail/retry_after.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Reads a date from left to right; after a first mismatch everything fails.
struct DateScanner {
  std::string_view rest;
  bool ok = true;

  void expect(std::string_view text) {
    ok = ok && rest.substr(0, text.size()) == text;
    if (ok) rest.remove_prefix(text.size());
  }
  int digits(std::size_t count) {
    int value = 0;
    ok = ok && rest.size() >= count;
    for (std::size_t i = 0; ok && i < count; ++i) {
      ok = rest[i] >= '0' && rest[i] <= '9';
      value = value * 10 + (rest[i] - '0');
    }
    if (ok) rest.remove_prefix(count);
    return value;
  }
  /// The position of a three-letter name in `names`, from 1.
  int name(std::string_view names) {
    const std::size_t found = ok && rest.size() >= 3 ? names.find(rest.substr(0, 3)) : std::string_view::npos;
    ok = found != std::string_view::npos && found % 3 == 0;
    if (!ok) return 0;
    rest.remove_prefix(3);
    return static_cast<int>(found / 3) + 1;
  }
};

struct CivilTime {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};

inline constexpr std::string_view date_days = "MonTueWedThuFriSatSun";
inline constexpr std::string_view date_months = "JanFebMarAprMayJunJulAugSepOctNovDec";

DEEPSEEK_DECL void scan_time(DateScanner& in, CivilTime& time) {
  time.hour = in.digits(2);
  in.expect(":");
  time.minute = in.digits(2);
  in.expect(":");
  time.second = in.digits(2);
}

/// "Sun, 06 Nov 1994 08:49:37 GMT"
DEEPSEEK_DECL CivilTime scan_imf_date(DateScanner& in) {
  CivilTime time;
  in.name(date_days);
  in.expect(", ");
  time.day = in.digits(2);
  in.expect(" ");
  time.month = in.name(date_months);
  in.expect(" ");
  time.year = in.digits(4);
  in.expect(" ");
  scan_time(in, time);
  in.expect(" GMT");
  return time;
}

/// "Sunday, 06-Nov-94 08:49:37 GMT"; two-digit years up to 69 belong to this century
DEEPSEEK_DECL CivilTime scan_rfc850_date(DateScanner& in) {
  CivilTime time;
  in.name(date_days);
  const std::size_t comma = in.rest.find(',');
  in.ok = in.ok && comma != std::string_view::npos && comma >= 3 && comma <= 6;
  if (in.ok) in.rest.remove_prefix(comma);
  in.expect(", ");
  time.day = in.digits(2);
  in.expect("-");
  time.month = in.name(date_months);
  in.expect("-");
  time.year = in.digits(2);
  time.year += time.year < 70 ? 2000 : 1900;
  in.expect(" ");
  scan_time(in, time);
  in.expect(" GMT");
  return time;
}

/// "Sun Nov  6 08:49:37 1994"
DEEPSEEK_DECL CivilTime scan_asctime_date(DateScanner& in) {
  CivilTime time;
  in.name(date_days);
  in.expect(" ");
  time.month = in.name(date_months);
  in.expect(" ");
  const bool one_digit = !in.rest.empty() && in.rest.front() == ' ';
  if (one_digit) in.expect(" ");
  time.day = in.digits(one_digit ? 1 : 2);
  in.expect(" ");
  scan_time(in, time);
  in.expect(" ");
  time.year = in.digits(4);
  return time;
}

DEEPSEEK_DECL bool is_real_time(const CivilTime& time) {
  static constexpr int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (time.year % 4 == 0 && time.year % 100 != 0) || time.year % 400 == 0;
  if (time.month < 1 || time.month > 12) return false;
  const int length = lengths[time.month - 1] + (time.month == 2 && leap ? 1 : 0);
  return time.day >= 1 && time.day <= length && time.hour < 24 && time.minute < 60 && time.second <= 60;
}

/// Days since 1970-01-01: whole years by the leap rule, then the days before the month in a year that
/// begins with March, so that the leap day comes last.
DEEPSEEK_DECL std::int64_t civil_days(const CivilTime& time) {
  const std::int64_t year = time.month <= 2 ? time.year - 1 : time.year;
  const std::int64_t month = (time.month + 9) % 12;  // March: 0
  return year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + time.day - 1 - 719468;
}

DEEPSEEK_DECL std::optional<WallTime> parse_http_date(std::string_view text) {
  for (const auto scan : {scan_imf_date, scan_rfc850_date, scan_asctime_date}) {
    DateScanner in{text};
    const CivilTime time = scan(in);
    if (!in.ok || !in.rest.empty() || !is_real_time(time)) continue;
    const std::int64_t seconds = ((civil_days(time) * 24 + time.hour) * 60 + time.minute) * 60 + time.second;
    // The system clock counts nanoseconds here and there: years beyond its range are no use to anyone.
    if (time.year < 1900 || time.year > 2200) return std::nullopt;
    return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::seconds(seconds)));
  }
  return std::nullopt;
}

/// A number of milliseconds; `unit` tells how many of them one of the text's is.
DEEPSEEK_DECL std::optional<std::chrono::milliseconds> parse_delay(std::string_view text, double unit) {
  constexpr double ten_years = 315'360'000'000.0;
  double number = 0;
  const char* const last = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), last, number);
  if (text.empty() || failure != std::errc() || stop != last) return std::nullopt;
  number *= unit;
  if (!(number >= 0 && number <= ten_years)) return std::nullopt;  // NaN fails as well
  return std::chrono::milliseconds(static_cast<std::int64_t>(number));
}

DEEPSEEK_DECL RetryAfter parse_retry_after(const HttpHead& head) {
  return parse_retry_after(
      RetryAfterHeaders{head.header("retry-after-ms"), head.header("retry-after"), head.header("date")});
}

DEEPSEEK_DECL RetryAfter parse_retry_after(const RetryAfterHeaders& headers) {
  RetryAfter result;
  result.delay = parse_delay(headers.milliseconds, 1);
  if (result.delay || headers.text.empty()) return result;
  result.delay = parse_delay(headers.text, 1000);
  if (result.delay) return result;
  result.date = parse_http_date(headers.text);
  if (!result.date) return result;
  if (const std::optional<WallTime> now = parse_http_date(headers.date)) {
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(*result.date - *now);
    result.delay = std::max(wait, std::chrono::milliseconds(0));
  }
  return result;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
