// The table of what the service refuses, with its texts.
#include <deepseek/testing/double.hpp>

#include "../support/catch.hpp"
#include "double_socket.hpp"

using namespace double_tests;
using namespace deepseek::test;

namespace {

struct Row {
  const char* name;
  const char* path;
  std::string body;
  const char* message;  ///< the beginning; null: accepted
};

const char* plain = "/chat/completions";
const char* beta = "/beta/chat/completions";

std::string user(const std::string& more, const char* model = "deepseek-flash") {
  return std::string(R"({"model":")") + model + R"(","messages":[{"role":"user","content":"json hi"}])" + more + "}";
}
std::string messages(const std::string& list, const std::string& more = "", const char* model = "deepseek-flash") {
  return std::string(R"({"model":")") + model + R"(","messages":[)" + list + "]" + more + "}";
}
std::string tool(const std::string& name, const std::string& more = "") {
  return R"({"type":"function","function":{"name":")" + name + R"(")" + more + "}}";
}
std::string tools(const std::string& list) { return R"(,"tools":[)" + list + "]"; }
std::string strict(const std::string& schema) {
  return user(tools(tool("f", R"(,"strict":true,"parameters":)" + schema)));
}
std::string many_tools(int count) {
  std::string list;
  for (int i = 0; i < count; ++i) list += (i > 0 ? "," : "") + tool("f" + std::to_string(i));
  return tools(list);
}

const std::string call =
    R"({"role":"assistant","content":"","reasoning_content":"r","tool_calls":[{"id":"call_00_a","type":"function","function":{"name":"f","arguments":"{}"}}]})";
const std::string result = R"({"role":"tool","tool_call_id":"call_00_a","content":"ok"})";
const std::string hi = R"({"role":"user","content":"hi"})";
const char* unreadable = "Failed to deserialize the JSON body into the target type: ";

std::vector<Row> table() {
  return {
      {"plain", plain, user(""), nullptr},
      {"unknown model", plain, user("", "gpt-5"),
       "The supported API model names are deepseek-v4-pro or deepseek-v4-flash, but you passed gpt-5."},
      {"no model", plain, R"({"messages":[]})", unreadable},
      {"no messages", plain, R"({"model":"deepseek-flash"})", unreadable},
      {"empty messages", plain, messages(""), "Empty input messages"},
      {"no JSON", plain, "{", unreadable},
      {"an array", plain, "[]", unreadable},
      {"messages of a wrong type", plain, R"({"model":"deepseek-flash","messages":"hi"})", unreadable},
      {"unknown role", plain, messages(R"({"role":"robot","content":"x"})"),
       "Failed to deserialize the JSON body into the target type: messages[0].role: unknown variant `robot`"},
      {"reminder role", plain, messages(R"({"role":"latest_reminder","content":"2026-11-23,Monday"},)" + hi), nullptr},
      {"temperature", plain, user(R"(,"temperature":2.5)"), "Invalid temperature value"},
      {"temperature as text", plain, user(R"(,"temperature":"1")"), unreadable},
      {"top_p 0", plain, user(R"(,"top_p":0)"), "Invalid top_p value"},
      {"top_p 1", plain, user(R"(,"top_p":1)"), nullptr},
      {"penalty", plain, user(R"(,"presence_penalty":-3)"), "Invalid presence_penalty value"},
      {"max_tokens 0", plain, user(R"(,"max_tokens":0)"), "Invalid max_tokens value"},
      {"max_tokens too large", plain, user(R"(,"max_tokens":393217)"), "Invalid max_tokens value"},
      {"max_tokens at the limit", plain, user(R"(,"max_tokens":393216)"), nullptr},
      {"17 stop words", plain, user(R"(,"stop":["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a"])"),
       "Invalid 'stop'"},
      {"stream of a wrong type", plain, user(R"(,"stream":1)"), unreadable},
      {"stream_options alone", plain, user(R"(,"stream_options":{"include_usage":true})"),
       "The 'stream_options' parameter"},
      {"top_logprobs alone", plain, user(R"(,"top_logprobs":2)"), "Invalid 'top_logprobs'"},
      {"top_logprobs 21", plain, user(R"(,"logprobs":true,"top_logprobs":21)"), "Invalid top_logprobs value"},
      {"bad user_id", plain, user(R"(,"user_id":"a b")"), "Invalid 'user_id': string does not match pattern"},
      {"long user_id", plain, user(R"(,"user_id":")" + std::string(513, 'a') + R"(")"), "Invalid 'user_id'"},
      {"good user_id", plain, user(R"(,"user_id":"a-B_9")"), nullptr},
      {"thinking word", plain, user(R"(,"thinking":{"type":"maybe"})"), unreadable},
      {"thinking of a wrong type", plain, user(R"(,"thinking":{"type":5})"),
       "Failed to deserialize the JSON body into the target type: thinking.type: invalid type: integer `5`"},
      {"thinking of a wrong type beside tools", plain,
       messages(hi + R"(,{"role":"assistant","content":"x"},)" + hi,
                R"(,"thinking":{"type":[]})" + tools(tool("f")) + R"(,"tool_choice":"required")"),
       unreadable},
      {"effort word", plain, user(R"(,"reasoning_effort":"huge")"), unreadable},
      {"effort synonym", plain, user(R"(,"reasoning_effort":"xhigh")"), nullptr},
      {"effort against thinking", plain, user(R"(,"reasoning_effort":"high","thinking":{"type":"disabled"})"),
       "thinking options type cannot be disabled when reasoning_effort is set"},
      {"json_schema format", plain, user(R"(,"response_format":{"type":"json_schema"})"), unreadable},
      {"JSON without the word", plain, messages(hi, R"(,"response_format":{"type":"json_object"})"),
       "Prompt must contain the word 'json'"},
      {"safety word", plain, user(R"(,"safety_check":{"level":"medium"})"), unreadable},
      {"accepted extras", plain,
       user(R"(,"parallel_tool_calls":true,"n":1,"unheard_of":{}})")
           .substr(0, user(R"(,"parallel_tool_calls":true,"n":1,"unheard_of":{}})").size() - 1),
       nullptr},
      // messages
      {"null content", plain, messages(hi + R"(,{"role":"assistant","content":null},)" + hi),
       "content or tool_calls must be set"},
      {"user without content", plain, messages(R"({"role":"user"})"), unreadable},
      {"unknown part", plain, messages(R"({"role":"user","content":[{"type":"input_audio"}]})"),
       "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `input_audio`"},
      {"image", plain,
       messages(R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]})"),
       nullptr},
      {"image to pro", plain,
       messages(R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]})",
                "", "deepseek-v4-pro"),
       "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `image_url`, expected "
       "`text` at line 1 column 84"},
      {"file with both", plain,
       messages(R"({"role":"user","content":[{"type":"file","file_id":"f","file_data":"d"}]})"), "file must have"},
      {"too long", plain, messages(R"({"role":"user","content":")" + std::string(4'400'000, 'x') + R"("})"),
       "This model's maximum context length is 1048565 tokens. However, you requested "},
      // tools
      {"call and result", plain, messages(hi + "," + call + "," + result, tools(tool("f"))), nullptr},
      {"result missing", plain, messages(hi + "," + call + "," + hi, tools(tool("f"))),
       "An assistant message with 'tool_calls' must be followed"},
      {"result at the end missing", plain, messages(hi + "," + call, tools(tool("f"))),
       "An assistant message with 'tool_calls' must be followed"},
      {"result without call", plain, messages(hi + "," + result, tools(tool("f"))),
       "Messages with role 'tool' must be a response"},
      {"result twice", plain, messages(hi + "," + call + "," + result + "," + result, tools(tool("f"))),
       "Messages with role 'tool' must be a response"},
      {"reasoning missing", plain, messages(hi + R"(,{"role":"assistant","content":"yes"},)" + hi, tools(tool("f"))),
       "The `reasoning_content` in the thinking mode must be passed back to the API."},
      {"reasoning empty", plain,
       messages(hi + R"(,{"role":"assistant","content":"yes","reasoning_content":""},)" + hi, tools(tool("f"))),
       nullptr},
      {"reasoning missing, no tools", plain, messages(hi + R"(,{"role":"assistant","content":"yes"},)" + hi), nullptr},
      {"reasoning missing, not thinking", plain,
       messages(hi + R"(,{"role":"assistant","content":"yes"},)" + hi, tools(tool("f")) + no_thinking), nullptr},
      {"forced while thinking", plain, user(tools(tool("f")) + R"(,"tool_choice":"required")"),
       "Thinking mode does not support this tool_choice"},
      {"named while thinking", plain,
       user(tools(tool("f")) + R"(,"tool_choice":{"type":"function","function":{"name":"f"}})"),
       "Thinking mode does not support this tool_choice"},
      {"forced, not thinking", plain, user(tools(tool("f")) + R"(,"tool_choice":"required")" + no_thinking), nullptr},
      {"absent name", plain,
       user(tools(tool("f")) + R"(,"tool_choice":{"type":"function","function":{"name":"g"}})" + no_thinking),
       "Tool 'g'"},
      {"129 tools", plain, user(many_tools(129)), "Invalid 'tools': array too long."},
      {"128 tools", plain, user(many_tools(128)), nullptr},
      {"same name twice", plain, user(tools(tool("f") + "," + tool("f"))), "Tool names must be unique."},
      {"bad name", plain, user(tools(tool("get weather"))),
       "Invalid 'tools[0].function.name': string does not match pattern."},
      {"long name", plain, user(tools(tool(std::string(129, 'f')))), "Invalid 'tools[0].function.name'"},
      {"tool type", plain, user(tools(R"({"type":"browser"})")), unreadable},
      {"server tool", plain, user(tools(R"({"type":"deepseek_web_search"})")), nullptr},
      // beta
      {"prefix without beta", plain, messages(hi + R"(,{"role":"assistant","content":"a","prefix":true})"),
       "The 'prefix' parameter is a beta feature"},
      {"prefix", beta, messages(hi + R"(,{"role":"assistant","content":"a","prefix":true})"), nullptr},
      {"prefix not last", beta, messages(R"({"role":"assistant","content":"a","prefix":true},)" + hi),
       "The message with 'prefix' must be the last"},
      {"strict on plain", plain, strict(R"({"type":"object","properties":{"a":{"type":"string"}}})"), nullptr},
      {"strict", beta,
       strict(
           R"({"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false})"),
       nullptr},
      {"strict, open object", beta, strict(R"({"type":"object","properties":{}})"), "Invalid schema for function 'f'"},
      {"strict, optional", beta,
       strict(R"({"type":"object","properties":{"a":{"type":"string"}},"required":[],"additionalProperties":false})"),
       "Invalid schema for function 'f'"},
      {"strict, minLength", beta,
       strict(
           R"({"type":"object","properties":{"a":{"type":"string","minLength":1}},"required":["a"],"additionalProperties":false})"),
       "Invalid schema for function 'f'"},
      {"strict, date format", beta,
       strict(
           R"({"type":"object","properties":{"a":{"type":"string","format":"date"}},"required":["a"],"additionalProperties":false})"),
       "Invalid schema for function 'f'"},
      {"strict, mixed", beta, user(tools(tool("f", R"(,"strict":true)") + "," + tool("g"))),
       "In strict mode every function"},
      // FIM
      {"FIM without prompt", "/beta/completions", R"({"model":"deepseek-v4-pro"})", unreadable},
      {"FIM logprobs as bool", "/beta/completions", R"({"model":"deepseek-v4-pro","prompt":"x","logprobs":true})",
       unreadable},
      {"FIM", "/beta/completions", R"({"model":"deepseek-v4-pro","prompt":"x","suffix":"y","logprobs":1})", nullptr},
  };
}

}  // namespace

