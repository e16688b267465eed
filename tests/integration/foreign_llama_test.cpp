// llama.cpp's own server with a small model: the shape of its replies and the quirks it has, never its words.
#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/foreign/server.hpp"

#include <nlohmann/json.hpp>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::ask;
using deepseek_tests::Collector;
using deepseek_tests::Foreign;
using deepseek_tests::within;

namespace {

ChatRequest brief(std::int64_t max_tokens, std::string text = "Say hello.") {
  auto request = ask(std::move(text));
  request.max_tokens = max_tokens;
  return request;
}

/// A prompt of about four tokens a word that no earlier test has put into the server's cache.
ChatRequest long_prompt(const std::string& word, int words) {
  std::string text;
  for (int i = 0; i < words; ++i) text += word + std::to_string(i) + ' ';
  return brief(2, std::move(text));
}

/// Occupies a slot until it is cancelled.
ChatRequest endless() {
  auto request = brief(3000, "Count from one to one thousand.");
  request.extra = RawJson(R"({"ignore_eos":true})");
  return request;
}

ChatRequest weather() {
  auto request = brief(40, "What is the weather in Paris?");
  Tool tool;
  tool.name = "get_weather";
  tool.description = "weather of a city";
  tool.parameters = RawJson(R"({"type":"object","properties":{"city":{"type":"string"}},"required":["city"]})");
  request.tools = {tool};
  return request;
}

Result<ChatReply> talk(const DeepSeekClient& client, const ChatRequest& request, bool streamed) {
  return streamed ? client.stream(request).result() : client.chat(request);
}

/// For the log of a test that wanted success.
std::string why(const Result<ChatReply>& reply) { return reply.has_value() ? "" : to_string(reply.error()); }

CallOptions with(Timeouts timeouts) {
  CallOptions options;
  options.timeouts = timeouts;
  return options;
}

}  // namespace

#define NEEDS_LLAMA                                                   \
  const Foreign& server = Foreign::llama();                           \
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str()); \
  const auto client = server.client()

TEST_CASE("llama.cpp: text, streamed and whole, and usage in a chunk without choices", "[integration][foreign]") {
  NEEDS_LLAMA;
  auto request = brief(4);
  request.include_usage = true;
  auto stream = client.stream(request);
  std::string text, role;
  std::size_t chunks = 0, with_usage = 0;
  for (const auto& chunk : stream) {
    ++chunks;
    text += chunk.content();
    role += chunk.role();
    if (!chunk.usage()) continue;
    ++with_usage;
    CHECK(nlohmann::json::parse(chunk.raw()).at("choices").empty());
  }
  const auto streamed = stream.result();
  INFO(why(streamed));
  REQUIRE(streamed.has_value());
  CHECK(with_usage == 1);
  CHECK(chunks > 4);
  CHECK(role == "assistant");
  CHECK_FALSE(text.empty());

  const auto whole = client.chat(request);
  INFO(why(whole));
  REQUIRE(whole.has_value());
  for (const auto* reply : {&*streamed, &*whole}) {
    CHECK(reply->content() == text);  // temperature 0
    CHECK(reply->finish_reason() == "length");
    CHECK(reply->model == "local");  // whatever was asked for
    CHECK(reply->choices.size() == 1);
    CHECK_FALSE(reply->id.empty());
    CHECK(reply->created > 0);
    REQUIRE(reply->usage.has_value());
    CHECK(reply->usage->completion_tokens == 4);
    CHECK(reply->usage->prompt_tokens > 4);
    CHECK(reply->usage->total_tokens == reply->usage->prompt_tokens + 4);
    CHECK_FALSE(reply->extra.empty());  // timings
    CHECK_FALSE(reply->info.end_mark_missing);
  }
  CHECK(whole->usage->prompt_cache_hit_tokens > 0);  // of prompt_tokens_details.cached_tokens

  request.include_usage.reset();
  const auto without = client.stream(request).result();
  INFO(why(without));
  REQUIRE(without.has_value());
  CHECK_FALSE(without->usage.has_value());
}

