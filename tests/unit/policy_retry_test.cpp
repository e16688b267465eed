// Retry: what is repeated and when, the shared budget, and what ends it. Public sequences are replayed.
#include <deepseek/policy/detail/retry_policy.hpp>
#include <deepseek/policy/pipeline.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/fake_loop.hpp"
#include "support/shared_data.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

struct FixedClock : Clock {
  WallTime wall_now() const override { return wall; }
  WallTime wall = WallTime(std::chrono::seconds(1696004797));
};

/// How one attempt goes.
struct Act {
  std::optional<Error> error = {};
  int tokens = 0;
  int data = 0;
  std::optional<std::chrono::milliseconds> retry_after = {};
  WallTime retry_at = {};
  bool hold = false;
};

Act fails(ErrorCode code, int status = 0) {
  Act act;
  act.error = Error(code, "no").with([status](ErrorDetails& details) { details.http_status = status; });
  return act;
}
Act busy() { return fails(ErrorCode::overloaded, 503); }
Act throttled() { return fails(ErrorCode::rate_limited, 429); }

struct CountingDecoder : Decoder {
  FrameKind inspect(std::string_view) override { return FrameKind::token; }
  std::optional<Error> conclude(bool) override { return std::nullopt; }
  Error error_from_body(int, std::string_view) override { return Error(ErrorCode::http_error, "no"); }
  void reset() override { ++resets; }
  int resets = 0;
};

struct ActingTransport : Transport {
  void attach(Loop& loop) override { loop_ = &loop; }
  void start(CallPtr call, SinkPtr sink) override {
    asked.push_back(call->endpoint->base_url);
    times.push_back(loop_->now());
    Act act;
    if (asked.size() <= acts.size()) act = acts[asked.size() - 1];
    auto ended = std::make_shared<bool>(false);
    call->on_abort = [=](Error reason) {
      if (std::exchange(*ended, true)) return;
      call->release_holds();
      sink->on_end(std::move(reason));
    };
    if (act.hold) return;
    loop_->post([=] {
      if (std::exchange(*ended, true)) return;
      call->facts.retry_after = act.retry_after;
      call->facts.retry_at = act.retry_at;
      for (int i = 0; i < act.data; ++i) sink->on_frame({"d", FrameKind::data, false});
      for (int i = 0; i < act.tokens; ++i) sink->on_frame({"t", FrameKind::token, false});
      call->release_holds();
      sink->on_end(act.error);
    });
  }
  std::vector<Act> acts;
  std::vector<std::string> asked;
  std::vector<TimePoint> times;

 private:
  Loop* loop_ = nullptr;
};

struct EndSink : CallSink {
  void on_frame(const Frame&) override { ++frames; }
  void on_end(std::optional<Error> result) override {
    ++ends;
    error = std::move(result);
  }
  int frames = 0;
  int ends = 0;
  std::optional<Error> error;
};

