// A breaker that changes is seen in metrics and log, and so are shared limits out of reach and writes that a cache
// dropped; trouble of a cache level in the log, without its text.
#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/fake_loop.hpp"

#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/detail/breaker_watch.hpp>
#include <deepseek/policy/detail/budget_watch.hpp>
#include <deepseek/policy/detail/cache_entry.hpp>
#include <deepseek/policy/detail/cache_watches.hpp>
#include <deepseek/policy/limits.hpp>
#include <deepseek/policy/observe.hpp>

using namespace deepseek;
using namespace std::chrono_literals;

namespace {

struct Watched {
  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>();
  std::string log;
  ObserveOptions options;
  Watched() {
    options.metrics = metrics;
    options.log = make_callback_log([this](const LogRecord& record) { append_json_line(log, record); });
  }
  bool shows(const std::string& text) const { return metrics->prometheus_text().find(text) != std::string::npos; }
  bool logged(const std::string& text) const { return log.find(text) != std::string::npos; }
};

}  // namespace

TEST_CASE("an endpoint's breaker is told when it opens, tries and closes", "[policy]") {
  Watched watched;
  deepseek_tests::FakeLoop loop;
  BreakerOptions breaker;
  breaker.minimum_calls = 2;
  Endpoint endpoint;
  endpoint.base_url = "http://user:secret@gateway.test:81/v1";
  detail::Router router({endpoint}, FailoverOptions(), breaker, detail::make_breaker_watch(watched.options));
  router.attach(loop);
  const auto attempt = [&](detail::EndpointVerdict verdict) {
    Call call;
    const bool permitted = router.choose(call) != nullptr;
    if (permitted) router.report(call, verdict);
    return permitted;
  };
  for (int i = 0; i < 2; ++i) REQUIRE(attempt(detail::EndpointVerdict::failed));
  CHECK_FALSE(attempt(detail::EndpointVerdict::good));
  CHECK(watched.shows("} 2\n"));
  CHECK(watched.logged("\"open\""));
  loop.advance(1h);
  while (!watched.logged("\"closed\"")) REQUIRE(attempt(detail::EndpointVerdict::good));
  CHECK(watched.logged("\"half_open\""));
  CHECK(watched.shows("deepseek_breaker_state{"));
  CHECK_FALSE(watched.logged("secret"));
  CHECK_FALSE(watched.shows("secret"));
}

namespace {

/// Grants everything; says what the test wants of the other side. Keeps what it was told, every virtual of it.
struct ShakyBudget final : SharedBudget {
  void attach(Loop& loop) override { told.push_back(&loop == expected ? "attach" : "attach to another loop"); }
  void detach() override { told.push_back("detach"); }
  void take(const BudgetAsk& ask, Function<void(BudgetGrant)> done) override {
    told.push_back("take " + std::string(ask.model) + ' ' + std::string(ask.user_id) + ' ' +
                   std::to_string(ask.tokens));
    BudgetGrant grant;
    grant.granted = true;
    grant.lease = 7;
    done(grant);
  }
  void settle(std::uint64_t lease, std::optional<std::uint64_t> tokens) override {
    told.push_back("settle " + std::to_string(lease) + ' ' + (tokens ? std::to_string(*tokens) : "unknown"));
  }
  bool degraded() const noexcept override { return away; }
  const Loop* expected = nullptr;
  std::vector<std::string> told;
  bool away = false;
};

BudgetGrant take_from(SharedBudget& budget) {
  BudgetGrant got;
  budget.take({"m", "u", 1}, [&got](BudgetGrant grant) { got = grant; });
  return got;
}

}  // namespace

TEST_CASE("a watched budget hands on all that it is told", "[policy]") {
  const Watched watched;
  deepseek_tests::FakeLoop loop;
  const auto shaky = std::make_shared<ShakyBudget>();
  shaky->expected = &loop;
  const auto budget = detail::make_watched_budget(shaky, watched.options);
  budget->attach(loop);
  CHECK(take_from(*budget).lease == 7);
  budget->settle(7, 3);
  budget->settle(8, std::nullopt);
  budget->detach();
  CHECK(shaky->told == std::vector<std::string>{"attach", "take m u 1", "settle 7 3", "settle 8 unknown", "detach"});
  CHECK_FALSE(budget->degraded());
  shaky->away = true;
  CHECK(budget->degraded());
}

