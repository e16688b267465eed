// Three servers that fail at random, and a client with every policy on: what it promises holds all the same.
// DEEPSEEK_CHAOS_SEED repeats a run's choices (not its timing).
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdlib>
#include <deepseek/core/log.hpp>
#include <deepseek/core/metric_list.hpp>
#include <deepseek/core/metrics.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/clients.hpp"

#include <nlohmann/json.hpp>

using namespace deepseek;
using namespace std::chrono_literals;
using namespace deepseek::test;
using deepseek_tests::ask;

namespace {

constexpr std::size_t servers = 3;
constexpr std::size_t calls = 1000;
constexpr std::size_t most_live = 64;
constexpr std::uint32_t most_in_flight = 48;
constexpr std::uint64_t requests_per_minute = 12'000;
constexpr std::uint64_t requests_burst = 200;
constexpr std::uint32_t room_for_hedges = 2;  // so many times that: where there is a queue nothing is hedged
constexpr std::uint64_t rate_for_hedges = 100;
constexpr auto slack = 1500ms;  // of a busy machine, under sanitizers

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(engine_() % count); }
  bool percent(std::size_t share) { return below(100) < share; }

 private:
  std::mt19937_64 engine_;
};

std::uint64_t seed_of_this_run() {
  const char* const wanted = std::getenv("DEEPSEEK_CHAOS_SEED");
  return wanted ? std::strtoull(wanted, nullptr, 10) : std::random_device()();
}

/// No text begins like another, and no word comes twice.
std::string text_of(std::size_t number) {
  std::string text = std::to_string(number) + ":";
  for (int i = 0; i < 12; ++i) text += " w" + std::to_string(i);
  return text;
}

Reply failing(Dice& dice, const std::string& text) {
  const auto bytes = static_cast<std::uint64_t>(dice.below(1500));
  const std::size_t events = dice.below(8);
  switch (dice.below(28)) {
    case 0:
      return status(429);
    case 1:
      return status(429).retry_after_ms(20ms);
    case 2:
      return status(429).retry_after(1s);
    case 3:
      return status(503).retry_after_date(1s);
    case 4:
      return status(500);
    case 5:
      return status(503).close_connection();
    case 6:
      return status(400);
    case 7:
      return status(401);
    case 8:
      return status(402);
    case 9:
      return say(text).cut_after_bytes(bytes);
    case 10:
      return say(text).reset_after_bytes(bytes);
    case 11:
      return say(text).stall_after_bytes(bytes);
    case 12:
      return say(text).cut_after_events(events);
    case 13:
      return say(text).reset_after_events(events);
    case 14:
      return say(text).stall_after_events(events).keep_alive_in_stall(20ms);
    case 15:
      return say(text).drip(7, 1ms);
    case 16:
      return say(text).malformed_event(events);
    case 17:
      return say(text).error_in_band(events, "overloaded");
    case 18:
      return raw_body(500, "application/octet-stream", std::string("\0\1\xff", 3));
    case 19:
      return say(text).octet_stream();
    case 20:
      return say(text).end_without_done();
    case 21:
      return say(text).end_without_finish();
    case 22:
      return say(text).done_then_more();
    case 23:
      return raw_body(502, "text/html", "<html>bad gateway</html>");
    case 24:
      return garbage("no HTTP at all\r\n\r\n");
    case 25:
      return drop();
    case 26:
      return say(text).after(100ms).pace(10ms);
    default:
      return say("").finish_reason("insufficient_system_resource");
  }
}

std::vector<Reply> script(Dice& dice, std::size_t server) {
  std::vector<Reply> replies;
  for (std::size_t i = 0; i < 4 * calls; ++i) {  // more than all attempts of all calls
    const std::string text = text_of(server * 4 * calls + i);
    replies.push_back(dice.percent(30) ? failing(dice, text) : say(text));
  }
  return replies;
}

bool is_beginning(const std::string& said) {
  if (said.find(':') == std::string::npos) return said.find_first_not_of("0123456789") == std::string::npos;
  return text_of(std::strtoull(said.c_str(), nullptr, 10)).compare(0, said.size(), said) == 0;
}

struct CallRecord {
  bool streamed = false;
  TimePoint deadline = {};
  CallHandle handle = {};
  // Guarded by Chaos::mutex until all have ended.
  std::string heard = {};
  int ends = 0;
  int chunks_after_end = 0;
  TimePoint ended = {};
  std::optional<Result<ChatReply>> result = {};
};

/// What was sent: the client's log of attempts.
struct LoggedAttempt {
  std::string word = {};  // of its error
  bool head_came = false;
};

struct Chaos {
  Chaos(std::uint64_t seed, bool hedges) : dice(seed), hedged(hedges) {
    for (std::size_t i = 0; i < servers; ++i) {
      doubles[i] = std::make_unique<Double>();
      doubles[i]->script(script(dice, i));
    }
    LimitOptions limits;
    limits.in_flight = most_in_flight * (hedged ? room_for_hedges : 1);
    limits.requests_per_minute = requests_per_minute * (hedged ? rate_for_hedges : 1);
    limits.requests_burst = requests_burst;
    limiter = Limiter::create(limits).value();
    client = std::make_unique<DeepSeekClient>(DeepSeekClient::create(options()).value());
  }