/// A client's pipeline whose waits are as long as they may be.
struct Fixture {
  explicit Fixture(RetryOptions retry = {}, std::vector<Endpoint> endpoints = {{"http://127.0.0.1:1"}},
                   BreakerOptions breaker = {}, FailoverOptions failover = {}) {
    BasePolicies base;
    base.endpoints = endpoints;
    base.transport = transport;
    base.retry.max_attempts = 1;
    auto policies = make_base_policies(base);
    policies.erase(
        std::remove_if(policies.begin(), policies.end(),
                       [](const auto& p) { return p->phase() == Phase::retry || p->phase() == Phase::route; }),
        policies.end());
    auto router = std::make_shared<detail::Router>(endpoints, failover, breaker);
    policy = std::make_shared<detail::RetryPolicy>(retry, router, clock, [this] { return random; });
    policies.push_back(policy);
    struct Route : Policy {
      explicit Route(std::shared_ptr<detail::Router> r) : router(std::move(r)) {}
      Phase phase() const override { return Phase::route; }
      void attach(Loop& loop) override { router->attach(loop); }
      void start(CallPtr call, SinkPtr sink, Next next) override {
        if (!router->choose(*call)) return sink->on_end(Error(ErrorCode::circuit_open, "all open"));
        next(std::move(call), std::move(sink));
      }
      std::shared_ptr<detail::Router> router;
    };
    policies.push_back(std::make_shared<Route>(router));
    pipeline.emplace(std::move(policies), transport, loop);
  }
  /// Runs one call to its end.
  std::shared_ptr<EndSink> run(std::vector<Act> acts) {
    transport->acts = std::move(acts);
    transport->asked.clear();
    transport->times.clear();
    const auto sink = begin();
    loop.run_all();
    REQUIRE(sink->ends == 1);
    return sink;
  }
  std::shared_ptr<EndSink> begin() {
    call = std::make_shared<Call>();
    call->decoder = decoder;
    call->deadline = deadline;
    auto sink = std::make_shared<EndSink>();
    pipeline->start(call, sink);
    return sink;
  }
  void abort() {
    const auto on_abort = call->on_abort;  // it goes while it runs
    on_abort(Error(ErrorCode::cancelled, "given up"));
  }
  std::size_t requests() const { return transport->asked.size(); }
  /// Between request number `n` (from 0) and the next.
  double wait_s(std::size_t n) const {
    return std::chrono::duration<double>(transport->times.at(n + 1) - transport->times.at(n)).count();
  }

  double random = 1;
  deepseek_tests::FakeLoop loop;
  std::shared_ptr<FixedClock> clock = std::make_shared<FixedClock>();
  std::shared_ptr<ActingTransport> transport = std::make_shared<ActingTransport>();
  std::shared_ptr<CountingDecoder> decoder = std::make_shared<CountingDecoder>();
  std::shared_ptr<detail::RetryPolicy> policy;
  std::optional<Pipeline> pipeline;
  std::optional<TimePoint> deadline;
  CallPtr call;
};

bool advises(const EndSink& sink, const char* part) {
  return sink.error && sink.error->advice().find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a failed request is repeated until it is good, from the beginning", "[policy]") {
  Fixture f;
  const auto sink = f.run({busy(), fails(ErrorCode::connection_lost), {}});
  CHECK_FALSE(sink->error);
  CHECK(f.requests() == 3);
  CHECK(f.decoder->resets == 2);
  CHECK(f.call->facts.attempts == 3);
  CHECK(f.call->facts.retries == 2);
  CHECK(f.call->on_abort == nullptr);
  CHECK(f.wait_s(0) == Approx(0.5));
  CHECK(f.wait_s(1) == Approx(1));
}

TEST_CASE("which errors are repeated", "[policy]") {
  struct Row {
    Act act;
    bool repeated;
  };
  const std::vector<Row> rows = {
      {fails(ErrorCode::dns_failed), true},       {fails(ErrorCode::connect_failed), true},
      {fails(ErrorCode::connection_lost), true},  {fails(ErrorCode::timeout_first_byte), true},
      {fails(ErrorCode::timeout_idle), true},     {fails(ErrorCode::timeout_total), false},
      {fails(ErrorCode::cancelled), false},       {fails(ErrorCode::truncated), true},
      {fails(ErrorCode::empty_reply), true},      {fails(ErrorCode::no_capacity), true},
      {fails(ErrorCode::service_error), true},    {fails(ErrorCode::filtered), false},
      {fails(ErrorCode::tls_failed), false},      {fails(ErrorCode::malformed_stream), false},
      {fails(ErrorCode::budget_exceeded), false}, {fails(ErrorCode::rate_limited_locally), false},
      {fails(ErrorCode::token_failed), false},    {fails(ErrorCode::internal), false},
  };
  for (const Row& row : rows) {
    INFO(to_string(row.act.error->code()));
    Fixture f;
    f.run({row.act, {}});
    CHECK(f.requests() == (row.repeated ? 2 : 1));
  }
}