TEST_CASE("what the service refuses, the double refuses in its words") {
  Double server;
  for (const auto& row : table()) {
    INFO(row.name);
    const auto seen = post(server.port(), row.path, row.body);
    if (row.message == nullptr) {
      CHECK(seen.status() == 200);
      if (seen.status() != 200) INFO(seen.body());
      continue;
    }
    REQUIRE(seen.status() == 400);
    CHECK_THAT(seen.error(), Catch::StartsWith(row.message));
    CHECK(seen.json()["error"]["type"] == "invalid_request_error");
    // As recorded: what the JSON reader refuses is application/json, the rest is not.
    const bool by_reader = seen.error().find("Failed to deserialize") == 0;
    CHECK(seen.header("Content-Type") == (by_reader ? "application/json" : "application/octet-stream"));
  }
}

TEST_CASE("no request, however broken, gets a stream instead of an error, or none at all") {
  Double server;
  for (const std::string body :
       {"null", "1", R"({"model":1,"messages":{}})", R"({"model":"deepseek-flash","messages":[null]})",
        R"({"model":"deepseek-flash","messages":[{"role":1}]})",
        R"({"model":"deepseek-flash","messages":[{"role":"assistant","content":"","tool_calls":[{}]}]})",
        R"({"model":"deepseek-flash","messages":[{"role":"user","content":"x"}],"tools":[1],"stream":true})",
        R"({"model":"deepseek-flash","messages":[{"role":"user","content":"x"}],"tool_choice":7,"stream":true})"}) {
    INFO(body);
    const auto seen = chat(server.port(), body);
    CHECK(seen.status() == 400);
    CHECK_FALSE(seen.error().empty());
  }
  DoubleOptions options;
  options.check_requests = false;
  Double careless(options);
  for (
      const std::string body :
      {R"({"messages":[1,{"content":5}],"tools":[{"function":3}],"title":4})",
       R"({"messages":{"a":1},"tools":{"b":2},"tool_choice":{"function":7},"thinking":{"type":1}})",
       R"({"messages":[{"role":4,"content":"x"}],"max_tokens":-5,"response_format":{"type":3}})",
       R"({"messages":[{"role":"user","content":[{"text":1},2]}],"stream":true,"stream_options":{"include_usage":1}})",
       R"({"messages":[{"role":"user","content":"x"}],"title":{"enabled":"yes"},"tool_choice":{"function":{"name":1}}})",
       R"({"messages":[{"role":"user","content":"x"}],"tools":[{"function":3},{"function":{"name":4}},5]})",
       R"({"messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"f","parameters":{"properties":{
            "a":{"minLength":1e300},"b":{"type":"integer","minimum":1e300},
            "c":{"minItems":1e300,"items":{"format":7}}}}}}]})"}) {
    INFO(body);
    CHECK(chat(careless.port(), body).status() == 200);
  }
}

