// TokenBucket: GCRA against public vectors, odd clocks, 64 threads.
#include "support/catch.hpp"
#include "support/shared_data.hpp"

#include <deepseek/policy/detail/token_bucket.hpp>

#include <atomic>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>
#include <vector>

using namespace deepseek;
using namespace std::chrono_literals;
using detail::TokenBucket;

namespace {

constexpr TimePoint start{1h};

/// A bucket of `rate` tokens per second in a world whose seconds are `scale` times as long.
TokenBucket make_bucket(double rate, std::uint64_t burst, int scale = 1) {
  constexpr int seconds = 1300;  // whole tokens for all rates of the vectors
  return TokenBucket(static_cast<std::uint64_t>(rate * seconds + 0.5), std::chrono::seconds(seconds) * scale, burst,
                     start);
}

nlohmann::json vectors() {
  return nlohmann::json::parse(deepseek_tests::read_shared("conformance/retry/token_bucket.json"));
}

}  // namespace

TEST_CASE("the bucket grants and refuses as golang's rate limiter does", "[policy]") {
  if (!deepseek_tests::has_shared("conformance/retry/token_bucket.json")) SKIP_TEST("no shared data");
  // Zero is no rate here: LimitOptions takes it for `no limit`, so no bucket is ever made of it.
  const std::set<std::string> deviations = {"ZeroLimit"};
  int ran = 0;
  const nlohmann::json all = vectors();
  for (const auto& test : all["allow"]) {
    const auto name = test["name"].get<std::string>();
    if (deviations.count(name) != 0) continue;
    // The vector jumps by 100 ms, which here is a lagging thread and no jump: slowed down until it is one.
    const int scale = name == "JumpBackwards" ? 600 : 1;
    INFO(name);
    TokenBucket bucket = make_bucket(test["rate"], test["burst"], scale);
    for (const auto& step : test["steps"]) {
      INFO(step.dump());
      const TimePoint now = start + scale * step["t"].get<int>() * 100ms;
      CHECK(bucket.available(now) == step["tokens_before"]);
      CHECK((bucket.acquire(step["n"], now) == 0ns) == step["ok"]);
    }
    ++ran;
  }
  CHECK(ran == 4);
}

TEST_CASE("the bucket grants exactly its burst and its rate", "[policy]") {
  TokenBucket bucket(100, 1s, 100, start);
  int granted = 0;
  for (TimePoint now = start; now < start + 5s; now += 2ms)
    if (bucket.acquire(1, now) == 0ns) ++granted;
  CHECK(granted <= 100 + 500 + 1);
  CHECK(granted >= 0.999 * (100 + 500) - 1);
}

TEST_CASE("a shortage names the time at which it is over, and not earlier", "[policy]") {
  TokenBucket bucket(10, 1s, 4, start);
  CHECK(bucket.acquire(5, start) == TokenBucket::never);
  REQUIRE(bucket.acquire(4, start) == 0ns);
  for (int i = 0; i < 10; ++i) CHECK(bucket.acquire(3, start) == 300ms);  // refused ones change nothing
  CHECK(bucket.acquire(3, start + 299'999'999ns) == 1ns);
  CHECK(bucket.acquire(3, start + 300ms) == 0ns);
  CHECK(bucket.acquire(0, start + 300ms) == 0ns);
}

