// Resume: streams that break off and are gone on with, the seam between two replies, and what is not gone on with.
#include <deepseek/client.hpp>
#include <deepseek/http/fake.hpp>
#include <deepseek/model/detail/codec.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/scripted_transport.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::ask;
using deepseek_tests::quoted;
using deepseek_tests::stream_event;
using Json = nlohmann::json;

namespace {

std::string piece(const std::string& text) { return stream_event("{\"content\":" + quoted(text) + "}"); }

std::string usage(int prompt, int completion) {
  return R"({"id":"r","choices":[],"usage":{"prompt_tokens":)" + std::to_string(prompt) + R"(,"completion_tokens":)" +
         std::to_string(completion) + R"(,"total_tokens":)" + std::to_string(prompt + completion) + "}}";
}

FakeReply events(const std::vector<std::string>& all, bool whole) {
  FakeReply reply;
  reply.headers = {{"Content-Type", "text/event-stream"}};
  for (const std::string& one : all) reply.chunks.emplace_back("data: " + one + "\n\n");
  if (whole) {
    reply.chunks.emplace_back("data: " + stream_event("{}", "stop") + "\n\n");
    reply.chunks.emplace_back("data: " + usage(20, 4) + "\n\ndata: [DONE]\n\n");
  }
  reply.end = whole ? FakeReply::End::clean : FakeReply::End::broken;
  return reply;
}
FakeReply status(int code) {
  FakeReply reply;
  reply.status = code;
  reply.chunks.emplace_back("{}");
  return reply;
}

struct Scene {
  std::optional<DeepSeekClient> kept;
  std::shared_ptr<FakeHttpEngine> engine = std::make_shared<FakeHttpEngine>();
  ClientOptions options;
  std::string text;  // as the reader saw it

  Scene() {
    options.endpoints = {{"http://127.0.0.1:1"}};
    options.endpoints[0].deepseek = true;
    options.http_engine = engine;
    options.retry.base = options.retry.throttled_base = 0ms;
    options.resume.enabled = true;
  }
  Result<ChatReply> run(const ChatRequest& request = ask("hi")) {
    if (!kept) kept = DeepSeekClient::create(options).value();
    auto stream = kept->stream(request);
    text.clear();
    for (const ChatChunk& chunk : stream) text += chunk.content();
    return stream.result();
  }
  Json body(std::size_t index) const { return Json::parse(engine->requests().at(index).body); }
};

/// What a reader sees of a second reply that comes in these pieces.
struct Seam {
  std::string shown;
  std::string kept;
  std::uint64_t bytes = 0;
};
Seam seam(const std::string& first, const std::vector<std::string>& second, bool ends = true) {
  const auto decoder = detail::make_reply_decoder(true);
  decoder->inspect(piece(first));
  CHECK(decoder->conclude(false));
  decoder->go_on(16);
  Seam result;
  const auto give = [&](const std::string& frame) {
    decoder->inspect(frame);
    for (std::size_t i = 0; i < decoder->chunk_count(); ++i) result.shown += decoder->chunks()[i].content();
  };
  for (const std::string& one : second) give(piece(one));
  if (ends) give(stream_event("{}", "stop"));
  CHECK(decoder->conclude(ends).has_value() == !ends);
  result.bytes = decoder->answer_bytes();
  result.kept = decoder->reply().content();
  CHECK(result.kept == first + result.shown);
  CHECK(result.bytes == result.kept.size());
  return result;
}

}  // namespace

TEST_CASE("a stream that breaks off is gone on with as a prefix completion") {
  Scene scene;
  scene.engine->reply(events(
      {stream_event(R"({"role":"assistant","reasoning_content":"hm"})"), piece("Once upon"), usage(10, 2)}, false));
  scene.engine->reply(status(503));  // the second request has retries of its own
  scene.engine->reply(
      events({stream_event(R"({"role":"assistant","content":""})"), piece(" a"), piece(" time")}, true));
  const auto reply = scene.run();
  REQUIRE(reply);
  CHECK(scene.text == "Once upon a time");
  CHECK(reply->content() == "Once upon a time");
  CHECK(reply->reasoning_content() == "hm");
  CHECK(reply->finish_reason() == "stop");
  CHECK(reply->info.resumed == 1);
  CHECK(reply->info.attempts == 3);
  CHECK(reply->info.retries == 1);
  REQUIRE(reply->usage);
  CHECK(reply->usage->prompt_tokens == 30);
  CHECK(reply->usage->completion_tokens == 6);
  CHECK(reply->usage->total_tokens == 36);
  CHECK(scene.engine->requests()[0].url == "http://127.0.0.1:1/chat/completions");
  CHECK(scene.engine->requests()[2].url == "http://127.0.0.1:1/beta/chat/completions");
  Json expected = scene.body(0);
  expected["messages"].push_back(
      {{"role", "assistant"}, {"content", "Once upon"}, {"prefix", true}, {"reasoning_content", "hm"}});
  CHECK(scene.body(1) == expected);
  CHECK(scene.body(2) == expected);
}