TEST_CASE("an unchecked request gets no more log probabilities than a checked one may ask for") {
  DoubleOptions options;
  options.check_requests = false;
  Double careless(options);
  for (const auto& [asked, given] :
       {std::pair("100000000", 20u), {"18446744073709551615", 20u}, {"-1", 0u}, {"3", 3u}}) {
    INFO(asked);
    const auto seen = chat(careless.port(), user(R"(,"logprobs":true,"top_logprobs":)" + std::string(asked)));
    REQUIRE(seen.status() == 200);
    CHECK(seen.json()["choices"][0]["logprobs"]["content"][0]["top_logprobs"].size() == given);
  }
}

TEST_CASE("keys") {
  Double any;
  for (const std::string header : {"", "Authorization: Bearer \r\n", "Authorization: Basic abc\r\n"}) {
    Peer peer(any.port());
    peer.post("/chat/completions", ask(true), header);
    const auto seen = peer.read();
    CHECK(seen.status() == 401);
    CHECK(seen.json()["error"]["type"] == "authentication_error");
    CHECK(seen.json()["error"]["code"] == "invalid_request_error");
  }
  DoubleOptions options;
  options.key = "sk-right";
  Double one(options);
  Peer peer(one.port());
  peer.get("/models", "Authorization: Bearer sk-wrong-key\r\n");
  CHECK(peer.read().error() == "Authentication Fails, Your api key: ****-key is invalid");
  peer.get("/models", "Authorization: Bearer sk-right\r\n");
  CHECK(peer.read().status() == 200);
}

TEST_CASE("a request nested too deep to be walked is refused, and the double goes on") {
  Double server;
  const std::string open(300'000, '['), close(300'000, ']'), deep = open + close;
  const std::string start = R"({"model":"deepseek-flash","messages":[{"role":"user","content":"x")";
  for (const std::string& body :
       {start + ",\"z\":" + deep + "}]}", start + "}],\"tools\":" + deep + '}', deep, R"({"messages":)" + open,
        start + R"(}],"response_format":{"type":"json_object"}})"}) {
    const auto seen = chat(server.port(), body);
    CHECK((seen.status() == 400 || seen.status() == 200));
  }
  // A schema in a prompt is looked for only so long and only so deep.
  std::string braces;
  for (int i = 0; i < 100'000; ++i) braces += R"({\"a\":)";
  const std::string prompt = R"({"model":"deepseek-flash","response_format":{"type":"json_object"},)"
                             R"("messages":[{"role":"user","content":"json )";
  CHECK(chat(server.port(), prompt + braces + R"("}]})").status() == 200);
  CHECK(chat(server.port(), prompt + braces + '1' + std::string(100'000, '}') + R"("}]})").status() == 200);
  CHECK(chat(server.port(), ask(false)).status() == 200);
}
