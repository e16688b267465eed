// Replies: recorded ones against a naive reader, quirks, ends, and hostile bytes.
#include <deepseek/model/detail/codec.hpp>

#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "support/catch.hpp"
#include "support/shared_data.hpp"

using namespace deepseek;
using detail::make_reply_decoder;
using nlohmann::json;

namespace {

struct Fixture {
  std::string id;
  std::string body;
  bool stream = false;
  std::string path;
};

std::vector<Fixture> fixtures() {
  std::vector<Fixture> all;
  if (!deepseek_tests::has_shared("fixtures/manifest.json")) return all;
  const json manifest = json::parse(deepseek_tests::read_shared("fixtures/manifest.json"));
  for (const json& entry : manifest["fixtures"]) {
    const std::string path = entry["path"];
    if (entry["status"] != 200 || (path != "/chat/completions" && path != "/beta/completions")) continue;
    const std::string file = entry["response"];
    all.push_back(
        {entry["id"], deepseek_tests::read_shared("fixtures/" + file), file.find(".sse") != std::string::npos, path});
  }
  return all;
}

/// The data of every event, comments left out.
std::vector<std::string> events_of(const std::string& sse) {
  std::vector<std::string> events;
  std::istringstream in(sse);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.rfind("data: ", 0) == 0) events.push_back(line.substr(6));
  }
  return events;
}

/// What a straightforward reader makes of a reply of one choice.
struct Naive {
  std::string content, reasoning, finish, id, model, fingerprint;
  bool has_reasoning = false;
  std::map<int, std::array<std::string, 3>> calls;
  json usage = nullptr;
  json logprobs = json::object();

  void read(const json& root) {
    const auto text = [](const json& object, const char* key) {
      return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : std::string();
    };
    id = text(root, "id");
    model = text(root, "model");
    fingerprint = text(root, "system_fingerprint");
    if (root.contains("usage") && root["usage"].is_object()) usage = root["usage"];
    for (const json& choice : root["choices"]) {
      const json& message = choice.contains("delta")     ? choice["delta"]
                            : choice.contains("message") ? choice["message"]
                                                         : choice;
      content += text(message, "content") + text(choice, "text");
      reasoning += text(message, "reasoning_content");
      has_reasoning |= message.contains("reasoning_content") && message["reasoning_content"].is_string();
      if (!text(choice, "finish_reason").empty()) finish = text(choice, "finish_reason");
      if (choice.contains("logprobs") && choice["logprobs"].is_object())
        for (const auto& [key, items] : choice["logprobs"].items())
          for (const json& item : items) logprobs[key].push_back(item);
      if (!message.contains("tool_calls") || !message["tool_calls"].is_array()) continue;
      for (const json& call : message["tool_calls"]) {
        auto& mine = calls[call["index"].get<int>()];
        if (mine[0].empty()) mine[0] = text(call, "id");
        if (mine[1].empty()) mine[1] = text(call["function"], "name");
        mine[2] += text(call["function"], "arguments");
      }
    }
  }
};

void compare(const ChatReply& reply, const Naive& naive) {
  CHECK(reply.content() == naive.content);
  CHECK(reply.reasoning_content() == naive.reasoning);
  CHECK(reply.message().reasoning_content.has_value() == naive.has_reasoning);
  CHECK(reply.finish_reason() == naive.finish);
  CHECK(reply.id == naive.id);
  CHECK(reply.model == naive.model);
  CHECK(reply.system_fingerprint == naive.fingerprint);
  REQUIRE(reply.tool_calls().size() == naive.calls.size());
  for (const ToolCall& call : reply.tool_calls()) {
    const auto& expected = naive.calls.at(call.index);
    CHECK(call.id == expected[0]);
    CHECK(call.name == expected[1]);
    CHECK(call.arguments == expected[2]);
  }
  REQUIRE(reply.usage.has_value() == naive.usage.is_object());
  if (reply.usage) {
    CHECK(json::parse(reply.usage->raw.view()) == naive.usage);
    CHECK(reply.usage->prompt_tokens == naive.usage["prompt_tokens"]);
    CHECK(reply.usage->completion_tokens == naive.usage["completion_tokens"]);
    CHECK(reply.usage->total_tokens == naive.usage["total_tokens"]);
    CHECK(reply.usage->prompt_cache_hit_tokens == naive.usage["prompt_cache_hit_tokens"]);
    CHECK(reply.usage->prompt_cache_miss_tokens == naive.usage["prompt_cache_miss_tokens"]);
    const auto reasoning = json::json_pointer("/completion_tokens_details/reasoning_tokens");
    CHECK(reply.usage->reasoning_tokens == naive.usage.value(reasoning, 0));
  }
  const RawJson& logprobs = reply.choices.front().logprobs;
  CHECK((logprobs.empty() ? json::object() : json::parse(logprobs.view())) == naive.logprobs);
}