TEST_CASE("which statuses are repeated", "[policy]") {
  if (!deepseek_tests::has_shared("conformance/retry/classification.json"))
    SKIP_TEST("the public classification is not there (DEEPSEEK_SHARED_DIR)");
  const Json all = Json::parse(deepseek_tests::read_shared("conformance/retry/classification.json"));
  const auto repeated = [](int status) {
    const ErrorCode code = status == 429                                     ? ErrorCode::rate_limited
                           : status == 401 || status == 403                  ? ErrorCode::authentication
                           : status == 402                                   ? ErrorCode::insufficient_balance
                           : status == 503                                   ? ErrorCode::overloaded
                           : status == 500 || status == 502 || status == 504 ? ErrorCode::server_error
                           : status == 400 || status == 413 || status == 422 ? ErrorCode::bad_request
                                                                             : ErrorCode::http_error;
    Fixture f;
    f.run({fails(code, status), {}});
    return f.requests() == 2;
  };
  // The header x-should-retry that those SDKs obey is not looked at: the service has none.
  for (const int status : all["openai_sdk"]["statuses"]["retry"]) {
    INFO(status);
    CHECK(repeated(status));
  }
  for (const int status : all["openai_sdk"]["statuses"]["no_retry"]) {
    INFO(status);
    CHECK_FALSE(repeated(status));
  }
  // Of AWS only rows without a code of its own apply: the service has none of those words.
  for (const auto& row : all["aws_transient"]["rows"]) {
    if (!row[0].is_number() || !row[1].is_null() || row[0] == 200) continue;
    INFO(row.dump());
    CHECK(repeated(row[0]) == row[2].get<bool>());
  }
}

TEST_CASE("nothing is repeated once a byte of the answer was delivered", "[policy]") {
  Fixture f;
  Act cut = fails(ErrorCode::truncated);
  cut.tokens = 1;
  const auto sink = f.run({cut, {}});
  CHECK(f.requests() == 1);
  CHECK(sink->error->code() == ErrorCode::truncated);
  CHECK(advises(*sink, "delivered already"));

  Act no_text = fails(ErrorCode::truncated);
  no_text.data = 1;  // a role, say
  CHECK_FALSE(f.run({no_text, {}})->error);
  CHECK(f.requests() == 2);
}

TEST_CASE("the reason why it stopped is in the error", "[policy]") {
  RetryOptions options;
  options.max_attempts = 2;
  options.budget = 20;
  Fixture f(options);
  CHECK(advises(*f.run({busy(), busy(), {}}), "max_attempts"));
  CHECK(f.requests() == 2);
  CHECK(advises(*f.run({busy(), {}}), "budget"));
  CHECK(f.requests() == 1);
  CHECK(f.run({fails(ErrorCode::bad_request, 400)})->error->advice().empty());

  Fixture g;
  Act slow = throttled();
  slow.retry_after = 121s;
  CHECK(advises(*g.run({slow, {}}), "longer than allowed"));
  g.deadline = g.loop.now() + 400ms;
  CHECK(advises(*g.run({busy(), {}}), "deadline"));
  CHECK(g.requests() == 1);
}

TEST_CASE("a request that is not safe to repeat is not", "[policy]") {
  Fixture f;
  f.transport->acts = {busy(), {}};
  const auto sink = f.begin();
  f.call->safe_to_repeat = false;
  f.loop.run_all();
  CHECK(f.requests() == 1);
  CHECK(advises(*sink, "not safe"));
}

TEST_CASE("a call given up while it waits ends at once and only once", "[policy]") {
  Fixture f;
  f.transport->acts = {busy(), {}};
  const auto sink = f.begin();
  f.loop.run();
  REQUIRE(f.loop.timers() == 1);
  f.abort();
  CHECK(sink->ends == 1);
  CHECK(sink->error->code() == ErrorCode::cancelled);
  CHECK(f.loop.timers() == 0);
  f.loop.run_all();
  CHECK(f.requests() == 1);
}

