// The pipeline: order by phase, the deadline, and what the authoriser refuses.
#include "support/catch.hpp"
#include "support/fake_loop.hpp"

#include <deepseek/policy/pipeline.hpp>

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
  void pause(Call&, bool) override {}
  void start(CallPtr call, SinkPtr sink) override {
    started.push_back(call);
    call->on_abort = [sink](Error error) { sink->on_end(std::move(error)); };
  }
  std::vector<CallPtr> started;
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
  deepseek_tests::FakeLoop loop;
  std::shared_ptr<HoldingTransport> transport = std::make_shared<HoldingTransport>();
  std::shared_ptr<EndSink> sink = std::make_shared<EndSink>();
  CallPtr call = std::make_shared<Call>();

  void start(const Endpoint& endpoint) {
    pipeline.emplace(make_base_policies({endpoint}), transport, loop);
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