/// A printable picture of everything a chunk says.
std::string picture(const ChatChunk& chunk) {
  std::string text;
  for (const std::string_view part :
       {chunk.content(), chunk.reasoning_content(), chunk.finish_reason(), chunk.role(), chunk.id(), chunk.model(),
        chunk.system_fingerprint(), chunk.title(), chunk.logprobs(), chunk.raw()})
    text += std::string(part) + "|";
  for (const ToolCallDelta& call : chunk.tool_calls())
    text += std::to_string(call.index) + "," + std::string(call.id) + "," + std::string(call.name) + "," +
            std::string(call.arguments) + "|";
  text += chunk.usage() != nullptr ? chunk.usage()->raw.text() : "-";
  return text + "|" + std::to_string(chunk.created()) + "|" + std::to_string(chunk.choice());
}

std::string picture(const detail::ReplyDecoder& decoder) {
  std::string text;
  for (std::size_t i = 0; i != decoder.chunk_count(); ++i) text += picture(decoder.chunks()[i]) + "\n";
  return text;
}

std::string text_of(detail::ReplyDecoder& decoder) {
  std::string text;
  for (const ChatChoice& choice : decoder.reply().choices) text += choice.message.content;
  return text;
}

/// Feeds events and the end mark, and returns the outcome.
std::optional<Error> play(detail::ReplyDecoder& decoder, const std::vector<std::string>& events, bool clean = true) {
  for (const std::string& event : events) decoder.inspect(event);
  return decoder.conclude(clean);
}

std::string delta(const std::string& members, const std::string& finish = "null") {
  return R"({"id":"i","choices":[{"index":0,"delta":{)" + members + R"(},"finish_reason":)" + finish + "}]}";
}

std::string calls(const std::string& items) { return delta("\"tool_calls\":[" + items + "]"); }

std::vector<ToolCall> assembled(std::vector<std::string> events) {
  auto decoder = make_reply_decoder(true);
  events.push_back(delta("", "\"tool_calls\""));
  REQUIRE_FALSE(play(*decoder, events));
  return decoder->reply().tool_calls();
}

Outcome outcome_of(const std::optional<Error>& error) { return error ? error->outcome() : Outcome::complete; }

}  // namespace

TEST_CASE("recorded replies decode to what a naive reader finds") {
  const auto all = fixtures();
  if (all.empty()) SKIP_TEST("no shared fixtures");
  CHECK(all.size() >= 45);
  for (const Fixture& fixture : all) {
    INFO(fixture.id);
    auto decoder = make_reply_decoder(fixture.stream);
    Naive naive;
    if (!fixture.stream) {
      CHECK(decoder->inspect(fixture.body) == FrameKind::data);
      CHECK(decoder->chunk_count() == 0);
      naive.read(json::parse(fixture.body));
    } else {
      for (const std::string& event : events_of(fixture.body)) {
        const FrameKind kind = decoder->inspect(event);
        if (event == "[DONE]") {
          CHECK(kind == FrameKind::end);
          continue;
        }
        naive.read(json::parse(event));
        REQUIRE(decoder->chunk_count() == 1);
        const ChatChunk& chunk = decoder->chunks()[0];
        const bool token =
            !chunk.content().empty() || !chunk.reasoning_content().empty() || !chunk.tool_calls().empty();
        CHECK((kind == FrameKind::token) == token);
      }
    }
    const auto error = decoder->conclude(true);
    CHECK_FALSE(error);
    CHECK_FALSE(decoder->reply().info.end_mark_missing);
    compare(decoder->reply(), naive);
    std::size_t bytes = decoder->reply().content().size() + decoder->reply().reasoning_content().size();
    for (const ToolCall& call : decoder->reply().tool_calls()) bytes += call.arguments.size();
    CHECK(decoder->answer_bytes() == bytes);
  }
}

TEST_CASE("templates give what a full reading gives") {
  const auto all = fixtures();
  if (all.empty()) SKIP_TEST("no shared fixtures");
  for (const Fixture& fixture : all) {
    if (!fixture.stream) continue;
    INFO(fixture.id);
    auto warm = make_reply_decoder(true);
    for (const std::string& event : events_of(fixture.body)) {
      const FrameKind kind = warm->inspect(event);
      // A fresh decoder has no template yet. It gives later pieces of a call the place they name.
      auto fresh = make_reply_decoder(true);
      CHECK(fresh->inspect(event) == kind);
      CHECK(picture(*fresh) == picture(*warm));
    }
  }
}