TEST_CASE("llama.cpp: a tool call, and its result sent back", "[integration][foreign]") {
  NEEDS_LLAMA;
  auto request = weather();
  std::size_t pieces = 0;
  auto stream = client.stream(request);
  for (const auto& chunk : stream) pieces += chunk.tool_calls().size();
  const auto streamed = stream.result();
  INFO(why(streamed));
  REQUIRE(streamed.has_value());
  CHECK(pieces > 2);
  const auto whole = client.chat(request);
  INFO(why(whole));
  REQUIRE(whole.has_value());
  for (const auto* reply : {&*streamed, &*whole}) {
    CHECK(reply->finish_reason() == "tool_calls");
    REQUIRE(reply->tool_calls().size() == 1);
    CHECK(reply->tool_calls()[0].name == "get_weather");
    CHECK_FALSE(reply->tool_calls()[0].id.empty());
    CHECK(nlohmann::json::parse(reply->tool_calls()[0].arguments).is_object());
  }
  request.messages.push_back(whole->message());
  request.messages.push_back(Message::tool(whole->tool_calls()[0].id, R"({"celsius":21})"));
  request.max_tokens = 3;
  const auto answer = client.chat(request);
  INFO(why(answer));
  REQUIRE(answer.has_value());
  CHECK_FALSE(answer->content().empty());
}

TEST_CASE("llama.cpp: half a tool call, then an error in the stream and no end mark", "[integration][foreign]") {
  NEEDS_LLAMA;
  // The model breaks its own format when it is made to guess; with which seed depends on the processor.
  auto request = weather();
  request.temperature = 1.5;
  std::unique_ptr<Error> error;
  int seed = 0;
  while (!error && ++seed <= 20) {
    request.extra = RawJson(R"({"seed":)" + std::to_string(seed) + "}");
    const auto reply = client.stream(request).result();
    if (!reply.has_value() && reply.error().partial() && !reply.error().partial()->tool_calls().empty())
      error = std::make_unique<Error>(reply.error());
  }
  REQUIRE(error);
  CHECK(error->outcome() == Outcome::service_error);
  CHECK(error->http_status() == 200);
  CHECK(error->service().type == "server_error");
  CHECK(error->service().code == "500");
  CHECK_FALSE(error->service().message.empty());
  CHECK(error->partial()->tool_calls()[0].name == "get_weather");
  CHECK(error->partial()->finish_reason().empty());
  CHECK(error->bytes_delivered() > 0);

  const auto whole = client.chat(request);  // the same seed
  REQUIRE_FALSE(whole.has_value());
  CHECK(whole.error().code() == ErrorCode::server_error);
  CHECK(whole.error().http_status() == 500);
  CHECK(whole.error().service().code == "500");
}

TEST_CASE("llama.cpp: reasoning is asked for in its own words", "[integration][foreign]") {
  NEEDS_LLAMA;
  auto request = brief(12);
  request.thinking.reset();
  request.extra = RawJson(R"({"chat_template_kwargs":{"enable_thinking":true},"thinking_budget_tokens":4})");
  const bool streamed = GENERATE(true, false);
  const auto reply = talk(client, request, streamed);
  INFO(why(reply));
  REQUIRE(reply.has_value());
  CHECK_FALSE(reply->reasoning_content().empty());
  CHECK_FALSE(reply->content().empty());
  CHECK_FALSE(reply->info.reasoning_only);
  CHECK(reply->message().reasoning_content.has_value());
  CHECK_FALSE(client.chat(brief(2)).value().message().reasoning_content.has_value());  // absent, not null
}

TEST_CASE("llama.cpp: log probabilities of a stream are joined", "[integration][foreign]") {
  NEEDS_LLAMA;
  auto request = brief(3);
  request.logprobs = true;
  request.top_logprobs = 2;
  const bool streamed = GENERATE(true, false);
  const auto reply = talk(client, request, streamed);
  INFO(why(reply));
  REQUIRE(reply.has_value());
  const auto items = nlohmann::json::parse(reply->choices.at(0).logprobs.text()).at("content");
  REQUIRE(items.size() == 3);
  std::string text;
  for (const auto& item : items) {
    text += item.at("token").get<std::string>();
    CHECK(item.at("top_logprobs").size() == 2);
    CHECK(item.at("id").is_number_integer());  // not DeepSeek's, and kept
  }
  CHECK(text == reply->content());
}

TEST_CASE("llama.cpp: two choices", "[integration][foreign]") {
  NEEDS_LLAMA;
  auto request = brief(3);
  request.extra = RawJson(R"({"n":2})");
  const bool streamed = GENERATE(true, false);
  const auto reply = talk(client, request, streamed);
  INFO(why(reply));
  REQUIRE(reply.has_value());
  REQUIRE(reply->choices.size() == 2);
  for (int i = 0; i < 2; ++i) {
    const auto& choice = reply->choices[static_cast<std::size_t>(i)];
    CHECK(choice.index == i);
    CHECK_FALSE(choice.message.content.empty());
    CHECK_FALSE(choice.finish_reason.empty());
  }
}

