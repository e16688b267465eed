// A mock server of other people, npm's @copilotkit/aimock: what it says, and how it breaks on request.
#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/foreign/server.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::ask;
using deepseek_tests::Foreign;

namespace {

DeepSeekClient client_of(const Foreign& server) {
  return server.client(
      [](ClientOptions& options) { options.endpoints.front().credential = api_key(std::string("any")); });
}

Result<ChatReply> talk(const DeepSeekClient& client, const ChatRequest& request, bool streamed) {
  return streamed ? client.stream(request).result() : client.chat(request);
}

}  // namespace

TEST_CASE("aimock: text and reasoning, streamed and whole", "[integration][foreign]") {
  const Foreign& server = Foreign::aimock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  const auto client = client_of(server);
  auto request = ask("a story, please");
  request.model = "some-model";
  request.include_usage = true;

  auto stream = client.stream(request);
  std::string text, reasoning;
  std::size_t chunks = 0;
  bool reasoning_first = true;
  for (const auto& chunk : stream) {
    ++chunks;
    if (!chunk.reasoning_content().empty() && !text.empty()) reasoning_first = false;
    text += chunk.content();
    reasoning += chunk.reasoning_content();
  }
  const auto streamed = stream.result();
  REQUIRE(streamed.has_value());
  CHECK(text == "Once upon a time there was a small server that answered in pieces of twenty characters.");
  CHECK(reasoning == "A story is wanted. Make it a short one.");
  CHECK(reasoning_first);
  CHECK(chunks >= 7);  // twenty characters each
  CHECK(streamed->finish_reason() == "stop");
  CHECK_FALSE(streamed->info.end_mark_missing);

  const auto whole = client.chat(request);
  REQUIRE(whole.has_value());
  for (const auto* reply : {&*streamed, &*whole}) {
    CHECK(reply->content() == text);
    CHECK(reply->reasoning_content() == reasoning);
    CHECK(reply->finish_reason() == "stop");
    CHECK(reply->model == "some-model");
    CHECK_FALSE(reply->id.empty());
    REQUIRE(reply->usage.has_value());
    CHECK(reply->usage->completion_tokens > 0);
    CHECK(reply->usage->total_tokens == reply->usage->prompt_tokens + reply->usage->completion_tokens);
    CHECK_FALSE(reply->info.trace_id.empty());  // x-request-id
  }
  CHECK(whole->info.reused_connection);
}

TEST_CASE("aimock: two tool calls are put together from their pieces", "[integration][foreign]") {
  const Foreign& server = Foreign::aimock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  const bool streamed = GENERATE(true, false);
  auto request = ask("the weather in Zürich and the time in Rome");
  Tool weather;
  weather.name = "get_weather";
  request.tools = {weather};
  const auto reply = talk(client_of(server), request, streamed);
  REQUIRE(reply.has_value());
  CHECK(reply->finish_reason() == "tool_calls");
  CHECK(reply->content().empty());
  REQUIRE(reply->tool_calls().size() == 2);
  const auto& calls = reply->tool_calls();
  CHECK(calls[0].name == "get_weather");
  CHECK(calls[0].arguments == R"({"city":"Zürich","unit":"celsius, and nothing else"})");
  CHECK(calls[1].name == "get_time");
  CHECK(calls[1].arguments == R"({"city":"Rome"})");
  CHECK(calls[0].index == 0);
  CHECK(calls[1].index == 1);
  CHECK_FALSE(calls[0].id.empty());
  CHECK(calls[0].id != calls[1].id);
}

TEST_CASE("aimock: refusals are typed, and the connection serves on", "[integration][foreign]") {
  const Foreign& server = Foreign::aimock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  const bool streamed = GENERATE(true, false);
  const auto client = client_of(server);
  const auto quota = talk(client, ask("quota"), streamed);
  REQUIRE_FALSE(quota.has_value());
  CHECK(quota.error().code() == ErrorCode::rate_limited);
  CHECK(quota.error().service().message == "Quota used up");
  CHECK(quota.error().service().type == "rate_limit_error");
  CHECK(quota.error().retry_after() == 1s);
  CHECK(quota.error().retryable());

  const auto unknown = talk(client, ask("nothing that it knows"), streamed);
  REQUIRE_FALSE(unknown.has_value());
  CHECK(unknown.error().code() == ErrorCode::not_found);
  CHECK(unknown.error().service().code == "no_fixture_match");

  const auto balance = client.balance();
  REQUIRE_FALSE(balance.has_value());
  CHECK(balance.error().code() == ErrorCode::not_found);

  const auto models = client.models();
  REQUIRE(models.has_value());
  CHECK_FALSE(models->data.empty());
  CHECK(server.open_connections() == 1);
}

TEST_CASE("aimock: each kind of chaos has its outcome", "[integration][foreign]") {
  struct Chaos {
    const char* flag;
    Outcome outcome;
    ErrorCode code;
    int status;
  };
  const auto chaos = GENERATE(Chaos{"--chaos-drop", Outcome::http_error, ErrorCode::server_error, 500},
                              Chaos{"--chaos-malformed", Outcome::malformed, ErrorCode::malformed_json, 200},
                              Chaos{"--chaos-disconnect", Outcome::network_error, ErrorCode::connection_lost, 0},
                              Chaos{"--chaos-ratelimit", Outcome::http_error, ErrorCode::rate_limited, 429});
  const Foreign& server = Foreign::aimock(chaos.flag);
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  const auto client = client_of(server);
  for (const bool streamed : {true, false}) {
    const auto reply = talk(client, ask("a story, please"), streamed);
    CAPTURE(chaos.flag, streamed);
    REQUIRE_FALSE(reply.has_value());
    CHECK(reply.error().outcome() == chaos.outcome);
    // What cannot be decoded is named after what was asked for.
    const bool no_stream = streamed && chaos.code == ErrorCode::malformed_json;
    CHECK(reply.error().code() == (no_stream ? ErrorCode::malformed_stream : chaos.code));
    CHECK(reply.error().http_status() == chaos.status);
    CHECK(reply.error().partial() == nullptr);
    CHECK(reply.error().bytes_delivered() == 0);
    CHECK_FALSE(reply.error().message().empty());
    if (chaos.code == ErrorCode::rate_limited) CHECK(reply.error().retry_after() == 1s);
  }
}
