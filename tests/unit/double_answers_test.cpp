// What a double answers without a script: the service's form, byte for byte where it is known.
#include <deepseek/testing/double.hpp>

#include "../support/catch.hpp"
#include "double_socket.hpp"

using namespace double_tests;
using namespace deepseek::test;

namespace {

std::string with_messages(const std::string& messages, const std::string& more = "") {
  return R"({"model":"deepseek-flash","messages":[)" + messages + "]" + more + "}";
}
const std::string user_hi = R"({"role":"user","content":"hi"})";

std::vector<std::string> keys(const Json& value) {
  std::vector<std::string> names;
  for (const auto& item : value.items()) names.push_back(item.key());
  return names;
}

}  // namespace

TEST_CASE("a thinking stream has the recorded form") {
  Double server;
  const auto seen = chat(server.port(), ask(true, R"(,"stream_options":{"include_usage":true})"));
  CHECK(seen.header("Content-Type") == "text/event-stream; charset=utf-8");
  CHECK(seen.header("x-ds-trace-id").size() == 32);
  const auto events = seen.events();
  REQUIRE(events.size() > 4);
  CHECK(seen.chunks().size() == events.size());
  CHECK(
      events[0].find(
          R"("choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":""},"logprobs":null,"finish_reason":null}],"usage":null})") !=
      std::string::npos);
  CHECK(events[1].find(R"("delta":{"content":null,"reasoning_content":"The"})") != std::string::npos);
  const auto last = Json::parse(events[events.size() - 2]);
  CHECK(last["choices"][0]["delta"].dump() == R"({"content":"","reasoning_content":null})");
  CHECK(last["choices"][0]["finish_reason"] == "stop");
  const auto& usage = last["usage"];
  CHECK(usage["prompt_tokens"] ==
        usage["prompt_cache_hit_tokens"].get<int>() + usage["prompt_cache_miss_tokens"].get<int>());
  CHECK(usage["total_tokens"] == usage["prompt_tokens"].get<int>() + usage["completion_tokens"].get<int>());
  CHECK(usage["completion_tokens_details"]["reasoning_tokens"].get<int>() > 0);
  CHECK(events.back() == "[DONE]");
  CHECK(seen.deltas("content") == "You said: hi");
  CHECK_FALSE(seen.deltas("reasoning_content").empty());
  for (const auto& event : events) {
    if (event != "[DONE]") CHECK(Json::parse(event)["id"] == last["id"]);
  }
}

TEST_CASE("without thinking there is no reasoning, and without include_usage no usage key before the end") {
  Double server;
  for (const std::string off : {R"(,"thinking":{"type":"disabled"})", R"(,"reasoning_effort":"none")"}) {
    const auto seen = chat(server.port(), ask(true, off));
    CHECK_FALSE(seen.has("reasoning"));
    const auto events = seen.events();
    CHECK(events[0].find(R"("delta":{"role":"assistant","content":""})") != std::string::npos);
    CHECK_FALSE(Json::parse(events[0]).contains("usage"));
    CHECK(Json::parse(events[events.size() - 2]).contains("usage"));
  }
}

TEST_CASE("a body has the recorded form") {
  Double server;
  const auto seen = chat(server.port(), ask(false));
  CHECK(seen.header("Content-Type") == "application/json");
  const auto reply = seen.json();
  CHECK(reply["object"] == "chat.completion");
  CHECK(reply["id"].get<std::string>().size() == 36);
  CHECK(reply["choices"][0]["finish_reason"] == "stop");
  CHECK(keys(reply["choices"][0]["message"]) == std::vector<std::string>{"content", "reasoning_content", "role"});
  const auto plain = chat(server.port(), ask(false, no_thinking)).json();
  CHECK_FALSE(plain["choices"][0]["message"].contains("reasoning_content"));
  CHECK_FALSE(plain["usage"].contains("completion_tokens_details"));
}

TEST_CASE("aliases answer under the name of what serves them") {
  Double server;
  const auto body = R"({"model":"deepseek-v4-flash","messages":[{"role":"user","content":"x"}]})";
  CHECK(chat(server.port(), body).json()["model"] == "deepseek-flash");
}

