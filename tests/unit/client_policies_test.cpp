// Policies as a user of the client meets them: options in, facts and errors out.
#include <deepseek/http/fake.hpp>

#include <thread>

#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/scripted_transport.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::ask;
using deepseek_tests::reply_body;
using deepseek_tests::ScriptedTransport;
using deepseek_tests::stream_event;

namespace {

const std::string hello = R"({"role":"assistant","content":"Hello"})";

FakeReply json(int status, std::string body) {
  FakeReply reply;
  reply.status = status;
  reply.headers = {{"Content-Type", "application/json"}};
  reply.chunks.emplace_back(std::move(body));
  return reply;
}
FakeReply refused() {
  FakeReply reply;
  reply.end = FakeReply::End::before_head;
  reply.code = ErrorCode::connect_failed;
  return reply;
}

struct Scene {
  std::optional<DeepSeekClient> kept;
  std::shared_ptr<FakeHttpEngine> engine = std::make_shared<FakeHttpEngine>();
  ClientOptions options;
  Scene() {
    options.endpoints = {{"http://127.0.0.1:1"}, {"http://127.0.0.1:2"}};
    options.http_engine = engine;
    options.retry.base = options.retry.throttled_base = 1ms;
  }
  const DeepSeekClient& client() {
    kept = DeepSeekClient::create(options).value();
    return *kept;
  }
};

ErrorCode refusal(const std::function<void(ClientOptions&)>& edit) {
  ClientOptions options;
  edit(options);
  const auto client = DeepSeekClient::create(std::move(options));
  return client ? ErrorCode::internal : client.error().code();
}

}  // namespace

TEST_CASE("a reply tells its retries and who answered") {
  Scene scene;
  scene.engine->reply(json(503, "{}"));
  scene.engine->reply(json(429, "{}"));
  scene.engine->reply(json(200, reply_body(hello)));
  const auto reply = scene.client().chat(ask("hi"));
  REQUIRE(reply);
  CHECK(reply->info.attempts == 3);
  CHECK(reply->info.retries == 2);
  CHECK(reply->info.endpoint == "http://127.0.0.1:1");
}

TEST_CASE("a request goes on at the next endpoint with that one's credential") {
  Scene scene;
  scene.options.endpoints[0].credential = api_key(std::string("first"));
  scene.options.endpoints[1].credential = api_key(std::string("second"));
  scene.engine->reply(GENERATE(true, false) ? refused() : json(401, "{}"));
  scene.engine->reply(json(200, reply_body(hello)));
  const auto reply = scene.client().chat(ask("hi"));
  REQUIRE(reply);
  CHECK(reply->info.endpoint == "http://127.0.0.1:2");
  const auto requests = scene.engine->requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].url == "http://127.0.0.1:1/chat/completions");
  CHECK(requests[0].header("authorization") == "Bearer first");
  CHECK(requests[1].url == "http://127.0.0.1:2/chat/completions");
  CHECK(requests[1].header("authorization") == "Bearer second");
}

TEST_CASE("a stream that breaks before its first text begins again, one that breaks later does not") {
  Scene scene;
  FakeReply role;
  role.headers = {{"Content-Type", "text/event-stream"}};
  role.chunks.emplace_back("data: " + stream_event(R"({"role":"assistant","content":""})") + "\n\n");
  role.end = FakeReply::End::broken;
  FakeReply half = role;
  half.chunks.emplace_back("data: " + stream_event(R"({"content":"Hel"})") + "\n\n");
  FakeReply whole = half;
  whole.chunks.emplace_back("data: " + stream_event(R"({"content":"lo"})", "stop") + "\n\ndata: [DONE]\n\n");
  whole.end = FakeReply::End::clean;

  scene.engine->reply(role);
  scene.engine->reply(whole);
  scene.engine->reply(half);
  scene.engine->reply(whole);
  const auto client = scene.client();
  std::string text;
  auto stream = client.stream(ask("hi"));
  for (const ChatChunk& chunk : stream) text += chunk.content();
  const auto reply = stream.result();
  REQUIRE(reply);
  CHECK(text == "Hello");
  CHECK(reply->content() == "Hello");
  CHECK(reply->info.attempts == 2);

  const auto cut = client.stream(ask("hi")).result();
  REQUIRE_FALSE(cut);
  CHECK(cut.error().code() == ErrorCode::truncated);
  CHECK(cut.error().bytes_delivered() == 3);
  CHECK(cut.error().attempts() == 1);
  CHECK(cut.error().advice().find("delivered already") != std::string::npos);
}

