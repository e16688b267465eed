// Hedging: when a request is sent a second time, who wins, what becomes of the loser, and what it may cost.
#include "support/catch.hpp"

#include <deepseek/policy/detail/hedge_policy.hpp>
#include <deepseek/policy/limits.hpp>
#include <deepseek/policy/single_flight.hpp>

#include "unit/policy_cache_kit.hpp"

using namespace cache_kit;
using namespace std::chrono_literals;

namespace {

constexpr const char* near_by = "http://127.0.0.1:1";
constexpr const char* far_away = "http://127.0.0.1:2";

Error failure(ErrorCode code, int status = 0) {
  return Error(code, "no").with([status](ErrorDetails& details) { details.http_status = status; });
}

/// A pipeline that hedges after a second.
struct Fixture {
  Fixture() {
    base.endpoints = {{near_by}, {far_away}};
    base.transport = transport;
    base.retry.max_attempts = 1;
    base.hedge.after = 1s;
    base.hedge.burst = 100'000;
  }
  ~Fixture() { transport->end_all(); }

  void start(One& one) {
    if (!pipeline) {
      auto policies = make_base_policies(base);
      policies.insert(policies.end(), more.begin(), more.end());
      pipeline.emplace(std::move(policies), transport, loop);
    }
    one.call->started = loop.now();
    pipeline->start(one.call, one.sink);
  }
  std::size_t asked() const { return transport->calls.size(); }
  Call& request(std::size_t index) { return *transport->calls.at(index).call; }
  std::string where(std::size_t index) { return request(index).endpoint->base_url; }
  /// A call whose hedge is under way: requests 0 and 1.
  void start_both(One& one) {
    start(one);
    loop.advance(1s);
    REQUIRE(asked() == 2);
  }

  deepseek_tests::FakeLoop loop;
  std::shared_ptr<HandTransport> transport = std::make_shared<HandTransport>();
  BasePolicies base;
  std::vector<std::shared_ptr<Policy>> more;
  std::optional<Pipeline> pipeline;
};

void check_released(const Call& call) {
  CHECK_FALSE(call.on_abort);
  CHECK_FALSE(call.on_pause);
}

}  // namespace

TEST_CASE("an attempt that answers in time is not hedged", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start(one);
  f.loop.advance(999ms);
  f.transport->frame(0, "role");
  CHECK(one.sink->frames.empty());  // held until it is known who answers
  f.transport->frame(0, "t 1");
  CHECK(one.sink->frames == Strings{"role", "t 1"});
  CHECK(f.loop.timers() == 0);
  f.loop.advance(1h);
  f.transport->frame(0, "t 2");
  f.transport->frame(0, "e");
  f.transport->end(0);
  CHECK(f.asked() == 1);
  CHECK(one.complete());
  CHECK(one.sink->frames == Strings{"role", "t 1", "t 2", "e"});
  CHECK(one.decoder->seen == one.sink->frames);
  CHECK(one.call->facts.attempts == 1);
  CHECK(one.call->facts.hedges == 0);
  CHECK(one.call->facts.usage.prompt == 10);
  check_released(*one.call);
}

TEST_CASE("the hedge goes elsewhere, wins, and is the whole reply", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start(one);
  f.transport->frame(0, "role of the first");
  f.loop.advance(1s);
  REQUIRE(f.asked() == 2);
  CHECK(f.where(0) == near_by);
  CHECK(f.where(1) == far_away);
  CHECK(f.request(1).body == one.call->body);
  f.transport->frame(1, "role of the second");
  CHECK(one.sink->frames.empty());
  f.request(1).facts.http_status = 200;
  f.request(1).facts.trace_id = "second";
  f.request(1).authorization = Secret("Bearer second");
  f.transport->frame(1, "t 1");
  CHECK(f.transport->aborted == 1);  // at once
  CHECK(one.sink->frames == Strings{"role of the second", "t 1"});
  f.transport->frame(1, "t 2");
  f.transport->frame(1, "e");
  f.transport->end(1);
  CHECK(one.complete());
  CHECK(one.sink->frames == Strings{"role of the second", "t 1", "t 2", "e"});
  CHECK(one.decoder->seen == one.sink->frames);
  CHECK(one.decoder->concluded == 1);
  const CallFacts& facts = one.call->facts;
  CHECK(facts.attempts == 2);
  CHECK(facts.hedges == 1);
  CHECK(facts.failovers == 0);
  CHECK(facts.trace_id == "second");
  CHECK(facts.usage.completion == 5);
  CHECK(one.call->endpoint->base_url == far_away);
  CHECK(one.call->endpoints_left == 0);
  CHECK(one.call->authorization == Secret("Bearer second"));  // what logs must not show
  check_released(*one.call);
  CHECK(f.loop.timers() == 0);
}