TEST_CASE("the paths of the service, and 404 elsewhere") {
  Double server;
  for (const auto* path : {"/chat/completions", "/v1/chat/completions", "/beta/chat/completions"}) {
    CHECK(post(server.port(), path, ask(false)).status() == 200);
  }
  for (const auto* path : {"/beta/completions", "/completions", "/v1/completions"}) {
    CHECK(post(server.port(), path, R"({"model":"deepseek-v4-pro","prompt":"def add(a, b):"})").status() == 200);
  }
  for (const auto* path : {"/models", "/v1/models", "/user/balance", "/v1/user/balance"}) {
    Peer peer(server.port());
    peer.get(path);
    CHECK(peer.read().status() == 200);
  }
  for (const auto* path : {"/", "/beta/files", "/v2/models", "/chat/completions"}) {
    Peer peer(server.port());
    peer.get(path);
    const auto seen = peer.read();
    CHECK(seen.status() == 404);
    CHECK_FALSE(seen.error().empty());
  }
}

TEST_CASE("models and balance") {
  Double server;
  Peer peer(server.port());
  peer.get("/models");
  CHECK(peer.read().json()["data"].size() == 2);
  peer.get("/user/balance");
  CHECK(peer.read().json()["balance_infos"][0]["total_balance"] == "110.00");
}

TEST_CASE("a tool is called with arguments of its schema, and its result is told") {
  Double server;
  const std::string tools =
      R"(,"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"unit":{"type":"string","enum":["celsius","fahrenheit"]},"days":{"type":"integer","minimum":2}},"required":["city","unit","days"]}}}])";
  const auto reply = chat(server.port(), with_messages(user_hi, tools)).json();
  const auto& call = reply["choices"][0]["message"]["tool_calls"][0];
  CHECK(reply["choices"][0]["finish_reason"] == "tool_calls");
  CHECK(reply["choices"][0]["message"]["content"] == "");
  CHECK(call["index"] == 0);
  CHECK(call["function"]["arguments"] == R"({"city": "Oslo", "unit": "celsius", "days": 2})");
  CHECK_THAT(call["id"].get<std::string>(), Catch::StartsWith("call_00_"));

  const auto stream = chat(server.port(), with_messages(user_hi, tools + R"(,"stream":true)"));
  std::string arguments;
  int heads = 0;
  for (const auto& event : stream.events()) {
    const auto value = Json::parse(event, nullptr, false);
    if (!value.is_object()) continue;
    const auto& delta = value["choices"][0]["delta"];
    if (!delta.contains("tool_calls")) continue;
    if (delta["tool_calls"][0].contains("id")) ++heads;
    arguments += delta["tool_calls"][0]["function"]["arguments"].get<std::string>();
  }
  CHECK(heads == 1);
  CHECK(Json::parse(arguments)["city"] == "Oslo");

  auto message = reply["choices"][0]["message"];
  const auto told =
      chat(server.port(), with_messages(user_hi + "," + message.dump() + R"(,{"role":"tool","tool_call_id":")" +
                                            call["id"].get<std::string>() + R"(","content":"rain, 4 degrees"})",
                                        tools));
  CHECK(told.json()["choices"][0]["message"]["content"] == "The tool answered: rain, 4 degrees");
  const auto none = chat(server.port(), with_messages(user_hi, tools + R"(,"tool_choice":"none")"));
  CHECK(none.json()["choices"][0]["message"]["content"] == "You said: hi");
}

TEST_CASE("JSON mode answers an object, one that fits a schema in the prompt") {
  Double server;
  const std::string json = R"(,"response_format":{"type":"json_object"},"thinking":{"type":"disabled"})";
  const auto plain = chat(server.port(), with_messages(R"({"role":"user","content":"json please"})", json)).json();
  CHECK(Json::parse(plain["choices"][0]["message"]["content"].get<std::string>()).is_object());
  const Json system = {
      {"role", "system"},
      {"content",
       R"(Answer in json like {this}, by this schema: {"type":"object","properties":{"name":{"type":"string"},)"
       R"("size":{"type":"number"},"tags":{"type":"array","items":{"type":"string"}}},"required":["name","tags"]})"}};
  const auto fitted = chat(server.port(), with_messages(system.dump() + "," + user_hi, json)).json();
  const auto value = Json::parse(fitted["choices"][0]["message"]["content"].get<std::string>());
  CHECK(value["name"].is_string());
  CHECK(value["tags"].is_array());
}