  ClientOptions options() {
    ClientOptions all = doubles[0]->client_options();
    all.endpoints.clear();
    for (const auto& server : doubles) {
      Endpoint endpoint = server->client_options().endpoints.at(0);
      endpoint.weight = 1;
      all.endpoints.push_back(endpoint);
    }
    all.timeouts = {};
    all.timeouts.first_byte = all.timeouts.first_token = all.timeouts.between_tokens = all.timeouts.idle = 400ms;
    all.retry.base = 5ms;
    all.retry.throttled_base = 10ms;
    all.retry.cap = 50ms;
    all.retry.retry_after_cap = 2s;
    all.failover.cool_down = 100ms;
    all.breaker.minimum_calls = 20;
    all.breaker.open_for = 100ms;
    if (hedged) all.hedge.after = 50ms;
    all.limiter = limiter;
    all.cache.memory_bytes = 1 * MiB;
    all.metrics = metrics;
    all.traceparent = true;
    all.log_level = LogLevel::debug;
    all.log = make_callback_log([this](const LogRecord& record) {
      const std::lock_guard<std::mutex> lock(mutex);
      append_json_line(log, record);
    });
    return all;
  }

  void start(std::size_t number) {
    CallRecord& call = records[number];
    call.streamed = dice.percent(60);
    call.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50 + dice.below(3000));
    CallOptions how;
    how.deadline = call.deadline;
    const auto on_end = [this, &call](Result<ChatReply> result) {
      const std::lock_guard<std::mutex> lock(mutex);
      call.ended = std::chrono::steady_clock::now();
      call.result = std::move(result);
      if (++call.ends == 1) --live;
      changed.notify_all();
    };
    const ChatRequest request = ask("question " + std::to_string(number));
    if (!call.streamed) {
      call.handle = client->chat_whole_async(request, on_end, how);
      return;
    }
    ChatHandler handler;
    handler.on_chunk = [this, &call](const ChatChunk& chunk) {
      const std::lock_guard<std::mutex> lock(mutex);
      call.heard += chunk.content();
      if (call.ends > 0) ++call.chunks_after_end;
    };
    handler.on_end = on_end;
    call.handle = client->chat_async(request, std::move(handler), how);
  }

  /// True once fewer than `count` calls live.
  bool await_live_below(std::size_t count) {
    std::unique_lock<std::mutex> lock(mutex);
    return changed.wait_for(lock, 30s, [&] { return live < count; });
  }

  void run() {
    began = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < calls; ++i) {
      REQUIRE(await_live_below(most_live));
      {
        const std::lock_guard<std::mutex> lock(mutex);
        ++live;
      }
      start(i);
      if (dice.percent(8)) records[i - dice.below(std::min<std::size_t>(i + 1, 32))].handle.cancel();
      if (i == calls / 3) doubles[1]->refuse_connections(true);
      if (i == calls / 2) doubles[1]->refuse_connections(false);
      if (i % 200 == 199) doubles[dice.below(servers)]->reset_connections();
      look_at_budgets();
    }
    REQUIRE(await_live_below(1));
    look_at_budgets();
  }

  void look_at_budgets() {
    std::size_t active = 0;
    for (const auto& server : doubles) active += server->active();
    most_active = std::max(most_active, active);
    most_taken = std::max(most_taken, limiter.state().in_flight);
  }

  std::size_t requests_seen() const {
    std::size_t seen = 0;
    for (const auto& server : doubles) seen += server->requests().size();
    return seen;
  }

  std::map<std::string, LoggedAttempt> logged_attempts() const {
    std::map<std::string, LoggedAttempt> attempts;
    std::istringstream in(log);
    for (std::string line; std::getline(in, line);) {
      const auto record = nlohmann::json::parse(line);
      if (record["event.action"] != "attempt_end") continue;
      LoggedAttempt attempt;
      attempt.word = record.value("error.code", "");
      attempt.head_came = record.contains("http.response.status_code");
      attempts[record["span.id"].get<std::string>()] = attempt;
    }
    return attempts;
  }

  Dice dice;
  const bool hedged;
  std::array<std::unique_ptr<Double>, servers> doubles;
  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>();
  Limiter limiter = Limiter::create({}).value();
  TimePoint began = {};
  std::size_t most_active = 0;
  std::uint32_t most_taken = 0;
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t live = 0;  // guarded
  std::string log;       // guarded
  std::vector<CallRecord> records = std::vector<CallRecord>(calls);
  std::unique_ptr<DeepSeekClient> client;  // goes first
};

