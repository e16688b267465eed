// Degrade: what stands in for an answer that failed, in which order, and for which failures.
#include <deepseek/client.hpp>
#include <deepseek/http/fake.hpp>

#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/scripted_transport.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::ask;
using deepseek_tests::reply_body;
using deepseek_tests::stream_event;

namespace {

FakeReply json(int status, std::string body) {
  FakeReply reply;
  reply.status = status;
  reply.headers = {{"Content-Type", "application/json"}};
  reply.chunks.emplace_back(std::move(body));
  return reply;
}
FakeReply says(const std::string& text) {
  return json(200, reply_body("{\"role\":\"assistant\",\"content\":\"" + text + "\"}"));
}
FakeReply events(const std::string& text, FakeReply::End end = FakeReply::End::clean) {
  FakeReply reply;
  reply.headers = {{"Content-Type", "text/event-stream"}};
  reply.chunks.emplace_back("data: " + stream_event("{\"content\":\"" + text + "\"}") + "\n\n");
  if (end == FakeReply::End::clean)
    reply.chunks.emplace_back("data: " + stream_event("{}", "stop") + "\n\ndata: [DONE]\n\n");
  reply.end = end;
  return reply;
}

struct Moving final : Clock {
  WallTime wall_now() const override { return now; }
  WallTime now = WallTime(std::chrono::hours(24 * 365 * 50));
};

struct Scene {
  std::optional<DeepSeekClient> kept;
  std::shared_ptr<FakeHttpEngine> engine = std::make_shared<FakeHttpEngine>();
  std::shared_ptr<Moving> clock = std::make_shared<Moving>();
  ClientOptions options;
  int asked_for_text = 0;

  explicit Scene(std::vector<Degradation> steps) {
    options.endpoints = {{"http://127.0.0.1:1"}};
    options.http_engine = engine;
    options.clock = clock;
    options.retry.max_attempts = 2;
    options.retry.base = options.retry.throttled_base = 0ms;
    options.cache.memory_bytes = 1 * MiB;
    options.cache.keep_stale = std::chrono::hours(1000);
    options.degrade.steps = std::move(steps);
  }
  const DeepSeekClient& client() {
    if (!kept) kept = DeepSeekClient::create(options).value();
    return *kept;
  }
  Degradation text(std::optional<std::string> said) {
    return Degradation::answer([this, said](const Error&) {
      ++asked_for_text;
      return said;
    });
  }
};

ErrorCode refusal(ClientOptions options) {
  const auto client = DeepSeekClient::create(std::move(options));
  return client ? ErrorCode::internal : client.error().code();
}

}  // namespace

TEST_CASE("an answer that is no longer fresh stands in for one that cannot be had") {
  Scene scene({Degradation::stale_cache(), Degradation::fallback_model("other")});
  scene.engine->reply(says("old"));
  REQUIRE(scene.client().chat(ask("hi")));
  scene.clock->now += std::chrono::hours(100);
  scene.engine->answer_with([](const FakeRequest&) { return json(503, "{}"); });
  const auto reply = scene.client().chat(ask("hi"));
  REQUIRE(reply);
  CHECK(reply->content() == "old");
  CHECK(reply->info.degraded == "stale_cache");
  CHECK(reply->info.degraded_because.find("overloaded") == 0);
  CHECK(reply->info.cache == "memory");
  CHECK(reply->info.attempts == 2);
  CHECK(scene.engine->requests().size() == 3);
}

TEST_CASE("the steps are tried in their order, each over the request that was asked for") {
  Scene scene(
      {Degradation::fallback_model("first"), Degradation::fallback_model("second"), Degradation::stale_cache()});
  scene.engine->reply(says("old"));
  REQUIRE(scene.client().chat(ask("hi")));
  scene.clock->now += std::chrono::hours(100);
  std::vector<std::string> models;
  scene.engine->answer_with([&](const FakeRequest& request) {
    const std::size_t at = request.body.find("\"model\":\"") + 9;
    models.push_back(request.body.substr(at, request.body.find('"', at) - at));
    return models.size() == 5 ? says("from the second") : json(503, "{}");
  });
  const auto reply = scene.client().chat(ask("hi"));
  REQUIRE(reply);
  CHECK(reply->content() == "from the second");
  CHECK(reply->info.degraded == "fallback_model");
  CHECK(models == std::vector<std::string>{"deepseek-flash", "deepseek-flash", "first", "first", "second"});

  models.clear();
  scene.engine->answer_with([&](const FakeRequest&) { return json(503, "{}"); });
  const auto stale = scene.client().chat(ask("hi"));
  REQUIRE(stale);
  CHECK(stale->content() == "old");  // an answer that stood in was not kept
  CHECK(stale->info.degraded == "stale_cache");
}