TEST_CASE("each reply may break off as often as is allowed") {
  Scene scene;
  scene.options.resume.max_resumes = 2;
  for (const char* text : {"a", "b", "c"}) scene.engine->reply(events({piece(text)}, false));
  const auto cut = scene.run();
  REQUIRE_FALSE(cut);
  CHECK(scene.text == "abc");
  CHECK(cut.error().code() == ErrorCode::truncated);
  CHECK(cut.error().partial()->content() == "abc");
  CHECK(cut.error().partial()->info.resumed == 2);
  CHECK(cut.error().bytes_delivered() == 3);
  CHECK(cut.error().advice().find("max_resumes is reached") != std::string::npos);
  CHECK(scene.body(2)["messages"].back()["content"] == "ab");
  CHECK(scene.body(2)["messages"].size() == 2);
}

TEST_CASE("a second request in vain leaves the first error and its text") {
  Scene scene;
  scene.engine->reply(events({piece("half")}, false));
  SECTION("refused") { scene.engine->reply(status(400)); }
  SECTION("away from DeepSeek") { scene.options.endpoints[0].deepseek = false; }
  const auto cut = scene.run();
  REQUIRE_FALSE(cut);
  CHECK(cut.error().code() == ErrorCode::truncated);
  CHECK(cut.error().partial()->content() == "half");
  CHECK(cut.error().partial()->id == "r");
  CHECK(cut.error().partial()->info.resumed == 0);
  CHECK(cut.error().advice().find("resumed in vain: ") != std::string::npos);
}

TEST_CASE("what cannot be gone on with is told with the reason") {
  Scene scene;
  std::vector<std::string> first = {piece("half")};
  ChatRequest request = ask("hi");
  SECTION("switched off") { scene.options.resume.enabled = false; }
  SECTION("too little") { scene.options.resume.min_content = 5; }
  SECTION("only reasoning") { first = {stream_event(R"({"reasoning_content":"hm"})")}; }
  SECTION("a tool call") {
    first.push_back(stream_event(
        R"({"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{"}}]})"));
  }
  SECTION("a response format") {
    request.messages[0] = Message::user("json, please");
    request.response_format = "json_object";
  }
  scene.engine->reply(events(first, false));
  const auto cut = scene.run(request);
  REQUIRE_FALSE(cut);
  CHECK(cut.error().code() == ErrorCode::truncated);
  CHECK((cut.error().advice().find("not resumed: ") != std::string::npos) == scene.options.resume.enabled);
  CHECK(scene.engine->requests().size() == 1);
}

TEST_CASE("equal calls that share a stream go on with it together, and it is not kept") {
  Scene scene;
  scene.options.single_flight.enabled = true;
  scene.options.cache.memory_bytes = 1 * MiB;
  scene.engine->reply(events({piece("Once upon")}, false));
  scene.engine->reply(events({piece(" a time")}, true));
  scene.engine->reply(events({piece("Another")}, true));
  CHECK(scene.run().value().content() == "Once upon a time");
  CHECK(scene.run().value().content() == "Another");
}

TEST_CASE("what the second reply only repeats is not shown twice") {
  const std::string first = "It was the best of times, it was the worst of times";
  CHECK(seam(first, {" and so on"}).shown == " and so on");
  CHECK(seam(first, {"it was the worst of times and"}).shown == " and");
  CHECK(seam(first, {"it", " was the", " worst of ti", "mes a", "nd"}).shown == " and");
  CHECK(seam(first, {"it was the w", "rong line"}).shown == "it was the wrong line");
  CHECK(seam(first, {"worst of times", ","}).shown == "worst of times,");  // 14 bytes: too short to be sure
  CHECK(seam(first, {first, "!"}).shown == "!");
  CHECK(seam(first, {"it was the worst of times"}).shown.empty());
  CHECK(seam(first, {"it was the worst"}).shown == "it was the worst");
  CHECK(seam("short", {"short", " text"}).shown == "short text");
}

TEST_CASE("a text that repeats itself may go on doing so") {
  const std::string line(40, '-');
  CHECK(seam(line, {line, "|"}).shown == line + "|");
  const std::string row = "| 0.000 | 0.000 | 0.000 |\n";
  CHECK(seam("Table\n" + row + row, {row, "end"}).shown == row + "end");
}

TEST_CASE("held back text that nobody saw is no part of a reply that broke off again") {
  const std::string first = "It was the best of times, it was the worst of times";
  CHECK(seam(first, {"it was the wo"}, false).shown.empty());
}

TEST_CASE("resume options outside their range are refused") {
  const auto refused = [](int resumes, std::size_t overlap) {
    ClientOptions options;
    options.resume.max_resumes = resumes;
    options.resume.min_overlap = overlap;
    const auto client = DeepSeekClient::create(std::move(options));
    return !client && client.error().code() == ErrorCode::invalid_options;
  };
  CHECK(refused(0, 16));
  CHECK(refused(17, 16));
  CHECK(refused(1, 3));
  CHECK(refused(1, 257));
  CHECK_FALSE(refused(16, 4));
}