TEST_CASE("what both have waited for and cost is the call's", "[policy][hedge]") {
  Fixture f;
  One one;
  one.call->facts.waited = 1ms;  // for an attempt before
  one.call->facts.cost = 0.25;
  f.start_both(one);
  f.request(0).facts.waited += 2ms;
  f.request(0).facts.cost += 0.5;
  f.request(1).facts.cost += 1;
  f.request(1).facts.currency = "usd";
  const std::size_t winner = GENERATE(0, 1);
  f.transport->frame(winner, "t");
  f.request(winner).facts.waited += 4ms;
  f.transport->end(winner);
  REQUIRE(one.complete());
  CHECK(one.call->facts.waited == 7ms);
  CHECK(one.call->facts.cost == 1.75);
  CHECK(one.call->facts.currency == "usd");
}

TEST_CASE("a loser may end when the pipeline has gone", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start_both(one);
  const auto late = f.transport->calls.at(0);
  late.call->on_abort = [](Error) {};  // a holder that lets itself be waited for
  f.transport->frame(1, "t");
  f.transport->end(1);
  REQUIRE(one.complete());
  f.pipeline.reset();
  late.call->on_abort = nullptr;
  late.sink->on_end(Error(ErrorCode::cancelled, "late"));
  CHECK(one.sink->ends == 1);
}

TEST_CASE("the first may still win, and the hedge leaves no trace in the reply", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start(one);
  f.transport->frame(0, "role");
  f.loop.advance(1s);
  f.transport->frame(1, "another role");
  f.transport->frame(0, "t 1");
  CHECK(f.transport->aborted == 1);
  CHECK_FALSE(f.request(1).on_abort);
  f.transport->frame(0, "e");
  f.transport->end(0);
  CHECK(one.complete());
  CHECK(one.sink->frames == Strings{"role", "t 1", "e"});
  CHECK(one.decoder->seen == one.sink->frames);
  CHECK(one.call->facts.attempts == 2);
  CHECK(one.call->facts.hedges == 1);
  CHECK(one.call->endpoint->base_url == near_by);
}

TEST_CASE("of a whole reply the body decides", "[policy][hedge]") {
  Fixture f;
  One one;
  one.call->operation.stream = false;
  f.start_both(one);
  const std::size_t winner = GENERATE(0u, 1u);
  f.transport->frame(winner, "{}");
  CHECK(f.transport->aborted == 1);
  f.transport->end(winner);
  CHECK(one.complete());
  CHECK(one.sink->frames == Strings{"{}"});
  CHECK(one.decoder->seen == Strings{"{}"});
  CHECK(one.decoder->concluded == 1);
}

TEST_CASE("a reply that ends well without a token wins too", "[policy][hedge]") {
  const std::size_t winner = GENERATE(0u, 1u);
  Fixture f;
  One one;
  f.start_both(one);
  f.transport->frame(0, "d 0");
  f.transport->frame(1, "d 1");
  f.transport->end(winner);
  CHECK(one.complete());
  CHECK(one.sink->frames == Strings{"d " + std::to_string(winner)});
  CHECK(one.decoder->seen == one.sink->frames);
  CHECK(f.transport->aborted == 1);
}

TEST_CASE("whoever sends very much without a token is taken for the one that answers", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start_both(one);
  const std::string much(100 * 1024, 'd');
  f.transport->frame(1, much);
  f.transport->frame(1, much);
  CHECK(one.sink->frames.empty());
  f.transport->frame(1, much);
  CHECK(one.sink->frames == Strings{much, much, much});
  CHECK(f.transport->aborted == 1);
}