TEST_CASE("a deadline that strikes in an attempt is not repeated", "[policy]") {
  Fixture f;
  Act hold;
  hold.hold = true;
  f.deadline = f.loop.now() + 5s;
  const auto sink = f.run({busy(), hold, {}});
  CHECK(f.requests() == 2);
  CHECK(sink->error->code() == ErrorCode::timeout_total);
  CHECK(f.loop.timers() == 0);
}

TEST_CASE("a pause while it waits is still there for the next attempt", "[policy]") {
  Fixture f;
  Act hold;
  hold.hold = true;
  f.transport->acts = {busy(), hold};
  f.begin();
  f.loop.run();
  f.call->pause(true);
  f.loop.run_all();
  CHECK(f.requests() == 2);
  CHECK(f.call->paused);
  f.abort();
}

TEST_CASE("the wait is random below its ceiling", "[policy]") {
  Fixture f;
  f.random = 0.25;
  f.run({busy(), busy(), {}});
  CHECK(f.wait_s(0) == Approx(0.125));
  CHECK(f.wait_s(1) == Approx(0.25));
  const auto jitter = detail::make_jitter();
  double least = 1;
  double most = 0;
  for (int i = 0; i < 1000; ++i) {
    const double value = jitter();
    least = std::min(least, value);
    most = std::max(most, value);
  }
  CHECK(least >= 0);
  CHECK(least < 0.05);
  CHECK(most < 1);
  CHECK(most > 0.95);
  CHECK(detail::make_jitter()() != detail::make_jitter()());
}

