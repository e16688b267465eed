// The limiter: slots, rates, partitions, priorities, waiting, what is learned from 429s, shared budgets, 64 threads.
#include "support/catch.hpp"
#include "support/fake_loop.hpp"

#include <deepseek/policy/limits.hpp>
#include <deepseek/policy/pipeline.hpp>

#include <deepseek/policy/detail/limiter_core.hpp>

#include <atomic>
#include <thread>
#include <vector>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::FakeLoop;

namespace {

/// Holds every call until told how it ends.
struct HoldingTransport : Transport {
  struct Held {
    CallPtr call;
    SinkPtr sink;
  };
  void attach(Loop&) override {}
  void start(CallPtr call, SinkPtr sink) override {
    if (call->on_abort) ++not_let_go;
    call->on_abort = [call_ptr = call.get(), sink](Error error) {
      const auto keep = sink;
      call_ptr->release_holds();
      keep->on_end(std::move(error));
    };
    names.push_back(call->headers.empty() ? "" : call->headers.front().name);
    running.push_back({std::move(call), std::move(sink)});
  }
  void finish(std::size_t i = 0, std::optional<Error> error = {}, TokenUsage usage = {}) {
    const Held held = running.at(i);
    running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    held.call->release_holds();
    held.call->facts.usage = usage;
    held.sink->on_end(std::move(error));
  }
  std::vector<Held> running;
  std::vector<std::string> names;
  int not_let_go = 0;  // calls that somebody still held when they were passed on
};

struct EndSink : CallSink {
  void on_frame(const Frame&) override {}
  void on_end(std::optional<Error> result) override {
    ++ends;
    error = std::move(result);
  }
  ErrorCode code() const { return error ? error->code() : ErrorCode::internal; }
  int ends = 0;
  std::optional<Error> error;
};

struct Started {
  CallPtr call = std::make_shared<Call>();
  std::shared_ptr<EndSink> sink = std::make_shared<EndSink>();
};

struct Asked {
  std::string name = {};
  std::uint64_t weight = 0;
  Priority priority = Priority::interactive;
  std::string user = {};
  std::string model = {};
  std::optional<Duration> deadline = {};
  std::shared_ptr<const Endpoint> endpoint = {};
};

/// One client of a limiter.
struct Client {
  explicit Client(const Limiter& its_limiter, std::shared_ptr<SharedBudget> shared = nullptr,
                  std::shared_ptr<MetricSink> metrics = nullptr)
      : limiter(its_limiter),
        pipeline({make_limit_policy(limiter, std::move(shared), std::move(metrics))}, transport, loop) {}
  explicit Client(const LimitOptions& options, std::shared_ptr<SharedBudget> shared = nullptr,
                  std::shared_ptr<MetricSink> metrics = nullptr)
      : Client(Limiter::create(options).value(), std::move(shared), std::move(metrics)) {}

  ~Client() {  // as a client that goes: every call is cancelled and ends
    for (const CallPtr& call : calls)
      if (const auto abort = call->on_abort) abort(Error(ErrorCode::cancelled, "the client went away"));
    loop.run();
  }

  Started start(const Asked& asked = {}) {
    Started started;
    started.call->headers = {{asked.name, ""}};
    started.call->weight = asked.weight;
    started.call->priority = asked.priority;
    started.call->user_id = asked.user;
    started.call->model = asked.model;
    started.call->endpoint = asked.endpoint;
    started.call->started = loop.now();
    if (asked.deadline) started.call->deadline = loop.now() + *asked.deadline;
    calls.push_back(started.call);
    pipeline.start(started.call, started.sink);
    loop.run();
    return started;
  }
  std::size_t running() const { return transport->running.size(); }
  void finish(std::size_t i = 0, std::optional<Error> error = {}, TokenUsage usage = {}) {
    transport->finish(i, std::move(error), usage);
    loop.run();
  }

  FakeLoop loop;
  std::shared_ptr<HoldingTransport> transport = std::make_shared<HoldingTransport>();
  Limiter limiter;
  Pipeline pipeline;
  std::vector<CallPtr> calls;
};

LimitOptions slots(std::uint32_t in_flight) {
  LimitOptions options;
  options.in_flight = in_flight;
  return options;
}
LimitOptions requests(std::uint64_t per_minute, std::uint64_t burst = 0) {
  LimitOptions options;
  options.requests_per_minute = per_minute;
  options.requests_burst = burst;
  return options;
}
LimitOptions tokens(std::uint64_t per_minute, std::uint64_t burst = 0) {
  LimitOptions options;
  options.tokens_per_minute = per_minute;
  options.tokens_burst = burst;
  return options;
}

}  // namespace

