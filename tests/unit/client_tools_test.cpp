// Tools: what may be added, what is run and what never is; the JSON Schema checker behind it.
#include <deepseek/detail/json_schema.hpp>
#include <deepseek/tools.hpp>

#include <stdexcept>

#include "support/catch.hpp"

namespace {

struct Sum {
  int a = 0;
  std::optional<int> b;
};
struct Total {
  int total = 0;
};

std::string plain_function(const Sum& sum) { return std::to_string(sum.a); }

}  // namespace

template <>
struct deepseek::Schema<Sum> {
  static constexpr auto fields = std::make_tuple(field("a", &Sum::a), field("b", &Sum::b));
};
template <>
struct deepseek::Schema<Total> {
  static constexpr auto fields = std::make_tuple(field("total", &Total::total));
};

using deepseek::ErrorCode;
using deepseek::RawJson;
using deepseek::Result;
using deepseek::Tools;

TEST_CASE("a tool may return text, JSON, a struct, or a Result of these") {
  Tools tools;
  tools.add("result", "", [](const Sum& sum) -> Result<std::string> { return std::to_string(sum.a); })
      .add("text", "", [](Sum sum) { return std::to_string(sum.a + 1); })
      .add("words", "", [] { return "fixed"; })
      .add("raw", "", [](const Sum&) { return RawJson("[1]"); })
      .add("made", "", [](const Sum& sum) { return Total{sum.a + sum.b.value_or(0)}; })
      .add("made_result", "", [](const Sum&) -> Result<Total> { return Total{9}; })
      .add("function", "", plain_function)
      .add("pointer", "", &plain_function)
      .add("std_function", "", std::function<std::string(const Sum&)>(plain_function))
      .add("described", "", RawJson(R"({"type":"object"})"), [](const RawJson& json) { return json.text(); });
  REQUIRE(tools.status());
  const RawJson arguments(R"({"a":3,"b":4})");
  CHECK(tools.call("result", arguments).value() == "3");
  CHECK(tools.call("text", arguments).value() == "4");
  CHECK(tools.call("words", RawJson("{}")).value() == "fixed");
  CHECK(tools.call("raw", arguments).value() == "[1]");
  CHECK(tools.call("made", arguments).value() == R"({"total":7})");
  CHECK(tools.call("made_result", arguments).value() == R"({"total":9})");
  CHECK(tools.call("function", arguments).value() == "3");
  CHECK(tools.call("pointer", arguments).value() == "3");
  CHECK(tools.call("std_function", arguments).value() == "3");
  CHECK(tools.call("described", arguments).value() == arguments.text());
}

TEST_CASE("a tool is not run with arguments that do not fit") {
  int runs = 0;
  Tools tools;
  tools.add("typed", "", [&](const Sum&) { return ++runs, "ran"; });
  tools.add("empty", "", [&] { return ++runs, "ran"; });
  tools.add("described", "", RawJson(R"({"type":"object","required":["x"]})"),
            [&](const RawJson&) { return ++runs, "ran"; });
  for (const char* name : {"typed", "empty", "described"}) {
    INFO(name);
    CHECK(tools.call(name, RawJson("")).error().code() == ErrorCode::malformed_json);
    CHECK(tools.call(name, RawJson("{\"a\":")).error().code() == ErrorCode::malformed_json);
    CHECK(tools.call(name, RawJson("[]")).error().code() == ErrorCode::schema_mismatch);
  }
  CHECK(tools.call("typed", RawJson("{}")).error().code() == ErrorCode::schema_mismatch);
  CHECK(tools.call("described", RawJson("{}")).error().code() == ErrorCode::schema_mismatch);
  CHECK(tools.call("nobody", RawJson("{}")).error().code() == ErrorCode::tool_failed);
  CHECK(runs == 0);
}

TEST_CASE("what a tool throws becomes an error") {
  Tools tools;
  tools.add("throws", "", []() -> std::string { throw std::runtime_error("the disk is full"); });
  tools.add("throws_int", "", []() -> std::string { throw 1; });
  const auto failed = tools.call("throws", RawJson("{}"));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code() == ErrorCode::tool_failed);
  CHECK(failed.error().message() == "the disk is full");
  CHECK(tools.call("throws_int", RawJson("{}")).error().code() == ErrorCode::tool_failed);
}

TEST_CASE("definitions are in the order of adding; strict changes the schemas") {
  Tools tools;
  tools.add("b", "second letter", [](const Sum&) { return ""; });
  tools.add("a", "first letter", [] { return ""; });
  tools.add(deepseek::Tool::server("deepseek_web_search"));
  auto list = tools.definitions();
  REQUIRE(list.size() == 3);
  CHECK(list[0].name == "b");
  CHECK(list[0].description == "second letter");
  CHECK(list[0].parameters == deepseek::schema_of<Sum>());
  CHECK_FALSE(list[0].strict);
  CHECK(list[1].parameters.empty());
  CHECK(list[2].raw.text().find("deepseek_web_search") != std::string::npos);

  Tools same = tools;  // copies share one set
  same.strict();
  list = tools.definitions();
  CHECK(list[0].strict == true);
  CHECK(list[0].parameters == deepseek::schema_of<Sum>(true));
  CHECK_FALSE(list[2].strict);
}

