// Retry-After and HTTP dates.
#include <deepseek/transport/detail/retry_after.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/shared_data.hpp"

namespace {

using deepseek::HttpHead;
using deepseek::detail::parse_http_date;
using deepseek::detail::parse_retry_after;

std::int64_t unix_seconds(std::string_view text) {
  const auto date = parse_http_date(text);
  return date ? std::chrono::duration_cast<std::chrono::seconds>(date->time_since_epoch()).count() : -1;
}

deepseek::detail::RetryAfter asked(std::string_view block) { return parse_retry_after({429, 11, block}); }

std::int64_t delay_ms(std::string_view block) {
  const auto result = asked(block);
  return result.delay ? result.delay->count() : -1;
}

}  // namespace

TEST_CASE("retry-after: the three date forms are one instant") {
  CHECK(unix_seconds("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777);
  CHECK(unix_seconds("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777);
  CHECK(unix_seconds("Sun Nov  6 08:49:37 1994") == 784111777);
  CHECK(unix_seconds("Thu, 01 Jan 1970 00:00:00 GMT") == 0);
  CHECK(unix_seconds("Tue, 29 Feb 2028 23:59:60 GMT") == 1835481600);
  CHECK(unix_seconds("Fri, 31 Dec 1999 23:59:59 GMT") == 946684799);
}

TEST_CASE("retry-after: what is no date is none") {
  for (const char* text :
       {"", "Sun", "Zun, 06 Nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 29 Feb 2027 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 GMT ", "Fri, 29 Sep 100000 16:26:57 GMT", "Sun, 6 Nov 1994 08:49:37 GMT",
        "unM, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 0094 08:49:37 GMT"})
    CHECK(unix_seconds(text) == -1);
}

TEST_CASE("retry-after: seconds, milliseconds, and which of them wins") {
  CHECK(delay_ms("Retry-After: 20\r\n") == 20'000);
  CHECK(delay_ms("retry-after: 0.25\r\n") == 250);
  CHECK(delay_ms("Retry-After:0\r\n") == 0);
  CHECK(delay_ms("retry-after: 5\r\nretry-after-ms: 1500\r\n") == 1500);
  CHECK(delay_ms("retry-after-ms: nonsense\r\nretry-after: 5\r\n") == 5000);
  for (const char* value : {"-10", "inf", "nan", "99999999999999999999999999999999999", "", "12x", "0x10", "1e99"})
    CHECK(delay_ms("Retry-After: " + std::string(value) + "\r\n") == -1);
  CHECK(delay_ms("X: y\r\n") == -1);
}

TEST_CASE("retry-after: a date counts from the response's own time") {
  const std::string date = "Retry-After: Fri, 29 Sep 2023 16:26:57 GMT\r\n";
  CHECK(delay_ms(date + "Date: Fri, 29 Sep 2023 16:26:37 GMT\r\n") == 20'000);
  CHECK(delay_ms(date + "Date: Fri, 29 Sep 2023 16:27:37 GMT\r\n") == 0);
  CHECK(delay_ms(date) == -1);  // needs the wall clock of whoever waits
  CHECK(asked(date).date.has_value());
}

// The rows of openai-python's table, as far as reading goes (its caps and back-offs are a policy's matter).
TEST_CASE("retry-after: the public table reads the same") {
  if (!deepseek_tests::has_shared("conformance/retry/retry_after.json")) SKIP_TEST("no shared data");
  const auto table = nlohmann::json::parse(deepseek_tests::read_shared("conformance/retry/retry_after.json"));
  const double now = table["clock_unix"].get<double>();
  for (const auto& row : table["rows"]) {
    const std::string text = row["retry_after"].get<std::string>();
    const double delay = row["delay_s"].get<double>();
    if (delay < 10) continue;  // their default: the header was refused, or beyond their cap
    INFO(text);
    const auto result = asked("Retry-After: " + text + "\r\n");
    REQUIRE((result.delay || result.date));
    const double ours = result.delay ? static_cast<double>(result.delay->count()) / 1000
                                     : std::chrono::duration<double>(result.date->time_since_epoch()).count() - now;
    CHECK(ours == Approx(delay));
  }
}
