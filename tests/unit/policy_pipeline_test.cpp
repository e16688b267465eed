// The pipeline: order by phase, the deadline, and what the authoriser refuses.
#include "support/catch.hpp"
#include "support/fake_loop.hpp"

#include <deepseek/http/fake.hpp>
#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/limits.hpp>
#include <deepseek/policy/pipeline.hpp>
#include <deepseek/transport/http.hpp>

using namespace deepseek;
using namespace std::chrono_literals;

namespace {

struct Recorder : Policy {
  Recorder(Phase phase, std::string name, std::vector<std::string>& seen)
      : phase_(phase), name_(std::move(name)), seen_(seen) {}
  Phase phase() const override { return phase_; }
  void start(CallPtr call, SinkPtr sink, Next next) override {
    seen_.push_back(name_);
    next(std::move(call), std::move(sink));
  }
  Phase phase_;
  std::string name_;
  std::vector<std::string>& seen_;
};

/// Holds every call until told otherwise.
struct HoldingTransport : Transport {
  void attach(Loop&) override {}
  void start(CallPtr call, SinkPtr sink) override {
    started.push_back(call);
    call->on_abort = [sink](Error error) { sink->on_end(std::move(error)); };
  }
  std::vector<CallPtr> started;
};

struct EndSink : CallSink {
  void on_frame(const Frame&) override { ++frames; }
  void on_end(std::optional<Error> result) override {
    ++ends;
    if (ended_call) ended_call->ended = true;
    error = std::move(result);
  }
  int frames = 0;
  int ends = 0;
  Call* ended_call = nullptr;
  std::optional<Error> error;
};

struct Fixture {
  deepseek_tests::FakeLoop loop;
  std::shared_ptr<HoldingTransport> transport = std::make_shared<HoldingTransport>();
  std::shared_ptr<EndSink> sink = std::make_shared<EndSink>();
  CallPtr call = std::make_shared<Call>();

  void start(const Endpoint& endpoint) {
    pipeline.emplace(make_base_policies({endpoint}, transport), transport, loop);
    pipeline->start(call, sink);
  }
  std::optional<Pipeline> pipeline;
};

}  // namespace

TEST_CASE("policies run in the order of their phases, whatever the order of insertion", "[policy]") {
  Fixture f;
  std::vector<std::string> seen;
  const auto make = [&](Phase phase, const char* name) { return std::make_shared<Recorder>(phase, name, seen); };
  Pipeline pipeline({make(Phase::observe_attempt, "observe_attempt"), make(Phase::user_attempt, "second"),
                     make(Phase::check, "check"), make(Phase::user_attempt, "third"), make(Phase::retry, "retry")},
                    f.transport, f.loop);
  pipeline.start(f.call, f.sink);
  REQUIRE(seen == std::vector<std::string>{"check", "retry", "second", "third", "observe_attempt"});
  REQUIRE(f.call->facts.attempts == 1);
}

TEST_CASE("a policy that its host keeps is told before the loop goes, and uses it no more", "[policy]") {
  struct Told final : Policy {
    explicit Told(std::vector<std::string>& its_words) : words(its_words) {}
    Phase phase() const override { return Phase::user_operation; }
    void attach(Loop&) override { words.push_back("attach"); }
    void detach() override { words.push_back("detach"); }
    void start(CallPtr call, SinkPtr sink, Next next) override { next(std::move(call), std::move(sink)); }
    std::vector<std::string>& words;
  };
  struct Budget final : SharedBudget {
    void attach(Loop&) override {}
    void detach() override { detached = true; }
    void take(const BudgetAsk&, Function<void(BudgetGrant)>) override {}
    void settle(std::uint64_t, std::optional<std::uint64_t>) override {}
    bool detached = false;
  };
  std::vector<std::string> words;
  const auto budget = std::make_shared<Budget>();
  const auto transport = std::make_shared<HoldingTransport>();
  LimitOptions limits;
  limits.in_flight = 1;
  CacheOptions cache;
  cache.memory_bytes = 64 * 1024;
  auto kept = make_base_policies({Endpoint{"http://127.0.0.1:1"}}, transport);
  kept.push_back(std::make_shared<Told>(words));
  kept.push_back(make_limit_policy(Limiter::create(limits).value(), budget));
  kept.push_back(make_cache_policy(cache, {}, std::make_shared<Clock>()));
  {
    deepseek_tests::FakeLoop loop;
    const Pipeline pipeline(kept, transport, loop);
    CHECK(words == std::vector<std::string>{"attach"});
  }
  CHECK(words == std::vector<std::string>{"attach", "detach"});
  CHECK(budget->detached);
}