TEST_CASE("an event that differs in more than one string is read in full") {
  const std::string base =
      R"({"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null})";
  auto decoder = make_reply_decoder(true);
  decoder->inspect(base);
  decoder->inspect(base);
  std::string expected = "xx";
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = base;
    return text.replace(text.find(from), from.size(), to);
  };
  struct Case {
    std::string event;
    FrameKind kind;
    std::string content;
  };
  for (const Case& c : std::vector<Case>{
           {replaced("\"x\"", "\"\""), FrameKind::data, ""},
           {replaced("\"x\"", R"("a\"b\\c\n\u00fc\ud83d\ude00")"), FrameKind::token,
            "a\"b\\c\n\xC3\xBC\xF0\x9F\x98\x80"},
           {replaced("\"x\"", R"("\ud83d")"), FrameKind::token, "\xEF\xBF\xBD"},
           {replaced("\"x\"", R"("\ude00\ud83d!")"), FrameKind::token, "\xEF\xBF\xBD\xEF\xBF\xBD!"},
           {replaced("\"x\"", R"("a","content":"b")"), FrameKind::token, "ab"},
           {replaced("\"x\"", R"("a"},"finish_reason":"stop","delta":{"content":"b")"), FrameKind::token, "b"},
           {replaced("\"x\"", "\"\xE4\xBD\xA0\xE5\xA5\xBD\""), FrameKind::token, "\xE4\xBD\xA0\xE5\xA5\xBD"},
           {replaced("null}]", "\"length\"}]"), FrameKind::token, "x"},
       }) {
    INFO(c.event);
    CHECK(decoder->inspect(c.event) == c.kind);
    expected += c.content;
    CHECK(decoder->reply().content() == expected);
  }
  CHECK(decoder->reply().finish_reason() == "length");
  for (const std::string& bad :
       {std::string("\"\xff\""), std::string("\"a\nb\""), std::string(R"("\x")"), std::string(R"("\u12g4")"),
        std::string(R"("\")"), std::string("\"\xC3\""), std::string("\"a\0b\"", 5), std::string(R"("\ud8")")}) {
    auto fresh = make_reply_decoder(true);
    fresh->inspect(base);
    CHECK(fresh->inspect(replaced("\"x\"", bad)) == FrameKind::malformed);
    CHECK(fresh->chunk_count() == 0);
    CHECK(fresh->reply().content() == "x");
    CHECK(outcome_of(fresh->conclude(true)) == Outcome::malformed);
  }
}

TEST_CASE("every event of every recording, cut at every byte") {
  const auto all = fixtures();
  if (all.empty()) SKIP_TEST("no shared fixtures");
  for (const Fixture& fixture : all) {
    if (!fixture.stream) continue;
    INFO(fixture.id);
    std::string previous;
    std::size_t shapes = 0;
    for (const std::string& event : events_of(fixture.body)) {
      if (event == "[DONE]") continue;
      // Events of one shape differ in their text only; a few of each are enough.
      if (event.size() == previous.size() && ++shapes % 16 != 0) continue;
      previous = event;
      auto decoder = make_reply_decoder(true);
      decoder->inspect(event);
      const std::string whole = decoder->reply().content();
      bool all_malformed = true;
      for (std::size_t length = 1; length < event.size(); ++length) {
        // A heap copy of exactly that length: reading beyond it would show under a sanitizer.
        const std::vector<char> cut(event.begin(), event.begin() + static_cast<std::ptrdiff_t>(length));
        all_malformed &= decoder->inspect({cut.data(), cut.size()}) == FrameKind::malformed;
        all_malformed &= decoder->reply().content() == whole;
      }
      CHECK(all_malformed);
    }
  }
}

TEST_CASE("recorded bodies cut at every byte are never complete") {
  const auto all = fixtures();
  if (all.empty()) SKIP_TEST("no shared fixtures");
  for (const Fixture& fixture : all) {
    if (fixture.stream) continue;
    INFO(fixture.id);
    const std::size_t end = fixture.body.find_last_of('}');
    bool right = true;
    for (std::size_t length = 0; length < end; length += length < 64 ? 1 : 1 + length / 256) {
      auto decoder = make_reply_decoder(false);
      const std::vector<char> cut(fixture.body.begin(), fixture.body.begin() + static_cast<std::ptrdiff_t>(length));
      decoder->inspect({cut.data(), cut.size()});
      right &= outcome_of(decoder->conclude(false)) == Outcome::truncated;
    }
    CHECK(right);
    auto decoder = make_reply_decoder(false);
    decoder->inspect(std::string_view(fixture.body).substr(0, end));
    CHECK(outcome_of(decoder->conclude(true)) == Outcome::malformed);
  }
}