TEST_CASE("options that cannot be kept are refused, by name", "[policy]") {
  struct Row {
    void (*edit)(LimitOptions&);
    const char* says;
  };
  const Row rows[] = {
      {[](LimitOptions& o) { o.requests_per_minute = 100'000'001; }, "limits.requests_per_minute"},
      {[](LimitOptions& o) { o.requests_burst = 1; }, "limits.requests_burst"},
      {[](LimitOptions& o) { o.tokens_per_minute = UINT64_MAX; }, "limits.tokens_per_minute"},
      {[](LimitOptions& o) { o.tokens_burst = 1; }, "limits.tokens_burst"},
      {[](LimitOptions& o) { o.in_flight = UINT32_MAX; }, "limits.in_flight"},
      {[](LimitOptions& o) { o.per_user.tokens_burst = 1; }, "limits.per_user.tokens_burst"},
      {[](LimitOptions& o) { o.per_key.in_flight = 2, o.max_partitions = 0; }, "limits.max_partitions"},
      {[](LimitOptions& o) { o.max_wait = -1ms; }, "limits.max_wait"},
      {[](LimitOptions& o) { o.max_wait = std::chrono::milliseconds::max(); }, "limits.max_wait"},
      {[](LimitOptions& o) { o.max_waiting = UINT32_MAX; }, "limits.max_waiting"},
  };
  for (const Row& row : rows) {
    LimitOptions options;
    CHECK_FALSE(check(options));
    row.edit(options);
    INFO(row.says);
    const auto error = check(options);
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::invalid_options);
    CHECK(error->message().find(std::string(row.says) + " ") == 0);
    CHECK_FALSE(Limiter::create(options));
  }
  CHECK_FALSE(LimitOptions().any());
  CHECK(requests(600).any());
}

TEST_CASE("no more are in flight than there are slots; whoever waits goes in order", "[policy]") {
  Client client(slots(2));
  std::vector<Started> calls;
  for (const char* name : {"a", "b", "c", "d"}) calls.push_back(client.start({name}));
  CHECK(client.running() == 2);
  CHECK(client.limiter.state().in_flight == 2);
  CHECK(client.limiter.state().in_flight_limit == 2);
  CHECK(client.limiter.state().waiting == 2);
  client.finish(1);
  CHECK(client.running() == 2);
  client.finish();
  client.finish();
  client.finish();
  CHECK(client.transport->names == std::vector<std::string>{"a", "b", "c", "d"});
  for (const auto& call : calls) CHECK((call.sink->ends == 1 && !call.sink->error));
  const LimiterState state = client.limiter.state();
  CHECK((state.in_flight == 0 && state.waiting == 0 && state.waited == 2 && state.refused == 0));
  CHECK(client.transport->not_let_go == 0);
  CHECK(client.loop.timers() == 0);
}

TEST_CASE("no minute sees more requests than are allowed, but for a burst that was asked for", "[policy]") {
  const std::uint64_t burst = GENERATE(0u, 1u, 7u, 60u, 200u);
  LimitOptions options = requests(60, burst);
  options.max_waiting = 1000;
  options.max_wait = 1h;
  Client client(options);
  for (int i = 0; i < 600; ++i) client.start();
  std::vector<std::size_t> at;  // how many had been sent when a second began
  for (int second = 0; second < 240; ++second) {
    at.push_back(client.running());
    client.loop.advance(1s);
  }
  CHECK(at.front() == (burst != 0 ? burst : 3));
  for (std::size_t i = 60; i < at.size(); ++i) CHECK(at[i] - at[i - 60] <= 60 + burst);
  if (burst <= 1)
    for (std::size_t i = 60; i < at.size(); ++i) CHECK(at[i - 1] - (i > 60 ? at[i - 61] : 0) <= 60);
  CHECK(at.back() >= (burst != 0 ? burst + 239 : 230));
}