TEST_CASE("the deadline ends a call once, wherever it is", "[policy]") {
  Fixture f;
  f.call->deadline = f.loop.now() + 100ms;
  f.start({"http://127.0.0.1:1", api_key(std::string("k"))});
  REQUIRE(f.sink->ends == 0);
  f.loop.advance(99ms);
  REQUIRE(f.sink->ends == 0);
  f.loop.advance(1ms);
  REQUIRE(f.sink->ends == 1);
  REQUIRE(f.sink->error->code() == ErrorCode::timeout_total);
  REQUIRE(f.sink->error->clock() == "total");
  f.loop.advance(1000ms);
  REQUIRE(f.sink->ends == 1);
}

TEST_CASE("a deadline in the past sends nothing", "[policy]") {
  Fixture f;
  f.call->deadline = f.loop.now();
  f.start({"http://127.0.0.1:1", Credential()});
  REQUIRE(f.sink->error->code() == ErrorCode::timeout_total);
  REQUIRE(f.transport->started.empty());
}

TEST_CASE("the authoriser refuses what would cost or leak a key", "[policy]") {
  struct Row {
    const char* base;
    bool key;
    bool allow;
    std::optional<ErrorCode> refused;
  };
  const Row row = GENERATE(values<Row>({
      {"https://api.deepseek.com", false, false, ErrorCode::missing_key},
      {"https://api.deepseek.com", true, false, std::nullopt},
      {"https://other.example", false, false, std::nullopt},
      {"http://other.example", false, false, std::nullopt},
      {"http://other.example", true, false, ErrorCode::insecure_credential},
      {"http://other.example", true, true, std::nullopt},
      {"http://127.0.0.1:8080/v1", true, false, std::nullopt},
      {"http://localhost:8080", true, false, std::nullopt},
      {"http://[::1]:8080", true, false, std::nullopt},
      {"http://127.0.0.1.evil.example", true, false, ErrorCode::insecure_credential},
  }));
  Fixture f;
  f.start({row.base, row.key ? api_key(std::string("sk-1")) : Credential(), std::nullopt, row.allow});
  INFO(row.base);
  if (row.refused) {
    REQUIRE(f.sink->error->code() == *row.refused);
    REQUIRE(f.transport->started.empty());
  } else {
    REQUIRE(f.transport->started.size() == 1);
    REQUIRE(f.call->authorization.reveal() == (row.key ? "Bearer sk-1" : ""));
  }
}

TEST_CASE("a deadline ends a call that nobody can be told to end, and what it starts later is not sent", "[policy]") {
  struct Forgetful : Policy {
    Phase phase() const override { return Phase::user_operation; }
    void attach(Loop& loop) override { loop_ = &loop; }
    void start(CallPtr call, SinkPtr sink, Next next) override {
      loop_->schedule(loop_->now() + 1h, [=] { next(call, sink); });
    }
    Loop* loop_ = nullptr;
  };
  Fixture f;
  auto policies = make_base_policies({{"http://127.0.0.1:1"}}, f.transport);
  policies.push_back(std::make_shared<Forgetful>());
  Pipeline pipeline(std::move(policies), f.transport, f.loop);
  f.call->deadline = f.loop.now() + 1s;
  f.sink->ended_call = f.call.get();
  pipeline.start(f.call, f.sink);
  f.loop.advance(1s);
  REQUIRE(f.sink->ends == 1);
  CHECK(f.sink->error->code() == ErrorCode::timeout_total);
  f.loop.advance(2h);
  CHECK(f.sink->ends == 1);
  CHECK(f.transport->started.empty());
}