TEST_CASE("nothing is delivered of a loser that goes on", "[policy][hedge]") {
  struct Deaf final : Transport {
    void attach(Loop&) override {}
    void start(CallPtr call, SinkPtr sink) override {
      call->on_abort = [](Error) {};  // it ends when it likes
      calls.emplace_back(std::move(call), std::move(sink));
    }
    void frame(std::size_t index, std::string_view data) {
      const auto one = calls.at(index);
      one.second->on_frame({data, one.first->decoder->inspect(data), false});
    }
    void end(std::size_t index, std::optional<Error> error = {}) {
      const auto one = calls.at(index);
      one.first->release_holds();
      one.second->on_end(std::move(error));
    }
    std::vector<std::pair<CallPtr, SinkPtr>> calls;
  };
  const std::size_t winner = GENERATE(0u, 1u);
  const std::size_t loser = 1 - winner;
  deepseek_tests::FakeLoop loop;
  const auto transport = std::make_shared<Deaf>();
  BasePolicies base;
  base.endpoints = {{near_by}, {far_away}};
  base.transport = transport;
  base.retry.max_attempts = 1;
  base.hedge.after = 1s;
  Pipeline pipeline(make_base_policies(base), transport, loop);
  One one;
  pipeline.start(one.call, one.sink);
  loop.advance(1s);
  REQUIRE(transport->calls.size() == 2);
  transport->frame(winner, "t winner");
  transport->frame(loser, "t loser");
  transport->frame(winner, "t more");
  if (GENERATE(true, false)) {
    transport->end(loser);
    transport->end(winner);
  } else {
    transport->end(winner);
    transport->frame(loser, "t loser");
    transport->end(loser);
  }
  CHECK(one.complete());
  CHECK(one.sink->frames == Strings{"t winner", "t more"});
  CHECK(one.decoder->seen == one.sink->frames);

  // Given up, too, a call waits for both.
  One two;
  transport->calls.clear();
  pipeline.start(two.call, two.sink);
  loop.advance(1s);
  REQUIRE(transport->calls.size() == 2);
  two.abort();
  transport->frame(loser, "t late");
  transport->end(loser, failure(ErrorCode::cancelled));
  CHECK(two.sink->ends == 0);
  transport->end(winner, failure(ErrorCode::cancelled));
  CHECK(two.sink->ends == 1);
  CHECK(two.sink->frames.empty());
  CHECK(two.sink->error->code() == ErrorCode::cancelled);
}

TEST_CASE("the first fails while its hedge runs: the hedge may still answer", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start_both(one);
  f.transport->frame(0, "role");
  f.transport->end(0, failure(ErrorCode::connection_lost));
  CHECK(one.sink->ends == 0);
  f.transport->frame(1, "t 1");
  f.transport->end(1);
  CHECK(one.complete());
  CHECK(one.sink->frames == Strings{"t 1"});
  CHECK(one.decoder->seen == one.sink->frames);
  CHECK(f.transport->aborted == 0);
}

TEST_CASE("a hedge that fails is forgotten", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start_both(one);
  f.transport->frame(1, "role");
  f.transport->end(1, failure(ErrorCode::authentication, 401));
  CHECK(one.sink->ends == 0);
  f.loop.advance(1h);  // and there is no second one
  CHECK(f.asked() == 2);
  f.transport->frame(0, "t 1");
  f.transport->end(0);
  CHECK(one.complete());
  CHECK(one.sink->frames == Strings{"t 1"});
  CHECK(one.call->facts.hedges == 1);
}

TEST_CASE("both fail: a server's answer tells more than none", "[policy][hedge]") {
  struct Row {
    Error first;
    Error second;
    ErrorCode told;
    const char* endpoint;
  };
  const auto lost = [] { return failure(ErrorCode::connection_lost); };
  const std::vector<Row> rows = {
      {lost(), failure(ErrorCode::timeout_first_byte), ErrorCode::connection_lost, near_by},
      {lost(), failure(ErrorCode::bad_request, 400), ErrorCode::bad_request, far_away},
      {failure(ErrorCode::overloaded, 503), failure(ErrorCode::bad_request, 400), ErrorCode::overloaded, near_by},
      {failure(ErrorCode::overloaded, 503), lost(), ErrorCode::overloaded, near_by},
  };
  const auto row = rows.at(GENERATE(0u, 1u, 2u, 3u));
  const bool first_first = GENERATE(true, false);
  Fixture f;
  One one;
  f.start_both(one);
  f.transport->frame(0, "role 0");
  f.transport->frame(1, "role 1");
  if (first_first) f.transport->end(0, row.first);
  f.transport->end(1, row.second);
  if (!first_first) f.transport->end(0, row.first);
  REQUIRE(one.sink->ends == 1);
  REQUIRE(one.sink->error);
  CHECK(one.sink->error->code() == row.told);
  CHECK(one.call->endpoint->base_url == row.endpoint);
  CHECK(one.sink->frames == Strings{row.endpoint == std::string(near_by) ? "role 0" : "role 1"});
  CHECK(one.decoder->seen == one.sink->frames);
  CHECK(one.call->facts.attempts == 2);
  check_released(*one.call);
}

