// Hedging over real sockets: two servers, one of which is slow to answer.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/clients.hpp"

#include <deepseek/core/metric_list.hpp>
#include <deepseek/core/metrics.hpp>
#include <deepseek/policy/limits.hpp>

using namespace deepseek;
using namespace std::chrono_literals;
using namespace deepseek::test;
using deepseek_tests::ask;

namespace {

constexpr auto late = 100ms;  // what is hedged
constexpr auto very_late = 60s;

Reply silent(const std::string& text) { return say(text).after(very_late); }
Reply begun(const std::string& text) { return say(text).stall_after_events(1); }  // its role came

struct Scene {
  Scene() {
    options = first.client_options();
    options.endpoints.push_back(second.client_options().endpoints.front());
    options.retry.max_attempts = 1;
    options.hedge.after = late;
  }
  DeepSeekClient client() const { return DeepSeekClient::create(options).value(); }
  bool idle() const { return first.wait_for_active(0) && second.wait_for_active(0); }

  Double first;
  Double second;
  ClientOptions options;
};

struct Read {
  std::string text;
  int roles = 0;
  Result<ChatReply> end;
};
Read read(const DeepSeekClient& client, const CallOptions& options = {}) {
  std::string text;
  int roles = 0;
  auto stream = client.stream(ask("hi"), options);
  for (const ChatChunk& chunk : stream) {
    text += chunk.content();
    roles += chunk.role().empty() ? 0 : 1;
  }
  return {text, roles, stream.result()};
}

double sum_of(const Metrics& metrics, const Metric& metric) {
  double sum = 0;
  for (const MetricFamily& family : metrics.collect())
    if (family.metric == &metric)
      for (const MetricSample& sample : family.samples) sum += sample.value;
  return sum;
}

}  // namespace

TEST_CASE("a server that stalls is answered for by another, and hung up on at once", "[integration][hedge]") {
  Scene s;
  const bool with_role = GENERATE(true, false);
  s.first.script({with_role ? begun("slow") : silent("slow")});
  s.second.script({say("one two three four").pace(150ms)});
  const auto client = s.client();
  auto stream = client.stream(ask("hi"));
  std::string text;
  int roles = 0;
  bool hung_up = false;
  for (const ChatChunk& chunk : stream) {
    text += chunk.content();
    roles += chunk.role().empty() ? 0 : 1;
    if (text.empty() || hung_up) continue;
    hung_up = true;
    CHECK(s.first.wait_for_active(0));  // a reply that stalls ends when its connection does
    CHECK(s.second.active() == 1);      // it still speaks
  }
  const auto reply = stream.result();
  REQUIRE(reply.has_value());
  CHECK(hung_up);
  CHECK(text == "one two three four");
  CHECK(reply->content() == text);
  CHECK(roles == 1);
  CHECK(reply->info.hedges == 1);
  CHECK(reply->info.attempts == 2);
  CHECK(reply->info.retries == 0);
  CHECK(reply->info.endpoint == s.options.endpoints[1].base_url);
  CHECK(reply->info.timings.first_token >= late);
  CHECK(reply->usage.has_value());
}

TEST_CASE("a whole reply is hedged like a stream", "[integration][hedge]") {
  Scene s;
  s.first.script({silent("slow")});
  s.second.script({say("quick")});
  const auto client = s.client();
  const auto reply = client.chat(ask("hi"));
  REQUIRE(reply.has_value());
  CHECK(reply->content() == "quick");
  CHECK(reply->info.hedges == 1);
  CHECK(s.idle());
}

TEST_CASE("the first may win, and then the hedge is hung up on", "[integration][hedge]") {
  Scene s;
  s.first.script({say("first").after_head(6 * late)});
  s.second.script({begun("second")});
  const auto client = s.client();
  const Read got = read(client);
  REQUIRE(got.end.has_value());
  CHECK(got.text == "first");
  CHECK(got.roles == 1);
  CHECK(got.end->info.hedges == 1);
  CHECK(got.end->info.endpoint == s.options.endpoints[0].base_url);
  CHECK(s.idle());
}

TEST_CASE("one server alone is asked twice", "[integration][hedge]") {
  Scene s;
  s.options.endpoints.pop_back();
  s.first.script({silent("slow"), say("quick")});
  const auto client = s.client();
  const Read got = read(client);
  REQUIRE(got.end.has_value());
  CHECK(got.text == "quick");
  CHECK(s.idle());
}