TEST_CASE("random changes never crash, with and without a template alike") {
  std::mt19937 random(7);
  const std::string seed =
      R"({"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"a\u00fc","reasoning_content":null,)"
      R"("tool_calls":[{"index":0,)"
      R"("id":"c","function":{"name":"n","arguments":"{}"}}]},"logprobs":{"content":[1]},"finish_reason":null}],)"
      R"("usage":null,"x":[]})";
  const std::string plain = R"({"id":"i","choices":[{"index":0,"delta":{"content":"abc"},"finish_reason":null}]})";
  const std::string bytes = "{}[]\",:\\u0aenull-1.\xC3 \xff";
  for (int round = 0; round < 20000; ++round) {
    const bool simple = round % 2 == 0;
    std::string text = simple ? plain : seed;
    for (auto edits = 1 + random() % 3; edits != 0; --edits) {
      const std::size_t at = random() % text.size();
      if (random() % 3 == 0)
        text.erase(at, 1);
      else if (random() % 2 == 0)
        text.insert(at, 1, bytes[random() % bytes.size()]);
      else
        text[at] = bytes[random() % bytes.size()];
    }
    auto cold = make_reply_decoder(true);
    auto warm = make_reply_decoder(true);
    if (simple) warm->inspect(plain);
    const FrameKind kind = cold->inspect(text);
    INFO(text);
    REQUIRE(warm->inspect(text) == kind);
    REQUIRE(picture(*cold) == picture(*warm));
    REQUIRE(text_of(*warm) == (simple ? "abc" : "") + text_of(*cold));
    warm->conclude(round % 3 == 0);
  }
}

TEST_CASE("how a stream ends") {
  const std::string text = delta(R"("content":"x")");
  const std::string stop = delta(R"("content":"")", "\"stop\"");
  struct Case {
    std::vector<std::string> events;
    bool clean;
    Outcome outcome;
  };
  const std::string error = R"({"error":{"message":"broken","type":"server_error","code":500,"param":null}})";
  for (const Case& c : std::vector<Case>{
           {{text, stop, "[DONE]"}, true, Outcome::complete},
           {{text, stop, " [DONE] "}, false, Outcome::complete},
           {{text, stop}, true, Outcome::complete},
           {{text, stop}, false, Outcome::truncated},
           {{text, "[DONE]"}, true, Outcome::truncated},
           {{text}, true, Outcome::truncated},
           {{}, true, Outcome::truncated},
           {{"[DONE]"}, true, Outcome::truncated},
           {{stop, "[DONE]"}, true, Outcome::empty},
           {{text, delta("", "\"length\""), "[DONE]"}, true, Outcome::complete},
           {{text, delta("", "\"a new one\""), "[DONE]"}, true, Outcome::complete},
           {{text, delta("", "\"content_filter\""), "[DONE]"}, true, Outcome::filtered},
           {{text, delta("", "\"insufficient_system_resource\""), "[DONE]"}, true, Outcome::no_capacity},
           {{text, delta("", "\"aborted\"")}, false, Outcome::no_capacity},
           {{text, error}, true, Outcome::service_error},
           {{text, error, "{"}, true, Outcome::malformed},
           {{text, "{", stop, "[DONE]"}, true, Outcome::malformed},
           {{text, "[]", stop}, true, Outcome::malformed},
           {{delta(R"("reasoning_content":"r")"), stop, "[DONE]"}, true, Outcome::complete},
       }) {
    auto decoder = make_reply_decoder(true);
    CHECK(outcome_of(play(*decoder, c.events, c.clean)) == c.outcome);
  }
  auto decoder = make_reply_decoder(true);
  play(*decoder, {text, stop});
  CHECK(decoder->reply().info.end_mark_missing);
  decoder->reset();
  CHECK(decoder->reply().choices.empty());
  play(*decoder, {delta(R"("reasoning_content":"r")"), stop, "[DONE]"});
  CHECK(decoder->reply().info.reasoning_only);
  CHECK_FALSE(decoder->reply().info.end_mark_missing);
  decoder->reset();
  const auto failed = play(*decoder, {text, error});
  REQUIRE(failed);
  CHECK(failed->service().message == "broken");
  CHECK(failed->service().code == "500");
  CHECK(failed->service().type == "server_error");
  CHECK(decoder->reply().content() == "x");
  decoder->reset();
  CHECK(decoder->inspect(error) == FrameKind::error);
  CHECK(decoder->inspect(R"({"error":"as text"})") == FrameKind::error);
  CHECK(decoder->inspect(R"({"object":"error","message":"top"})") == FrameKind::error);
  CHECK(decoder->inspect(R"({"error":null,"choices":[]})") == FrameKind::data);
}