TEST_CASE("the gauge of shared limits out of reach counts clients", "[policy]") {
  Watched watched;
  deepseek_tests::FakeLoop loop;
  const auto make = [&](bool away) {
    const auto shaky = std::make_shared<ShakyBudget>();
    shaky->away = away;
    auto budget = detail::make_watched_budget(shaky, watched.options);
    budget->attach(loop);
    (void)take_from(*budget);
    return budget;
  };
  const auto first = make(true);
  CHECK(watched.shows("deepseek_limits_local 1\n"));
  const auto second = make(false);  // takes nothing away from the first
  CHECK(watched.shows("deepseek_limits_local 1\n"));
  const auto third = make(true);
  CHECK(watched.shows("deepseek_limits_local 2\n"));
  third->detach();
  third->detach();
  second->detach();
  CHECK(watched.shows("deepseek_limits_local 1\n"));
  first->detach();
  CHECK(watched.shows("deepseek_limits_local 0\n"));
}

TEST_CASE("shared limits that go out of reach are told once, and once when they are back", "[policy]") {
  Watched watched;
  deepseek_tests::FakeLoop loop;
  const auto shaky = std::make_shared<ShakyBudget>();
  const auto budget = detail::make_watched_budget(shaky, watched.options);
  budget->attach(loop);
  CHECK(watched.shows("deepseek_limits_local 0\n"));
  CHECK(take_from(*budget).lease == 7);
  CHECK(watched.log.empty());
  shaky->away = true;
  (void)take_from(*budget);
  (void)take_from(*budget);
  CHECK(watched.shows("deepseek_limits_local 1\n"));
  CHECK(std::count(watched.log.begin(), watched.log.end(), '\n') == 1);
  CHECK(watched.logged(R"("deepseek.state":"local")"));
  shaky->away = false;
  (void)take_from(*budget);
  CHECK(watched.shows("deepseek_limits_local 0\n"));
  CHECK(watched.logged(R"("deepseek.state":"shared")"));
  CHECK(detail::make_watched_budget(nullptr, watched.options) == nullptr);
  CHECK(detail::make_watched_budget(shaky, ObserveOptions()) == shaky);
}

TEST_CASE("writes that a level dropped are counted and logged, each once", "[policy]") {
  Watched watched;
  const auto store = memory_store(64 * 1024);
  CacheOptions options;
  options.memory = store;
  const auto clock = std::make_shared<Clock>();
  const auto too_large = [&] {
    deepseek_tests::FakeLoop loop;
    const auto session = store->open(loop, {});
    CacheEntryWriter writer;
    writer.add(std::string(100'000, 'x'));
    const WallTime now = clock->wall_now();
    session->put("k", writer.finish("k", {now, now + 1h, now + 1h}));
  };
  const auto client_goes = [&] {
    deepseek_tests::FakeLoop loop;
    make_cache_policy(options, {}, clock, detail::make_cache_drop_watch(watched.options))->attach(loop);
  };
  client_goes();
  CHECK(watched.log.empty());
  too_large();
  too_large();
  client_goes();
  client_goes();
  CHECK(watched.shows("deepseek_dropped_total{what=\"cache_write\"} 2\n"));
  CHECK(std::count(watched.log.begin(), watched.log.end(), '\n') == 1);
  CHECK(watched.logged(R"("event.action":"cache_dropped","deepseek.cache":"memory","deepseek.count":2)"));
  CHECK_FALSE(detail::make_cache_drop_watch(ObserveOptions()));
}

TEST_CASE("of a cache's notice the log gets its level and kind alone", "[policy]") {
  Watched watched;
  const CacheNotice notice = detail::make_cache_notice(watched.options);
  notice("disk", "the database on the disk was set aside as /home/somebody/cache.bad: not a database");
  notice("redis", "cannot connect with password hunter2");
  CHECK(watched.logged("disk"));
  CHECK(watched.logged("redis"));
  CHECK_FALSE(watched.logged("somebody"));
  CHECK_FALSE(watched.logged("hunter2"));
  CHECK_FALSE(detail::make_cache_notice(ObserveOptions()));
}
