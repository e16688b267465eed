// What the metrics and the log say, against what servers saw. With DEEPSEEK_OBSERVED_DIR set, the first test leaves its
// export and its log there, for the checks of tests/deploy.
#include <poll.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/shared_data.hpp"

#include <nlohmann/json.hpp>

#include <deepseek/core/metric_list.hpp>
#include <deepseek/policy/observe.hpp>
#include <deepseek/queue.hpp>

using namespace deepseek;
using namespace std::chrono_literals;
using namespace deepseek::test;
using deepseek_tests::ask;
namespace fs = std::filesystem;

namespace {

using Labels = std::map<std::string, std::string>;

/// The sum over all series of `metric` whose labels include `wanted`. Histograms: their number of values.
double total_of(const Metrics& metrics, const Metric& metric, const Labels& wanted = {}) {
  double total = 0;
  for (const MetricFamily& family : metrics.collect()) {
    if (family.metric != &metric) continue;
    for (const MetricSample& sample : family.samples) {
      bool fits = true;
      for (const auto& [name, value] : wanted)
        for (std::size_t i = 0; i < sample.labels.size(); ++i)
          if (metric.labels[i] == name && sample.labels[i] != value) fits = false;
      if (!fits) continue;
      if (sample.buckets.empty()) total += sample.value;
      for (const std::uint64_t count : sample.buckets) total += static_cast<double>(count);
    }
  }
  return total;
}

struct Observed {
  Observed() {
    options.metrics = metrics;
    options.log_level = LogLevel::debug;
    options.traceparent = true;
    options.log = make_callback_log([this](const LogRecord& record) {
      const std::lock_guard<std::mutex> lock(mutex);
      append_json_line(log, record);
    });
  }
  std::vector<nlohmann::json> records() {
    const std::lock_guard<std::mutex> lock(mutex);
    std::vector<nlohmann::json> all;
    std::istringstream in(log);
    for (std::string line; std::getline(in, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }
  DeepSeekClient client_of(const Double& server) {
    return deepseek_tests::client_of(server, [this](ClientOptions& client) {
      client.metrics = options.metrics;
      client.log = options.log;
      client.log_level = options.log_level;
      client.traceparent = options.traceparent;
    });
  }

  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>();
  ObserveOptions options;
  std::mutex mutex;
  std::string log;  // guarded
};

/// What other policies tell the sink themselves.
void count_what_other_policies_count(MetricSink& sink) {
  sink.set(metric::breaker_state, {"127.0.0.1:1"}, 2);
  sink.observe(metric::limiter_wait, {"tokens"}, 0.02);
  sink.set(metric::limits_local, {}, 0);
  sink.add(metric::cost, {"deepseek-flash", "usd"}, 0.001);
  sink.add(metric::token_refreshes, {"failed", "token_failed"}, 1);
  sink.observe(metric::token_refresh_duration, {"failed"}, 0.2);
  sink.add(metric::token_waits, {}, 1);
  sink.add(metric::dropped, {"cache_write"}, 1);
  sink.add(metric::retries, {"chat"}, 1);
  sink.add(metric::failovers, {"chat"}, 1);
  sink.add(metric::hedges, {"chat"}, 1);
  sink.add(metric::resumptions, {"chat"}, 1);
  sink.add(metric::cache_lookups, {"memory"}, 1);
  sink.add(metric::degraded, {"stale"}, 1);
}

/// The connection is new for the one that is dropped: on a used one libcurl sends again by itself, unseen.
std::vector<Reply> mixed_replies() {
  return {say("one two three four"),      think("why", "because"),
          status(429).retry_after(1s),    status(500),
          status(503).close_connection(), drop(),
          say("x").cut_after_events(2),   say("x").error_in_band(1, "gone"),
          say("x").malformed_event(1),    say("last")};
}

}  // namespace

TEST_CASE("metrics and log agree with what the server saw", "[integration][observe][observed]") {
  Observed observed;
  Double server;
  double prompt = 0;
  double completion = 0;
  std::map<std::string, int> ends;  // by the word of the error; empty: complete
  {
    const auto client = observed.client_of(server);
    for (int round = 0; round < 3; ++round) {
      server.script(mixed_replies());
      for (std::size_t i = 0; i < mixed_replies().size(); ++i) {
        const auto reply = round == 0 ? client.chat(ask("hi")) : client.stream(ask("hi")).result();
        ++ends[reply ? "" : to_string(reply.error().code())];
        const ChatReply* const said = reply ? &*reply : reply.error().partial();
        if (!said || !said->usage) continue;
        prompt += static_cast<double>(said->usage->prompt_tokens);
        completion += static_cast<double>(said->usage->completion_tokens);
      }
    }
    CHECK(client.models().has_value());
    CHECK(client.balance().has_value());
    ends[""] += 2;
  }
  const Metrics& metrics = *observed.metrics;
  INFO(metrics.prometheus_text());
  CHECK(total_of(metrics, metric::attempts) == static_cast<double>(server.requests().size()));
  CHECK(total_of(metrics, metric::attempts, {{"status_class", "5xx"}}) == 6);
  CHECK(total_of(metrics, metric::attempts, {{"status_class", "4xx"}}) == 3);
  CHECK(total_of(metrics, metric::in_flight) == 0);
  int calls = 0;
  for (const auto& [word, count] : ends) {
    INFO("ended with " << word);
    CHECK(total_of(metrics, metric::operation_duration, {{"error_type", word}}) == count);
    calls += count;
  }
  CHECK(total_of(metrics, metric::operation_duration) == calls);
  CHECK(ends.size() >= 6);
  CHECK(prompt > 0);
  CHECK(total_of(metrics, metric::tokens, {{"kind", "prompt"}}) +
            total_of(metrics, metric::tokens, {{"kind", "prompt_cached"}}) ==
        prompt);
  CHECK(total_of(metrics, metric::tokens, {{"kind", "completion"}}) +
            total_of(metrics, metric::tokens, {{"kind", "reasoning"}}) ==
        completion);
  CHECK(total_of(metrics, metric::time_to_first_token) >= 6);  // streamed, with a token: not those that failed before
  CHECK(total_of(metrics, metric::time_per_output_token) >= 4);

  std::map<std::string, int> logged;
  for (const auto& record : observed.records()) {
    if (record["event.action"] != "call_end") continue;
    ++logged[record.contains("error.code") ? record["error.code"].get<std::string>() : ""];
    CHECK_FALSE(record.contains("deepseek.withheld"));
  }
  CHECK(logged == ends);

  if (const char* const folder = std::getenv("DEEPSEEK_OBSERVED_DIR")) {
    count_what_other_policies_count(*observed.metrics);
    std::ofstream(fs::path(folder) / "metrics.txt") << metrics.prometheus_text();
    std::ofstream(fs::path(folder) / "log.json") << observed.log;
  }
}

TEST_CASE("a call that ends before the pipeline sees it is counted once, whatever the face",
          "[integration][observe][concurrent]") {
  Observed observed;
  Double server;
  const auto client = observed.client_of(server);
  const auto count = [&](const char* word, const char* operation = "chat") {
    return total_of(*observed.metrics, metric::operation_duration,
                    {{"error_type", word}, {"gen_ai_operation_name", operation}});
  };
  deepseek_tests::Collector collector;
  EventQueue queue(client);
  const auto on_every_face = [&](const ChatRequest& request, const CallOptions& options) {
    CHECK_FALSE(client.chat(request, options).has_value());
    CHECK_FALSE(client.stream(request, options).result().has_value());
    CHECK_FALSE(client.chat_future(request, options).get().has_value());
    const std::size_t ends = collector.results().size();
    client.chat_async(request, collector.handler(), options);
    CHECK(collector.await_ends(ends + 1));
    queue.submit(request, 1, options);
    pollfd waiting{queue.fd(), POLLIN, 0};
    CHECK(::poll(&waiting, 1, 10'000) == 1);
    const auto event = queue.next();
    CHECK((event && event->result && !*event->result));
    CHECK_FALSE(queue.next().has_value());  // and with that not readable any more
  };
  constexpr int faces = 5;

  ChatRequest wrong = ask("hi");
  wrong.temperature = 99;
  on_every_face(wrong, {});
  CHECK(count("invalid_request") == faces);

  CancelSource stop;
  stop.cancel();
  CallOptions cancelled;
  cancelled.cancel = stop.token();
  on_every_face(ask("hi"), cancelled);
  CHECK(count("cancelled") == faces);

  CallOptions late;
  late.deadline = std::chrono::steady_clock::now() - 1s;
  on_every_face(ask("hi"), late);
  CHECK(count("timeout_total") == faces);

  CallOptions odd;
  odd.timeouts = Timeouts();
  odd.timeouts->connect = -1ms;
  on_every_face(ask("hi"), odd);
  CHECK(count("invalid_argument") == faces);
  CHECK_FALSE(client.models(odd).has_value());
  CHECK(count("invalid_argument", "models") == 1);
  CHECK_FALSE(client.complete(CompletionRequest()).has_value());
  CHECK(count("invalid_request", "text_completion") == 1);

  std::promise<bool> refused;  // a waiting call on the I/O thread
  ChatHandler handler;
  handler.on_end = [&](const auto&) { refused.set_value(!client.chat(ask("hi")) && !client.models()); };
  client.chat_async(ask("hi"), handler, cancelled);
  CHECK(refused.get_future().get());
  CHECK(count("wrong_thread") == 1);
  CHECK(count("wrong_thread", "models") == 1);

  CHECK(server.requests().empty());
  CHECK(total_of(*observed.metrics, metric::in_flight) == 0);
  std::size_t logged = 0;
  for (const auto& record : observed.records()) {
    REQUIRE(record["event.action"] == "call_end");
    CHECK(record["event.duration"] < 5'000'000'000);
    CHECK(record.contains("gen_ai.operation.name"));
    ++logged;
  }
  CHECK(logged == 4 * faces + 5);
  CHECK(total_of(*observed.metrics, metric::operation_duration) == static_cast<double>(logged));
  // Nor are those counted twice that were sent.
  server.script({say("a")});
  CHECK(client.chat(ask("hi")).has_value());
  CHECK(count("") == 1);
}

TEST_CASE("each request carries the trace that its record names", "[integration][observe]") {
  Observed observed;
  Double server;
  server.script({say("a"), status(500), say("b")});
  const auto client = observed.client_of(server);
  CallOptions traced;
  traced.headers.push_back({"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"});
  (void)client.chat(ask("hi"), traced);
  (void)client.chat(ask("hi"));
  (void)client.stream(ask("hi")).result();
  std::vector<std::string> sent;
  for (const auto& request : server.requests()) sent.push_back(request.header("traceparent"));
  REQUIRE(sent.size() == 3);
  CHECK(sent[0].rfind("00-0af7651916cd43dd8448eb211c80319c-", 0) == 0);
  CHECK(sent[0].find("b7ad6b7169203331") == std::string::npos);
  std::size_t at = 0;
  for (const auto& record : observed.records()) {
    if (record["event.action"] != "attempt_end") continue;
    CHECK(sent.at(at++) ==
          "00-" + record["trace.id"].get<std::string>() + "-" + record["span.id"].get<std::string>() + "-01");
  }
  CHECK(at == 3);
  CHECK(std::set<std::string>(sent.begin(), sent.end()).size() == 3);
}

TEST_CASE("calls in flight are seen while they are, cancelled ones too", "[integration][observe][concurrent]") {
  Observed observed;
  Double server;
  for (int i = 0; i < 8; ++i) server.then(say("slow").after_head(10s));
  auto client = std::make_unique<DeepSeekClient>(observed.client_of(server));
  deepseek_tests::Collector collector;
  std::vector<CallHandle> handles;
  for (int i = 0; i < 8; ++i) handles.push_back(client->chat_async(ask("hi"), collector.handler()));
  REQUIRE(server.wait_for_active(8));
  CHECK(total_of(*observed.metrics, metric::in_flight) == 8);
  for (int i = 0; i < 4; ++i) handles[static_cast<std::size_t>(i)].cancel();
  REQUIRE(collector.await_ends(4));
  CHECK(total_of(*observed.metrics, metric::in_flight) == 4);
  client.reset();
  CHECK(total_of(*observed.metrics, metric::in_flight) == 0);
  CHECK(total_of(*observed.metrics, metric::operation_duration, {{"error_type", "cancelled"}}) == 8);
}