TEST_CASE("llama.cpp: what it has and has not, and its numeric error codes", "[integration][foreign]") {
  NEEDS_LLAMA;
  const auto models = client.models();
  REQUIRE(models.has_value());
  REQUIRE(models->data.size() == 1);
  CHECK(models->data[0].id == "local");

  auto request = brief(2);
  request.messages.front().role = "narrator";
  CHECK(client.chat(request).has_value());  // an unknown role is its template's business

  const auto balance = client.balance();
  REQUIRE_FALSE(balance.has_value());
  CHECK(balance.error().code() == ErrorCode::not_found);
  CHECK(balance.error().service().code == "404");

  const auto elsewhere =
      server.client([](ClientOptions& options) { options.endpoints.front().base_url += "/nowhere"; });
  const auto prefixed = server.client([](ClientOptions& options) {
    options.endpoints.front().base_url.erase(options.endpoints.front().base_url.size() - 3);
  });
  CHECK(prefixed.chat(brief(1)).has_value());  // with and without /v1
  for (const bool streamed : {true, false}) {
    CAPTURE(streamed);
    const auto lost = talk(elsewhere, brief(2), streamed);
    REQUIRE_FALSE(lost.has_value());
    CHECK(lost.error().code() == ErrorCode::not_found);
    CHECK(lost.error().service().type == "not_found_error");

    request = brief(2);
    request.extra = RawJson(R"({"top_k":"many"})");
    const auto broken = talk(client, request, streamed);
    REQUIRE_FALSE(broken.has_value());
    CHECK(broken.error().code() == ErrorCode::bad_request);
    CHECK(broken.error().http_status() == 400);
    CHECK(broken.error().service().code == "400");
    CHECK(broken.error().service().type == "invalid_request_error");
    CHECK(broken.error().service().message.find("top_k") != std::string::npos);
    CHECK_FALSE(broken.error().retryable());

    const auto too_long = talk(client, long_prompt("overlong", 3000), streamed);
    REQUIRE_FALSE(too_long.has_value());
    CHECK(too_long.error().code() == ErrorCode::bad_request);
    CHECK(too_long.error().service().type == "exceed_context_size_error");

    request = brief(2);
    request.messages = {Message::user(
        {ContentPart::text_part("What is this?"), ContentPart::image("data:image/png;base64,iVBORw0KGgo=")})};
    const auto image = talk(client, request, streamed);
    REQUIRE_FALSE(image.has_value());
    CHECK(image.error().code() == ErrorCode::server_error);
    CHECK(image.error().service().code == "500");
  }
}

TEST_CASE("llama.cpp: a request that waits for a slot gets not even a head", "[integration][foreign][concurrent]") {
  NEEDS_LLAMA;
  Collector first, second;
  const CallHandle holds_one = client.chat_async(endless(), first.handler());
  const CallHandle holds_two = client.chat_async(endless(), second.handler());
  REQUIRE(first.await_chunks(2));
  REQUIRE(second.await_chunks(2));

  for (const bool streamed : {true, false}) {
    CAPTURE(streamed);
    Timeouts timeouts;
    timeouts.first_byte = 300ms;
    const auto reply =
        streamed ? client.stream(brief(1), with(timeouts)).result() : client.chat(brief(1), with(timeouts));
    REQUIRE_FALSE(reply.has_value());
    CHECK(reply.error().outcome() == Outcome::timed_out);
    CHECK(reply.error().code() == ErrorCode::timeout_first_byte);
    CHECK(reply.error().clock() == "first_byte");
    CHECK(reply.error().http_status() == 0);
  }
  Timeouts patient;
  patient.first_byte = 60s;
  patient.idle = 100ms;  // liveness is asked of a reply that has begun
  Collector waiting;
  client.chat_whole_async(brief(2), waiting.handler().on_end, with(patient));
  REQUIRE(first.await_chunks(first.chunks() + 30));
  CHECK(waiting.results().empty());
  const auto cancelled = std::chrono::steady_clock::now();
  holds_one.cancel();
  REQUIRE(waiting.await_ends(1));
  REQUIRE(waiting.results().front().has_value());
  CHECK(std::chrono::steady_clock::now() - cancelled < 10s);  // the other holder needs a minute
  CHECK(second.results().empty());
  holds_two.cancel();
  REQUIRE(first.await_ends(1));
  REQUIRE(second.await_ends(1));
  for (const auto* holder : {&first, &second}) {
    const auto result = holder->results().front();
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().outcome() == Outcome::cancelled);
    REQUIRE(result.error().partial());
    CHECK(result.error().partial()->content() == holder->text());
  }
}

