// Conversation: the tool loop, what goes back to the service, and what a failure leaves behind.
#include <deepseek/conversation.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "support/catch.hpp"
#include "support/scripted_transport.hpp"

namespace {
struct City {
  std::string city;
};
}  // namespace

template <>
struct deepseek::Schema<City> {
  static constexpr auto fields = std::make_tuple(field("city", &City::city));
};

using namespace deepseek_tests;
using deepseek::ChatReply;
using deepseek::Conversation;
using deepseek::ErrorCode;
using deepseek::Message;
using deepseek::RawJson;
using deepseek::Result;
using deepseek::Tools;

namespace {

nlohmann::json request(const ScriptedClient& scripted, std::size_t index) {
  return nlohmann::json::parse(scripted.transport->requests().at(index));
}

std::string plain_reply(const std::string& text) {
  return reply_body(R"({"role":"assistant","content":)" + quoted(text) + R"(,"reasoning_content":"so"})");
}

struct Weather {
  std::atomic<int> runs{0};
  Tools tools;
  Weather() {
    tools.add("weather", "now", [this](const City& place) { return ++runs, "sunny in " + place.city; });
  }
};

}  // namespace

TEST_CASE("a conversation keeps what came and sends it back") {
  ScriptedClient scripted;
  scripted.transport->answer(plain_reply("Hello"));
  scripted.transport->answer(plain_reply("Again"));
  Conversation talk(scripted.client, {"You are brief."});
  REQUIRE(talk.ask("Hi"));
  REQUIRE(talk.ask("More"));
  REQUIRE(talk.history().size() == 5);
  CHECK(talk.history()[0].role == "system");
  CHECK(talk.history()[2].reasoning_content == "so");
  const auto second = request(scripted, 1);
  CHECK(second["messages"][2] ==
        nlohmann::json::parse(R"({"role":"assistant","content":"Hello","reasoning_content":"so"})"));
  CHECK(second["stream"] == false);
  talk.clear();
  CHECK(talk.history().size() == 1);
}

TEST_CASE("the loop runs tools and returns the answer") {
  ScriptedClient scripted;
  Weather weather;
  scripted.transport->answer(
      reply_body(calls_message({call_json(0, "id1", "weather", R"({"city": "Oslo"})")}, " odd\nbytes "), "tool_calls"));
  scripted.transport->answer(plain_reply("No coat."));
  Conversation talk(scripted.client, {"You are brief."});
  const auto reply = talk.ask("Do I need a coat in Oslo?", weather.tools);
  REQUIRE(reply);
  CHECK(reply->content() == "No coat.");
  CHECK(weather.runs == 1);
  const auto second = request(scripted, 1);
  REQUIRE(second["messages"].size() == 4);
  CHECK(second["messages"][2]["reasoning_content"] == " odd\nbytes ");
  CHECK(second["messages"][2]["tool_calls"][0]["function"]["arguments"] == R"({"city": "Oslo"})");
  CHECK(second["messages"][3]["role"] == "tool");
  CHECK(second["messages"][3]["tool_call_id"] == "id1");
  CHECK(second["messages"][3]["content"] == "sunny in Oslo");
  CHECK(second["tools"].size() == 1);
}

TEST_CASE("turns that had no reasoning get an empty one where the service wants it") {
  ScriptedClient scripted;
  Weather weather;
  const auto with = [&](deepseek::ConversationOptions options, bool tools) {
    scripted.transport->answer(plain_reply("ok"));
    Conversation talk(scripted.client, std::move(options));
    talk.add(Message::user("a"));
    talk.add(Message::assistant("b"));
    REQUIRE(talk.ask("c", tools ? weather.tools : Tools()));
    CHECK_FALSE(talk.history()[1].reasoning_content);  // kept as it was
    return nlohmann::json::parse(scripted.transport->requests().back())["messages"][1];
  };
  CHECK(with({}, true)["reasoning_content"] == "");
  CHECK_FALSE(with({}, false).contains("reasoning_content"));
  deepseek::ConversationOptions off;
  off.thinking = deepseek::thinking::disabled;
  CHECK_FALSE(with(off, true).contains("reasoning_content"));
  deepseek::ConversationOptions none;
  none.reasoning_effort = deepseek::effort::none;
  CHECK_FALSE(with(none, true).contains("reasoning_content"));
}

