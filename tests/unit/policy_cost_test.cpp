// Cost: exact sums, peak hours, tables that change, ceilings that refuse before sending.
#include "support/catch.hpp"
#include "support/fake_loop.hpp"

#include <deepseek/policy/cost.hpp>
#include <deepseek/policy/limits.hpp>
#include <deepseek/policy/pipeline.hpp>

#include <atomic>
#include <thread>
#include <vector>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::FakeLoop;

namespace {

/// A moment of November 2026, which began on a Sunday.
WallTime november(int day, int hour, int minute = 0) {
  constexpr std::int64_t first = 1'793'491'200;  // 2026-11-01T00:00Z
  return WallTime(std::chrono::seconds(first + (day - 1) * 86'400 + hour * 3'600 + minute * 60));
}

struct WallClock : Clock {
  WallTime wall_now() const override { return now; }
  WallTime now = november(24, 12);  // a Tuesday, off peak
};

struct HoldingTransport : Transport {
  struct Held {
    CallPtr call;
    SinkPtr sink;
  };
  void attach(Loop&) override {}
  void start(CallPtr call, SinkPtr sink) override { running.push_back({std::move(call), std::move(sink)}); }
  void finish(TokenUsage usage, std::optional<Error> error = {}) {
    const Held held = running.front();
    running.erase(running.begin());
    held.call->facts.usage = usage;
    held.sink->on_end(std::move(error));
  }
  std::vector<Held> running;
};

struct EndSink : CallSink {
  void on_frame(const Frame&) override {}
  void on_end(std::optional<Error> result) override {
    ++ends;
    error = std::move(result);
  }
  int ends = 0;
  std::optional<Error> error;
};

struct Fixture {
  explicit Fixture(const CostOptions& options = {}, std::vector<std::shared_ptr<Policy>> more = {})
      : meter(CostMeter::create(options).value()) {
    more.insert(more.begin(), make_cost_policy(meter, clock));
    pipeline.emplace(std::move(more), transport, loop);
  }
  std::shared_ptr<EndSink> start(std::uint64_t weight, const std::string& user = "", const char* model = "flash") {
    auto call = std::make_shared<Call>();
    call->model = model;
    call->user_id = user;
    call->weight = weight;
    last = call;
    auto sink = std::make_shared<EndSink>();
    pipeline->start(call, sink);
    loop.run();
    return sink;
  }
  FakeLoop loop;
  std::shared_ptr<WallClock> clock = std::make_shared<WallClock>();
  std::shared_ptr<HoldingTransport> transport = std::make_shared<HoldingTransport>();
  CostMeter meter;
  std::optional<Pipeline> pipeline;
  CallPtr last;
};

/// A cent per million prompt tokens from the cache, ten cents for others, a dollar for output.
CostOptions simple_prices() {
  CostOptions options;
  options.prices.hours.clear();
  options.prices.models = {{"flash", {10'000, 100'000, 1'000'000}}, {"pro", {20'000, 200'000, 2'000'000}}};
  return options;
}

}  // namespace

