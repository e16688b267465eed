// What the observing policies count, log and send, and what they never show.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/fake_loop.hpp"

#include <deepseek/policy/detail/end_watch.hpp>
#include <deepseek/policy/detail/server_name.hpp>
#include <deepseek/policy/detail/trace_context.hpp>
#include <deepseek/policy/observe.hpp>
#include <deepseek/policy/pipeline.hpp>

using namespace deepseek;
using namespace std::chrono_literals;

namespace {

/// Time as the loop has it.
struct LoopClock final : Clock {
  explicit LoopClock(const Loop& its_loop) : loop(its_loop) {}
  TimePoint steady_now() const override { return loop.now(); }
  WallTime wall_now() const override { return WallTime(1'700'000'000s); }
  const Loop& loop;
};

/// Keeps what it was asked; the test ends the attempts.
struct HeldTransport final : Transport {
  struct Attempt {
    CallPtr call;
    SinkPtr sink;
    std::string traceparent;
  };
  void attach(Loop&) override {}
  void start(CallPtr call, SinkPtr sink) override {
    const HttpHeader* const header = detail::find_traceparent(call->headers);
    held.push_back({call, sink, header ? header->value : std::string()});
  }
  std::vector<Attempt> held;
};

struct EndSink final : CallSink {
  void on_frame(const Frame&) override { ++frames; }
  void on_end(std::optional<Error> result) override {
    ++ends;
    error = std::move(result);
  }
  int frames = 0;
  int ends = 0;
  std::optional<Error> error;
};

/// Repeats once whatever fails, as a retry policy would.
struct RepeatOnce final : Policy {
  Phase phase() const override { return Phase::retry; }
  void start(CallPtr call, SinkPtr sink, Next next) override {
    next(call, std::make_shared<Sink>(call, std::move(sink), next));
  }
  struct Sink final : CallSink {
    Sink(CallPtr its_call, SinkPtr its_sink, Next rest)
        : call(std::move(its_call)), sink(std::move(its_sink)), next(rest) {}
    void on_frame(const Frame& frame) override { sink->on_frame(frame); }
    void on_end(std::optional<Error> error) override {
      if (!error) return sink->on_end(std::move(error));
      call->facts.retries = 1;
      next(call, sink);
    }
    CallPtr call;
    SinkPtr sink;
    Next next;
  };
};

struct Fixture {
  explicit Fixture(LogLevel level = LogLevel::debug, bool traceparent = false) {
    ObserveOptions options;
    options.metrics = metrics;
    options.log = make_callback_log([this](const LogRecord& record) { append_json_line(log, record); });
    options.log_level = level;
    options.traceparent = traceparent;
    options.clock = std::make_shared<LoopClock>(loop);
    policies = make_observe_policies(options);
    watch = detail::make_end_watch(options);
  }

  void start() {
    auto all = make_base_policies({endpoint}, transport);
    all.insert(all.end(), policies.begin(), policies.end());
    pipeline.emplace(std::move(all), transport, loop);
    call->operation = {"chat", "POST", "/chat/completions", Operation::Base::plain, true};
    call->model = "deepseek-flash";
    call->started = loop.now();
    pipeline->start(call, sink);
  }

  bool counted(const std::string& line) const {
    return ("\n" + metrics->prometheus_text()).find("\n" + line + "\n") != std::string::npos;
  }

  deepseek_tests::FakeLoop loop;
  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>();
  std::string log;
  std::vector<std::shared_ptr<Policy>> policies;
  detail::EndWatch watch;
  std::shared_ptr<HeldTransport> transport = std::make_shared<HeldTransport>();
  std::shared_ptr<EndSink> sink = std::make_shared<EndSink>();
  Endpoint endpoint = {"https://api.example.com:8443/v1", api_key(std::string("0123456789abcdef0123"))};
  CallPtr call = std::make_shared<Call>();
  std::optional<Pipeline> pipeline;
};

}  // namespace

TEST_CASE("a streamed call that went well is counted and logged once", "[policy][observe]") {
  Fixture f;
  f.start();
  CHECK(f.counted(R"(deepseek_calls_in_flight{gen_ai_operation_name="chat"} 1)"));
  REQUIRE(f.transport->held.size() == 1);
  f.loop.advance(200ms);
  f.call->facts.first_token = 200ms;
  f.call->facts.http_status = 200;
  f.call->facts.http_version = 20;
  f.call->facts.trace_id = "0f7c0f7c0f7c0f7c0f7c0f7c0f7c0f7c";
  f.call->facts.usage = TokenUsage{100, 60, 11, 4};
  f.transport->held[0].sink->on_frame({});
  f.loop.advance(1s);
  const SinkPtr attempt = f.transport->held[0].sink;
  f.transport->held.clear();
  attempt->on_end(std::nullopt);
  CHECK(f.sink->ends == 1);
  CHECK(f.sink->frames == 1);

  const std::string text = f.metrics->prometheus_text();
  INFO(text);
  INFO(f.log);
  const std::string who = R"({gen_ai_operation_name="chat",gen_ai_request_model="deepseek-flash")";
  const std::string where = who + R"(,server_address="api.example.com:8443"})";
  CHECK(f.counted("gen_ai_client_operation_duration_seconds_sum" + who + "} 1.2"));
  CHECK(f.counted("gen_ai_client_operation_duration_seconds_count" + who + "} 1"));
  CHECK(f.counted("gen_ai_server_time_to_first_token_seconds_sum" + where + " 0.2"));
  CHECK(f.counted("gen_ai_server_time_per_output_token_seconds_sum" + where + " 0.1"));
  CHECK(f.counted("gen_ai_client_token_usage_sum" + who + R"(,gen_ai_token_type="input"} 100)"));
  CHECK(f.counted("gen_ai_client_token_usage_sum" + who + R"(,gen_ai_token_type="output"} 11)"));
  for (const char* const line :
       {R"(kind="prompt"} 40)", R"(kind="prompt_cached"} 60)", R"(kind="completion"} 7)", R"(kind="reasoning"} 4)"})
    CHECK(f.counted(R"(deepseek_tokens_total{gen_ai_request_model="deepseek-flash",)" + std::string(line)));
  CHECK(f.counted(R"(deepseek_attempts_total{server_address="api.example.com:8443",status_class="2xx"} 1)"));
  CHECK(f.counted(R"(deepseek_calls_in_flight{gen_ai_operation_name="chat"} 0)"));
  CHECK(text.find("deepseek_retries_total{") == std::string::npos);

  REQUIRE(std::count(f.log.begin(), f.log.end(), '\n') == 2);
  const std::string first = f.log.substr(0, f.log.find('\n'));
  const std::string second = f.log.substr(f.log.find('\n') + 1);
  for (const char* const part :
       {R"("log.level":"debug")", R"("event.action":"attempt_end")", R"("event.outcome":"success")",
        R"("event.duration":1200000000)", R"("server.address":"api.example.com")", R"("server.port":8443)",
        R"("http.response.status_code":200)", R"("http.version":"2")", R"("deepseek.attempt":1)",
        R"("http.request.id":"0f7c0f7c0f7c0f7c0f7c0f7c0f7c0f7c")"})
    CHECK(first.find(part) != std::string::npos);
  for (const char* const part :
       {R"("log.level":"info")", R"("event.action":"call_end")", R"("deepseek.outcome":"complete")",
        R"("gen_ai.operation.name":"chat")", R"("gen_ai.request.model":"deepseek-flash")", R"("deepseek.stream":true)",
        R"("gen_ai.usage.input_tokens":100)", R"("deepseek.tokens.reasoning":4)", R"("deepseek.attempts":1)",
        R"("deepseek.first_token":200000000)"})
    CHECK(second.find(part) != std::string::npos);
  CHECK(f.log.find("withheld") == std::string::npos);
}

TEST_CASE("each attempt is counted by how it ended, the call by how it ended in all", "[policy][observe]") {
  Fixture f;
  f.policies.push_back(std::make_shared<RepeatOnce>());
  f.start();
  f.call->facts.http_status = 503;
  f.loop.advance(300ms);
  const SinkPtr first = f.transport->held[0].sink;
  first->on_end(Error(ErrorCode::overloaded, "busy"));
  REQUIRE(f.transport->held.size() == 2);
  CHECK(f.sink->ends == 0);
  f.loop.advance(100ms);
  f.call->facts.http_status = 200;
  f.call->facts.first_token = 350ms;  // since the call began, and 50 ms into this attempt
  f.transport->held[1].sink->on_end(std::nullopt);
  CHECK(f.sink->ends == 1);
  INFO(f.metrics->prometheus_text());
  CHECK(f.counted(
      R"(deepseek_attempts_total{server_address="api.example.com:8443",status_class="5xx",error_type="overloaded"} 1)"));
  CHECK(f.counted(R"(deepseek_attempts_total{server_address="api.example.com:8443",status_class="2xx"} 1)"));
  CHECK(f.counted(R"(deepseek_retries_total{gen_ai_operation_name="chat"} 1)"));
  CHECK(f.counted(
      R"(gen_ai_client_operation_duration_seconds_sum{gen_ai_operation_name="chat",gen_ai_request_model="deepseek-flash"} 0.4)"));
  CHECK(f.counted(
      R"(gen_ai_server_time_to_first_token_seconds_sum{gen_ai_operation_name="chat",gen_ai_request_model="deepseek-flash",server_address="api.example.com:8443"} 0.05)"));
  CHECK(f.log.find(R"("log.level":"warn")") != std::string::npos);
  CHECK(f.log.find(R"("error.code":"overloaded")") != std::string::npos);
  CHECK(f.log.find(R"("deepseek.attempt":2)") != std::string::npos);
}

TEST_CASE("levels decide what is logged", "[policy][observe]") {
  struct Row {
    LogLevel level;
    std::optional<ErrorCode> error;
    int lines;
  };
  const Row row = GENERATE(values<Row>({{LogLevel::debug, std::nullopt, 2},
                                        {LogLevel::info, std::nullopt, 1},
                                        {LogLevel::warn, std::nullopt, 0},
                                        {LogLevel::info, ErrorCode::server_error, 2},
                                        {LogLevel::warn, ErrorCode::server_error, 2},
                                        {LogLevel::error, ErrorCode::server_error, 1},
                                        {LogLevel::info, ErrorCode::cancelled, 1},
                                        {LogLevel::error, ErrorCode::cancelled, 0}}));
  Fixture f(row.level);
  f.start();
  f.transport->held[0].sink->on_end(row.error ? std::optional<Error>(Error(*row.error, "text")) : std::nullopt);
  CHECK(std::count(f.log.begin(), f.log.end(), '\n') == row.lines);
}

TEST_CASE("what no attempt was made for is a call without attempts", "[policy][observe]") {
  Fixture f;
  f.endpoint = {"http://other.example", api_key(std::string("k"))};  // refused by the authoriser
  f.start();
  CHECK(f.transport->held.empty());
  CHECK(f.sink->ends == 1);
  CHECK(f.metrics->prometheus_text().find("deepseek_attempts_total{") == std::string::npos);
  CHECK(f.metrics->prometheus_text().find(R"(error_type="insecure_credential")") != std::string::npos);
  CHECK(f.counted(R"(deepseek_calls_in_flight{gen_ai_operation_name="chat"} 0)"));
  CHECK(f.log.find(R"("deepseek.attempts":0)") != std::string::npos);
}

TEST_CASE("a call that is dropped without an end is in flight no more", "[policy][observe]") {
  Fixture f;
  f.start();
  f.transport->held.clear();
  f.call.reset();
  f.pipeline.reset();
  CHECK(f.counted(R"(deepseek_calls_in_flight{gen_ai_operation_name="chat"} 0)"));
}

TEST_CASE("resumptions are counted, and logged beside wait and cost", "[policy][observe]") {
  Fixture f;
  f.start();
  f.call->facts.resumed = 2;
  f.call->facts.waited = 250ms;
  f.call->facts.cost = 0.25;
  f.call->facts.currency = "usd";
  f.transport->held[0].sink->on_end(std::nullopt);
  CHECK(f.counted(R"(deepseek_resumptions_total{gen_ai_operation_name="chat"} 2)"));
  CHECK(f.log.find(R"("deepseek.resumed":2)") != std::string::npos);
  CHECK(f.log.find(R"("deepseek.wait":250000000,"deepseek.cost":0.25,"deepseek.currency":"usd")") != std::string::npos);
  CHECK(f.log.find("withheld") == std::string::npos);
}

TEST_CASE("a call's end is told once, by whoever sees it first", "[policy][observe]") {
  const std::string count =
      R"(gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_request_model="deepseek-flash",error_type=")";
  const std::optional<Error> cancelled = Error(ErrorCode::cancelled, "stop");
  SECTION("it never came to the pipeline") {
    Fixture f;
    f.call->operation = {"chat", "POST", "/chat/completions", Operation::Base::plain, true};
    f.call->model = "deepseek-flash";
    f.call->started = f.loop.now();
    f.watch(*f.call, cancelled);
    f.watch(*f.call, cancelled);
    CHECK(f.counted(count + "cancelled\"} 1"));
    CHECK(std::count(f.log.begin(), f.log.end(), '\n') == 1);
    CHECK(f.metrics->prometheus_text().find("deepseek_calls_in_flight{") == std::string::npos);
  }
  SECTION("the observing policy saw it") {
    Fixture f;
    f.start();
    f.transport->held[0].sink->on_end(cancelled);
    f.watch(*f.call, cancelled);
    CHECK(f.counted(count + "cancelled\"} 1"));
  }
  SECTION("its holder was not waited for and comes later") {
    Fixture f;
    f.start();
    f.watch(*f.call, cancelled);
    f.transport->held[0].sink->on_end(Error(ErrorCode::overloaded, "busy"));
    CHECK(f.counted(count + "cancelled\"} 1"));
    CHECK_FALSE(f.counted(count + "overloaded\"} 1"));
    CHECK(f.counted(R"(deepseek_calls_in_flight{gen_ai_operation_name="chat"} 0)"));
  }
}

TEST_CASE("hostile facts stay within bounds", "[policy][observe]") {
  Fixture f;
  f.start();
  f.call->facts.http_status = 99999;
  f.call->facts.first_token = std::chrono::microseconds(-5);
  f.call->facts.usage = TokenUsage{1, 1000, 1, 1000};  // more cached than there are
  f.call->facts.trace_id = GENERATE(
      values<std::string>({"sk-in-a-header", "0123456789abcdef0123", "456789abcdef", "\"}{", std::string(5000, 'a')}));
  f.transport->held[0].sink->on_end(std::nullopt);
  INFO(f.log);
  CHECK(f.counted(R"(deepseek_attempts_total{server_address="api.example.com:8443",status_class="none"} 1)"));
  CHECK(f.log.find(f.call->facts.trace_id) == std::string::npos);  // a part of the key as well
  CHECK(f.metrics->prometheus_text().find("18446744073709551") == std::string::npos);
}

TEST_CASE("a trace goes on from attempt to attempt with a span of its own", "[policy][observe]") {
  Fixture f(LogLevel::debug, true);
  f.policies.push_back(std::make_shared<RepeatOnce>());
  const std::string given =
      GENERATE(values<std::string>({"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "not one",
                                    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}));
  if (!given.empty()) f.call->headers.push_back({"TraceParent", given});
  f.start();
  const SinkPtr first = f.transport->held[0].sink;
  first->on_end(Error(ErrorCode::overloaded, "busy"));
  f.transport->held[1].sink->on_end(std::nullopt);
  const std::string one = f.transport->held[0].traceparent;
  const std::string two = f.transport->held[1].traceparent;
  INFO(one << " " << two);
  const auto ids = detail::parse_traceparent(one);
  const auto later = detail::parse_traceparent(two);
  REQUIRE(ids.trace.size() == 32);
  CHECK(later.trace == ids.trace);
  CHECK(later.span != ids.span);
  CHECK(f.call->headers.size() == 1);
  const auto of_given = detail::parse_traceparent(given);
  if (!of_given.trace.empty()) {
    CHECK(ids.trace == of_given.trace);
    CHECK(ids.span != of_given.span);
  }
  CHECK(f.log.find(R"("trace.id":")" + std::string(ids.trace)) != std::string::npos);
  CHECK(f.log.find(R"("span.id":")" + std::string(ids.span)) != std::string::npos);
  CHECK(f.log.find(R"("span.id":")" + std::string(later.span)) != std::string::npos);
}

TEST_CASE("without the option a caller's trace context is left alone and logged", "[policy][observe]") {
  Fixture f;
  const std::string given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  f.call->headers.push_back({"traceparent", given});
  f.start();
  CHECK(f.transport->held[0].traceparent == given);
  f.transport->held[0].sink->on_end(std::nullopt);
  CHECK(f.log.find(R"("trace.id":"0af7651916cd43dd8448eb211c80319c")") != std::string::npos);
}

TEST_CASE("trace ids differ", "[policy][observe]") {
  detail::TraceIdSource source(1);
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    std::string header = source.make_traceparent();
    REQUIRE(detail::parse_traceparent(header).span.size() == 16);
    seen.insert(header);
    source.renew_span(header);
    seen.insert(header);
  }
  CHECK(seen.size() == 2000);
}

TEST_CASE("endpoints are named by host and port alone", "[policy][observe]") {
  struct Row {
    const char* base;
    const char* label;
  };
  const Row row = GENERATE(values<Row>({{"https://api.deepseek.com", "api.deepseek.com"},
                                        {"http://127.0.0.1:8080/v1/secret-path", "127.0.0.1:8080"},
                                        {"http://[::1]:8080", "[::1]:8080"},
                                        {"https://user:secret@host", "other"},
                                        {"https://host?key=secret", "other"},
                                        {"mqtt://broker", "other"}}));
  Endpoint endpoint;
  endpoint.base_url = row.base;
  CHECK(detail::server_name_of(endpoint).label == row.label);
}

TEST_CASE("nothing wanted makes no policies", "[policy][observe]") {
  CHECK(make_observe_policies({}).empty());
  ObserveOptions only_trace;
  only_trace.traceparent = true;
  CHECK(make_observe_policies(only_trace).size() == 2);
}