/// The sum over all series of `metric`, by the value of its label `by`. Histograms: their number of values.
std::map<std::string, std::size_t> totals(const Metrics& metrics, const Metric& metric, std::size_t by) {
  std::map<std::string, std::size_t> sums;
  for (const MetricFamily& family : metrics.collect()) {
    if (family.metric != &metric) continue;
    for (const MetricSample& sample : family.samples) {
      std::size_t& sum = sums[sample.labels.at(by)];
      if (sample.buckets.empty()) sum += static_cast<std::size_t>(sample.value);
      for (const std::uint64_t count : sample.buckets) sum += count;
    }
  }
  return sums;
}

std::string in_words(const std::map<std::string, std::size_t>& counts) {
  std::string words;
  for (const auto& [word, count] : counts)
    words += (word.empty() ? "answered" : word) + ' ' + std::to_string(count) + ", ";
  return words;
}

void check_calls(const std::vector<CallRecord>& records) {
  for (std::size_t i = 0; i < records.size(); ++i) {
    const CallRecord& call = records[i];
    INFO("call " << i << (call.streamed ? ", streamed" : "") << ", heard \"" << call.heard << '"');
    REQUIRE(call.ends == 1);
    CHECK(call.chunks_after_end == 0);
    const auto late = std::chrono::duration_cast<std::chrono::milliseconds>(call.ended - call.deadline);
    CHECK(late.count() <= std::chrono::milliseconds(slack).count());
    CHECK(is_beginning(call.heard));
    if (*call.result) {
      const std::string said((*call.result)->content());
      CHECK(is_beginning(said));
      CHECK((!call.streamed || said == call.heard));
      continue;
    }
    const Error& error = call.result->error();
    INFO(error);
    CHECK(error.code() != ErrorCode::internal);
    CHECK(error.bytes_delivered() == call.heard.size());
  }
}

}  // namespace

TEST_CASE("a thousand calls to servers that fail at random keep every promise", "[integration][concurrent]") {
  const std::uint64_t seed = seed_of_this_run();
  const bool hedged = GENERATE(false, true);
  INFO("DEEPSEEK_CHAOS_SEED=" << seed << (hedged ? ", hedged" : ""));
  Chaos chaos(seed, hedged);
  chaos.run();
  const double minutes = std::chrono::duration<double>(std::chrono::steady_clock::now() - chaos.began).count() / 60;
  chaos.client.reset();

  std::map<std::string, std::size_t> ends;
  std::size_t attempts_told = 0;
  int hedges = 0;
  for (const CallRecord& call : chaos.records) {
    REQUIRE(call.result.has_value());
    ++ends[*call.result ? "" : to_string(call.result->error().code())];
    const int attempts = *call.result ? (*call.result)->info.attempts : call.result->error().attempts();
    attempts_told += static_cast<std::size_t>(attempts);
    if (*call.result) hedges += (*call.result)->info.hedges;
  }
  INFO("as the callers saw: " << in_words(ends));
  check_calls(chaos.records);
  CHECK(ends[""] > calls / 2);
  CHECK(ends.size() >= 5);
  CHECK((hedges > 0) == hedged);

  // Nothing is left behind.
  CHECK(chaos.limiter.state().in_flight == 0);
  CHECK(chaos.limiter.state().waiting == 0);
  for (const auto& [word, count] : totals(*chaos.metrics, metric::in_flight, 0)) CHECK(count == 0);

  // Budgets.
  const std::size_t seen = chaos.requests_seen();
  const LimitOptions& limits = chaos.limiter.options();
  CHECK(static_cast<double>(seen) <= requests_burst + static_cast<double>(limits.requests_per_minute) * minutes);
  CHECK(chaos.most_taken <= limits.in_flight);
  CHECK(chaos.most_taken > most_in_flight / 2);
  CHECK(chaos.most_active <= limits.in_flight);

  // The metrics count what the servers saw. Each attempt carries a span of its own; only one that got no answer may
  // have been given up before a server read it, or sent again on a fresh connection by the HTTP engine.
  const auto logged = chaos.logged_attempts();
  auto unseen = logged;
  for (const auto& server : chaos.doubles) {
    for (const ReceivedRequest& request : server->requests()) {
      const std::string trace = request.header("traceparent");
      REQUIRE(trace.size() == 55);
      const std::string span = trace.substr(36, 16);
      CHECK(logged.count(span) == 1);
      unseen.erase(span);
    }
  }
  for (const auto& [span, attempt] : unseen) {
    INFO("span " << span << " ended with " << attempt.word);
    CHECK_FALSE(attempt.head_came);
    CHECK_FALSE(attempt.word.empty());
  }
  CHECK(unseen.size() < logged.size() / 10);
  std::size_t counted = 0;
  for (const auto& [server, count] : totals(*chaos.metrics, metric::attempts, 0)) counted += count;
  CHECK(counted == logged.size());
  CHECK(counted == attempts_told);

  CHECK(in_words(totals(*chaos.metrics, metric::operation_duration, 2)) == in_words(ends));
}