TEST_CASE("amounts are exact and print so", "[policy]") {
  CHECK(to_string(Money{}) == "0.00");
  CHECK(to_string(Money::millionths(2'500'000)) == "2.50");
  CHECK(to_string(Money{3'000}) == "0.000000003");
  CHECK(to_string(Money{-1}) == "-0.000000000001");
  CHECK(to_string(Money{INT64_MAX}) == "9223372.036854775807");
  CHECK(to_string(Money{INT64_MIN}) == "-9223372.036854775808");
}

TEST_CASE("prices: hit, miss and output, by the hour, the day and the table", "[policy]") {
  const CostMeter meter = CostMeter::create({}).value();
  const TokenUsage usage{1'000'000, 400'000, 2'000'000, 1'500'000};
  struct Row {
    const char* model;
    WallTime when;
    const char* costs;
  };
  const Row rows[] = {
      {"deepseek-flash", november(24, 12), "1.2912"},  // 0.4 * 0.003 + 0.6 * 0.15 + 2 * 0.6
      {"deepseek-flash", november(24, 1), "2.5824"},   // Tuesday, peak
      {"deepseek-flash", november(24, 0, 59), "1.2912"},
      {"deepseek-flash", november(24, 3, 59), "2.5824"},
      {"deepseek-flash", november(24, 4), "1.2912"},
      {"deepseek-flash", november(24, 6), "2.5824"},
      {"deepseek-flash", november(24, 9, 59), "2.5824"},
      {"deepseek-flash", november(24, 10), "1.2912"},
      {"deepseek-flash", november(28, 2), "1.2912"},  // Saturday
      {"deepseek-flash", november(29, 2), "1.2912"},  // Sunday
      {"deepseek-flash", november(30, 2), "2.5824"},  // Monday
      {"deepseek-v4-pro", november(24, 12), "4.3648"},
      {"of another house", november(24, 12), "4.3648"},  // as the dearest
  };
  for (const Row& row : rows) {
    INFO(row.model << " " << row.when.time_since_epoch().count());
    CHECK(to_string(meter.cost(row.model, usage, row.when)) == row.costs);
  }
  CHECK(meter.cost("deepseek-flash", {1, 1, 0, 0}, november(24, 12)) == Money{3'000});  // one cached token

  PriceTable table = default_prices();
  table.holidays = {"2026-11-24"};
  REQUIRE_FALSE(CostMeter(meter).set_prices(table));
  CHECK(to_string(meter.cost("deepseek-flash", usage, november(24, 1))) == "1.2912");
}

TEST_CASE("nonsense in numbers of tokens neither wraps around nor goes below zero", "[policy]") {
  const CostMeter meter = CostMeter::create({}).value();
  const WallTime when = november(24, 12);
  CHECK(meter.cost("deepseek-flash", {UINT64_MAX, 0, UINT64_MAX, 0}, when) == Money{INT64_MAX});
  CHECK(meter.cost("deepseek-flash", {5, UINT64_MAX, 0, 0}, when) == Money{5 * 3'000});
  CHECK(meter.cost("deepseek-flash", {1, 0, 0, 0}, WallTime::min()) == Money{150'000});
}

TEST_CASE("tables that cannot be right are refused", "[policy]") {
  void (*const edits[])(PriceTable&) = {
      [](PriceTable& t) { t.currency = "dollars"; },
      [](PriceTable& t) { t.date = "yesterday"; },
      [](PriceTable& t) { t.date = "2026-02-29"; },
      [](PriceTable& t) { t.models.clear(); },
      [](PriceTable& t) { t.models.push_back({"", {}}); },
      [](PriceTable& t) { t.models[0].price.output = -1; },
      [](PriceTable& t) { t.models[0].price.cache_hit = 1'000'000'001; },
      [](PriceTable& t) { t.hours[0].to_minute = t.hours[0].from_minute; },
      [](PriceTable& t) { t.hours[0].to_minute = 1441; },
      [](PriceTable& t) { t.hours[0].percent = 1001; },
      [](PriceTable& t) { t.holidays = {"2026-13-01"}; },
  };
  CHECK_FALSE(check(default_prices()));
  CostMeter meter = CostMeter::create({}).value();
  for (const auto edit : edits) {
    PriceTable table = default_prices();
    edit(table);
    const auto error = meter.set_prices(table);
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::invalid_options);
  }
  PriceTable yuan = default_prices();
  yuan.currency = "CNY";
  CHECK(meter.set_prices(yuan));
  CHECK(meter.report().currency == "USD");

  CostOptions negative;
  negative.user_budget.per_day = Money{-1};
  CHECK_FALSE(CostMeter::create(negative));
  CostOptions nobody;
  nobody.max_names = 0;
  CHECK_FALSE(CostMeter::create(nobody));
}

TEST_CASE("what calls used is counted by model and user", "[policy]") {
  Fixture f(simple_prices());
  f.start(1'000, "ann");
  f.start(1'000, "bob", "pro");
  f.start(1'000);
  CHECK(f.meter.report().reserved == Money{1'000 * 4'000'000LL});
  f.transport->finish(TokenUsage{100, 40, 10, 5});
  f.transport->finish(TokenUsage{100, 0, 0, 0});
  f.transport->finish({}, Error(ErrorCode::truncated, "broke off"));
  const CostReport report = f.meter.report();
  CHECK(report.reserved == Money{});
  CHECK(report.price_date == "2026-11-23");
  const Money ann{40 * 10'000 + 60 * 100'000 + 10 * 1'000'000};
  CHECK(report.all.attempts == 3);
  CHECK(report.all.tokens.prompt == 200);
  CHECK(report.all.tokens.reasoning == 5);
  CHECK(report.all.cost == Money{ann.picos + 100 * 200'000});
  CHECK(report.all.uncertain_attempts == 1);
  CHECK(report.all.uncertain_cost == Money{1'000 * 1'000'000});
  REQUIRE(report.users.size() == 3);
  CHECK(report.users[0].first == "ann");
  CHECK(report.users[0].second.cost == ann);
  CHECK(report.users[2].first.empty());
  REQUIRE(report.models.size() == 2);
  CHECK(report.models[1].first == "pro");
  CHECK(report.models[1].second.cost == Money{100 * 200'000});
}

TEST_CASE("calls without a model, and attempts that never used anything, cost nothing", "[policy]") {
  Fixture f(simple_prices());
  f.start(1'000, "", "");
  f.start(1'000);
  f.start(1'000);
  f.transport->finish(TokenUsage{1, 0, 1, 0});
  f.transport->finish({}, Error(ErrorCode::rate_limited, "busy"));
  f.transport->finish({}, Error(ErrorCode::connect_failed, "no"));
  CHECK(f.meter.report().all.attempts == 0);
  CHECK(f.meter.report().reserved == Money{});

  LimitOptions full;
  full.in_flight = 1;
  Fixture g(simple_prices(), {make_limit_policy(Limiter::create(full).value())});
  g.start(1'000);
  const auto waits = g.start(1'000);
  g.last->on_abort(Error(ErrorCode::cancelled, "enough"));  // it was in the limiter's queue, never sent
  CHECK(waits->ends == 1);
  CHECK(g.meter.report().all.uncertain_attempts == 0);
  CHECK(g.meter.report().reserved == Money{1'000 * 1'000'000});
  g.transport->finish(TokenUsage{});
}

TEST_CASE("a budget refuses before sending, and what is under way counts", "[policy]") {
  CostOptions options = simple_prices();
  options.budget.total = Money::millionths(3'000);  // 3,000 tokens of output
  Fixture f(options);
  CHECK(f.start(2'000)->ends == 0);
  const auto second = f.start(1'500);
  REQUIRE(second->ends == 1);
  CHECK(second->error->code() == ErrorCode::budget_exceeded);
  CHECK(second->error->outcome() == Outcome::refused);
  CHECK_FALSE(second->error->retryable());
  CHECK(second->error->message() ==
        "the budget of this process is 0.003 USD: 0.00 are spent, 0.002 reserved, and this call may cost 0.0015");
  CHECK(f.transport->running.size() == 1);
  f.transport->finish(TokenUsage{0, 0, 1'400, 0});
  CHECK(f.start(1'500)->ends == 0);
  CHECK(f.start(101)->ends == 1);
  f.transport->finish({}, Error(ErrorCode::truncated, "broke off"));  // may have used it all
  CHECK(f.start(101)->ends == 1);
  CHECK(f.start(100)->ends == 0);
  f.transport->finish(TokenUsage{});
}

TEST_CASE("each user has a budget of his own, each day a new one", "[policy]") {
  CostOptions options = simple_prices();
  options.user_budget.per_day = Money::millionths(1'000);
  options.user_budget.total = Money::millionths(2'500);
  options.max_names = 2;
  Fixture f(options);
  const auto spend = [&](const char* user) {
    const auto sink = f.start(1'000, user);
    if (sink->ends == 0) f.transport->finish(TokenUsage{0, 0, 1'000, 0});
    return !sink->error;
  };
  CHECK(spend("ann"));
  CHECK_FALSE(spend("ann"));
  CHECK(spend("bob"));
  CHECK(spend("eve"));
  CHECK_FALSE(spend("dan"));  // shares with eve: only two names are told apart
  f.clock->now = november(24, 23, 59);
  CHECK_FALSE(spend("ann"));
  f.clock->now = november(25, 0);
  CHECK(spend("ann"));
  CHECK_FALSE(spend("ann"));
  f.clock->now = november(24, 23);  // a clock set back by an hour opens no budget
  CHECK_FALSE(spend("ann"));
  f.clock->now = november(27, 0);
  CHECK_FALSE(spend("ann"));  // her total
  CHECK(spend("bob"));
  f.clock->now = november(20, 0);  // it was wrong before: the days go on from here
  CHECK_FALSE(spend("bob"));       // his total
  CHECK(f.meter.report().users.back().first == "(others)");
}

TEST_CASE("what tokens cost is counted as a metric", "[policy]") {
  struct Sink : MetricSink {
    void add(const Metric& metric, MetricLabels labels, double amount) noexcept override {
      CHECK(metric.name == "deepseek_cost_total");
      seen.emplace_back(std::string(labels.begin()[0]) + " " + std::string(labels.begin()[1]), amount);
    }
    void set(const Metric&, MetricLabels, double) noexcept override {}
    void observe(const Metric&, MetricLabels, double) noexcept override {}
    std::vector<std::pair<std::string, double>> seen;
  };
  const auto sink = std::make_shared<Sink>();
  Fixture f(simple_prices());
  f.pipeline.emplace(std::vector<std::shared_ptr<Policy>>{make_cost_policy(f.meter, f.clock, sink)}, f.transport,
                     f.loop);
  f.start(100);
  f.start(100);
  f.transport->finish(TokenUsage{0, 0, 500'000, 0});
  f.transport->finish({}, Error(ErrorCode::truncated, "broke off"));
  REQUIRE(sink->seen.size() == 1);
  CHECK(sink->seen[0].first == "flash usd");
  CHECK(sink->seen[0].second == Approx(0.5));
}

TEST_CASE("a call's facts tell what it cost, where its usage is known", "[policy]") {
  Fixture f(simple_prices());
  f.start(100);
  f.transport->finish(TokenUsage{0, 0, 500'000, 0});
  CHECK(f.last->facts.cost == Approx(0.5));
  CHECK(f.last->facts.currency == "usd");
  f.start(100);
  f.transport->finish({}, Error(ErrorCode::truncated, "broke off"));
  CHECK(f.last->facts.cost == 0);
  CHECK(f.last->facts.currency.empty());
}

TEST_CASE("prices may change while calls are under way", "[policy]") {
  Fixture f(simple_prices());
  f.start(100);
  PriceTable table = simple_prices().prices;
  for (auto& row : table.models) row.price.output *= 10;
  table.date = "2026-12-01";
  REQUIRE_FALSE(f.meter.set_prices(table));
  f.start(100);
  f.transport->finish(TokenUsage{0, 0, 1, 0});
  CHECK(f.meter.report().all.cost == Money{1'000'000});
  f.transport->finish(TokenUsage{0, 0, 1, 0});
  CHECK(f.meter.report().all.cost == Money{11'000'000});
  CHECK(f.meter.report().price_date == "2026-12-01");
}

TEST_CASE("64 clients on threads of their own spend no more than the budget, to the last trillionth",
          "[policy][concurrent]") {
  CostOptions options = simple_prices();
  options.budget.total = Money{7'000'000'000};  // 7,000 tokens of output
  CostMeter meter = CostMeter::create(options).value();
  std::atomic<std::int64_t> spent{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 64; ++i) {
    threads.emplace_back([&, i] {
      FakeLoop loop;
      const auto transport = std::make_shared<HoldingTransport>();
      Pipeline pipeline({make_cost_policy(meter)}, transport, loop);
      for (unsigned n = 0; n < 50; ++n) {
        auto call = std::make_shared<Call>();
        call->model = "flash";
        call->weight = 50;
        const auto sink = std::make_shared<EndSink>();
        pipeline.start(call, sink);
        if (n % 10 == 0 && meter.set_prices(simple_prices().prices)) refused = -1'000'000;
        if (sink->ends != 0) {
          ++refused;
          continue;
        }
        std::this_thread::yield();
        const std::uint64_t used = 1 + (i + n) % 50;
        spent += static_cast<std::int64_t>(used);
        transport->finish(TokenUsage{0, 0, used, 0});
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(spent <= 7'000);
  CHECK(spent > 6'900);
  CHECK(refused > 0);
  CHECK(meter.report().reserved == Money{});
}