TEST_CASE("a text of the program's own becomes a reply") {
  Scene scene({});
  scene.options.degrade.steps = {scene.text(std::nullopt), scene.text(""), scene.text("Not n\xC3\xB6w \"please\"")};
  scene.engine->answer_with([](const FakeRequest&) {
    FakeReply reply;
    reply.end = FakeReply::End::before_head;
    reply.code = ErrorCode::connect_failed;
    return reply;
  });
  const auto check = [](const Result<ChatReply>& reply) {
    REQUIRE(reply);
    CHECK(reply->content() == "Not n\xC3\xB6w \"please\"");
    CHECK(reply->finish_reason() == "stop");
    CHECK(reply->model.empty());
    CHECK(reply->info.degraded == "answer");
    CHECK(reply->info.degraded_because.find("connect_failed") == 0);
    CHECK(reply->info.http_status == 0);
  };
  SECTION("whole") { check(scene.client().chat(ask("hi"))); }
  SECTION("streamed") {
    auto stream = scene.client().stream(ask("hi"));
    std::string text;
    for (const ChatChunk& chunk : stream) text += chunk.content();
    CHECK(text == "Not n\xC3\xB6w \"please\"");
    check(stream.result());
  }
  SECTION("shared") {
    scene.options.single_flight.enabled = true;
    check(scene.client().stream(ask("hi")).result());
  }
  SECTION("FIM") {
    CompletionRequest request;
    request.prompt = "a";
    check(scene.client().complete(request));
    check(scene.client().complete_stream(request).result());
  }
  CHECK(scene.asked_for_text >= 3);
}

TEST_CASE("where nothing can stand in the first error is told") {
  Scene scene({Degradation::stale_cache(), Degradation::fallback_model("other")});
  scene.options.degrade.steps.push_back(
      Degradation::answer([](const Error&) -> std::optional<std::string> { throw std::runtime_error("no"); }));
  int requests = 0;
  scene.engine->answer_with([&](const FakeRequest&) { return ++requests <= 2 ? json(503, "{}") : json(400, "{}"); });
  const auto reply = scene.client().chat(ask("hi"));
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code() == ErrorCode::overloaded);
  CHECK(reply.error().http_status() == 503);
  CHECK(reply.error().attempts() == 3);
  CHECK(reply.error().advice().find("max_attempts is reached; ") != std::string::npos);
  CHECK(reply.error().advice().find("nothing of DegradeOptions could stand in") != std::string::npos);
}

TEST_CASE("what the caller has to know is not made up for") {
  Scene scene({});
  scene.options.degrade.steps = {scene.text("never")};
  SECTION("the request's own fault") {
    const int status = GENERATE(400, 401, 404, 422);
    scene.engine->answer_with([status](const FakeRequest&) { return json(status, "{}"); });
    CHECK(scene.client().chat(ask("hi")).error().http_status() == status);
  }
  SECTION("a filtered answer") {
    scene.engine->reply(json(200, reply_body(R"({"role":"assistant","content":"x"})", "content_filter")));
    CHECK(scene.client().chat(ask("hi")).error().code() == ErrorCode::filtered);
  }
  SECTION("a part was delivered") {
    scene.engine->reply(events("half", FakeReply::End::broken));
    const auto result = scene.client().stream(ask("hi")).result();
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::truncated);
    CHECK(result.error().partial()->content() == "half");
    CHECK(result.error().partial()->info.degraded.empty());
  }
  SECTION("a deadline that passed") {
    CallOptions options;
    options.deadline = TimePoint();
    CHECK(scene.client().chat(ask("hi"), options).error().code() == ErrorCode::timeout_total);
  }
  CHECK(scene.asked_for_text == 0);
}

TEST_CASE("a client's own refusals for want of room are made up for") {
  Scene scene({});
  scene.options.degrade.steps = {scene.text("later")};
  scene.options.limits.requests_per_minute = 1;
  scene.options.limits.max_wait = 0ms;
  scene.engine->reply(says("now"));
  CHECK(scene.client().chat(ask("a")).value().content() == "now");
  const auto reply = scene.client().chat(ask("b"));
  REQUIRE(reply);
  CHECK(reply->content() == "later");
  CHECK(reply->info.degraded_because.find("rate_limited_locally") == 0);
  CHECK(scene.engine->requests().size() == 1);
}

TEST_CASE("steps that cannot work are named when the client is made") {
  ClientOptions options;
  options.degrade.steps = {Degradation::fallback_model("")};
  CHECK(refusal(options) == ErrorCode::invalid_options);
  options.degrade.steps = {Degradation::answer(nullptr)};
  CHECK(refusal(options) == ErrorCode::invalid_options);
  options.degrade.steps.assign(17, Degradation::fallback_model("m"));
  CHECK(refusal(options) == ErrorCode::invalid_options);
  options.degrade.steps = {Degradation::stale_cache()};
  CHECK(refusal(options) == ErrorCode::invalid_options);
  options.cache.memory_bytes = 1 * MiB;
  CHECK(refusal(options) == ErrorCode::invalid_options);
  options.cache.keep_stale = 1h;
  CHECK(refusal(options) == ErrorCode::internal);
}