TEST_CASE("nothing is read after the end mark") {
  auto decoder = make_reply_decoder(true);
  play(*decoder, {delta(R"("content":"x")"), delta("", "\"stop\""), "[DONE]"});
  CHECK(decoder->inspect(delta(R"("content":"y")")) == FrameKind::end);
  CHECK(decoder->inspect("{") == FrameKind::end);
  CHECK(decoder->chunk_count() == 0);
  CHECK_FALSE(decoder->conclude(true));
  CHECK(decoder->reply().content() == "x");
}

TEST_CASE("how a body ends") {
  const auto body = [](const std::string& message, const std::string& rest) {
    return R"({"choices":[{"index":0,"message":{)" + message + "}" + rest + "}]}";
  };
  struct Case {
    std::string body;
    bool clean;
    Outcome outcome;
  };
  const std::string text = R"("content":"x")";
  for (const Case& c : std::vector<Case>{
           {body(text, R"(,"finish_reason":"stop")"), true, Outcome::complete},
           {"\n\n \r\n" + body(text, R"(,"finish_reason":"stop")") + "\n", true, Outcome::complete},
           {"\xEF\xBB\xBF" + body(text, R"(,"finish_reason":"stop")"), true, Outcome::complete},
           {body(text, R"(,"finish_reason":"stop")"), false, Outcome::complete},
           {body(text, ""), true, Outcome::complete},
           {body(text, ""), false, Outcome::truncated},
           {body(R"("content":null)", R"(,"finish_reason":"stop")"), true, Outcome::empty},
           {body(R"("content":"","reasoning_content":"r")", R"(,"finish_reason":"length")"), true, Outcome::complete},
           {body(text, R"(,"finish_reason":"content_filter")"), true, Outcome::filtered},
           {R"({"choices":[]})", true, Outcome::empty},
           {R"({"error":{"message":"m"}})", true, Outcome::service_error},
           {"", true, Outcome::empty},
           {"\n\n", true, Outcome::empty},
           {"\n\n", false, Outcome::truncated},
           {"<html>", true, Outcome::malformed},
           {"[1]", true, Outcome::malformed},
           {R"({"choices":7})", true, Outcome::malformed},
           {R"({"choices":[7]})", true, Outcome::malformed},
           {body(R"("content":7)", ""), true, Outcome::malformed},
       }) {
    INFO(c.body);
    auto decoder = make_reply_decoder(false);
    decoder->inspect(c.body);
    CHECK(outcome_of(decoder->conclude(c.clean)) == c.outcome);
  }
  auto decoder = make_reply_decoder(false);
  CHECK(outcome_of(decoder->conclude(false)) == Outcome::truncated);
}

TEST_CASE("usage in each of its places") {
  auto decoder = make_reply_decoder(true);
  const std::string usage =
      R"({"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":4}})";
  decoder->inspect(R"({"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}],"usage":null})");
  CHECK(decoder->chunks()[0].usage() == nullptr);
  CHECK(decoder->inspect(R"({"choices":[],"usage":)" + usage + "}") == FrameKind::data);
  REQUIRE(decoder->chunk_count() == 1);
  REQUIRE(decoder->chunks()[0].usage() != nullptr);
  CHECK(decoder->chunks()[0].usage()->prompt_cache_hit_tokens == 4);
  CHECK(decoder->chunks()[0].usage()->prompt_cache_miss_tokens == 6);
  CHECK(decoder->reply().usage->raw.text() == usage);
  CHECK_FALSE(decoder->conclude(true));

  decoder->reset();
  decoder->inspect(
      R"({"choices":null,"usage":{"prompt_tokens":1e3,"completion_tokens":99999999999999999999,"total_tokens":"7"}})");
  CHECK(decoder->reply().usage->prompt_tokens == 1000);
  CHECK(decoder->reply().usage->completion_tokens == 0);
  CHECK(decoder->reply().usage->total_tokens == 0);
}