TEST_CASE("an attempt that fails before its time is not hedged and ends as it would", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start(one);
  f.transport->frame(0, "role");
  f.transport->end(0, failure(ErrorCode::overloaded, 503));
  CHECK(one.sink->error->code() == ErrorCode::overloaded);
  CHECK(one.sink->frames == Strings{"role"});
  CHECK(f.loop.timers() == 0);
}

TEST_CASE("an answer that breaks off after its first token is an error as ever", "[policy][hedge]") {
  const std::size_t winner = GENERATE(0u, 1u);
  Fixture f;
  f.base.retry.max_attempts = 4;
  One one;
  f.start_both(one);
  f.transport->frame(winner, "t 1");
  f.transport->end(winner, failure(ErrorCode::truncated));
  REQUIRE(one.sink->ends == 1);
  CHECK(one.sink->error->code() == ErrorCode::truncated);
  CHECK(one.sink->frames == Strings{"t 1"});
  CHECK(f.asked() == 2);
}

TEST_CASE("retry goes on above, and each attempt may have its hedge", "[policy][hedge]") {
  Fixture f;
  f.base.retry.max_attempts = 2;
  f.base.retry.base = 0ms;
  One one;
  f.start_both(one);
  f.transport->end(1, failure(ErrorCode::connection_lost));
  f.transport->end(0, failure(ErrorCode::connection_lost));
  CHECK(one.sink->ends == 0);
  f.loop.advance(1ms);
  REQUIRE(f.asked() == 3);
  f.loop.advance(1s);
  REQUIRE(f.asked() == 4);
  f.transport->frame(3, "t 1");
  f.transport->end(3);
  CHECK(one.complete());
  CHECK(one.call->facts.attempts == 4);
  CHECK(one.call->facts.retries == 1);
  CHECK(one.call->facts.hedges == 2);
  CHECK(one.sink->frames == Strings{"t 1"});
}

TEST_CASE("a call that is given up ends once, wherever its requests are", "[policy][hedge]") {
  Fixture f;
  One one;
  SECTION("before the hedge") { f.start(one); }
  SECTION("with both under way") { f.start_both(one); }
  SECTION("when the first has failed") {
    f.start_both(one);
    f.transport->end(0, failure(ErrorCode::connection_lost));
  }
  SECTION("when the hedge has failed") {
    f.start_both(one);
    f.transport->end(1, failure(ErrorCode::connection_lost));
  }
  SECTION("when the hedge has won") {
    f.start_both(one);
    f.transport->frame(1, "t 1");
  }
  one.abort();
  REQUIRE(one.sink->ends == 1);
  CHECK(one.sink->error->code() == ErrorCode::cancelled);
  for (const auto& each : f.transport->calls) check_released(*each.call);
  check_released(*one.call);
  CHECK(f.loop.timers() == 0);
  f.loop.advance(1h);
  CHECK(f.asked() <= 2);
}

TEST_CASE("a call may be given up from inside what it is told", "[policy][hedge]") {
  Fixture f;
  One one;
  const std::size_t winner = GENERATE(0u, 1u);
  f.start_both(one);
  f.transport->frame(winner, "role");
  f.transport->frame(winner, "more");
  one.sink->during = [&] {
    one.abort();
    CHECK(one.sink->ends == 0);  // not before the consumer has returned
  };
  SECTION("with a token") { f.transport->frame(winner, "t 1"); }
  SECTION("with the end") { f.transport->end(winner); }
  SECTION("with a failure") {
    f.transport->end(1 - winner, failure(ErrorCode::connection_lost));
    f.transport->end(winner, failure(ErrorCode::overloaded, 503));
  }
  CHECK(one.sink->frames == Strings{"role"});
  CHECK(one.sink->ends == 1);
  CHECK(one.sink->error->code() == ErrorCode::cancelled);
}