TEST_CASE("llama.cpp: a cancelled reply frees its slot, streamed or not", "[integration][foreign][concurrent]") {
  NEEDS_LLAMA;
  const bool streamed = GENERATE(true, false);
  std::vector<Stream> streams;
  std::vector<std::future<Result<ChatReply>>> wholes;
  const CancelSource source;
  CallOptions options;
  options.cancel = source.token();
  for (int i = 0; i < 2; ++i) {
    if (!streamed) {
      wholes.push_back(client.chat_future(endless(), options));
      continue;
    }
    streams.push_back(client.stream(endless()));
    REQUIRE(streams.back().next());
  }
  Timeouts timeouts;
  timeouts.first_byte = 400ms;
  // A whole reply does not show when it has its slot: when nobody else gets one.
  REQUIRE(within(10s, [&] {
    const auto reply = client.chat(brief(1), with(timeouts));
    return !reply.has_value() && reply.error().clock() == "first_byte";
  }));
  streams.clear();  // dropping a stream cancels
  source.cancel();
  for (auto& whole : wholes) {
    const auto reply = whole.get();
    REQUIRE_FALSE(reply.has_value());
    CHECK(reply.error().outcome() == Outcome::cancelled);
  }
  timeouts.first_byte = 10s;  // they would need a minute
  const auto reply = client.chat(brief(1), with(timeouts));
  INFO(why(reply));
  REQUIRE(reply.has_value());
}

TEST_CASE("llama.cpp: bare keep-alives are liveness and no progress", "[integration][foreign]") {
  NEEDS_LLAMA;
  SECTION("a prompt that takes its time") {
    Timeouts timeouts;
    timeouts.idle = 3s;  // it looks once a second whether a second has passed, so the gap may be two
    const auto reply = client.stream(long_prompt("alive", 200), with(timeouts)).result();
    INFO(why(reply));
    REQUIRE(reply.has_value());
    CHECK_FALSE(reply->content().empty());
    if (reply->info.timings.first_token < timeouts.idle) WARN("this machine is too quick to need a keep-alive");
  }
  SECTION("they do not hold off the clock of the first token") {
    Timeouts timeouts;
    timeouts.first_token = 2500ms;
    const auto reply = client.stream(long_prompt("progress", 800), with(timeouts)).result();
    REQUIRE_FALSE(reply.has_value());
    CHECK(reply.error().code() == ErrorCode::timeout_first_token);
    CHECK(reply.error().clock() == "first_token");
    CHECK(reply.error().http_status() == 200);  // the head and a keep-alive came
  }
}

TEST_CASE("llama.cpp: it closes after a streamed reply although it promised to keep alive", "[integration][foreign]") {
  NEEDS_LLAMA;
  const auto request = brief(1);
  // Each call but the first may meet the old connection open, half closed or gone.
  for (int i = 0; i < 10; ++i) {
    const auto streamed = client.stream(request).result();
    INFO(why(streamed));
    REQUIRE(streamed.has_value());
    CHECK(streamed->info.attempts == 1);
    const auto whole = client.chat(request);
    INFO(why(whole));
    REQUIRE(whole.has_value());
    CHECK(whole->info.attempts == 1);
  }
}

TEST_CASE("llama.cpp: a connection that it closed after a hundred replies is replaced unseen",
          "[integration][foreign]") {
  NEEDS_LLAMA;
  const auto request = brief(1);
  int fresh = 0;
  for (int i = 0; i < 105; ++i) {
    const auto reply = client.chat(request);
    INFO(why(reply));
    REQUIRE(reply.has_value());
    CHECK(reply->info.attempts == 1);
    if (!reply->info.reused_connection) ++fresh;
  }
  CHECK(fresh == 2);
}

TEST_CASE("foreign servers: a connection that they closed in silence is replaced unseen", "[integration][foreign]") {
  NEEDS_LLAMA;
  const Foreign& mock = Foreign::aimock();
  const auto other =
      mock.client([](ClientOptions& options) { options.endpoints.front().credential = api_key(std::string("any")); });
  const bool mocked = mock.missing().empty();
  REQUIRE(client.chat(brief(1)).has_value());
  if (mocked) REQUIRE(other.models().has_value());
  CHECK(server.open_connections() == 1);
  // Both keep an idle connection for five seconds.
  REQUIRE(within(15s, [&] { return server.open_connections() == 0; }));
  const auto reply = client.stream(brief(1)).result();
  INFO(why(reply));
  REQUIRE(reply.has_value());
  CHECK_FALSE(reply->info.reused_connection);
  CHECK(reply->info.attempts == 1);
  if (!mocked) return;
  REQUIRE(within(15s, [&] { return mock.open_connections() == 0; }));
  CHECK(other.models().has_value());
}