TEST_CASE("one of the two fails, or both do", "[integration][hedge]") {
  Scene s;
  SECTION("the first") {
    s.first.script({status(503).after(5 * late)});
    s.second.script({say("fine").after(10 * late)});
    const Read got = read(s.client());
    REQUIRE(got.end.has_value());
    CHECK(got.text == "fine");
    CHECK(got.end->info.hedges == 1);
  }
  SECTION("the hedge") {
    s.first.script({say("fine").after(6 * late)});
    s.second.script({status(401)});
    const Read got = read(s.client());
    REQUIRE(got.end.has_value());
    CHECK(got.text == "fine");
  }
  SECTION("both") {
    s.first.script({status(503).after(5 * late)});
    s.second.script({status(400).after(5 * late)});
    const Read got = read(s.client());
    REQUIRE_FALSE(got.end.has_value());
    CHECK(got.end.error().http_status() == 503);
    CHECK(got.end.error().attempts() == 2);
  }
  SECTION("both, and retry goes on") {
    s.options.retry.max_attempts = 2;
    s.options.retry.base = 1ms;
    s.first.script({status(503).after(5 * late), say("at last")});
    s.second.script({drop().after(5 * late), say("at last")});
    const Read got = read(s.client());
    REQUIRE(got.end.has_value());
    CHECK(got.text == "at last");
    CHECK(got.end->info.retries == 1);
    CHECK(got.end->info.hedges == 1);
    CHECK(got.end->info.attempts == 3);
  }
  CHECK(s.idle());
}

TEST_CASE("a cancelled call hangs up on both", "[integration][hedge][concurrent]") {
  Scene s;
  s.first.script({begun("slow")});
  s.second.script({begun("slow too")});
  const auto client = s.client();
  deepseek_tests::Collector collector;
  SECTION("by the caller") {
    auto call = client.chat_async(ask("hi"), collector.handler());
    REQUIRE(s.second.wait_for_requests(1));
    call.cancel();
    REQUIRE(collector.await_ends(1));
    CHECK(collector.results().front().error().code() == ErrorCode::cancelled);
  }
  SECTION("by its deadline") {
    CallOptions options;
    options.deadline = std::chrono::steady_clock::now() + 10 * late;
    client.chat_async(ask("hi"), collector.handler(), options);
    REQUIRE(collector.await_ends(1));
    CHECK(collector.results().front().error().code() == ErrorCode::timeout_total);
  }
  CHECK(collector.chunks() == 0);
  CHECK(collector.results().front().error().attempts() == 2);
  CHECK(s.idle());
  CHECK(collector.results().size() == 1);
}

TEST_CASE("a client that goes away hangs up on both", "[integration][hedge]") {
  Scene s;
  s.first.script({silent("slow")});
  s.second.script({silent("slow too")});
  deepseek_tests::Collector collector;
  {
    const auto client = s.client();
    client.chat_async(ask("hi"), collector.handler());
    REQUIRE(s.second.wait_for_requests(1));
  }
  REQUIRE(collector.results().size() == 1);
  CHECK(s.idle());
}

TEST_CASE("the ceiling holds: when it is reached nobody is asked twice", "[integration][hedge]") {
  Scene s;
  s.options.hedge.burst = 3'000;  // two short calls
  s.options.hedge.percent = 1;
  const auto client = s.client();
  for (int i = 0; i < 4; ++i) {
    s.first.script({i < 2 ? silent("slow") : say("slow").after(3 * late)});
    s.second.script({say("quick")});
    const Read got = read(client);
    REQUIRE(got.end.has_value());
    CHECK(got.text == (i < 2 ? "quick" : "slow"));
    CHECK(got.end->info.hedges == (i < 2 ? 1 : 0));
  }
  CHECK(s.second.requests().size() == 2);
}

TEST_CASE("where one call may be in flight there is no hedge, and nothing waits for one", "[integration][hedge]") {
  Scene s;
  s.options.limits.in_flight = 1;
  s.first.script({say("slow").after(3 * late)});
  const auto client = s.client();
  const Read got = read(client);
  REQUIRE(got.end.has_value());
  CHECK(got.text == "slow");
  CHECK(got.end->info.hedges == 0);
  CHECK(got.end->info.attempts == 1);
  CHECK(s.second.requests().empty());
}

TEST_CASE("a reader that is slow holds both back, and reads each byte once", "[integration][hedge]") {
  Scene s;
  s.options.stream_buffer_bytes = 4 * KiB;
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += std::to_string(i) + ' ';
  s.first.script({begun("slow")});
  s.second.script({say(text)});
  const auto client = s.client();
  auto stream = client.stream(ask("hi"));
  std::string seen;
  while (const ChatChunk* chunk = stream.next()) {
    if (seen.empty()) REQUIRE(client.models().has_value());  // drives the loop for both, while nothing is read
    seen += chunk->content();
  }
  REQUIRE(stream.result().has_value());
  CHECK(seen == text);
}

TEST_CASE("an answer that waits for its reader is not late", "[integration][hedge]") {
  Scene s;
  s.first.script({say("long there").after(late / 2)});
  const auto client = s.client();
  auto stream = client.stream(ask("hi"));
  REQUIRE(client.models().has_value());   // drives the loop for both, and then nobody does
  std::this_thread::sleep_for(3 * late);  // the reader is busy: that time passes is what is tested
  std::string text;
  for (const ChatChunk& chunk : stream) text += chunk.content();
  const auto reply = stream.result();
  REQUIRE(reply.has_value());
  CHECK(text == "long there");
  CHECK(reply->info.hedges == 0);
  CHECK(s.second.requests().empty());
}