TEST_CASE("the deadline ends both", "[policy][hedge]") {
  Fixture f;
  One one;
  one.call->deadline = f.loop.now() + 2s;
  f.start_both(one);
  f.loop.advance(1s);
  REQUIRE(one.sink->ends == 1);
  CHECK(one.sink->error->code() == ErrorCode::timeout_total);
  CHECK(f.transport->aborted == 2);
}

TEST_CASE("a paused call is not late", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start(one);
  one.call->pause(true);
  CHECK(f.request(0).paused);
  f.loop.advance(10s);
  CHECK(f.asked() == 1);
  one.call->pause(false);
  CHECK_FALSE(f.request(0).paused);
  f.loop.advance(999ms);
  CHECK(f.asked() == 1);
  f.loop.advance(1ms);
  REQUIRE(f.asked() == 2);

  one.call->pause(true);  // reaches both
  CHECK(f.request(0).paused);
  CHECK(f.request(1).paused);
  one.call->pause(false);
  CHECK_FALSE(f.request(0).paused);
  CHECK_FALSE(f.request(1).paused);
  f.transport->frame(1, "t 1");
  one.call->pause(true);
  CHECK(f.request(1).paused);
}

TEST_CASE("a paused call that is answered meanwhile is not hedged when it goes on", "[policy][hedge]") {
  Fixture f;
  One one;
  f.start(one);
  one.call->pause(true);
  f.loop.advance(10s);
  f.transport->frame(0, "t 1");
  one.call->pause(false);
  CHECK(f.loop.timers() == 0);
  f.transport->end(0);
  CHECK(one.complete());
}

TEST_CASE("what costs nothing, cannot be decoded twice or must not be repeated is not hedged", "[policy][hedge]") {
  struct Single final : Decoder {
    FrameKind inspect(std::string_view) override { return FrameKind::data; }
    std::optional<Error> conclude(bool) override { return std::nullopt; }
    Error error_from_body(int, std::string_view) override { return Error(ErrorCode::http_error, "no"); }
    void reset() override {}
  };
  Fixture f;
  One one;
  SECTION("no weight") { one.call->weight = 0; }
  SECTION("not safe to repeat") { one.call->safe_to_repeat = false; }
  SECTION("a decoder of which there is one") { one.call->decoder = std::make_shared<Single>(); }
  f.start(one);
  f.loop.advance(10s);
  CHECK(f.asked() == 1);
  f.transport->end(0);
  CHECK(one.complete());
}

TEST_CASE("the ceiling: hedges use a share of what attempts use, and no more", "[policy][hedge]") {
  Fixture f;
  f.base.hedge.burst = 150;
  f.base.hedge.percent = 5;
  const auto hedged = [&f] {
    One one;  // 100 tokens
    const std::size_t before = f.asked();
    f.start(one);
    f.loop.advance(1s);
    const bool twice = f.asked() == before + 2;
    f.transport->frame(before, "t");
    f.transport->end(before);
    CHECK(one.complete());
    CHECK(one.call->facts.hedges == (twice ? 1 : 0));
    return twice;
  };
  CHECK(hedged());  // from the burst: 50 are left
  // Each attempt brings five.
  for (int i = 0; i < 9; ++i) CHECK_FALSE(hedged());
  CHECK(hedged());
  for (int i = 0; i < 19; ++i) CHECK_FALSE(hedged());
  CHECK(hedged());
}

TEST_CASE("the budget never holds more than its burst", "[policy][hedge]") {
  HedgeOptions options;
  options.percent = 100;
  options.burst = 10;
  detail::HedgeBudget budget(options);
  for (int i = 0; i < 100; ++i) budget.earn(std::uint64_t(-1));
  CHECK_FALSE(budget.take(11));
  CHECK_FALSE(budget.take(std::uint64_t(-1)));
  CHECK(budget.take(10));
  CHECK_FALSE(budget.take(1));
  budget.give_back(std::uint64_t(-1));
  CHECK_FALSE(budget.take(11));
  CHECK(budget.take(10));
}