TEST_CASE("tool calls of servers that are less orderly") {
  SECTION("as DeepSeek sends them, interleaved") {
    const auto got = assembled(
        {calls(R"({"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}})"),
         calls(R"({"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}})"),
         calls(R"({"index":0,"function":{"arguments":"{"}},{"index":1,"function":{"arguments":"[1"}})"),
         calls(R"({"index":1,"function":{"arguments":"]"}})"), calls(R"({"index":0,"function":{"arguments":"}"}})")});
    REQUIRE(got.size() == 2);
    CHECK((got[0].arguments == "{}" && got[1].arguments == "[1]" && got[1].id == "b" && got[1].index == 1));
  }
  SECTION("no index, told apart by id and by name") {
    const auto got = assembled(
        {calls(R"({"id":"a","function":{"name":"f","arguments":"1"}})"), calls(R"({"function":{"arguments":"2"}})"),
         calls(R"({"id":"b","function":{"name":"f","arguments":"3"}})"),
         calls(R"({"id":"a","function":{"arguments":"4"}})"), calls(R"({"id":"","function":{"arguments":"5"}})"),
         calls(R"({"function":{"name":"g"}})")});
    REQUIRE(got.size() == 3);
    CHECK(got[0].arguments == "124");
    CHECK(got[1].arguments == "35");
    CHECK((got[2].name == "g" && got[2].index == 2));
  }
  SECTION("id, type and name repeated, or blank") {
    const auto got =
        assembled({calls(R"({"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"1"}})"),
                   calls(R"({"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"2"}})"),
                   calls(R"({"index":0,"id":"","type":"","function":{"name":"","arguments":"3"}})"),
                   calls(R"({"index":0,"id":null,"type":null,"function":{"name":null,"arguments":null}})")});
    REQUIRE(got.size() == 1);
    CHECK((got[0].arguments == "123" && got[0].id == "a" && got[0].name == "f" && got[0].type == "function"));
  }
  SECTION("every call under index 0") {
    const auto got = assembled({calls(R"({"index":0,"id":"a","function":{"name":"f","arguments":"1"}})"),
                                calls(R"({"index":0,"id":"b","function":{"name":"f","arguments":"2"}})"),
                                calls(R"({"index":0,"function":{"arguments":"3"}})")});
    REQUIRE(got.size() == 2);
    CHECK((got[0].arguments == "1" && got[1].arguments == "23" && got[1].index == 1));
  }
  SECTION("an index out of order, a late name, no array, an empty array, arguments as an object") {
    const auto got = assembled({calls(R"({"index":1,"function":{"arguments":"1"}})"),
                                calls(R"({"index":1,"id":"b","function":{"name":"g"}})"),
                                calls(R"({"index":0,"id":"a","function":{"name":"f","arguments":{"x": [1]}}})"),
                                calls(""), delta(R"("tool_calls":null)"), calls("{}")});
    REQUIRE(got.size() == 2);
    CHECK((got[0].index == 0 && got[0].arguments == R"({"x": [1]})"));
    CHECK((got[1].name == "g" && got[1].id == "b" && got[1].arguments == "1"));
  }
  SECTION("unknown members are kept") {
    const auto got = assembled(
        {calls(R"({"index":0,"id":"a","function":{"name":"f","arguments":"1"},"extra_content":{"sig":"x"}})")});
    CHECK(got[0].extra.text() == R"({"extra_content":{"sig":"x"}})");
  }
}

TEST_CASE("cut and empty arguments at length are handed on as they are") {
  auto decoder = make_reply_decoder(false);
  decoder->inspect(R"({"choices":[{"index":0,"finish_reason":"length","message":{"content":"","tool_calls":[)"
                   R"({"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},)"
                   R"({"index":1,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]})");
  REQUIRE_FALSE(decoder->conclude(true));
  REQUIRE(decoder->reply().tool_calls().size() == 2);
  CHECK(decoder->reply().tool_calls()[1].arguments.empty());
}

TEST_CASE("what this library does not know is kept") {
  auto decoder = make_reply_decoder(true);
  play(*decoder,
       {R"({"id":"i","tier":"a","choices":[{"index":0,"z":1,"delta":{"content":"x","blocks":[{"n":1}],)"
        R"("note":"ab"},"finish_reason":null}]})",
        R"({"id":"i","tier":"b","choices":[{"index":0,"z":2,"delta":{"content":"y","blocks":[{"n":2}],)"
        R"("note":"cd"},"finish_reason":null}]})",
        R"({"id":"i","tier":null,"timings":{"t":1.50},"choices":[{"index":0,"delta":{"blocks":[],"title":"T"},)"
        R"("finish_reason":"stop"}]})"});
  const ChatReply& reply = decoder->reply();
  CHECK(reply.content() == "xy");
  CHECK(reply.extra.text() == R"({"tier":"b","timings":{"t":1.50}})");
  CHECK(reply.choices[0].extra.text() == R"({"z":2})");
  CHECK(reply.message().extra.text() == R"({"blocks":[{"n":1},{"n":2}],"note":"abcd"})");
  CHECK(reply.title == "T");
}