TEST_CASE("a call that waits to be repeated can be cancelled at once", "[concurrent]") {
  Scene scene;
  scene.options.retry.base = scene.options.retry.cap = 1h;
  scene.engine->answer_with([](const FakeRequest&) { return json(503, "{}"); });
  const auto client = scene.client();
  deepseek_tests::Collector collector;
  const CallHandle handle = client.chat_async(ask("hi"), collector.handler());
  while (scene.engine->requests().empty()) std::this_thread::yield();
  handle.cancel();
  REQUIRE(collector.await_ends(1));
  CHECK(collector.results()[0].error().outcome() == Outcome::cancelled);
  CHECK(scene.engine->requests().size() == 1);
}

TEST_CASE("an answer that is kept costs no second request") {
  Scene scene;
  scene.options.cache.memory_bytes = 1 * MiB;
  scene.engine->reply(json(200, reply_body(hello)));
  const auto client = scene.client();
  const auto first = client.chat(ask("hi"));
  const auto second = client.chat(ask("hi"));
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->info.cache == "miss");
  CHECK(second->info.cache == "memory");
  CHECK(second->content() == "Hello");
  CHECK(scene.engine->requests().size() == 1);
  CallOptions off;
  off.cache = CacheUse::off;
  scene.engine->reply(json(200, reply_body(hello)));
  CHECK(client.chat(ask("hi"), off).value().info.cache == "off");
  CHECK(scene.engine->requests().size() == 2);
}

TEST_CASE("a client's own limits refuse what they must") {
  Scene scene;
  scene.options.limits.requests_per_minute = 1;
  scene.options.limits.max_wait = 0ms;
  scene.engine->reply(json(200, reply_body(hello)));
  const auto client = scene.client();
  REQUIRE(client.chat(ask("hi")));
  CHECK(client.chat(ask("hi")).error().code() == ErrorCode::rate_limited_locally);
  CHECK(scene.engine->requests().size() == 1);
}

TEST_CASE("contradictory policies are named when the client is made") {
  CHECK(refusal([](ClientOptions& o) { o.retry.max_attempts = 0; }) == ErrorCode::invalid_options);
  CHECK(refusal([](ClientOptions& o) { o.failover.failures_to_cool = 0; }) == ErrorCode::invalid_options);
  CHECK(refusal([](ClientOptions& o) { o.breaker.minimum_calls = -1; }) == ErrorCode::invalid_options);
  CHECK(refusal([](ClientOptions& o) { o.endpoints.resize(65, {"http://127.0.0.1:1"}); }) ==
        ErrorCode::invalid_options);
  CHECK(refusal([](ClientOptions& o) {
          o.limits.in_flight = 1;
          o.limiter = Limiter::create(o.limits).value();
        }) == ErrorCode::invalid_options);
}

TEST_CASE("headers that cannot be sent are refused: the client's when it is made, a call's when it is made") {
  const std::vector<HttpHeader> bad = {{"", "a"},
                                       {"X\r\nY: z", "a"},
                                       {"X A", "a"},
                                       {"X", "a\r\nY: b"},
                                       {"X", std::string("a\0b", 3)},
                                       {"Content-Length", "1"}};
  Scene scene;
  scene.options.headers = {{"X-Mine", "client"}};
  for (const HttpHeader& header : bad) {
    CAPTURE(header.name, header.value);
    CHECK(refusal([&](ClientOptions& o) { o.headers = {{"X-Good", "a"}, header}; }) == ErrorCode::invalid_options);
    CallOptions options;
    options.headers = {{"X-Mine", "call"}, header};
    CHECK(scene.client().chat(ask("hi"), options).error().code() == ErrorCode::invalid_argument);
  }
  CHECK(scene.engine->requests().empty());

  CallOptions options;
  options.headers = {{"x-mine", "call"}, {"X-MINE", "last"}};
  scene.engine->reply(json(200, reply_body(hello)));
  CHECK(scene.client().chat(ask("hi"), options).has_value());
  CHECK(scene.engine->requests().at(0).header("X-Mine") == "last");
}
