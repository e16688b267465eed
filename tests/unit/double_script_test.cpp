// Script files say what the builder says.
#include <deepseek/testing/double.hpp>

#include "../support/catch.hpp"
#include "double_socket.hpp"

using namespace double_tests;
using namespace deepseek::test;

TEST_CASE("a script file plays like the builder's replies") {
  Double server;
  auto replies = parse_script(R"([
    {"think": "hm", "say": "Hello", "times": 2},
    {"call_tool": [{"name": "f", "arguments": {"a": 1, "b": "x"}}, {"name": "g"}]},
    {"call_tool": {"name": "f", "arguments": "{\"cut"}, "finish_reason": "length"},
    {"status": 429, "message": "slow down", "retry_after": 3},
    {"status": 503, "retry_after_ms": 20, "octet_stream": true},
    {"raw_body": "<html>", "status": 502, "content_type": "text/html", "headers": {"X-A": "b"}},
    {"raw_stream": "data: 1\n\ndata: [DONE]\n\n"},
    {"say": "x", "cut_after_bytes": 25},
    {"say": "x", "error_in_band": {"index": 0, "message": "broken"}},
    {"faithful": true, "model": "m"},
    {"garbage": "??"}
  ])");
  REQUIRE(replies.has_value());
  REQUIRE(replies->size() == 12);
  server.script(*std::move(replies));
  for (int i = 0; i < 2; ++i) {
    const auto message = chat(server.port(), ask(false)).json()["choices"][0]["message"];
    CHECK(message["content"] == "Hello");
    CHECK(message["reasoning_content"] == "hm");
  }
  auto choice = chat(server.port(), ask(false)).json()["choices"][0];
  CHECK(choice["message"]["tool_calls"][0]["function"]["arguments"] == R"({"a": 1, "b": "x"})");
  CHECK(choice["message"]["tool_calls"][1]["function"]["arguments"] == "{}");
  choice = chat(server.port(), ask(false)).json()["choices"][0];
  CHECK(choice["message"]["tool_calls"][0]["function"]["arguments"] == "{\"cut");
  CHECK(choice["finish_reason"] == "length");
  auto seen = chat(server.port(), ask(false));
  CHECK(seen.status() == 429);
  CHECK(seen.header("Retry-After") == "3");
  CHECK(seen.error() == "slow down");
  seen = chat(server.port(), ask(false));
  CHECK(seen.status() == 503);
  CHECK(seen.header("retry-after-ms") == "20");
  CHECK(seen.header("Content-Type") == "application/octet-stream");
  seen = chat(server.port(), ask(false));
  CHECK(seen.status() == 502);
  CHECK(seen.header("X-A") == "b");
  CHECK(seen.body() == "<html>");
  CHECK(chat(server.port(), ask(true)).body() == "data: 1\n\ndata: [DONE]\n\n");
  CHECK(chat(server.port(), ask(true)).bytes.size() == 25);
  CHECK(chat(server.port(), ask(true)).has("broken"));
  CHECK(chat(server.port(), ask(false)).json()["model"] == "m");
  CHECK(chat(server.port(), ask(false)).bytes == "??");
}

TEST_CASE("one reply a line, and one alone") {
  auto lines = parse_script("{\"say\": \"a\"}\n\n{\"drop\": true}\n");
  REQUIRE(lines.has_value());
  CHECK(lines->size() == 2);
  CHECK(parse_script("{\"say\": \"a\"}").value().size() == 1);
  CHECK(parse_script("[]").value().empty());
}

TEST_CASE("what is wrong with a script is named") {
  const std::pair<const char*, const char*> rows[] = {
      {R"([{"say": "a"}, {"say": "a", "pase": 1}])", "reply 2 has an unknown word \"pase\""},
      {R"([{"say": 1}])", "needs a text"},
      {R"([{"say": "a", "pace": -1}])", "\"pace\" needs a number from 0"},
      {R"([{"say": "a", "drip": {"bytes": 1}}])", "\"drip\" needs \"every\""},
      {R"([{"raw_body_file": "does-not-exist"}])", "cannot read does-not-exist"},
      {R"([{"call_tool": {}}])", "needs \"name\""},
      {R"(["say"])", "is not an object"},
      {"{\"say\"", "is not JSON"},
      {R"([{"status": 7}])", "\"status\" is no HTTP status"},
      {R"([{"say": "a", "unchecked": 1}])", "needs true or false"},
      {R"([{"status": 4294967496}])", "\"status\" is no HTTP status"},
      {R"([{"say": "a", "headers": ["x"]}])", "\"headers\" needs an object"},
      {R"([{"say": "a", "huge_event": 1000000000000000000}])", "\"huge_event\" needs a number up to"},
      {R"([{"say": "a", "keep_alive": {"every": 1, "total": 1000000000}}])", "too many keep-alives"},
      {R"([{"say": "a", "times": 900000}, {"say": "b", "times": 900000}])", "\"times\" is too large"},
      {R"([{"raw_body_file": "/"}])", "cannot read /"},
      {R"([{"say": "a"}, {"say": "a", "drip": {"bytes": 1, "every": 1}, "huge_event": 30000000}])",
       "reply 2 would be sent in more than 1000000 pieces"},
      {R"([{"say": "a", "huge_event": 2147483648, "chunk_sizes": [4096, 0]}])", "in more than 1000000 pieces"},
      {R"([{"say": "a", "huge_event": 2147483648, "drip": {"bytes": 2000, "every": 0}}])", "more than 1000000 pieces"},
  };
  for (const auto& [text, words] : rows) {
    INFO(text);
    const auto replies = parse_script(text);
    REQUIRE_FALSE(replies.has_value());
    CHECK(std::string(replies.error().message()).find(words) != std::string::npos);
  }
}

TEST_CASE("a script may ask for large events, and for many pieces") {
  CHECK(parse_script(R"([{"say": "a", "huge_event": 1000000, "drip": {"bytes": 2, "every": 1}}])"));
  CHECK(parse_script(R"([{"say": "a", "huge_event": 2147483648, "chunk_sizes": [1, 65536]}])"));
  CHECK(parse_script(R"([{"say": "a", "huge_event": 2147483648}])"));
}

TEST_CASE("a script that is garbage, or too deep to walk, is refused") {
  const std::string deep(200'000, '['), back(200'000, ']');
  for (const std::string& text : {"[{\"call_tool\":{\"name\":\"f\",\"arguments\":" + deep + back + "}}]", deep + back,
                                  deep, std::string(1000, '\0'), std::string("\xff\xfe"), std::string("[")}) {
    INFO(text.substr(0, 60));
    CHECK_FALSE(parse_script(text));
  }
}

TEST_CASE("a looped script begins again") {
  DoubleOptions options;
  options.loop_script = true;
  Double server(options);
  server.script({say("a"), say("b")});
  std::string all;
  for (int i = 0; i < 5; ++i)
    all += chat(server.port(), ask(false)).json()["choices"][0]["message"]["content"].get<std::string>();
  CHECK(all == "ababa");
}

TEST_CASE("replies are values") {
  const auto first = say("a");
  auto second = first;
  second.cut_after_bytes(5);
  Double server;
  server.script({first, second, first});
  CHECK(chat(server.port(), ask(false)).status() == 200);
  CHECK(chat(server.port(), ask(false)).bytes.size() == 5);
  CHECK(chat(server.port(), ask(false)).status() == 200);
}