TEST_CASE("the first mistake in adding is kept") {
  const auto run = [](const RawJson&) { return ""; };
  Tools twice;
  twice.add("a", "", [] { return ""; }).add("a", "", [] { return ""; }).add("b", "", RawJson("{"), run);
  REQUIRE_FALSE(twice.status());
  CHECK(twice.status().error().code() == ErrorCode::invalid_argument);
  CHECK(twice.status().error().message() == "tool \"a\": added twice");

  for (const char* schema :
       {"", "{", "[]", "1", R"({"type":"string"})", R"({})", R"({"type":"objekt"})",
        R"({"type":"object","properties":[]})", R"({"type":"object","required":"a"})",
        R"({"type":"object","properties":{"a":{"$ref":"#/$defs/none"}}})",
        R"({"type":"object","properties":{"a":{"$ref":"http://x/"}}})", R"({"type":"object","patternProperties":{}})",
        R"({"type":"object","if":{}})", R"({"type":"object","properties":{"a":{"pattern":"("}}})",
        R"({"type":"object","properties":{"a":{"minLength":-1}}})"}) {
    INFO(schema);
    Tools tools;
    tools.add("t", "", RawJson(schema), run);
    REQUIRE_FALSE(tools.status());
    CHECK(tools.status().error().code() == ErrorCode::invalid_argument);
    CHECK(tools.definitions().empty());
  }
}

// --- the checker ---

namespace {
struct Sample {
  const char* schema;
  std::vector<const char*> good;
  std::vector<const char*> bad;
};
}  // namespace

TEST_CASE("schemas given as JSON are checked") {
  const std::vector<Sample> samples = {
      {"true", {"1", "null"}, {}},
      {"false", {}, {"1", "null"}},
      {R"({"type":"integer"})", {"1", "-1", "1.0"}, {"1.5", "\"1\"", "true", "null"}},
      {R"({"type":"number"})", {"1", "1.5"}, {"\"1\"", "[]"}},
      {R"({"type":["string","null"]})", {"\"\"", "null"}, {"0", "{}"}},
      {R"({"enum":["a",1,null,{"k":[1]}]})",
       {"\"a\"", "1", "1.0", "null", R"({"k":[1]})"},
       {"\"b\"", "2", R"({"k":[2]})"}},
      {R"({"const":3})", {"3"}, {"4", "\"3\""}},
      {R"({"minimum":1,"maximum":3})", {"1", "3", "\"x\""}, {"0", "3.1"}},
      {R"({"exclusiveMinimum":1,"exclusiveMaximum":3})", {"2"}, {"1", "3"}},
      {R"({"multipleOf":0.1})", {"0.3", "1"}, {"0.35"}},
      {R"({"minLength":2,"maxLength":3})", {"\"åø\"", "\"abc\""}, {"\"å\"", "\"abcd\""}},
      {R"({"pattern":"^[A-Z]{2}\\d+$"})", {"\"AB1\"", "5"}, {"\"AB\"", "\"xAB1\"", "\"AB1x\""}},
      {R"({"items":{"type":"integer"},"minItems":1,"maxItems":2,"uniqueItems":true})",
       {"[1]", "[1,2]"},
       {"[]", "[1,2,3]", "[\"a\"]", "[1,1]"}},
      {R"({"properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false})",
       {R"({"a":1})", "7"},
       {"{}", R"({"a":"x"})", R"({"a":1,"b":2})"}},
      {R"({"additionalProperties":{"type":"string"}})", {R"({"x":"y"})"}, {R"({"x":1})"}},
      {R"({"minProperties":1,"maxProperties":2})", {R"({"a":1})"}, {"{}", R"({"a":1,"b":1,"c":1})"}},
      {R"({"anyOf":[{"type":"string"},{"minimum":5}]})", {"\"a\"", "5"}, {"4"}},
      {R"({"oneOf":[{"minimum":5},{"maximum":10}]})", {"4", "11"}, {"7"}},
      {R"({"allOf":[{"minimum":5},{"maximum":10}]})", {"7"}, {"4", "11"}},
      {R"({"not":{"type":"string"}})", {"1"}, {"\"a\""}},
      {R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"integer"}}})", {"1"}, {"\"a\""}},
      {R"({"properties":{"next":{"$ref":"#"}},"additionalProperties":false})",
       {R"({"next":{"next":{}}})"},
       {R"({"next":{"nxt":{}}})"}},
      {R"({"type":"string","format":"email","title":"t","description":"d","default":1,"examples":[1]})",
       {"\"x\""},
       {"1"}},
  };
  for (const Sample& sample : samples) {
    INFO(sample.schema);
    const auto schema = deepseek::detail::JsonSchema::compile(RawJson(sample.schema));
    REQUIRE(schema);
    for (const char* json : sample.good) {
      INFO(json);
      CHECK(schema->check(json));
    }
    for (const char* json : sample.bad) {
      INFO(json);
      const Result<void> checked = schema->check(json);
      REQUIRE_FALSE(checked);
      CHECK(checked.error().code() == ErrorCode::schema_mismatch);
    }
  }
}