TEST_CASE("reasoning under the name that other servers give it") {
  auto decoder = make_reply_decoder(true);
  const std::string first = delta(R"("content":"","reasoning":"th")");  // the chunk's views lie in it
  CHECK(decoder->inspect(first) == FrameKind::token);
  CHECK(decoder->chunks()[0].reasoning_content() == "th");
  CHECK(decoder->inspect(delta(R"("reasoning":"in","reasoning_content":"in")")) == FrameKind::token);
  CHECK(decoder->inspect(delta(R"("reasoning":"k","reasoning_content":null)")) == FrameKind::token);
  CHECK(decoder->inspect(delta(R"("content":"x","reasoning":null)")) == FrameKind::token);
  decoder->inspect(delta(R"("content":"y","reasoning":"")"));
  const Message& message = decoder->reply().message();
  CHECK(message.reasoning_content == "think");
  CHECK(message.content == "xy");

  auto whole = make_reply_decoder(false);
  whole->inspect(R"({"choices":[{"index":0,"finish_reason":"length","message":{"content":"","reasoning":"only"}}]})");
  CHECK_FALSE(whole->conclude(true));
  CHECK(whole->reply().reasoning_content() == "only");
  CHECK(whole->reply().message().extra.text() == R"({"reasoning":"only"})");
  auto plain = make_reply_decoder(true);
  plain->inspect(delta(R"("content":"x","reasoning":"")"));
  CHECK_FALSE(plain->reply().message().reasoning_content);
}

TEST_CASE("an unknown member that changes between events of one shape") {
  const auto event = [](const char* tier) {
    return std::string(R"({"tier":")") + tier + R"(","choices":[{"index":0,"delta":{"content":"x"}}]})";
  };
  auto decoder = make_reply_decoder(true);
  for (const char* tier : {"a", "a", "a", "b", "b", "a"}) decoder->inspect(event(tier));
  CHECK(decoder->reply().extra.text() == R"({"tier":"a"})");
  CHECK(decoder->reply().content() == "xxxxxx");
}

TEST_CASE("several choices in one frame") {
  auto decoder = make_reply_decoder(true);
  decoder->inspect(R"({"id":"i","choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a",)"
                   R"("tool_calls":[{"index":0,"id":"c"}]}}]})");
  REQUIRE(decoder->chunk_count() == 2);
  CHECK(decoder->chunks()[0].choice() == 1);
  CHECK(decoder->chunks()[0].content() == "b");
  CHECK(decoder->chunks()[0].tool_calls().empty());
  CHECK(decoder->chunks()[1].tool_calls()[0].id == "c");
  CHECK(decoder->chunks()[1].id() == "i");
  decoder->inspect(R"({"id":"i","choices":[{"index":1,"delta":{"content":"c"},"finish_reason":"stop"}]})");
  CHECK(outcome_of(decoder->conclude(true)) == Outcome::truncated);
  CHECK(decoder->reply().choices.size() == 2);
  CHECK(decoder->reply().content() == "a");
}

TEST_CASE("a completion stream") {
  auto decoder = make_reply_decoder(true);
  const auto piece = [](const char* text, const char* finish) {
    return std::string(R"({"id":"i","object":"text_completion","choices":[{"index":0,"text":")") + text +
           R"(","logprobs":null,"finish_reason":)" + finish + "}]}";
  };
  CHECK(decoder->inspect(piece("re", "null")) == FrameKind::token);
  const std::string turn = piece("turn", "null");
  CHECK(decoder->inspect(turn) == FrameKind::token);
  CHECK(decoder->chunks()[0].content() == "turn");
  CHECK_FALSE(play(*decoder, {piece("", "\"stop\""), "[DONE]"}));
  CHECK(decoder->reply().content() == "return");
}

TEST_CASE("content as parts") {
  auto decoder = make_reply_decoder(true);
  decoder->inspect(delta(R"("content":[{"type":"text","text":"a"},{"type":"ref","id":1},"b"])"));
  CHECK(decoder->chunks()[0].content() == "ab");
  decoder->inspect(delta(R"("content":[{"type":"text","text":"c"}])"));
  const Message& message = decoder->reply().message();
  CHECK(message.content == "abc");
  REQUIRE(message.parts.size() == 3);
  CHECK(message.parts[1].raw.text() == R"({"type":"ref","id":1})");
  CHECK(message.parts[2].text == "bc");
}