TEST_CASE("no number of repeats overflows a wait", "[policy]") {
  RetryOptions options;
  options.base = 10s;
  Fixture f(options);
  CHECK(f.policy->longest_wait(100'000, detail::RetryKind::transient) == 20s);
  CHECK(f.policy->longest_wait(33, detail::RetryKind::throttled) == 20s);
}

TEST_CASE("a server's wish to wait", "[policy]") {
  const auto wait_for = [](Act act, double random = 0) {
    Fixture f;
    f.random = random;
    f.run({std::move(act), {}});
    return f.wait_s(0);
  };
  Act act = busy();
  act.retry_after = 20s;
  CHECK(wait_for(act) == Approx(20));
  act.retry_after = 120s;
  CHECK(wait_for(act) == Approx(120));
  act.retry_after = 0s;
  CHECK(wait_for(act, 1) == Approx(0.5));
  act.retry_after = 10ms;
  CHECK(wait_for(act, 1) == Approx(0.5));
  act.retry_after.reset();
  act.retry_at = FixedClock().wall + 60s;
  CHECK(wait_for(act) == Approx(60));
  act.retry_at = FixedClock().wall - 10s;
  CHECK(wait_for(act, 1) == Approx(0.5));
}

// --- public sequences --------------------------------------------------------------------------------

namespace {

/// Plays one named sequence of the shared file; every step's decision, delay and what is left of the budget must agree.
/// The 2.1 rules are ours. Of the 2.0 rules the costs differ (5 for any repeat, 10 for a timeout): those play with
/// their own costs where one number is enough.
void play(const Json& sequence, int cost, std::chrono::milliseconds base) {
  const auto seconds = [](double s) { return std::chrono::milliseconds(static_cast<int>(s * 1000)); };
  const Json& config = sequence["config"];
  RetryOptions options;
  options.max_attempts = config.value("max_attempts", 3);
  options.budget = config.value("tokens", 500);
  options.cost = cost;
  options.base = seconds(config.value("initial_backoff_s", static_cast<double>(base.count()) / 1000));
  options.cap = seconds(config.value("max_backoff_s", 20.0));
  Fixture f(options);
  // A sequence may hold several calls on one budget: a call begins with attempt 1.
  std::vector<std::vector<Json>> calls;
  for (const Json& step : sequence["steps"]) {
    if (step["attempt"] == 1) calls.emplace_back();
    calls.back().push_back(step);
  }
  for (const auto& steps : calls) {
    f.transport->acts.clear();
    f.transport->asked.clear();
    f.transport->times.clear();
    for (const Json& step : steps) {
      const std::string outcome = step["outcome"];
      Act act;
      if (outcome.rfind("throttling", 0) == 0) act = throttled();
      if (outcome.rfind("server_error", 0) == 0) act = busy();
      const std::size_t asks = outcome.find("asks ");
      if (asks != std::string::npos) act.retry_after = seconds(std::stod(outcome.substr(asks + 5)));
      f.transport->acts.push_back(act);
    }
    Act held;
    held.hold = true;
    f.transport->acts.push_back(held);  // a repeat that the sequence ends with
    const auto sink = f.begin();
    for (std::size_t i = 0; i < steps.size(); ++i) {
      INFO(sequence["name"] << ", attempt " << steps[i]["attempt"]);
      f.loop.run();
      REQUIRE(f.requests() == i + 1);
      if (!steps[i]["tokens_after"].is_null()) CHECK(f.policy->budget().left() == steps[i]["tokens_after"]);
      if (steps[i]["decision"] == "stop") {
        CHECK(sink->ends == 1);
        break;
      }
      REQUIRE(sink->ends == 0);
      f.loop.advance_to_next_timer();
      REQUIRE(f.requests() == i + 2);
      CHECK(f.wait_s(i) == Approx(steps[i]["delay_s"].get<double>()));
    }
    if (sink->ends == 0) f.abort();
  }
}

}  // namespace

TEST_CASE("the standard retry sequences", "[policy]") {
  if (!deepseek_tests::has_shared("conformance/retry/aws_standard_retry.json"))
    SKIP_TEST("the public retry sequences are not there (DEEPSEEK_SHARED_DIR)");
  const Json all = Json::parse(deepseek_tests::read_shared("conformance/retry/aws_standard_retry.json"));
  // A server's wish is obeyed up to RetryOptions::retry_after_cap, not up to five seconds more than our own wait.
  const std::vector<std::string> other_2_1 = {"retry_after_above_t_i_plus_5s"};
  // Timeouts cost as much as any failure; a wish beyond the cap ends the call instead of being cut; these name no steps
  // from the first attempt on (see "no number of repeats overflows a wait").
  const std::vector<std::string> other_2_0 = {"quota_replenishes_on_success", "explicit_delay_capped",
                                              "overflow_33_attempts", "overflow_100000"};
  const auto named = [](const std::vector<std::string>& names, const Json& sequence) {
    return std::find(names.begin(), names.end(), sequence["name"].get<std::string>()) != names.end();
  };
  std::size_t played = 0;
  for (const Json& sequence : all["v2_1"]) {
    if (named(other_2_1, sequence)) continue;
    play(sequence, 14, 50ms);
    ++played;
  }
  for (const Json& sequence : all["v2_0"]) {
    if (named(other_2_0, sequence)) continue;
    play(sequence, 5, 1s);
    ++played;
  }
  CHECK(played == all["v2_1"].size() + all["v2_0"].size() - other_2_1.size() - other_2_0.size());
}

TEST_CASE("retry options are checked", "[policy]") {
  const auto wrong = [](auto edit) {
    RetryOptions options;
    edit(options);
    return check(options).has_value();
  };
  CHECK_FALSE(wrong([](RetryOptions&) {}));
  CHECK(wrong([](RetryOptions& o) { o.max_attempts = 0; }));
  CHECK(wrong([](RetryOptions& o) { o.max_attempts = 101; }));
  CHECK(wrong([](RetryOptions& o) { o.base = -1ms; }));
  CHECK(wrong([](RetryOptions& o) { o.cap = 25h; }));
  CHECK(wrong([](RetryOptions& o) { o.budget = -1; }));
  CHECK(wrong([](RetryOptions& o) { o.cost = 0; }));
}

// --- several endpoints -------------------------------------------------------------------------------

namespace {

std::vector<Endpoint> three() { return {{"http://127.0.0.1:1"}, {"http://127.0.0.1:2"}, {"http://127.0.0.1:3"}}; }
std::string path_of(const std::vector<std::string>& asked) {
  std::string path;
  for (const std::string& base : asked) path += base.back();
  return path;
}

}  // namespace

TEST_CASE("who refuses is passed over at once, and not asked first for a while", "[policy]") {
  const ErrorCode code =
      GENERATE(ErrorCode::connect_failed, ErrorCode::authentication, ErrorCode::insufficient_balance);
  Fixture f({}, three());
  CHECK_FALSE(f.run({fails(code), {}})->error);
  CHECK(path_of(f.transport->asked) == "12");
  CHECK(f.wait_s(0) == 0);
  CHECK(f.call->facts.failovers == 1);
  CHECK(f.policy->budget().left() == 500);  // nobody was burdened
  f.run({{}});
  CHECK(path_of(f.transport->asked) == "2");
  f.loop.advance(10s);
  f.run({{}});
  CHECK(path_of(f.transport->asked) == "1");
}

TEST_CASE("if all refuse, attempts are counted over all of them", "[policy]") {
  Fixture f({}, three());
  const Act down = fails(ErrorCode::connect_failed);
  const auto sink = f.run({down, down, down, down, {}});
  CHECK(path_of(f.transport->asked) == "1231");
  CHECK(f.wait_s(1) == 0);
  CHECK(f.wait_s(2) == Approx(0.5));
  CHECK(sink->error->code() == ErrorCode::connect_failed);
  CHECK(advises(*sink, "max_attempts"));

  Fixture g({}, three());
  const Act shut = fails(ErrorCode::authentication, 401);
  CHECK(g.run({shut, shut, shut, {}})->error->code() == ErrorCode::authentication);
  CHECK(path_of(g.transport->asked) == "123");
}

TEST_CASE("a call stays where it is while that endpoint is healthy", "[policy]") {
  Fixture f({}, three());
  f.run({busy(), busy(), {}});
  CHECK(path_of(f.transport->asked) == "111");
  CHECK(f.call->facts.failovers == 0);
  f.run({busy(), busy(), busy(), {}});  // the third failure in a row cools it down
  CHECK(path_of(f.transport->asked) == "1112");
  CHECK(f.call->facts.failovers == 1);
}

TEST_CASE("an endpoint that goes on failing cools down for longer", "[policy]") {
  Fixture f({}, {{"http://127.0.0.1:1"}, {"http://127.0.0.1:2"}});
  f.run({fails(ErrorCode::connect_failed), {}});
  f.loop.advance(10s);
  f.run({fails(ErrorCode::connect_failed), {}});
  CHECK(path_of(f.transport->asked) == "12");
  f.loop.advance(19s);
  f.run({{}});
  CHECK(path_of(f.transport->asked) == "2");
  f.loop.advance(1s);
  f.run({{}});
  CHECK(path_of(f.transport->asked) == "1");
}

TEST_CASE("equal beginnings go to one endpoint, shares go by weight", "[policy]") {
  std::vector<Endpoint> endpoints = three();
  endpoints[0].weight = 2;
  endpoints[1].weight = endpoints[2].weight = 1;
  Fixture f({}, endpoints);
  const auto where = [&](const std::string& body) {
    auto call = std::make_shared<Call>();
    call->decoder = f.decoder;
    call->body = body;
    f.transport->asked.clear();
    f.pipeline->start(call, std::make_shared<EndSink>());
    f.loop.run();
    return f.transport->asked.at(0);
  };
  std::map<std::string, int> counts;
  for (int i = 0; i < 2000; ++i) {
    const std::string body = "{\"messages\":" + std::to_string(i);
    const std::string first = where(body);
    ++counts[first];
    if (i % 100 == 0) CHECK(where(body) == first);
  }
  CHECK(counts["http://127.0.0.1:1"] > 900);
  CHECK(counts["http://127.0.0.1:1"] < 1100);
  CHECK(counts["http://127.0.0.1:2"] > 400);
  CHECK(counts["http://127.0.0.1:3"] > 400);
  CHECK(where(std::string(512, 'x') + "a") == where(std::string(512, 'x') + "b"));
}

TEST_CASE("the nearest endpoints come first", "[policy]") {
  std::vector<Endpoint> endpoints = three();
  endpoints[1].region = endpoints[2].region = "cn-north";
  endpoints[2].zone = "b";
  FailoverOptions failover;
  failover.region = "cn-north";
  failover.zone = "b";
  Fixture f({}, endpoints, {}, failover);
  const Act down = fails(ErrorCode::connect_failed);
  f.run({down, down, {}});
  CHECK(path_of(f.transport->asked) == "321");
}

TEST_CASE("an open breaker is passed over, and where all are open nobody is asked", "[policy]") {
  BreakerOptions breaker;
  breaker.minimum_calls = 2;
  RetryOptions once;
  once.max_attempts = 1;
  Fixture f(once, {{"http://127.0.0.1:1"}, {"http://127.0.0.1:2"}}, breaker);
  f.run({busy()});
  f.run({busy()});
  f.run({busy()});
  CHECK(path_of(f.transport->asked) == "2");
  f.run({busy()});
  CHECK(path_of(f.transport->asked) == "2");
  const auto sink = f.run({{}});
  CHECK(f.requests() == 0);
  CHECK(sink->error->code() == ErrorCode::circuit_open);
  f.loop.advance(5s);
  CHECK_FALSE(f.run({{}})->error);
}

TEST_CASE("where the only other endpoint has an open breaker, the call waits and asks again", "[policy]") {
  BreakerOptions breaker;
  breaker.minimum_calls = 2;
  breaker.failure_percent = 100;
  breaker.open_for = 1h;
  Fixture f({}, {{"http://127.0.0.1:1"}, {"http://127.0.0.1:2"}}, breaker);
  CHECK_FALSE(f.run({busy(), busy(), {}})->error);
  CHECK(path_of(f.transport->asked) == "112");
  CHECK_FALSE(f.run({fails(ErrorCode::connect_failed), {}})->error);
  CHECK(path_of(f.transport->asked) == "22");
}

TEST_CASE("a call that came to nothing gives its trial back", "[policy]") {
  BreakerOptions breaker;
  breaker.minimum_calls = 1;
  breaker.trial_calls = 1;
  RetryOptions once;
  once.max_attempts = 1;
  Fixture f(once, {{"http://127.0.0.1:1"}}, breaker);
  f.run({busy()});
  f.loop.advance(5s);
  SECTION("cancelled") {
    f.run({fails(ErrorCode::cancelled)});
    CHECK(f.requests() == 1);
  }
  SECTION("dropped without an end") {
    Act held;
    held.hold = true;
    f.transport->acts = {held};
    f.transport->asked.clear();
    f.begin();
    CHECK(f.requests() == 1);
    f.call->release_holds();
  }
  CHECK_FALSE(f.run({{}})->error);
  CHECK(f.requests() == 1);
  CHECK_FALSE(f.run({{}})->error);
}

TEST_CASE("failover and breaker options are checked", "[policy]") {
  CHECK_FALSE(check(FailoverOptions(), three()));
  auto some = three();
  some[1].weight = 1;
  CHECK(check(FailoverOptions(), some));
  CHECK(check(FailoverOptions(), std::vector<Endpoint>(65, Endpoint{"http://127.0.0.1:1"})));
  FailoverOptions never;
  never.failures_to_cool = 0;
  CHECK(check(never, three()));
  CHECK_FALSE(check(BreakerOptions()));
  BreakerOptions breaker;
  breaker.minimum_calls = 5;
  CHECK_FALSE(check(breaker));
  breaker.failure_percent = 0;
  CHECK(check(breaker));
  breaker.failure_percent = 50;
  breaker.trial_calls = 0;
  CHECK(check(breaker));
}