TEST_CASE("calls of one turn run at the same time, results stand in the order of the calls") {
  ScriptedClient scripted;
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;
  Tools tools;
  tools.add("weather", "", [&](const City& place) -> std::string {
    std::unique_lock<std::mutex> lock(mutex);
    ++arrived;
    changed.notify_all();
    // Each waits for the other: only calls that overlap get through.
    const bool met = changed.wait_for(lock, std::chrono::seconds(20), [&] { return arrived >= 2; });
    return (met ? "met " : "alone ") + place.city;
  });
  scripted.transport->answer(reply_body(
      calls_message({call_json(0, "a", "weather", R"({"city":"A"})"), call_json(1, "b", "weather", R"({"city":"B"})")}),
      "tool_calls"));
  scripted.transport->answer(plain_reply("done"));
  Conversation talk(scripted.client);
  REQUIRE(talk.ask("?", tools));
  CHECK(talk.history()[2].content == "met A");
  CHECK(talk.history()[2].tool_call_id == "a");
  CHECK(talk.history()[3].content == "met B");
}

TEST_CASE("no more calls run at once than allowed") {
  ScriptedClient scripted;
  std::atomic<int> now{0}, most{0};
  Tools tools;
  tools.add("t", "", [&] {
    const int here = ++now;
    int seen = most.load();
    while (seen < here && !most.compare_exchange_weak(seen, here)) {
    }
    std::this_thread::yield();
    --now;
    return "x";
  });
  std::string calls;
  for (int i = 0; i < 40; ++i) calls += (i ? "," : "") + call_json(i, "id" + std::to_string(i), "t", "{}");
  const std::string turn = R"({"role":"assistant","content":"","reasoning_content":"","tool_calls":[)" + calls + "]}";
  deepseek::ConversationOptions options;
  options.max_parallel_tools = GENERATE(1, 2);
  scripted.transport->answer(reply_body(turn, "tool_calls"));
  scripted.transport->answer(plain_reply("done"));
  Conversation talk(scripted.client, options);
  REQUIRE(talk.ask("?", tools));
  CHECK(most <= options.max_parallel_tools);
  CHECK(talk.history().size() == 2 + 40 + 1);
}

TEST_CASE("a call that is not whole or does not fit is told to the model, not run") {
  ScriptedClient scripted;
  Weather weather;
  const char* bad = GENERATE("", "{\"city\":", "[]", "{\"city\":1}", "{\"city\":\"x\",\"more\":1}", "{}");
  scripted.transport->answer(reply_body(calls_message({call_json(0, "a", "weather", bad)}), "tool_calls"));
  SECTION("the model corrects itself") {
    scripted.transport->answer(
        reply_body(calls_message({call_json(0, "b", "weather", R"({"city":"Oslo"})")}), "tool_calls"));
    scripted.transport->answer(plain_reply("fine"));
    Conversation talk(scripted.client);
    REQUIRE(talk.ask("?", weather.tools));
    CHECK(weather.runs == 1);
    const auto told = nlohmann::json::parse(talk.history()[2].content);
    CHECK(told["error"].get<std::string>().rfind("not run: ", 0) == 0);
  }
  SECTION("the model does not") {
    scripted.transport->answer(reply_body(calls_message({call_json(0, "b", "weather", bad)}), "tool_calls"));
    Conversation talk(scripted.client, {"sys"});
    const auto reply = talk.ask("?", weather.tools);
    REQUIRE_FALSE(reply);
    CHECK(reply.error().code() == ErrorCode::schema_mismatch);
    CHECK(reply.error().partial());
    CHECK(weather.runs == 0);
    CHECK(talk.history().size() == 1);
    CHECK(scripted.transport->requests().size() == 2);
  }
}

TEST_CASE("the last call of a turn that was cut off is never run, the whole ones before it are") {
  ScriptedClient scripted;
  Weather weather;
  const char* last = GENERATE("{\"city\":\"B\"}", "{\"city\":\"B", "");
  scripted.transport->answer(reply_body(
      calls_message({call_json(0, "a", "weather", R"({"city":"A"})"), call_json(1, "b", "weather", last)}), "length"));
  scripted.transport->answer(plain_reply("fine"));
  Conversation talk(scripted.client);
  REQUIRE(talk.ask("?", weather.tools));
  CHECK(weather.runs == 1);
  CHECK(talk.history()[2].content == "sunny in A");
  CHECK(talk.history()[3].content.find("cut off") != std::string::npos);
}