TEST_CASE("a hedge is sent only where the limits have room, and holds a place of its own", "[policy][hedge]") {
  LimitOptions limits;
  limits.in_flight = GENERATE(1u, 2u);
  const Limiter limiter = *Limiter::create(limits);
  Fixture f;
  f.more.push_back(make_limit_policy(limiter));
  One one;
  f.start(one);
  f.loop.advance(1s);
  if (limits.in_flight == 1) {
    CHECK(f.asked() == 1);
    CHECK(limiter.state().waiting == 0);
  } else {
    REQUIRE(f.asked() == 2);
    CHECK(limiter.state().in_flight == 2);
    One late;  // waits, and has the loser's place as soon as it is given up
    f.start(late);
    f.loop.advance(900ms);
    CHECK(f.asked() == 2);
    f.transport->frame(1, "t 1");
    f.loop.run();
    CHECK(f.asked() == 3);
    late.abort();
    f.transport->frame(1, "t 2");
  }
  const std::size_t winner = limits.in_flight - 1;
  f.transport->frame(winner, "t 3");
  f.transport->end(winner);
  CHECK(one.complete());
  CHECK(one.call->facts.hedges == static_cast<int>(winner));
  CHECK(one.call->facts.attempts == static_cast<int>(limits.in_flight));
  CHECK(limiter.state().in_flight == 0);
}

TEST_CASE("a hedge that was not sent is not paid for", "[policy][hedge]") {
  struct RefuseOnce final : Policy {
    Phase phase() const override { return Phase::admission; }
    void start(CallPtr call, SinkPtr sink, Next next) override {
      if (call->may_wait || std::exchange(done, true)) return next(std::move(call), std::move(sink));
      sink->on_end(Error(ErrorCode::rate_limited_locally, "no room"));
    }
    bool done = false;
  };
  Fixture f;
  f.base.hedge.burst = 100;
  f.more.push_back(std::make_shared<RefuseOnce>());
  One one, two, three;
  f.start(one);
  f.loop.advance(1s);
  CHECK(f.asked() == 1);
  f.start(two);
  f.loop.advance(1s);
  CHECK(f.asked() == 3);
  f.start(three);
  f.loop.advance(1s);
  CHECK(f.asked() == 4);
  for (const std::size_t first : {0u, 1u, 3u}) {
    f.transport->frame(first, "t");
    f.transport->end(first);
  }
  CHECK(one.complete());
  CHECK(one.call->facts.hedges == 0);
  CHECK(one.call->facts.attempts == 1);
  CHECK(two.call->facts.hedges == 1);
}

TEST_CASE("a request that waits for its turn is not late, and its time begins when it is sent", "[policy][hedge]") {
  LimitOptions limits;
  limits.in_flight = 2;
  Fixture f;
  f.more.push_back(make_limit_policy(*Limiter::create(limits)));
  f.base.hedge.after = 1s;
  One a, b, c;
  f.start(a);
  f.start(b);
  f.transport->frame(0, "t");
  f.transport->frame(1, "t");
  f.start(c);
  f.loop.advance(5500ms);
  CHECK(f.asked() == 2);
  f.transport->end(0);
  f.loop.run();
  REQUIRE(f.asked() == 3);
  f.transport->end(1);
  f.loop.advance(999ms);
  CHECK(f.asked() == 3);
  f.loop.advance(1s);
  CHECK(f.asked() == 4);
  c.abort();
}

TEST_CASE("the hedge goes where it is healthy, and to the same place rather than to a sick one", "[policy][hedge]") {
  Fixture f;
  One lost, one;
  f.base.retry.max_attempts = 2;
  f.base.retry.base = 0ms;
  SECTION("all are well") {
    f.start_both(one);
    CHECK(f.where(1) == far_away);
  }
  SECTION("the other one cools down") {
    f.start(lost);
    f.transport->end(0, failure(ErrorCode::connect_failed));  // near_by cools
    f.loop.run();
    REQUIRE(f.asked() == 2);
    f.transport->frame(1, "t");
    f.transport->end(1);
    f.start(one);
    REQUIRE(f.where(2) == far_away);
    f.loop.advance(1s);
    REQUIRE(f.asked() == 4);
    CHECK(f.where(3) == far_away);
  }
  SECTION("there is no other") {
    f.base.endpoints.pop_back();
    f.start_both(one);
    CHECK(f.where(1) == near_by);
  }
  one.abort();
}

