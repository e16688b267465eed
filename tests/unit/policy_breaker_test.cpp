// The circuit breaker's states, after the cases of a well-known breaker.
#include <deepseek/policy/detail/circuit_breaker.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/shared_data.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek::detail::CircuitBreaker;
using State = deepseek::detail::CircuitBreaker::State;
using Json = nlohmann::json;

namespace {

struct Bench {
  CircuitBreaker breaker;
  TimePoint now = TimePoint(1h);

  Bench() : breaker(options()) {}
  static BreakerOptions options() {
    BreakerOptions o;
    o.minimum_calls = 5;
    o.slow = 4s;
    return o;
  }
  bool call(bool failed, Duration took = 100ms) {
    if (!breaker.acquire(now)) return false;
    breaker.record(now, failed, took);
    return true;
  }
  void force_open() {
    for (int i = 0; i < 5; ++i) call(true);
    REQUIRE(breaker.state() == State::open);
  }
  void force_half_open() {
    force_open();
    now += 5s;
    REQUIRE(breaker.acquire(now));
    breaker.release();
    REQUIRE(breaker.state() == State::half_open);
  }
  /// "fail", "ok", "fail 5s", "+3s", "(open)", "try: refused ..."
  void step(const std::string& text) {
    INFO(text);
    const auto seconds = [&](std::size_t from) {
      return from < text.size() ? std::chrono::milliseconds(static_cast<int>(std::stod(text.substr(from)) * 1000))
                                : 100ms;
    };
    if (text[0] == '+') {
      now += seconds(1);
    } else if (text[0] == '(') {
      CHECK(name() == text.substr(1, text.size() - 2));
    } else if (text.rfind("try", 0) == 0) {
      const bool permitted = text.find("permitted") != std::string::npos && text.find("refused") == std::string::npos;
      for (int times = text.rfind("try x4", 0) == 0 ? 4 : 1; times > 0; --times)
        CHECK(breaker.acquire(now) == permitted);
    } else if (text.rfind("fail", 0) == 0) {
      CHECK(call(true, seconds(5)));
    } else {
      CHECK(call(false, seconds(3)));
    }
  }
  std::string name() const {
    const State state = breaker.state();
    return state == State::closed ? "closed" : state == State::open ? "open" : "half_open";
  }
};

}  // namespace

TEST_CASE("the public breaker cases", "[policy]") {
  if (!deepseek_tests::has_shared("conformance/retry/circuit_breaker.json"))
    SKIP_TEST("the public breaker cases are not there (DEEPSEEK_SHARED_DIR)");
  const Json all = Json::parse(deepseek_tests::read_shared("conformance/retry/circuit_breaker.json"));
  std::size_t played = 0;
  for (const Json& test : all["cases"]) {
    if (!test.contains("steps")) continue;  // told in words: below
    INFO(test["name"]);
    Bench bench;
    const std::string start = test.value("start", "closed");
    if (start == "open") bench.force_open();
    if (start == "half_open") bench.force_half_open();
    for (std::size_t i = 0; i < test["steps"].size(); ++i) {
      bench.step(test["steps"][i]);
      if (test.contains("state_after_each")) CHECK(bench.name() == test["state_after_each"][i].get<std::string>());
    }
    if (test.contains("state")) CHECK(bench.name() == test["state"].get<std::string>());
    if (test.contains("then_try")) CHECK_FALSE(bench.breaker.acquire(bench.now));
    if (test.contains("release_one_then_try")) {
      bench.breaker.release();
      CHECK(bench.breaker.acquire(bench.now));
    }
    ++played;
  }
  CHECK(played == 8);
}

TEST_CASE("an ignored outcome gives the permission back and counts for nothing", "[policy]") {
  Bench bench;
  bench.force_half_open();
  for (int i = 0; i < 20; ++i) {
    REQUIRE(bench.breaker.acquire(bench.now));
    bench.breaker.release();
  }
  CHECK(bench.breaker.state() == State::half_open);
}

TEST_CASE("what began before it opened decides nothing after", "[policy]") {
  Bench bench;
  REQUIRE(bench.breaker.acquire(bench.now));  // will end late
  bench.force_open();
  bench.breaker.record(bench.now, false, 1s);
  CHECK(bench.breaker.state() == State::open);
  bench.now += 5s;
  REQUIRE(bench.breaker.acquire(bench.now));
  bench.breaker.release();
  bench.breaker.record(bench.now, true, 1s);
  CHECK(bench.breaker.state() == State::half_open);
  for (int i = 0; i < 4; ++i) CHECK(bench.call(false));
  CHECK(bench.breaker.state() == State::closed);
}

TEST_CASE("the window forgets", "[policy]") {
  Bench bench;
  for (int i = 0; i < 4; ++i) bench.call(true);
  bench.now += 21s;
  bench.call(true);
  CHECK(bench.breaker.state() == State::closed);
  for (int i = 0; i < 4; ++i) bench.call(true);
  CHECK(bench.breaker.state() == State::open);
}

TEST_CASE("without a minimum there is no breaker", "[policy]") {
  CircuitBreaker breaker{BreakerOptions()};
  const TimePoint now = TimePoint(1h);
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(breaker.acquire(now));
    breaker.record(now, true, 1s);
  }
  CHECK(breaker.state() == State::closed);
}