TEST_CASE("FIM and prefix completion continue") {
  Double server;
  const auto fim = post(server.port(), "/beta/completions",
                        R"({"model":"deepseek-v4-pro","prompt":"def add(a, b):\n    ","suffix":"\n"})");
  CHECK(fim.json()["object"] == "text_completion");
  CHECK(fim.json()["choices"][0]["text"] == "return a + b");
  const auto echo = post(server.port(), "/beta/completions",
                         R"({"model":"deepseek-v4-pro","prompt":"x = ","echo":true,"logprobs":2})");
  CHECK(echo.json()["choices"][0]["text"] == "x = return a + b");
  CHECK(echo.json()["choices"][0]["logprobs"]["tokens"].size() > 1);
  const auto stream =
      post(server.port(), "/beta/completions", R"({"model":"deepseek-v4-pro","prompt":"x","stream":true})");
  CHECK(stream.events().back() == "[DONE]");
  CHECK(stream.has(R"("text":"return")"));

  const auto prefixed = [&](const std::string& prefix) {
    const auto message = Json{{"role", "assistant"}, {"content", prefix}, {"prefix", true}};
    return post(server.port(), "/beta/chat/completions",
                with_messages(user_hi + "," + message.dump(), R"(,"stop":["```"])"))
        .json()["choices"][0]["message"]["content"];
  };
  CHECK(prefixed("You said") == ": hi");
  CHECK(prefixed("```python\n") == "print(\"Hello\")\n");
}

TEST_CASE("limits, stop sequences, log probabilities, title") {
  Double server;
  const auto content = [](const Seen& seen) { return seen.json()["choices"][0]; };
  auto choice = content(chat(server.port(), ask(false, R"(,"thinking":{"type":"disabled"},"stop":[" said"])")));
  CHECK(choice["message"]["content"] == "You");
  CHECK(choice["finish_reason"] == "stop");
  choice = content(chat(server.port(), ask(false, R"(,"thinking":{"type":"disabled"},"max_tokens":1)")));
  CHECK(choice["message"]["content"] == "You");
  CHECK(choice["finish_reason"] == "length");
  choice = content(chat(server.port(), ask(false, R"(,"max_tokens":3)")));
  CHECK(choice["message"]["content"] == "");
  CHECK(choice["finish_reason"] == "length");
  choice = content(chat(server.port(), ask(false, R"(,"logprobs":true,"top_logprobs":2)")));
  CHECK(choice["logprobs"]["content"][0]["top_logprobs"].size() == 2);
  CHECK_FALSE(choice["logprobs"]["reasoning_content"].empty());
  choice = content(chat(server.port(), ask(false, R"(,"title":{"enabled":true})")));
  CHECK_FALSE(choice["message"]["title"].get<std::string>().empty());
  CHECK_FALSE(chat(server.port(), ask(true, R"(,"title":{"enabled":true})")).deltas("title").empty());
}

TEST_CASE("the prompt cache is seen in usage, apart for each user") {
  Double server;
  const auto message = Json{{"role", "user"}, {"content", std::string(4000, 'x')}}.dump();
  const auto hit = [&](const std::string& more) {
    return chat(server.port(), with_messages(message, more)).json()["usage"]["prompt_cache_hit_tokens"].get<int>();
  };
  CHECK(hit("") == 0);
  const auto second = hit("");
  CHECK(second >= 896);
  CHECK(second % 128 == 0);
  CHECK(hit(R"(,"user_id":"someone")") == 0);
}

TEST_CASE("scripted turns: reasoning, text, several calls, finish reasons, usage apart") {
  Double server;
  server.script({think("Let me see", "Both").call_tool("a", R"({"x": 1})").call_tool("b"),
                 call_tool("a", R"({"x": )").finish_reason("length"), think("only reasoning", ""),
                 say("x").finish_reason("insufficient_system_resource"), say("x").usage_chunk_separate(),
                 say("{}").leading_blanks(3).model("other").title("T")});
  auto choice = chat(server.port(), ask(false)).json()["choices"][0];
  CHECK(choice["message"]["content"] == "Both");
  CHECK(choice["message"]["reasoning_content"] == "Let me see");
  REQUIRE(choice["message"]["tool_calls"].size() == 2);
  CHECK(choice["message"]["tool_calls"][1]["function"]["arguments"] == "{}");
  CHECK_THAT(choice["message"]["tool_calls"][1]["id"].get<std::string>(), Catch::StartsWith("call_01_"));
  CHECK(choice["finish_reason"] == "tool_calls");
  choice = chat(server.port(), ask(false)).json()["choices"][0];
  CHECK(choice["message"]["tool_calls"][0]["function"]["arguments"] == R"({"x": )");
  CHECK(choice["finish_reason"] == "length");
  choice = chat(server.port(), ask(false)).json()["choices"][0];
  CHECK(choice["message"]["content"] == "");
  CHECK(choice["message"]["reasoning_content"] == "only reasoning");
  CHECK(chat(server.port(), ask(false)).json()["choices"][0]["finish_reason"] == "insufficient_system_resource");
  const auto events = chat(server.port(), ask(true)).events();
  CHECK(Json::parse(events[events.size() - 2])["choices"].empty());
  CHECK(Json::parse(events[events.size() - 2]).contains("usage"));
  const auto last = chat(server.port(), ask(false)).json();
  CHECK(last["choices"][0]["message"]["content"] == "   {}");
  CHECK(last["model"] == "other");
}

TEST_CASE("content replies wait for chat requests, and refused requests do not use them up") {
  Double server;
  server.script({say("kept")});
  Peer peer(server.port());
  peer.get("/models");
  CHECK(peer.read().status() == 200);
  CHECK(chat(server.port(), "{").status() == 400);
  CHECK(server.script_left() == 1);
  CHECK(chat(server.port(), ask(false)).json()["choices"][0]["message"]["content"] == "kept");
  server.script({say("anyway").unchecked()});
  CHECK(chat(server.port(), R"({"messages":[]})").status() == 200);
  server.script({status(500)});
  peer.get("/models");
  CHECK(peer.read().status() == 500);
}

TEST_CASE("large bodies arrive, also after Expect: 100-continue and in chunks") {
  Double server;
  const auto body = with_messages(Json{{"role", "user"}, {"content", std::string(3'000'000, 'y')}}.dump());
  Peer peer(server.port());
  peer.send("POST /chat/completions HTTP/1.1\r\nAuthorization: Bearer k\r\nExpect: 100-continue\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n");
  const auto go_on = peer.read(200ms);
  CHECK(go_on.bytes == "HTTP/1.1 100 Continue\r\n\r\n");
  peer.send(body);
  CHECK(peer.read().status() == 200);
  CHECK(server.requests().at(0).body.size() == body.size());
  const auto small = ask(false);
  peer.send("POST /chat/completions HTTP/1.1\r\nAuthorization: Bearer k\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" +
            small.substr(0, 5) + "\r\n" +
            [&] {
              char text[16];
              std::snprintf(text, sizeof text, "%zx", small.size() - 5);
              return std::string(text);
            }() +
            "\r\n" + small.substr(5) + "\r\n0\r\n\r\n");
  CHECK(peer.read().status() == 200);
  CHECK(server.requests().at(1).body == small);

  Peer liar(server.port());
  liar.send("POST /chat/completions HTTP/1.1\r\nContent-Length: 60000000\r\n\r\n");
  CHECK(liar.read().status() == 413);
  Peer odd(server.port());
  odd.send("hello\r\n\r\n");
  CHECK(odd.read().status() == 400);
}