TEST_CASE("an answer that a hedge won may be cut off and gone on with", "[integration][hedge]") {
  Scene s;
  s.options.resume.enabled = true;
  for (Endpoint& endpoint : s.options.endpoints) endpoint.deepseek = true;
  // The rest is slow in its turn, and hedged; its role comes, and is dropped.
  s.first.script({begun("slow"), say("five six seven eight nine ten")});
  s.second.script({say("one two three four and some more words").cut_after_events(4), begun("slow again")});
  const auto client = s.client();
  const Read got = read(client);
  REQUIRE(got.end.has_value());
  CHECK(got.text.find("one") == 0);
  CHECK(got.text.find("five six seven eight nine ten") != std::string::npos);
  CHECK(got.text.find("slow") == std::string::npos);
  CHECK(got.text.find("five", got.text.find("five") + 1) == std::string::npos);
  CHECK(got.end->content() == got.text);
  CHECK(got.end->info.resumed == 1);
  CHECK(got.end->info.hedges == 2);
  CHECK(got.end->info.attempts == 4);
}

TEST_CASE("what a hedge won is cached as one reply, and shared as one", "[integration][hedge][concurrent]") {
  Scene s;
  s.options.cache.memory_bytes = 1 * MiB;
  s.options.single_flight.enabled = true;
  s.first.script({begun("slow")});
  s.second.script({say("quick answer").pace(20ms)});
  const auto client = s.client();
  deepseek_tests::Collector a, b;
  client.chat_async(ask("hi"), a.handler());
  client.chat_async(ask("hi"), b.handler());
  REQUIRE(a.await_ends(1));
  REQUIRE(b.await_ends(1));
  CHECK(a.text() == "quick answer");
  CHECK(b.text() == "quick answer");
  const Read again = read(client);
  REQUIRE(again.end.has_value());
  CHECK(again.text == "quick answer");
  CHECK(again.roles == 1);
  CHECK(again.end->info.cache == "memory");
  CHECK(s.first.requests().size() + s.second.requests().size() == 2);
}

TEST_CASE("hedges are counted, and a loser is no failure of its server", "[integration][hedge][observe]") {
  Scene s;
  const auto metrics = std::make_shared<Metrics>();
  s.options.metrics = metrics;
  s.first.script({begun("slow")});
  s.second.script({say("quick")});
  {
    const auto client = s.client();
    REQUIRE(read(client).end.has_value());
  }
  INFO(metrics->prometheus_text());
  CHECK(sum_of(*metrics, metric::hedges) == 1);
  CHECK(sum_of(*metrics, metric::failovers) == 0);
  CHECK(sum_of(*metrics, metric::attempts) == 2);
  CHECK(sum_of(*metrics, metric::in_flight) == 0);
  int cancelled = 0;
  for (const MetricFamily& family : metrics->collect()) {
    if (family.metric != &metric::attempts) continue;
    for (const MetricSample& sample : family.samples)
      if (sample.labels.back() == "cancelled") ++cancelled;
  }
  CHECK(cancelled == 1);
}

TEST_CASE("options that contradict hedging are named", "[integration][hedge]") {
  Scene s;
  const auto refused = [&] {
    const auto client = DeepSeekClient::create(s.options);
    return client ? std::string() : client.error().message();
  };
  s.options.retry.max_attempts = 1;
  CHECK(refused().empty());
  s.options.hedge.after = -1ms;
  CHECK_FALSE(refused().empty());
  s.options.hedge.after = 2s;
  s.options.timeouts.first_token = 1s;
  s.options.timeouts.first_byte = 10s;
  CHECK(refused().empty());
  s.options.timeouts.first_byte = 2s;
  CHECK(refused().find("have struck already") != std::string::npos);
  s.options.hedge.after = 0ms;
  CHECK(refused().empty());
}

TEST_CASE("many calls, each hedged, over two servers that are slow now and then", "[integration][hedge][concurrent]") {
  Scene s;
  s.options.hedge.after = 30ms;
  s.options.hedge.percent = 100;
  s.options.hedge.burst = 1'000'000;
  s.options.breaker.minimum_calls = 1'000'000;
  constexpr int calls = 200;
  std::vector<Reply> script;
  for (int i = 0; i < calls; ++i) {
    const Reply reply = say("a b c d");
    script.push_back(i % 3 == 0 ? say("a b c d").after_head(60ms) : i % 3 == 1 ? say("a b c d").after(60ms) : reply);
  }
  s.first.script(script);
  s.second.script(script);
  const auto client = s.client();
  deepseek_tests::Collector each[calls];
  for (auto& collector : each) client.chat_async(ask("hi"), collector.handler());
  int hedges = 0;
  int attempts = 0;
  for (auto& collector : each) {
    REQUIRE(collector.await_ends(1));
    const auto result = collector.results().front();
    REQUIRE(result.has_value());
    CHECK(collector.text() == "a b c d");
    hedges += result->info.hedges;
    attempts += result->info.attempts;
  }
  CHECK(hedges > 0);
  CHECK(attempts == calls + hedges);
  CHECK(s.idle());
}