TEST_CASE("tokens are reserved from the estimate and settled on what was used", "[policy]") {
  Client client(tokens(6'000));  // 100 a second
  client.start({"a", 4'000});
  client.start({"b", 2'000});
  const Started waits = client.start({"c", 1'000});
  CHECK(client.running() == 2);
  SECTION("less was used: the others need not wait for time to pass") {
    client.finish(0, {}, TokenUsage{1'000, 0, 1'500, 0});
    CHECK(client.transport->names.back() == "c");
  }
  SECTION("time brings them back too") {
    client.loop.advance(9'999ms);
    CHECK(client.running() == 2);
    client.loop.advance(1ms);
    CHECK(client.running() == 3);
  }
  SECTION("a request that never reached the service used nothing") {
    client.finish(0, Error(ErrorCode::connect_failed, "no"));
    CHECK(client.transport->names.back() == "c");
  }
  SECTION("one that broke off may have used it all") {
    client.finish(0, Error(ErrorCode::truncated, "no"));
    CHECK(client.running() == 1);
  }
  SECTION("more was used: a debt") {
    client.finish(0, {}, TokenUsage{8'900, 0, 0, 0});
    client.loop.advance(58s);
    CHECK(client.running() == 1);
    client.loop.advance(1s);
    CHECK(client.running() == 2);
  }
  SECTION("nonsense from a server does not wrap around") {
    client.finish(0, {}, TokenUsage{UINT64_MAX, 0, UINT64_MAX, 0});
    client.loop.advance(1min);
    CHECK(client.running() == 1);
    CHECK(waits.sink->code() == ErrorCode::rate_limited_locally);
  }
}

TEST_CASE("a call heavier than the burst leaves a debt; one heavier than a minute is refused", "[policy]") {
  Client client(tokens(6'000, 1'000));
  client.start({"heavy", 3'000});
  CHECK(client.running() == 1);
  client.start({"light", 100});
  CHECK(client.running() == 1);
  client.loop.advance(20'999ms);
  CHECK(client.running() == 1);
  client.loop.advance(1ms);
  CHECK(client.running() == 2);

  const Started never = client.start({"never", 6'001});
  REQUIRE(never.sink->ends == 1);
  CHECK(never.sink->code() == ErrorCode::budget_exceeded);
  CHECK_FALSE(never.sink->error->retryable());
  CHECK(client.limiter.state().refused == 1);
}

TEST_CASE("waiting is bounded: how many, and how long", "[policy]") {
  LimitOptions options = slots(1);
  options.max_waiting = 2;
  options.max_wait = 5s;
  Client client(options);
  client.start();
  const Started first = client.start();
  const Started second = client.start();
  const Started too_many = client.start();
  REQUIRE(too_many.sink->ends == 1);
  CHECK(too_many.sink->code() == ErrorCode::rate_limited_locally);
  CHECK(too_many.sink->error->outcome() == Outcome::refused);
  client.loop.advance(4s);
  client.finish();
  client.loop.advance(1s);
  CHECK(first.sink->ends == 0);
  CHECK(client.running() == 1);
  REQUIRE(second.sink->ends == 1);
  CHECK(second.sink->code() == ErrorCode::rate_limited_locally);
  CHECK_FALSE(second.call->on_abort);
  CHECK(client.limiter.state().refused == 2);
  CHECK(client.loop.timers() == 0);
}

TEST_CASE("waits are counted as a metric, those alone", "[policy]") {
  struct Sink : MetricSink {
    void add(const Metric&, MetricLabels, double) noexcept override {}
    void set(const Metric&, MetricLabels, double) noexcept override {}
    void observe(const Metric& metric, MetricLabels labels, double value) noexcept override {
      seen.push_back(std::string(metric.name) + " " + std::string(*labels.begin()) + " " + std::to_string(value));
    }
    std::vector<std::string> seen;
  };
  const auto sink = std::make_shared<Sink>();
  LimitOptions options = requests(60, 1);
  options.max_wait = 3s;
  options.per_user.in_flight = 1;
  Client client(options, nullptr, sink);
  const Started first = client.start({"a", 0, Priority::interactive, "ann"});
  CHECK(sink->seen.empty());
  const Started second = client.start({"b", 0, Priority::interactive, "bob"});
  client.loop.advance(1s);
  CHECK(first.call->facts.waited == 0s);
  CHECK(second.call->facts.waited == 1s);
  CHECK(sink->seen == std::vector<std::string>{"deepseek_limiter_wait_seconds requests 1.000000"});
  client.loop.advance(1s);
  client.start({"c", 0, Priority::interactive, "ann"});
  client.loop.advance(3s);
  REQUIRE(sink->seen.size() == 2);
  CHECK(sink->seen[1] == "deepseek_limiter_wait_seconds concurrency 3.000000");
}

TEST_CASE("a turn that would come too late is refused at once", "[policy]") {
  Client client(requests(60, 1));
  client.start();
  SECTION("because of the call's deadline") {
    const Started late = client.start({"late", 0, Priority::interactive, "", "", 900ms});
    REQUIRE(late.sink->ends == 1);
    CHECK(late.sink->error->retry_after() == 1000ms);
    CHECK(client.start({"in time", 0, Priority::interactive, "", "", 1100ms}).sink->ends == 0);
  }
  SECTION("because waiting is not allowed") {
    LimitOptions options = requests(60, 1);
    options.max_wait = 0ms;
    Client strict(options);
    CHECK(strict.start().sink->ends == 0);
    CHECK(strict.start().sink->code() == ErrorCode::rate_limited_locally);
    strict.loop.advance(1s);
    CHECK(strict.start().sink->ends == 0);
  }
  SECTION("but not for tokens that others may turn out not to need") {
    LimitOptions options = tokens(6'000);
    options.max_wait = 1s;
    Client busy(options);
    busy.start({"a", 6'000});
    const Started hopes = busy.start({"b", 3'000});
    CHECK(hopes.sink->ends == 0);
    busy.finish(0, {}, TokenUsage{10, 0, 10, 0});
    CHECK(busy.transport->names.back() == "b");
    busy.finish(0, {}, TokenUsage{5'000, 0, 0, 0});
    CHECK(busy.start({"c", 6'000}).sink->ends == 1);  // nobody is left who could give back
  }
}

TEST_CASE("a call that is given up while it waits leaves the queue and gives back its turn", "[policy]") {
  Client client(slots(1));
  client.start({"a"});
  const Started waits = client.start({"b"});
  client.start({"c"});
  SECTION("while it waits") {
    waits.call->on_abort(Error(ErrorCode::cancelled, "enough"));
    CHECK(client.limiter.state().waiting == 1);
    client.finish();
  }
  SECTION("between its turn and the news of it") {
    client.transport->finish();
    waits.call->on_abort(Error(ErrorCode::cancelled, "enough"));
    client.loop.run();
  }
  CHECK(waits.sink->ends == 1);
  CHECK(waits.sink->code() == ErrorCode::cancelled);
  CHECK_FALSE(waits.call->on_abort);
  CHECK(client.transport->names == std::vector<std::string>{"a", "c"});
  client.finish();
  CHECK(client.limiter.state().in_flight == 0);
  CHECK(client.loop.timers() == 0);
}

TEST_CASE("a call that waits in vain takes no tokens with it", "[policy]") {
  LimitOptions options = tokens(6'000);
  options.in_flight = 1;
  Client client(options);
  client.start({"a", 1'000});
  const Started waits = client.start({"b", 5'000});
  client.transport->finish();  // it has its turn, but has not heard of it
  waits.call->on_abort(Error(ErrorCode::cancelled, "enough"));
  client.start({"c", 5'000});
  CHECK(client.transport->names == std::vector<std::string>{"a", "c"});
}

TEST_CASE("interactive calls go before batch calls, and batch calls go too", "[policy]") {
  Client client(slots(1));
  client.start({"first"});
  for (int i = 0; i < 20; ++i) client.start({"b", 0, Priority::batch});
  for (int i = 0; i < 20; ++i) client.start({"i"});
  std::string order;
  while (client.running() != 0) {
    client.finish();
    if (client.running() != 0) order += client.transport->names.back();
  }
  CHECK(order == "iiiiiiibiiiiiiibiiiiiibbbbbbbbbbbbbbbbbb");
}

TEST_CASE("a heavy call is not starved by light ones that come after it", "[policy]") {
  Client client(tokens(6'000));
  client.start({"a", 6'000});
  client.start({"heavy", 5'000});
  for (int i = 0; i < 20; ++i) client.start({"light", 100});
  client.loop.advance(50s);
  REQUIRE(client.running() == 2);
  CHECK(client.transport->names.back() == "heavy");
  client.loop.advance(1s);
  CHECK(client.transport->names.back() == "light");
}

TEST_CASE("each user, model and key has limits of its own", "[policy]") {
  LimitOptions options = slots(4);
  options.per_user.in_flight = 1;
  options.per_model.requests_per_minute = 60;
  options.per_model.requests_burst = 3;
  Client client(options);
  const auto call = [&](const char* user, const char* model) {
    return client.start({std::string(user) + model, 0, Priority::interactive, user, model});
  };
  call("ann", "flash");
  call("ann", "flash");  // waits for ann
  call("bob", "flash");  // is not held up by her
  call("", "flash");     // no user is one user
  call("", "pro");
  CHECK(client.transport->names == std::vector<std::string>{"annflash", "bobflash", "flash"});
  call("eve", "flash");  // the model's burst is used up
  call("dan", "pro");
  CHECK(client.transport->names.back() == "danpro");
  CHECK(client.limiter.state().in_flight == 4);
  client.finish();  // ann's second needs the model's requests, which come with time
  CHECK(client.running() == 3);
  client.loop.advance(1100ms);
  CHECK(client.transport->names.back() == "annflash");
}

TEST_CASE("equal keys are one key, whoever holds them", "[policy]") {
  LimitOptions options;
  options.per_key.in_flight = 1;
  Client client(options);
  const auto endpoint = [](const char* key) {
    return std::make_shared<const Endpoint>(Endpoint{"http://127.0.0.1:1", api_key(std::string(key))});
  };
  const auto start = [&](std::shared_ptr<const Endpoint> at) {
    client.start({"", 0, Priority::interactive, "", "", {}, std::move(at)});
  };
  start(endpoint("k1"));
  start(endpoint("k1"));
  CHECK(client.running() == 1);
  start(endpoint("k2"));
  CHECK(client.running() == 2);
  start(std::make_shared<const Endpoint>(Endpoint{"http://127.0.0.1:1"}));
  CHECK(client.running() == 3);
}

TEST_CASE("partitions are bounded: idle ones go, and the rest share one", "[policy]") {
  LimitOptions options;
  options.per_user.in_flight = 1;
  options.per_user.requests_per_minute = 60;
  options.per_user.requests_burst = 1;
  options.max_partitions = 2;
  Client client(options);
  const auto call = [&](const char* user) { client.start({user, 0, Priority::interactive, user}); };
  call("a");
  call("b");
  call("c");
  call("d");  // shares with c
  CHECK(client.running() == 3);
  while (client.running() != 0) client.finish();
  call("a");  // its budget is not forgotten
  CHECK(client.running() == 0);
  client.loop.advance(2s);
  while (client.running() != 0) client.finish();
  client.loop.advance(5s);  // all are whole again: there is room for two others
  call("e");
  call("f");
  CHECK(client.running() == 2);
}

TEST_CASE("several clients share one limiter, whichever loop runs", "[policy]") {
  LimitOptions options = slots(1);
  const Limiter limiter = Limiter::create(options).value();
  Client a(limiter);
  Client b(limiter);
  a.start();
  b.start();
  CHECK(b.running() == 0);
  a.finish();
  CHECK(b.loop.posted() == 1);
  b.loop.run();
  CHECK(b.running() == 1);
}

TEST_CASE("room that comes with time wakes each client, though another's loop stands still", "[policy]") {
  const Limiter limiter = Limiter::create(requests(60, 1)).value();
  Client stuck(limiter);
  Client other(limiter);
  stuck.start();
  stuck.start();  // first in the queue, but nobody drives its loop any more
  other.start();
  other.loop.advance(1s);
  CHECK(stuck.loop.posted() != 0);
  other.loop.advance(1s);
  CHECK(other.running() == 1);
}

TEST_CASE("a client may go while others wait", "[policy]") {
  const Limiter limiter = Limiter::create(slots(1)).value();
  Client other(limiter);
  {
    Client goes(limiter);
    goes.start();
    goes.start();
    other.start();
  }
  other.loop.run();
  CHECK(other.running() == 1);
}

TEST_CASE("an adaptive limit finds out what the server takes", "[policy]") {
  constexpr std::size_t server = 40;  // more in flight: 429
  LimitOptions options;
  options.adaptive = true;
  options.max_waiting = 100'000;
  options.max_wait = 24h;
  Client client(options);
  CHECK(client.limiter.state().in_flight_limit == 16);
  for (int i = 0; i < 20'000; ++i) client.start();
  int refused = 0;
  std::uint32_t highest = 0;
  std::uint32_t lowest = UINT32_MAX;
  for (int i = 0; i < 15'000; ++i) {
    client.loop.advance(1ms);
    const bool overloaded = client.running() > server;
    if (overloaded) {
      ++refused;
      client.finish(client.running() - 1, Error(ErrorCode::rate_limited, "busy"));
    } else {
      client.finish();
    }
    if (i > 2'000) highest = std::max(highest, client.limiter.state().in_flight_limit);
    if (i > 2'000) lowest = std::min(lowest, client.limiter.state().in_flight_limit);
  }
  CHECK(highest <= server + 5);
  CHECK(lowest >= server / 2);
  CHECK(refused < 300);
}

// conformance/retry/aws_adaptive_rate.json is not played: it learns how many requests may go a second, and the service
// limits how many are under way.
TEST_CASE("the learning limit: rounds, bounds and late first tokens", "[policy]") {
  detail::Slots learned(0, true);
  TimePoint now{1h};
  const auto sign = [&](bool overloaded, Duration first_token = 0ns) {
    detail::LoadSign it;
    it.began = now;
    it.overloaded = overloaded;
    it.answered = !overloaded;
    it.first_token = first_token;
    return it;
  };
  const auto fill = [&] {
    while (learned.take()) {
    }
  };
  SECTION("many 429s of one moment are one sign") {
    std::vector<detail::LoadSign> signs(16, sign(true));
    now += 1s;
    for (const auto& it : signs) learned.learn(it, now);
    CHECK(learned.limit() == 11);
    learned.learn(sign(true), now);
    CHECK(learned.limit() == 7);
    for (int i = 0; i < 100; ++i) now += 1s, learned.learn(sign(true), now);
    CHECK(learned.limit() == 1);  // never none
  }
  SECTION("it does not grow while nobody needs it") {
    for (int i = 0; i < 1000; ++i) learned.learn(sign(false), now);
    CHECK(learned.limit() == 16);
  }
  SECTION("it grows to what was set, and no further") {
    detail::Slots bounded(20, true);
    while (bounded.take()) {
    }
    for (int i = 0; i < 1000; ++i) bounded.learn(sign(false), now);
    CHECK(bounded.limit() == 20);
  }
  SECTION("fixed is fixed") {
    detail::Slots fixed(5, false);
    fixed.learn(sign(true), now);
    CHECK(fixed.limit() == 5);
  }
  SECTION("first tokens that stay late shrink it; one that is late does not") {
    fill();
    for (int i = 0; i < 100; ++i) now += 10ms, learned.learn(sign(false, 200ms), now), fill();
    const auto before = learned.limit();
    learned.learn(sign(false, 30s), now);
    CHECK(learned.limit() >= before);
    for (int i = 0; i < 20; ++i) now += 10ms, learned.learn(sign(false, 2s), now);
    CHECK(learned.limit() < before);
  }
}

namespace {

/// Answers when the test says so.
struct ManualBudget : SharedBudget {
  void attach(Loop&) override { ++attached; }
  void detach() override {
    ++detached;
    waiting.clear();
  }
  void take(const BudgetAsk& ask, Function<void(BudgetGrant)> done) override {
    asked.push_back(ask.tokens);
    waiting.push_back(std::move(done));
  }
  void settle(std::uint64_t lease, std::optional<std::uint64_t> used) override {
    settled.emplace_back(lease, used.value_or(UINT64_MAX));
  }
  void answer(BudgetGrant grant) {
    const auto done = waiting.front();
    waiting.erase(waiting.begin());
    done(grant);
  }
  void grant(std::uint64_t lease) {
    BudgetGrant it;
    it.granted = true;
    it.lease = lease;
    answer(it);
  }
  void wait(Duration span) {
    BudgetGrant it;
    it.wait = span;
    answer(it);
  }
  int attached = 0;
  int detached = 0;
  std::vector<std::uint64_t> asked;
  std::vector<Function<void(BudgetGrant)>> waiting;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> settled;
};

struct SharedFixture {
  explicit SharedFixture(const LimitOptions& options = slots(100)) : client(options, budget) {}
  std::shared_ptr<ManualBudget> budget = std::make_shared<ManualBudget>();
  Client client;
};

}  // namespace

TEST_CASE("a shared budget is asked after the own limits, and settled", "[policy]") {
  SharedFixture f(slots(1));
  CHECK(f.budget->attached == 1);
  const Started call = f.client.start({"a", 500});
  f.client.start({"b", 600});
  CHECK(f.budget->asked == std::vector<std::uint64_t>{500});
  CHECK(f.client.running() == 0);
  f.budget->grant(7);
  CHECK(f.client.running() == 1);
  f.client.finish(0, {}, TokenUsage{100, 0, 20, 0});
  CHECK(f.budget->settled == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{7, 120}});
  CHECK(f.budget->asked.size() == 2);
}

TEST_CASE("a call that is dropped without an end gives its share back", "[policy]") {
  SharedFixture f(slots(1));
  f.client.start({"a", 500});
  f.budget->grant(7);
  REQUIRE(f.client.running() == 1);
  f.client.transport->running.clear();
  for (const CallPtr& call : std::exchange(f.client.calls, {})) call->release_holds();
  CHECK(f.budget->settled == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{7, UINT64_MAX}});
  f.client.start({"b", 600});
  CHECK(f.budget->asked.size() == 2);
}

TEST_CASE("a shared budget is told when its client goes, and may live on", "[policy]") {
  const auto budget = std::make_shared<ManualBudget>();
  {
    Client client(slots(100), budget);
    client.start({"a", 500});
    CHECK(budget->waiting.size() == 1);
    CHECK(budget->detached == 0);
  }
  CHECK(budget->attached == 1);
  CHECK(budget->detached == 1);
  CHECK(budget.use_count() == 1);
}

TEST_CASE("while a shared budget has no room, one asks for all", "[policy]") {
  SharedFixture f;
  std::vector<Started> calls;
  calls.push_back(f.client.start({"a", 1}));
  calls.push_back(f.client.start({"b", 2}));
  CHECK(f.budget->waiting.size() == 2);  // no reason to queue yet
  f.budget->wait(100ms);
  f.budget->wait(100ms);
  calls.push_back(f.client.start({"c", 3, Priority::batch}));
  calls.push_back(f.client.start({"d", 4}));
  CHECK(f.budget->waiting.empty());
  f.client.loop.advance(99ms);
  CHECK(f.budget->waiting.empty());
  f.client.loop.advance(1ms);
  REQUIRE(f.budget->waiting.size() == 1);
  f.budget->wait(50ms);
  f.client.loop.advance(49ms);
  CHECK(f.budget->waiting.empty());
  f.client.loop.advance(1ms);
  for (std::uint64_t lease = 1; lease <= 4; ++lease) {
    REQUIRE(f.budget->waiting.size() == 1);
    f.budget->grant(lease);
    f.client.loop.advance(1ns);
  }
  CHECK(f.client.transport->names == std::vector<std::string>{"a", "b", "d", "c"});
  CHECK(f.budget->waiting.empty());
  f.client.start({"e", 5});
  CHECK(f.budget->waiting.size() == 1);
  f.budget->grant(5);
  while (f.client.running() != 0) f.client.finish();
  CHECK(f.budget->settled.size() == 5);
  CHECK(f.client.loop.timers() == 0);
}

TEST_CASE("what waits for a shared budget can be given up at any moment", "[policy]") {
  SharedFixture f;
  const Started first = f.client.start({"a", 1});
  SECTION("while it asks: a late grant is given back") {
    first.call->on_abort(Error(ErrorCode::cancelled, "enough"));
    f.budget->grant(9);
    CHECK(f.client.running() == 0);
    CHECK(f.budget->settled == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{9, 0}});
  }
  SECTION("while it waits: the next one asks in its place") {
    f.budget->wait(100ms);
    const Started second = f.client.start({"b", 2});
    first.call->on_abort(Error(ErrorCode::cancelled, "enough"));
    f.client.loop.advance(100ms);
    REQUIRE(f.budget->waiting.size() == 1);
    CHECK(f.budget->asked.back() == 2);
    second.call->on_abort(Error(ErrorCode::cancelled, "enough"));
    f.budget->grant(9);
    CHECK(f.budget->settled.back().first == 9);
  }
  SECTION("when it has waited long enough") {
    for (int i = 0; i < 100 && first.sink->ends == 0; ++i) {
      if (!f.budget->waiting.empty()) f.budget->wait(1s);
      f.client.loop.advance(1s);
    }
    CHECK(first.sink->code() == ErrorCode::rate_limited_locally);
    while (!f.budget->waiting.empty()) f.budget->wait(1s);
  }
  SECTION("if it can never be granted") {
    BudgetGrant never;
    never.never = true;
    f.budget->answer(never);
    CHECK(first.sink->code() == ErrorCode::budget_exceeded);
  }
  CHECK(first.sink->ends == 1);
  CHECK(f.client.limiter.state().in_flight == 0);
  f.client.loop.run_all(2min);
  CHECK(f.client.loop.timers() == 0);
}

// --- 64 threads --------------------------------------------------------------------------------------

TEST_CASE("64 threads exceed no budget: slots, requests, tokens, users", "[policy][concurrent]") {
  LimitOptions options;
  options.in_flight = 24;
  options.requests_per_minute = 60'000;  // one a millisecond
  options.requests_burst = 100;
  options.tokens_per_minute = 6'000'000;  // 100 a millisecond
  options.tokens_burst = 20'000;
  const bool partitioned = GENERATE(false, true);
  if (partitioned) options.per_user.in_flight = 3;
  const TimePoint start{1h};
  detail::LimiterCore core(options, start);

  std::atomic<std::int64_t> us{0};
  std::atomic<int> in_flight{0};
  std::atomic<std::int64_t> sent{0};
  std::atomic<std::int64_t> used{0};
  std::array<std::atomic<int>, 8> of_user{};
  std::atomic<int> exceeded{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 64; ++i) {
    threads.emplace_back([&, i] {
      const std::string user = "user " + std::to_string(i % 8);
      for (int round = 0; round < 200; ++round) {
        us += 50;
        const auto now = [&] { return start + std::chrono::microseconds(us.load()); };
        detail::Permit permit;
        detail::LimitAsk ask;
        ask.user = user;
        ask.tokens = 500;
        if (core.take(ask, permit, now()).of != detail::Shortage::Of::nothing) continue;
        const std::int64_t real = (i * 37 + round) % 501;
        if (++in_flight > 24) ++exceeded;
        if (++of_user[i % 8] > (partitioned ? 3 : 24)) ++exceeded;
        sent += 1;
        used += real;
        const std::int64_t seen_sent = sent.load();
        const std::int64_t seen_used = used.load();
        const std::int64_t at = us.load();
        if (seen_sent > 100 + at / 1000 + 1) ++exceeded;
        if (seen_used > 20'000 + at / 10 + 1) ++exceeded;
        std::this_thread::yield();
        --in_flight;
        --of_user[i % 8];
        core.release(permit, static_cast<std::uint64_t>(real), {}, now());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(exceeded == 0);
  CHECK(sent > 100);
  CHECK(core.state().in_flight == 0);
}

TEST_CASE("64 clients on threads of their own share a limiter: all calls end, none too early", "[policy][concurrent]") {
  LimitOptions options;
  options.in_flight = 5;
  options.requests_per_minute = 60'000;
  options.requests_burst = 10;
  options.max_wait = 1h;
  options.max_waiting = 10'000;
  const Limiter limiter = Limiter::create(options).value();
  constexpr int threads_count = 64;
  constexpr int calls_each = 10;
  std::atomic<std::int64_t> us{0};
  std::atomic<int> in_flight{0};
  std::atomic<int> sent{0};
  std::atomic<int> exceeded{0};
  std::atomic<int> ended{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < threads_count; ++i) {
    threads.emplace_back([&, i] {
      Client client(limiter);
      const TimePoint epoch = client.loop.now();
      std::vector<Started> calls;
      const auto turn = [&] {
        const auto span = epoch + std::chrono::microseconds(us.load()) - client.loop.now();
        client.loop.advance(std::max<Duration>(span, Duration::zero()));
      };
      std::size_t known = 0;
      const auto look = [&] {
        for (; known < client.transport->names.size(); ++known) {
          if (++in_flight > 5) ++exceeded;
          const int count = ++sent;
          if (count > 10 + us.load() / 1000 + 1) ++exceeded;
        }
      };
      for (int n = 0; n < calls_each; ++n) {
        Asked asked;
        asked.priority = (i + n) % 3 == 0 ? Priority::batch : Priority::interactive;
        turn();
        calls.push_back(client.start(asked));
        if (n == 3) {  // one of them changes its mind
          if (const auto abort = calls.back().call->on_abort; abort && client.running() == 0) {
            abort(Error(ErrorCode::cancelled, "enough"));
          }
        }
        look();
      }
      while (true) {
        us += 20;
        turn();
        look();
        while (client.running() != 0) {
          --in_flight;
          client.finish();
          look();
        }
        int done = 0;
        for (const auto& call : calls) done += call.sink->ends;
        if (done == calls_each) break;
        std::this_thread::yield();
      }
      ended += calls_each;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(exceeded == 0);
  CHECK(ended == threads_count * calls_each);
  CHECK(limiter.state().in_flight == 0);
  CHECK(limiter.state().waiting == 0);
  CHECK(limiter.state().refused == 0);
}