TEST_CASE("what was not used comes back, what was used beyond the estimate is owed", "[policy]") {
  TokenBucket bucket(10, 1s, 10, start);
  REQUIRE(bucket.acquire(10, start) == 0ns);
  bucket.give_back(4);
  CHECK(bucket.available(start) == 4);
  bucket.give_back(1'000'000'000'000);  // never more than it holds
  CHECK(bucket.available(start) == 10);
  REQUIRE(bucket.acquire(10, start) == 0ns);
  bucket.charge(25, start);
  CHECK(bucket.available(start) == -25);
  CHECK(bucket.acquire(1, start) == 2600ms);
  bucket.charge(UINT64_MAX, start);  // an hour's tokens at most
  CHECK(bucket.available(start) == -36'000);
  bucket.charge(5, start + 2h);  // a full bucket does not pay for it with time long gone
  CHECK(bucket.available(start + 2h) == 5);
}

TEST_CASE("clocks may jump", "[policy]") {
  TokenBucket bucket(10, 1s, 10, start);
  REQUIRE(bucket.acquire(8, start) == 0ns);
  SECTION("ahead: full, not more") {
    CHECK(bucket.available(start + 1000h) == 10);
    CHECK(bucket.available(TimePoint::max()) == 10);
  }
  SECTION("back: what is left is left, and time goes on from there") {
    CHECK(bucket.available(start - 30min) == 2);
    CHECK(bucket.acquire(3, start - 30min) == 100ms);
    CHECK(bucket.available(start - 30min + 500ms) == 7);
  }
  SECTION("to and fro: a jump ahead fills it once, a jump back changes nothing") {
    std::uint64_t granted = 8;
    for (const TimePoint now : {start - 1h, start, start - 1h, start})
      while (bucket.acquire(1, now) == 0ns) ++granted;
    CHECK(granted == 10 + 2 * 10);
  }
  SECTION("another thread's clock lags") {
    CHECK(bucket.available(start - 100ms) == 1);
    CHECK(bucket.available(start) == 2);
  }
}

TEST_CASE("the extremes of rate and burst neither overflow nor round to nothing", "[policy]") {
  const std::uint64_t fastest = 1'000'000'000;
  TokenBucket fast(fastest, 1min, fastest * 1440, start);
  CHECK(fast.acquire(fastest * 1440, start) == 0ns);
  CHECK(fast.acquire(1, start) == 60ns);
  CHECK(fast.acquire(fastest, start + 1min) == 0ns);
  TokenBucket slow(1, 1min, 1440, start);
  CHECK(slow.acquire(1440, start) == 0ns);
  CHECK(slow.acquire(1, start) == 1min);
}

TEST_CASE("15 threads at once get a burst of 5", "[policy][concurrent]") {
  TokenBucket bucket(1, 1s, 5, start);
  std::atomic<int> granted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 15; ++i) {
    threads.emplace_back([&] {
      if (bucket.acquire(1, start) == 0ns) ++granted;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(granted == 5);
}

TEST_CASE("64 threads never get more than burst and rate allow, whatever they give back", "[policy][concurrent]") {
  constexpr std::uint64_t burst = 5'000;
  constexpr std::uint64_t per_ms = 7;
  TokenBucket bucket(per_ms, 1ms, burst, start);
  std::atomic<std::int64_t> ms{0};
  std::atomic<std::int64_t> taken{0};  // settled: less than or as much as was granted
  std::atomic<bool> exceeded{false};
  const auto check_budget = [&] {
    const std::int64_t seen = taken.load();
    if (seen > static_cast<std::int64_t>(burst + per_ms * static_cast<std::uint64_t>(ms.load()))) exceeded = true;
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 64; ++i) {
    threads.emplace_back([&, i] {
      std::minstd_rand random(i + 1);
      for (int round = 0; round < 500; ++round) {
        if (random() % 8 == 0) ++ms;
        const std::uint64_t n = random() % 200;
        if (bucket.acquire(n, start + std::chrono::milliseconds(ms.load())) != 0ns) continue;
        const std::uint64_t used = n == 0 ? 0 : random() % (n + 1);
        taken += static_cast<std::int64_t>(used);
        check_budget();
        bucket.give_back(n - used);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK_FALSE(exceeded);
  CHECK(taken > static_cast<std::int64_t>(burst));  // and it was a limit
  const auto left = bucket.available(start + std::chrono::milliseconds(ms.load()));
  CHECK(taken + left <= static_cast<std::int64_t>(burst) + static_cast<std::int64_t>(per_ms) * ms.load());
}