TEST_CASE("a tool that does not exist is told to the model once") {
  ScriptedClient scripted;
  Weather weather;
  for (int i = 0; i < 2; ++i)
    scripted.transport->answer(reply_body(calls_message({call_json(0, "a", "wether", "{}")}), "tool_calls"));
  Conversation talk(scripted.client);
  const auto reply = talk.ask("?", weather.tools);
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code() == ErrorCode::tool_failed);
  CHECK(scripted.transport->requests().size() == 2);
}

TEST_CASE("a good call in between forgives a bad one") {
  ScriptedClient scripted;
  Weather weather;
  const auto call = [&](const char* arguments) {
    scripted.transport->answer(reply_body(calls_message({call_json(0, "a", "weather", arguments)}), "tool_calls"));
  };
  call("{}"), call(R"({"city":"A"})"), call("{}"), call(R"({"city":"B"})");
  scripted.transport->answer(plain_reply("fine"));
  Conversation talk(scripted.client);
  REQUIRE(talk.ask("?", weather.tools));
  CHECK(weather.runs == 2);
}

TEST_CASE("a tool that fails tells the model, and the loop goes on") {
  ScriptedClient scripted;
  Tools tools;
  tools.add("fails", "", []() -> Result<std::string> { return deepseek::Error(ErrorCode::io_error, "no \"disk\""); });
  for (int i = 0; i < 3; ++i)
    scripted.transport->answer(reply_body(calls_message({call_json(0, "a", "fails", "{}")}), "tool_calls"));
  scripted.transport->answer(plain_reply("sorry"));
  Conversation talk(scripted.client);
  REQUIRE(talk.ask("?", tools));
  CHECK(talk.history()[2].content == R"({"error":"no \"disk\""})");
}

TEST_CASE("a tool that returns bytes no request can carry does not end the conversation") {
  ScriptedClient scripted;
  Tools tools;
  tools.add("bytes", "", [] { return "\xff\xfe"; });
  scripted.transport->answer(reply_body(calls_message({call_json(0, "a", "bytes", "{}")}), "tool_calls"));
  scripted.transport->answer(plain_reply("sorry"));
  Conversation talk(scripted.client);
  REQUIRE(talk.ask("?", tools));
  CHECK(talk.history()[2].content.find("not UTF-8") != std::string::npos);
}

TEST_CASE("the rounds are bounded") {
  ScriptedClient scripted;
  Weather weather;
  for (int i = 0; i < 3; ++i)
    scripted.transport->answer(
        reply_body(calls_message({call_json(0, "a", "weather", R"({"city":"A"})")}), "tool_calls"));
  deepseek::ConversationOptions options;
  options.max_rounds = 3;
  Conversation talk(scripted.client, options);
  const auto reply = talk.ask("?", weather.tools);
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code() == ErrorCode::too_many_rounds);
  REQUIRE(reply.error().partial());
  CHECK(reply.error().partial()->tool_calls().size() == 1);
  CHECK(weather.runs == 2);  // the last calls are not run: nobody would read their results
  CHECK(talk.history().empty());
}

TEST_CASE("a failed ask leaves the history as it was") {
  ScriptedClient scripted;
  Weather weather;
  scripted.transport->answer(plain_reply("one"));
  scripted.transport->answer(
      reply_body(calls_message({call_json(0, "a", "weather", R"({"city":"A"})")}), "tool_calls"));
  scripted.transport->fail(deepseek::Error(ErrorCode::connection_lost, "gone"));
  Conversation talk(scripted.client);
  REQUIRE(talk.ask("a"));
  CHECK(talk.ask("b", weather.tools).error().code() == ErrorCode::connection_lost);
  CHECK(talk.history().size() == 2);
  CHECK(talk.history().back().content == "one");
}

TEST_CASE("tools that were added wrongly are refused before anything is sent") {
  ScriptedClient scripted;
  Tools tools;
  tools.add("t", "", RawJson("{"), [](const RawJson&) { return ""; });
  Conversation talk(scripted.client);
  CHECK(talk.ask("?", tools).error().code() == ErrorCode::invalid_argument);
  CHECK(scripted.transport->requests().empty());
}