TEST_CASE("a mismatch names the place") {
  const auto schema = deepseek::detail::JsonSchema::compile(
      RawJson(R"({"type":"object","properties":{"list":{"type":"array","items":{"enum":["a"]}}}})"));
  REQUIRE(schema);
  CHECK(schema->check(R"({"list":["a","b"]})").error().message() == "$.list[1]: expected one of \"a\"");
  CHECK(schema->check(R"({"list":1})").error().message() == "$.list: expected array, got a number");
}

TEST_CASE("a schema that multiplies itself costs a bounded time") {
  for (const char* text : {R"({"$ref":"#"})", R"({"not":{"$ref":"#"}})", R"({"anyOf":[{"$ref":"#"},{"$ref":"#"}]})",
                           R"({"oneOf":[{"$ref":"#"},true]})"}) {
    INFO(text);
    const auto schema = deepseek::detail::JsonSchema::compile(RawJson(text));
    REQUIRE(schema);
    CHECK_FALSE(schema->check("1"));
  }
}

TEST_CASE("the work of a pattern is summed over all strings of the arguments") {
  const auto schema = deepseek::detail::JsonSchema::compile(
      RawJson(R"({"type":"array","items":{"type":"string","pattern":"^((a?){400}a){3}$"}})"));
  REQUIRE(schema);
  CHECK(schema->check(R"(["aaa","aaaa"])"));
  // Each of them alone is far below what one pattern may cost.
  std::string many = "[";
  for (int i = 0; i < 20'000; ++i) many += (i ? ",\"" : "\"") + std::string(50, 'a') + '"';
  const auto checked = schema->check(many + ']');
  REQUIRE_FALSE(checked);
  CHECK(checked.error().message().find("too expensive") != std::string::npos);
  // What could not be told apart must not pass for the opposite.
  const auto none =
      deepseek::detail::JsonSchema::compile(RawJson(R"({"items":{"not":{"pattern":"^((a?){400}a){3}$"}}})"));
  REQUIRE(none);
  CHECK_FALSE(none->check(many + ']'));
  // A cheap pattern over many strings is no expense.
  const auto plain = deepseek::detail::JsonSchema::compile(RawJson(R"({"items":{"pattern":"^a+$"}})"));
  CHECK(plain->check(many + ']'));
}

TEST_CASE("patterns match like ECMA regular expressions") {
  using deepseek::detail::match_pattern;
  using deepseek::detail::PatternMatch;
  struct Row {
    const char* pattern;
    std::vector<const char*> yes, no;
  };
  const std::vector<Row> rows = {
      {"", {"", "x"}, {}},
      {"b", {"abc"}, {"ac"}},
      {"^ab*$", {"a", "abbb"}, {"ba", "abc"}},
      {"^(?:ab|c)+$", {"ab", "abc", "cab"}, {"", "a"}},
      {"^a?b{2,3}$", {"abb", "bbb"}, {"ab", "bbbb"}},
      {"^a{2}$", {"aa"}, {"a", "aaa"}},
      {"^a{1,}$", {"a", "aaaa"}, {""}},
      {"^[a-c\\-]+$", {"a-c"}, {"d"}},
      {"^[^a]$", {"b", "å"}, {"a", "bb"}},
      {"^\\d\\D\\w\\W\\s\\S$", {"1a_- x"}, {"11_- x"}},
      {"^.$", {"x", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}, {"", "\n", "xy"}},
      {"\\bcat\\b", {"a cat.", "cat"}, {"concat"}},
      {"^\\x41\\u00e5$", {"A\xC3\xA5"}, {"a"}},
      {"^(a*)*$", {"", "aaa"}, {"b"}},
      {"^(?<year>\\d{4})$", {"2026"}, {"26"}},
      {"^a|b$", {"ax", "xb"}, {"xax"}},
      {"a+?", {"aaa"}, {"b"}},
      {"^\\$\\.$", {"$."}, {"$x"}},
  };
  for (const Row& row : rows) {
    for (const char* text : row.yes) {
      INFO(row.pattern << " on " << text);
      CHECK(match_pattern(row.pattern, text) == PatternMatch::yes);
    }
    for (const char* text : row.no) {
      INFO(row.pattern << " on " << text);
      CHECK(match_pattern(row.pattern, text) == PatternMatch::no);
    }
  }
  for (const char* pattern : {"(", ")", "[", "[b-a]", "*", "a**", "(?=a)", "(?!a)", "(?<=a)", "(a)\\1", "\\p{L}", "\\",
                              "a{3,2}", "((a{100}){100}){100}", "a{99999}", "\\u12"}) {
    INFO(pattern);
    CHECK(match_pattern(pattern, "a") == PatternMatch::unsupported);
  }
  CHECK(match_pattern("^(a+)+$", std::string(20000, 'a') + "b") == PatternMatch::no);  // no exponential backtracking
  CHECK(match_pattern("^(.|\\n)*$", std::string(100000, 'a')) == PatternMatch::yes);   // no recursion on the text
}
