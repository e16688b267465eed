// Requests on their way to JSON text.
#include <deepseek/model/detail/codec.hpp>

#include <limits>
#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/shared_data.hpp"

using namespace deepseek;
using detail::encode;
using nlohmann::json;

namespace {

ChatRequest hello() {
  ChatRequest request;
  request.messages = {Message::user("hi")};
  return request;
}

std::string encoded(const ChatRequest& request, bool stream = false) { return encode(request, "m", stream).value(); }

std::string problem(const ChatRequest& request) {
  const auto result = encode(request, "m", true);
  REQUIRE_FALSE(result);
  REQUIRE(result.error().code() == ErrorCode::invalid_request);
  REQUIRE(result.error().outcome() == Outcome::refused);
  return result.error().message();
}

}  // namespace

TEST_CASE("the smallest request") {
  CHECK(encoded(hello()) == R"({"model":"m","messages":[{"role":"user","content":"hi"}],"stream":false})");
  CHECK(encoded(hello(), true) == R"({"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true})");
}

TEST_CASE("every field, in a fixed order") {
  ChatRequest r;
  r.model = "deepseek-flash";
  r.messages = {
      Message::system("s"),
      Message::user({ContentPart::text_part("t"), ContentPart::image("https://x/y.png", "low"),
                     ContentPart::file("file-api-1"), ContentPart::inline_file("data:image/png;base64,AA", "a.png")}),
      Message::assistant(""), Message::tool("call_00_a", "21"), Message::assistant("```")};
  r.messages[0].name = "n";
  r.messages[2].reasoning_content = "";
  r.messages[2].tool_calls = {
      ToolCall{0, "call_00_a", "function", "weather", "{\"city\": \"Rome\"}", RawJson(R"({"x":1})")}};
  r.messages[2].extra = RawJson(R"({"blocks":[{"type":"server","n":1.0}]})");
  r.messages[4].prefix = true;
  r.thinking = thinking::enabled;
  r.reasoning_effort = effort::low;
  r.max_tokens = 393216;
  r.response_format = "json_object";
  r.stop = {"a", "b\n"};
  r.include_usage = true;
  r.temperature = 0.1;
  r.top_p = 1;
  r.tools = {Tool{"weather", "d", RawJson(R"({"type":"object"})"), true, {}}, Tool::server("deepseek_web_search")};
  r.tool_choice = ToolChoice{"", "weather"};
  r.logprobs = true;
  r.top_logprobs = 20;
  r.user_id = "u-1";
  r.frequency_penalty = -2;
  r.presence_penalty = 0.5;
  r.safety_check = "high";
  r.title = true;
  r.extra = RawJson(" {\"seed\":7, \"x\":{\"y\":[1,2]}} ");
  CHECK(encoded(r, true) ==
        R"({"model":"deepseek-flash","messages":[{"role":"system","content":"s","name":"n"},)"
        R"({"role":"user","content":[{"type":"text","text":"t"},{"type":"image_url",)"
        R"("image_url":{"url":"https://x/y.png","detail":"low"}},)"
        R"({"type":"file","file_id":"file-api-1"},{"type":"file","file_data":"data:image/png;base64,AA",)"
        R"("filename":"a.png"}]},)"
        R"({"role":"assistant","content":"","reasoning_content":"","tool_calls":[{"id":"call_00_a","type":"function",)"
        R"("function":{"name":"weather","arguments":"{\"city\": \"Rome\"}"},"x":1}],"blocks":[{"type":"server",)"
        R"("n":1.0}]},)"
        R"({"role":"tool","content":"21","tool_call_id":"call_00_a"},{"role":"assistant","content":"```",)"
        R"("prefix":true}],)"
        R"("thinking":{"type":"enabled"},"reasoning_effort":"low","max_tokens":393216,)"
        R"("response_format":{"type":"json_object"},)"
        R"("stop":["a","b\n"],"stream":true,"stream_options":{"include_usage":true},"temperature":0.1,"top_p":1,)"
        R"("tools":[{"type":"function","function":{"name":"weather","description":"d",)"
        R"("parameters":{"type":"object"},"strict":true}},)"
        R"({"type":"deepseek_web_search"}],"tool_choice":{"type":"function","function":{"name":"weather"}},)"
        R"("logprobs":true,)"
        R"("top_logprobs":20,"user_id":"u-1","frequency_penalty":-2,"presence_penalty":0.5,)"
        R"("safety_check":{"level":"high"},)"
        R"("title":{"enabled":true},"seed":7,"x":{"y":[1,2]}})");
  CHECK(encoded(r).find("stream_options") == std::string::npos);
}

TEST_CASE("text is escaped as little as JSON allows") {
  ChatRequest r = hello();
  r.messages[0].content = std::string("a\0b\x1f\"\\\n\r\t/", 10) + "\xC3\xBC\xF0\x9F\x98\x80\x7f";
  const std::string text = encoded(r);
  CHECK(text.find(R"("a\u0000b\u001f\"\\\n\r\t/)"
                  "\xC3\xBC\xF0\x9F\x98\x80\x7f\"") != std::string::npos);
  CHECK(json::parse(text)["messages"][0]["content"] == r.messages[0].content);
}

TEST_CASE("numbers are the shortest that read back the same") {
  ChatRequest r = hello();
  for (const double value :
       {0.1, 1e-7, 1.0 / 3, 2.0, std::numeric_limits<double>::denorm_min(), 1.7976931348623157e308}) {
    r.temperature = value;
    CHECK(json::parse(encoded(r))["temperature"].get<double>() == value);
  }
  r.temperature = std::numeric_limits<double>::infinity();
  CHECK(problem(r) == "temperature is not a finite number");
  r.temperature = std::nan("");
  CHECK(problem(r) == "temperature is not a finite number");
}

TEST_CASE("what is wrong is named by its path and never by its text") {
  ChatRequest r = hello();
  r.messages.push_back(Message::user("secret \xC3("));
  CHECK(problem(r) == "messages[1].content is not valid UTF-8");
  r.messages[1] = Message::user(std::vector{ContentPart::text_part("ok"), ContentPart::text_part("\xff")});
  CHECK(problem(r) == "messages[1].parts[1].text is not valid UTF-8");
  r.messages[1] = Message::assistant("");
  r.messages[1].tool_calls = {ToolCall{0, "i", "function", "n", "\xed\xa0\x80", {}}};
  CHECK(problem(r) == "messages[1].tool_calls[0].arguments is not valid UTF-8");
  r = hello();
  r.stop = {"a", "\x80"};
  CHECK(problem(r) == "stop[1] is not valid UTF-8");
  r = hello();
  r.tools = {Tool{"n", "", RawJson("[]"), {}, {}}};
  CHECK(problem(r) == "tools[0].parameters is not a JSON object");
  r.tools = {Tool{"n", "", RawJson("{\"a\":}"), {}, {}}};
  CHECK(problem(r) == "tools[0].parameters is not a JSON object");
  r.tools = {Tool{"", "", {}, {}, RawJson("7")}};
  CHECK(problem(r) == "tools[0].raw is not a JSON object");
  r = hello();
  r.messages[0].parts = {ContentPart{"video", "", "", "", "", "", "", {}}};
  CHECK(problem(r).find("messages[0].parts[0].raw is empty") == 0);
}

TEST_CASE("extra members are merged and never repeat a field") {
  ChatRequest r = hello();
  for (const char* bad : {R"({"stream":true})", R"({"model":"x"})", R"({"a":1,"a":2})", R"({"mod\u0065l":"x"})"}) {
    r.extra = RawJson(bad);
    CHECK(problem(r).find("a second time") != std::string::npos);
  }
  for (const char* bad : {"[]", "{", "\"x\"", "{}{}", "{\"a\":1,}", "{'a':1}", "{\"a\":\"\xff\"}"}) {
    r.extra = RawJson(bad);
    CHECK(problem(r) == "extra is not a JSON object");
  }
  r.extra = RawJson(std::string(5000, '[') + std::string(5000, ']'));
  CHECK(problem(r) == "extra is not a JSON object");
  r.extra = RawJson(R"({"temperature":1.50,"big":123456789012345678901234567890})");
  CHECK(encoded(r).find(R"(,"temperature":1.50,"big":123456789012345678901234567890})") != std::string::npos);
  r.temperature = 1;
  CHECK(problem(r) == "extra has the member \"temperature\" a second time");
  r = hello();
  r.extra = RawJson("{}");
  CHECK(encoded(r) == encoded(hello()));
  r.messages[0].extra = RawJson(R"({"content":"x"})");
  CHECK(problem(r) == "messages[0].extra has the member \"content\" a second time");
}

TEST_CASE("an unknown part goes as it is") {
  ChatRequest r = hello();
  ContentPart part;
  part.type = "video";
  part.raw = RawJson(R"({"type":"video","v":[1, 2]})");
  r.messages[0].parts = {part};
  CHECK(encoded(r).find(R"("content":[{"type":"video","v":[1, 2]}])") != std::string::npos);
}

TEST_CASE("a completion request") {
  CompletionRequest r;
  r.prompt = "def f(";
  CHECK(encode(r, false).value() == R"({"model":"deepseek-v4-pro","prompt":"def f(","stream":false})");
  r.model = "m";
  r.suffix = "return";
  r.max_tokens = 1;
  r.temperature = 0;
  r.top_p = 0.5;
  r.stop = {"\n\n"};
  r.include_usage = false;
  r.echo = true;
  r.logprobs = 3;
  r.frequency_penalty = 1;
  r.presence_penalty = 2;
  r.extra = RawJson(R"({"seed":1})");
  CHECK(encode(r, true).value() ==
        R"({"model":"m","prompt":"def f(","suffix":"return","max_tokens":1,"stop":["\n\n"],"stream":true,)"
        R"("stream_options":{"include_usage":false},"temperature":0,"top_p":0.5,"echo":true,"logprobs":3,)"
        R"("frequency_penalty":1,"presence_penalty":2,"seed":1})");
  r.prompt = "\xff";
  CHECK(encode(r, true).error().message() == "prompt is not valid UTF-8");
}

TEST_CASE("where a request goes") {
  using Base = Operation::Base;
  ChatRequest r = hello();
  CHECK(detail::operation_of(r, true).base == Base::plain);
  CHECK(detail::operation_of(r, true).stream);
  CHECK(detail::operation_of(r, false).path == "/chat/completions");
  r.tools = {Tool{"a", "", {}, false, {}}};
  CHECK(detail::operation_of(r, true).base == Base::plain);
  r.tools[0].strict = true;
  CHECK(detail::operation_of(r, true).base == Base::beta_if_deepseek);
  r.messages.push_back(Message::assistant("x"));
  r.messages.back().prefix = true;
  CHECK(detail::operation_of(r, true).base == Base::beta_only);
  CHECK(detail::operation_of(CompletionRequest(), false).path == "/completions");
  CHECK(detail::operation_of(CompletionRequest(), false).base == Base::beta_if_deepseek);
  CHECK(detail::balance_operation().base == Base::host_root);
  CHECK(detail::balance_operation().path == "/user/balance");
  CHECK(detail::models_operation().method == "GET");
}

TEST_CASE("a received turn goes back as it came") {
  auto decoder = detail::make_reply_decoder(false);
  const std::string turn =
      R"({"role":"assistant","content":"","reasoning_content":"why\nnot","tool_calls":[{"id":"call_00_a",)"
      R"("type":"function",)"
      R"("function":{"name":"f","arguments":"{\"a\": 1"},"sig":"x"}],"blocks":[{"type":"server_tool","n":1.50,)"
      R"("u":"\u00fc"}],"audio":null})";
  decoder->inspect(R"({"id":"1","choices":[{"index":0,"finish_reason":"tool_calls","message":)" + turn + "}]}");
  REQUIRE_FALSE(decoder->conclude(true));
  ChatRequest r;
  r.messages = {decoder->reply().message()};
  CHECK(encoded(r) == R"({"model":"m","messages":[)" + turn + R"(],"stream":false})");
}

TEST_CASE("parts of an answer go back as they came") {
  auto decoder = detail::make_reply_decoder(false);
  const std::string parts =
      R"([{"type":"text","text":"a"},{"type":"citation","url":"u"},{"type":"text","text":"b","x":1}])";
  decoder->inspect(R"({"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":)" + parts + "}}]}");
  REQUIRE_FALSE(decoder->conclude(true));
  CHECK(decoder->reply().content() == "ab");
  ChatRequest r;
  r.messages = {decoder->reply().message()};
  CHECK(encoded(r) == R"({"model":"m","messages":[{"role":"assistant","content":)" + parts + R"(}],"stream":false})");
}