TEST_CASE("calls without an id, or with the same one, are told apart") {
  ScriptedClient scripted;
  Weather weather;
  scripted.transport->answer(reply_body(
      calls_message({call_json(0, "", "weather", R"({"city":"A"})"), call_json(1, "x", "weather", R"({"city":"B"})"),
                     call_json(2, "x", "weather", R"({"city":"C"})")}),
      "tool_calls"));
  scripted.transport->answer(plain_reply("fine"));
  Conversation talk(scripted.client);
  REQUIRE(talk.ask("?", weather.tools));
  const auto& calls = talk.history()[1].tool_calls;
  CHECK(calls[0].id != "");
  CHECK(calls[1].id == "x");
  CHECK(calls[2].id != "x");
  for (std::size_t i = 0; i < 3; ++i) CHECK(talk.history()[2 + i].tool_call_id == calls[i].id);
}

TEST_CASE("without tools the caller answers calls himself") {
  ScriptedClient scripted;
  scripted.transport->answer(reply_body(calls_message({call_json(0, "a", "weather", "{}")}), "tool_calls"));
  scripted.transport->answer(plain_reply("fine"));
  Conversation talk(scripted.client);
  const auto reply = talk.ask("?");
  REQUIRE(reply);
  REQUIRE(reply->tool_calls().size() == 1);
  REQUIRE(talk.ask(Message::tool("a", "rain")));
  CHECK(request(scripted, 1)["messages"][2]["content"] == "rain");
}

TEST_CASE("the streamed ask shows the chunks of every round") {
  ScriptedClient scripted;
  Weather weather;
  scripted.transport->answer(
      {stream_event(R"({"role":"assistant","content":null,"reasoning_content":""})"),
       stream_event(R"({"content":null,"reasoning_content":"hm"})"),
       stream_event(
           R"({"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"weather","arguments":"{\"ci"}}]})"),
       stream_event(R"({"tool_calls":[{"index":0,"function":{"arguments":"ty\":\"Oslo\"}"}}]})"),
       stream_event(R"({"content":""})", "tool_calls"), "[DONE]"});
  scripted.transport->answer({stream_event(R"({"role":"assistant","content":"No "})"),
                              stream_event(R"({"content":"coat."})"), stream_event(R"({"content":""})", "stop"),
                              "[DONE]"});
  Conversation talk(scripted.client);
  std::string text, reasoning;
  const auto caller = std::this_thread::get_id();
  bool here = true;
  const auto reply = talk.ask_stream(
      "coat?",
      [&](const deepseek::ChatChunk& chunk) {
        text += chunk.content();
        reasoning += chunk.reasoning_content();
        here = here && std::this_thread::get_id() == caller;
      },
      weather.tools);
  REQUIRE(reply);
  CHECK(reply->content() == "No coat.");
  CHECK(text == "No coat.");
  CHECK(reasoning == "hm");
  CHECK(here);
  CHECK(talk.history()[1].reasoning_content == "hm");
  CHECK(talk.history()[2].content == "sunny in Oslo");
  CHECK(request(scripted, 0)["stream"] == true);
}

TEST_CASE("an exception of the chunk function passes through and leaves the history as it was") {
  ScriptedClient scripted;
  scripted.transport->answer(
      {stream_event(R"({"role":"assistant","content":"No "})"), stream_event(R"({"content":""})", "stop"), "[DONE]"});
  Conversation talk(scripted.client);
  CHECK_THROWS_AS((void)talk.ask_stream("?", [](const deepseek::ChatChunk&) { throw std::runtime_error("stop"); }),
                  std::runtime_error);
  CHECK(talk.history().empty());
}

TEST_CASE("a cancelled conversation runs no tools") {
  ScriptedClient scripted;
  deepseek::CancelSource source;
  Tools tools;
  int runs = 0;
  tools.add("t", "", [&] { return ++runs, source.cancel(), "x"; });
  scripted.transport->answer(reply_body(calls_message({call_json(0, "a", "t", "{}")}), "tool_calls"));
  Conversation talk(scripted.client);
  deepseek::CallOptions options;
  options.cancel = source.token();
  CHECK(talk.ask("?", tools, options).error().code() == ErrorCode::cancelled);
  CHECK(runs == 1);
  CHECK(talk.history().empty());
}