TEST_CASE("what an operation counts survives its attempts, what an attempt found does not", "[policy]") {
  Fixture f;
  f.start({"http://127.0.0.1:1"});
  CallFacts& facts = f.call->facts;
  facts.retries = 2;
  facts.cache_level = "miss";
  facts.degraded = "model";
  facts.http_status = 503;
  facts.trace_id = "0f7c";
  facts.usage = TokenUsage{1, 0, 2, 0};
  f.pipeline->start(f.call, f.sink);
  CHECK(facts.attempts == 2);
  CHECK(facts.retries == 2);
  CHECK(facts.cache_level == "miss");
  CHECK(facts.degraded == "model");
  CHECK(facts.http_status == 0);
  CHECK(facts.trace_id.empty());
  CHECK_FALSE(facts.usage.told());
}

TEST_CASE("a policy may end a call before start() returns, behind any other", "[policy]") {
  struct Refuser : Policy {
    explicit Refuser(Phase phase) : phase_(phase) {}
    Phase phase() const override { return phase_; }
    void start(CallPtr, SinkPtr sink, Next) override { sink->on_end(Error(ErrorCode::budget_exceeded, "no")); }
    Phase phase_;
  };
  const Phase phase = GENERATE(Phase::check, Phase::cache, Phase::breaker, Phase::observe_attempt);
  Fixture f;
  auto policies = make_base_policies({{"http://127.0.0.1:1", api_key(std::string("k"))}}, f.transport);
  policies.push_back(std::make_shared<Refuser>(phase));
  Pipeline pipeline(std::move(policies), f.transport, f.loop);
  f.call->deadline = f.loop.now() + 1s;
  pipeline.start(std::move(f.call), f.sink);
  REQUIRE(f.sink->ends == 1);
  CHECK(f.sink->error->code() == ErrorCode::budget_exceeded);
  CHECK(f.loop.timers() == 0);
  f.loop.advance(2s);
  CHECK(f.sink->ends == 1);
}

namespace {

/// Answers when the test says so, with "Bearer 1", "Bearer 2" ...; `stuck`: always with the first.
struct SlowSource : CredentialSource {
  void attach(Loop&) override { ++attached; }
  void authorization(Function<void(Result<Secret>)> done) override { waiting.push_back(std::move(done)); }
  void rejected(const Secret& value) override { refused.emplace_back(value.reveal()); }
  bool present() const override { return true; }
  void answer() {
    const auto done = waiting.at(answered++);
    done(Secret("Bearer " + std::to_string(stuck ? 1 : answered)));
  }
  int attached = 0;
  bool stuck = false;
  std::size_t answered = 0;
  std::vector<Function<void(Result<Secret>)>> waiting;
  std::vector<std::string> refused;
};

struct TokenDecoder : Decoder {
  FrameKind inspect(std::string_view) override { return FrameKind::token; }
  std::optional<Error> conclude(bool) override { return std::nullopt; }
  Error error_from_body(int, std::string_view) override { return Error(ErrorCode::authentication, "no"); }
  void reset() override { ++resets; }
  int resets = 0;
};

/// The pipeline over HTTP, with a credential that takes its time.
struct SlowFixture {
  explicit SlowFixture(int endpoints = 1) {
    const Endpoint endpoint{"https://example.com", Credential(source)};
    call->operation.method = "POST";
    call->operation.path = "/p";
    call->operation.stream = true;
    call->decoder = decoder;
    call->timeouts.idle = 0s;
    const std::vector<Endpoint> all(static_cast<std::size_t>(endpoints), endpoint);
    pipeline.emplace(make_base_policies(all, transport), transport, loop);
  }
  static FakeReply status(int status) {
    FakeReply reply;
    reply.status = status;
    reply.headers = {{"Content-Type", "text/event-stream"}};
    reply.chunks = {"data: t\n\n"};
    return reply;
  }
  deepseek_tests::FakeLoop loop;
  std::shared_ptr<FakeHttpEngine> engine = std::make_shared<FakeHttpEngine>();
  std::shared_ptr<Transport> transport = make_http_transport(std::shared_ptr<HttpEngine>(engine));
  std::shared_ptr<SlowSource> source = std::make_shared<SlowSource>();
  std::shared_ptr<TokenDecoder> decoder = std::make_shared<TokenDecoder>();
  std::shared_ptr<EndSink> sink = std::make_shared<EndSink>();
  CallPtr call = std::make_shared<Call>();
  std::optional<Pipeline> pipeline;
};

}  // namespace