TEST_CASE("each of the two is reported to its breaker once, and no trial is lost", "[policy][hedge]") {
  Fixture f;
  f.base.breaker.minimum_calls = 1;
  f.base.breaker.failure_percent = 100;
  f.base.breaker.trial_calls = 1;
  f.base.breaker.open_for = 10s;
  f.base.failover.failures_to_cool = 100;
  One first;
  f.start_both(first);  // near_by and far_away
  f.transport->end(0, failure(ErrorCode::connection_lost));
  f.transport->end(1, failure(ErrorCode::connection_lost));
  REQUIRE(first.sink->ends == 1);
  One refused;
  f.start(refused);  // both breakers are open
  REQUIRE(refused.sink->error);
  CHECK(refused.sink->error->code() == ErrorCode::circuit_open);
  f.loop.advance(10s);

  One second;  // both half open now, and both trials are used
  f.start(second);
  f.loop.advance(1s);
  REQUIRE(f.asked() == 4);
  One meanwhile;
  f.start(meanwhile);
  CHECK(meanwhile.sink->error->code() == ErrorCode::circuit_open);
  SECTION("the first wins") {
    f.transport->frame(2, "t");
    f.transport->end(2);
    CHECK(second.complete());
  }
  SECTION("the hedge wins") {
    f.transport->frame(3, "t");
    f.transport->end(3);
    CHECK(second.complete());
  }
  SECTION("given up") { second.abort(); }
  // The loser gave its trial back, so that another call can have it: the breakers let one pass each.
  One third;
  f.start(third);
  f.loop.advance(1s);
  REQUIRE(f.asked() == 6);
  CHECK(f.where(4) != f.where(5));
  f.transport->frame(4, "t");
  f.transport->end(4);
  CHECK(third.complete());
}

TEST_CASE("an attempt is reported once, whoever else reports it", "[policy][hedge]") {
  BreakerOptions breaker;
  breaker.minimum_calls = 2;
  deepseek_tests::FakeLoop loop;
  detail::Router router({{near_by}}, FailoverOptions(), breaker);
  router.attach(loop);
  Call call;
  for (int i = 0; i < 2; ++i) {
    REQUIRE(router.choose(call));
    router.report(call, detail::EndpointVerdict::failed);
    if (i == 0) router.report(call, detail::EndpointVerdict::failed);
  }
  CHECK_FALSE(router.choose(call));  // open after two, not before
  router.report(call, detail::EndpointVerdict::failed);
}

TEST_CASE("calls that share a request share its hedge", "[policy][hedge]") {
  Fixture f;
  f.more.push_back(make_single_flight_policy({true, 1024 * 1024}, {near_by, far_away}));
  One a, b, c;
  f.start(a);
  f.transport->frame(0, "role of the first");
  f.start(b);
  f.loop.advance(1s);
  REQUIRE(f.asked() == 2);
  a.abort();  // the request goes on for the other
  f.transport->frame(1, "role");
  f.transport->frame(1, "t 1");
  f.start(c);
  f.transport->frame(1, "e");
  f.transport->end(1);
  for (One* one : {&b, &c}) {
    CHECK(one->complete());
    CHECK(one->sink->frames == Strings{"role", "t 1", "e"});
    CHECK(one->decoder->seen == one->sink->frames);
  }
  CHECK(a.call->facts.attempts + b.call->facts.attempts + c.call->facts.attempts == 2);
  CHECK(a.call->facts.hedges + b.call->facts.hedges + c.call->facts.hedges == 1);
}

TEST_CASE("hedge options that make no sense are named", "[policy][hedge]") {
  const auto refused = [](HedgeOptions options) {
    const auto error = check(options);
    return error ? error->message() : std::string();
  };
  CHECK(refused({}).empty());
  CHECK(refused({0ms, 0, 0}).empty());
  CHECK(refused({1ms, 1, 1}).empty());
  CHECK(refused({1h, 100, 1'000'000'000}).empty());
  CHECK(refused({-1ms, 5, 1}).find("after is outside") != std::string::npos);
  CHECK(refused({1h + 1ms, 5, 1}).find("after is outside") != std::string::npos);
  CHECK(refused({1s, -1, 1}).find("percent is outside") != std::string::npos);
  CHECK(refused({1s, 101, 1}).find("percent is outside") != std::string::npos);
  CHECK(refused({1s, 5, 1'000'000'001}).find("burst is above") != std::string::npos);
  CHECK(refused({1s, 0, 1}).find("allows none") != std::string::npos);
  CHECK(refused({1s, 5, 0}).find("allows none") != std::string::npos);
}