TEST_CASE("a history survives being saved, byte for byte") {
  ScriptedClient scripted;
  Conversation talk(scripted.client, {"sys"});
  Message turn = Message::assistant("text");
  turn.reasoning_content = "line\n\t\"quoted\" \\ \x7f å 😀";
  turn.tool_calls = {{0, "id", "function", "f", "{\"a\": 1.10}", RawJson("{\"x\":1.10}")}};
  turn.extra = RawJson("{\"blocks\": [1.50, 12345678901234567890123]}");
  turn.prefix = true;
  talk.add(turn);
  talk.add(Message::tool("id", "result"));
  talk.add(Message::user(
      {deepseek::ContentPart::text_part("look"), deepseek::ContentPart::image("https://x/y.png", "low")}));
  Conversation other(scripted.client);
  REQUIRE(other.load(talk.save()));
  REQUIRE(other.history().size() == 4);
  const Message& back = other.history()[1];
  CHECK(back.reasoning_content == turn.reasoning_content);
  CHECK(back.tool_calls[0].arguments == "{\"a\": 1.10}");
  CHECK(back.tool_calls[0].extra == turn.tool_calls[0].extra);
  CHECK(back.extra == turn.extra);
  CHECK(back.prefix);
  CHECK_FALSE(other.history()[2].reasoning_content);
  CHECK(other.history()[3].parts[1].url == "https://x/y.png");
  CHECK(other.save() == talk.save());

  CHECK(other.load(RawJson("{")).error().code() == ErrorCode::malformed_json);
  CHECK(other.load(RawJson(R"({"deepseek_conversation":2,"messages":[]})")).error().code() ==
        ErrorCode::schema_mismatch);
  CHECK(other.history().size() == 4);
}

TEST_CASE("a saved history that is garbage, cut or hostile changes nothing and sends nothing") {
  ScriptedClient scripted;
  Conversation talk(scripted.client, {"sys"});
  const auto refused = [&](const std::string& text) {
    const auto loaded = talk.load(RawJson(text));
    INFO(text.substr(0, 200));
    REQUIRE_FALSE(loaded);
    CHECK((loaded.error().code() == ErrorCode::malformed_json || loaded.error().code() == ErrorCode::schema_mismatch));
    REQUIRE(talk.history().size() == 1);
  };
  Message turn = Message::assistant("text");
  turn.tool_calls = {{0, "id", "function", "f", "{}", RawJson("{}")}};
  Conversation source(scripted.client);
  source.add(turn);
  const std::string good = source.save().text();
  for (std::size_t end = 0; end < good.size(); ++end) refused(good.substr(0, end));
  const std::string start = R"({"deepseek_conversation":1,"messages":)";
  refused(std::string("\0{}", 3));
  refused(good + '\0');
  refused(std::string(1'000'000, '['));
  refused(start + std::string(1'000'000, '[') + std::string(1'000'000, ']') + '}');
  refused(start + R"([{"role":"user","content":1}]})");
  refused(start + R"([{"role":"user"}]})");
  refused(start + "\"\xff\"}");
  refused("{\"deepseek_conversation\":1.5,\"messages\":[]}");
  for (const char* index : {"3000000000", "-3000000000", "1e300", "0.5", "\"0\""}) {
    std::string text = good;
    text.replace(text.find("\"index\":0") + 8, 1, index);
    refused(text);
  }

  // What has the right form is loaded, whatever it says; it cannot add members of its own to a request.
  const auto sent = [&](const std::string& member, const std::string& with) {
    std::string text = good;
    const std::size_t at = text.find(member);
    REQUIRE(at != std::string::npos);
    text.replace(at, member.size(), with);
    INFO(with);
    Conversation hostile(scripted.client);
    REQUIRE(hostile.load(RawJson(text)));
    const auto asked = hostile.ask("hi");
    REQUIRE_FALSE(asked);
    CHECK(asked.error().code() == ErrorCode::invalid_request);
  };
  const std::string no_extra = R"("prefix":false,"extra":"")";
  sent(no_extra, R"("prefix":false,"extra":"{},\"model\":\"x\"")");
  sent(no_extra, R"("prefix":false,"extra":"[1]")");
  sent(no_extra, R"("prefix":false,"extra":"{\"role\":\"system\"}")");
  sent(R"("role":"assistant")", R"("role":"")");
  CHECK(scripted.transport->requests().empty());
}