TEST_CASE("hostile replies stay small") {
  const auto kind_of = [](const std::string& event) { return make_reply_decoder(true)->inspect(event); };
  const auto repeated = [](const std::string& item, int count) {
    std::string text = item;
    for (int i = 1; i < count; ++i) text += "," + item;
    return text;
  };
  CHECK(kind_of(std::string(100000, '[') + std::string(100000, ']')) == FrameKind::malformed);
  CHECK(kind_of(R"({"x":)" + std::string(200, '[') + std::string(200, ']') + "}") == FrameKind::malformed);
  CHECK(kind_of(R"({"x":)" + std::string(50, '[') + std::string(50, ']') + "}") == FrameKind::data);
  CHECK(kind_of(R"({"choices":[)" + repeated("{}", 100000) + "]}") == FrameKind::malformed);
  CHECK(kind_of(calls(repeated(R"({"name":"","id":"x","function":{"name":"n"}})", 5000))) == FrameKind::malformed);
  CHECK(kind_of(delta(R"("content":[)" + repeated(R"({"type":"x"})", 10000) + "]")) == FrameKind::malformed);
  CHECK(kind_of(R"({"created":1e999,"n":-123456789012345678901234567890,"choices":[]})") == FrameKind::data);
  CHECK(kind_of(R"({"created":01})") == FrameKind::malformed);
  CHECK(kind_of(R"({"created":1e})") == FrameKind::malformed);
  CHECK(kind_of(R"({"s":"\ud800","t":"\udc00\ud800x"})") == FrameKind::data);
  CHECK(kind_of(R"({"s":"\ud800","t":01})") == FrameKind::malformed);
  CHECK(kind_of("{\"s\":\"\xed\xa0\x80\"}") == FrameKind::malformed);
  auto decoder = make_reply_decoder(true);
  for (int i = 0; i < 2000; ++i) decoder->inspect(R"({"x)" + std::to_string(i) + R"(":1,"choices":[]})");
  CHECK(json::parse(decoder->reply().extra.view()).size() == 256);
}

TEST_CASE("a copied chunk owns its bytes") {
  ChatChunk copy;
  std::string expected;
  {
    auto decoder = make_reply_decoder(true);
    std::string event =
        R"({"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"a\nb","tool_calls":[{"index":0,"id":"c",)"
        R"("function":{"name":"f","arguments":"\"1\""}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3}})";
    decoder->inspect(event);
    expected = picture(decoder->chunks()[0]);
    copy = decoder->chunks()[0];
    event.assign(event.size(), 'x');
    decoder->inspect(R"({"id":"other","choices":[]})");
  }
  CHECK(picture(copy) == expected);
  const ChatChunk again = copy;
  copy = ChatChunk();
  CHECK(picture(again) == expected);
  CHECK(copy.raw().empty());
}

TEST_CASE("models and balance") {
  const auto list = detail::decode_models(
      R"({"object":"list","data":[{"id":"deepseek-flash","object":"model","owned_by":"deepseek","name":"N",)"
      R"("context_window":1048576,)"
      R"("max_output_tokens":393216,"input_modalities":["text","image"],"output_modalities":["text"],)"
      R"("effort":{"supported_levels":["low","max"],)"
      R"("default_level":"high"},"x":{}},{"id":"b"}]})");
  REQUIRE(list);
  REQUIRE(list->data.size() == 2);
  const Model& model = (*list).data[0];
  CHECK((model.id == "deepseek-flash" && model.owned_by == "deepseek" && model.name == "N" &&
         model.context_window == 1048576));
  CHECK((model.max_output_tokens == 393216 && model.input_modalities.size() == 2 &&
         model.output_modalities[0] == "text"));
  CHECK((model.effort_levels == std::vector<std::string>{"low", "max"} && model.default_effort == "high"));
  CHECK(json::parse(model.raw.view())["x"].is_object());
  CHECK((*list).data[1].raw.text() == R"({"id":"b"})");
  CHECK(detail::decode_models("{").error().code() == ErrorCode::malformed_json);
  CHECK(detail::decode_models(R"({"data":[1]})").error().code() == ErrorCode::schema_mismatch);
  CHECK(detail::decode_models("{}").error().code() == ErrorCode::schema_mismatch);

  const auto balance =
      detail::decode_balance(R"({"is_available":true,"balance_infos":[{"currency":"CNY","total_balance":"110.00",)"
                             R"("granted_balance":"10.00","topped_up_balance":100.5}]})");
  REQUIRE(balance);
  CHECK((*balance).is_available);
  const BalanceInfo& info = (*balance).balance_infos.at(0);
  CHECK((info.currency == "CNY" && info.total_balance == "110.00" && info.granted_balance == "10.00" &&
         info.topped_up_balance == "100.5"));
  CHECK(detail::decode_balance("[]").error().code() == ErrorCode::schema_mismatch);

  auto body = detail::make_body_decoder();
  body->inspect("\n\n{\"data\":[]} ");
  CHECK_FALSE(body->conclude(true));
  CHECK(body->body() == R"({"data":[]})");
  body->reset();
  CHECK(outcome_of(body->conclude(true)) == Outcome::empty);
  body->inspect("{\"da");
  CHECK(outcome_of(body->conclude(false)) == Outcome::truncated);
  CHECK(outcome_of(body->conclude(true)) == Outcome::malformed);
  body->reset();
  CHECK(body->inspect(R"({"error":{"message":"m"}})") == FrameKind::error);
  CHECK(outcome_of(body->conclude(true)) == Outcome::service_error);
}