TEST_CASE("a source of several endpoints is attached once", "[policy]") {
  SlowFixture f(3);
  CHECK(f.source->attached == 1);
}

TEST_CASE("a pause while a policy holds the call is not lost", "[policy]") {
  SlowFixture f;
  f.engine->reply(SlowFixture::status(200));
  f.pipeline->start(f.call, f.sink);
  f.call->pause(true);
  f.source->answer();
  f.loop.run();
  REQUIRE(f.engine->requests().size() == 1);
  CHECK(f.engine->paused(0));
  CHECK(f.sink->frames == 0);
  f.loop.advance(1h);
  CHECK(f.sink->frames == 0);
  f.call->pause(false);
  f.loop.run();
  CHECK(f.sink->frames == 1);
  CHECK(f.sink->ends == 1);
  CHECK_FALSE(f.sink->error);
}

TEST_CASE("a pause taken back while a policy holds the call holds nothing back", "[policy]") {
  SlowFixture f;
  f.engine->reply(SlowFixture::status(200));
  f.pipeline->start(f.call, f.sink);
  f.call->pause(true);
  f.call->pause(false);
  f.source->answer();
  f.loop.run();
  CHECK(f.sink->ends == 1);
}

TEST_CASE("a call given up while its credential is fetched ends once and is not sent", "[policy]") {
  SlowFixture f;
  f.pipeline->start(f.call, f.sink);
  const auto abort = f.call->on_abort;
  REQUIRE(abort);
  abort(Error(ErrorCode::cancelled, "given up"));
  CHECK(f.sink->ends == 1);
  f.source->answer();
  f.loop.run();
  CHECK(f.sink->ends == 1);
  CHECK(f.engine->requests().empty());
  CHECK(f.call->on_abort == nullptr);
}

TEST_CASE("a rejected credential is told to its source, and another one is tried once", "[policy]") {
  SlowFixture f;
  f.engine->reply(SlowFixture::status(401));
  f.engine->reply(SlowFixture::status(GENERATE(200, 401)));
  f.pipeline->start(f.call, f.sink);
  f.source->answer();
  f.loop.run();
  REQUIRE(f.source->refused == std::vector<std::string>{"Bearer 1"});
  CHECK(f.sink->ends == 0);
  f.source->answer();
  f.loop.run();
  REQUIRE(f.engine->requests().size() == 2);
  CHECK(f.engine->requests()[1].header("authorization") == "Bearer 2");
  CHECK(f.decoder->resets == 1);
  CHECK(f.call->facts.attempts == 2);
  REQUIRE(f.sink->ends == 1);
  CHECK(f.source->waiting.size() == 2);
  if (f.sink->error) CHECK(f.source->refused == std::vector<std::string>{"Bearer 1", "Bearer 2"});
}

TEST_CASE("a source that has no other credential leaves the 401 as it is", "[policy]") {
  SlowFixture f;
  f.source->stuck = true;
  f.engine->reply(SlowFixture::status(401));
  f.pipeline->start(f.call, f.sink);
  f.source->answer();
  f.loop.run();
  f.source->answer();
  f.loop.run();
  CHECK(f.engine->requests().size() == 1);
  REQUIRE(f.sink->ends == 1);
  CHECK(f.sink->error->http_status() == 401);
}
