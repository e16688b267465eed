// Schema<T>: what is derived from a list of fields, and chat_as on top of it.
#include <deepseek/interop/nlohmann.hpp>
#include <deepseek/schema.hpp>

#include <cmath>
#include <map>

#include "support/catch.hpp"
#include "support/scripted_transport.hpp"

namespace {

struct Place {
  std::string city;
  std::optional<std::string> unit;
};

struct Inner {
  std::int8_t small = 0;
  std::uint16_t natural = 0;
};

struct Everything {
  bool flag = false;
  std::int64_t big = 0;
  double real = 0;
  std::vector<std::string> words;
  std::vector<Inner> inners;
  std::map<std::string, int> counts;
  std::optional<Inner> maybe;
};

struct Node {
  std::string name;
  std::vector<Node> children;
};

struct Nothing {};

}  // namespace

template <>
struct deepseek::Schema<Place> {
  static constexpr auto fields = std::make_tuple(field("city", &Place::city).describe("City and country"),
                                                 field("unit", &Place::unit).one_of("celsius", "fahrenheit"));
};
template <>
struct deepseek::Schema<Inner> {
  static constexpr auto fields =
      std::make_tuple(field("small", &Inner::small), field("natural", &Inner::natural).minimum(2).maximum(10));
};
template <>
struct deepseek::Schema<Everything> {
  static constexpr auto fields = std::make_tuple(
      field("flag", &Everything::flag), field("big", &Everything::big), field("real", &Everything::real).maximum(1.5),
      field("words", &Everything::words).one_of("a", "b"), field("inners", &Everything::inners),
      field("counts", &Everything::counts), field("maybe", &Everything::maybe));
};
template <>
struct deepseek::Schema<Node> {
  static constexpr auto fields = std::make_tuple(field("name", &Node::name), field("children", &Node::children));
};
template <>
struct deepseek::Schema<Nothing> {
  static constexpr auto fields = std::make_tuple();
};

using namespace deepseek_tests;
using deepseek::ErrorCode;
using deepseek::from_json;
using deepseek::schema_of;
using deepseek::to_json;

TEST_CASE("schema_of writes the members, what is required and what is allowed") {
  CHECK(
      schema_of<Place>().text() ==
      R"({"type":"object","properties":{"city":{"type":"string","description":"City and country"},)"
      R"("unit":{"type":"string","enum":["celsius","fahrenheit"]}},"required":["city"],"additionalProperties":false})");
  CHECK(schema_of<Place>(true).text() ==
        R"({"type":"object","properties":{"city":{"type":"string","description":"City and country"},)"
        R"("unit":{"anyOf":[{"type":"string","enum":["celsius","fahrenheit"]},{"type":"null"}]}},)"
        R"("required":["city","unit"],"additionalProperties":false})");
  CHECK(
      schema_of<Inner>().text() ==
      R"({"type":"object","properties":{"small":{"type":"integer"},"natural":{"type":"integer","minimum":2,"maximum":10}},)"
      R"("required":["small","natural"],"additionalProperties":false})");
  CHECK(schema_of<Nothing>().text() ==
        R"({"type":"object","properties":{},"required":[],"additionalProperties":false})");
}

TEST_CASE("schema_of stops at a struct that holds itself") {
  CHECK(schema_of<Node>().text() ==
        R"({"type":"object","properties":{"name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#"}}},)"
        R"("required":["name","children"],"additionalProperties":false})");
  const auto tree = from_json<Node>(R"({"name":"a","children":[{"name":"b","children":[]}]})");
  REQUIRE(tree);
  CHECK(tree->children.at(0).name == "b");
}

TEST_CASE("every schema is JSON") {
  for (bool strict : {false, true}) {
    for (const deepseek::RawJson& schema :
         {schema_of<Place>(strict), schema_of<Everything>(strict), schema_of<Node>(strict)}) {
      CHECK(deepseek::interop::to_nlohmann(schema));
    }
  }
}

TEST_CASE("from_json reads what fits") {
  const auto place = from_json<Place>(" {\"city\": \"Oslo, \\u00e5\", \"unit\": null}\n");
  REQUIRE(place);
  CHECK(place->city == "Oslo, å");
  CHECK_FALSE(place->unit);

  const auto all = from_json<Everything>(
      R"({"flag":true,"big":-9223372036854775808,"real":1,"words":["b","a"],"inners":[{"small":-128,"natural":2.0}],
          "counts":{"x":1,"y":2},"maybe":{"small":0,"natural":10}})");
  REQUIRE(all);
  CHECK(all->big == std::numeric_limits<std::int64_t>::min());
  CHECK(all->words == std::vector<std::string>{"b", "a"});
  CHECK(all->inners.at(0).small == -128);
  CHECK(all->inners.at(0).natural == 2);
  CHECK(all->counts.at("y") == 2);
  REQUIRE(all->maybe);
  CHECK(all->maybe->natural == 10);
  CHECK(from_json<Nothing>("{}"));
}

namespace {
struct Refused {
  std::string json;
  std::string message;
};
template <class T>
void check_refused(const Refused& refused, ErrorCode code = ErrorCode::schema_mismatch) {
  INFO(refused.json);
  const auto read = from_json<T>(refused.json);
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == code);
  CHECK(read.error().message() == refused.message);
}
}  // namespace

TEST_CASE("from_json names the place and what was expected, never the text") {
  for (const Refused& refused : std::vector<Refused>{
           {R"({})", "$.city: expected a string, got nothing"},
           {R"([])", "$: expected an object, got an array"},
           {R"({"city":1})", "$.city: expected a string, got a number"},
           {R"({"city":null})", "$.city: expected a string, got null"},
           {R"({"city":"x","unit":"kelvin"})", R"($.unit: expected one of "celsius", "fahrenheit")"},
           {R"({"city":"x","more":1})", "$: has a member that the schema does not know"},
       }) {
    check_refused<Place>(refused);
  }
  for (const Refused& refused : std::vector<Refused>{
           {R"({"small":128,"natural":3})", "$.small: expected an integer of -128 to 127"},
           {R"({"small":-129,"natural":3})", "$.small: expected an integer of -128 to 127"},
           {R"({"small":1.5,"natural":3})", "$.small: expected an integer"},
           {R"({"small":1e300,"natural":3})", "$.small: expected an integer"},
           {R"({"small":true,"natural":3})", "$.small: expected an integer, got a boolean"},
           {R"({"small":1,"natural":-1})", "$.natural: expected an integer of 0 to 65535"},
           {R"({"small":1,"natural":1})", "$.natural: expected at least 2"},
           {R"({"small":1,"natural":11})", "$.natural: expected at most 10"},
       }) {
    check_refused<Inner>(refused);
  }
  const std::string head = R"({"flag":true,"big":1,"real":)";
  check_refused<Everything>({head + R"(1.6,"words":[],"inners":[],"counts":{}})", "$.real: expected at most 1.5"});
  check_refused<Everything>(
      {head + R"(1,"words":["a","c"],"inners":[],"counts":{}})", R"($.words[1]: expected one of "a", "b")"});
  check_refused<Everything>({head + R"(1,"words":[],"inners":[{"small":1,"natural":2},{"small":"s"}],"counts":{}})",
                             "$.inners[1].small: expected an integer, got a string"});
  check_refused<Everything>(
      {head + R"(1,"words":[],"inners":[],"counts":{"k":"v"}})", "$.counts.k: expected an integer, got a string"});
}

TEST_CASE("from_json refuses what is not JSON, and what is too deep to walk") {
  check_refused<Place>({R"({"city":"x")", "not valid JSON"}, ErrorCode::malformed_json);
  check_refused<Place>({"", "not valid JSON"}, ErrorCode::malformed_json);
  check_refused<Place>({"{\"city\":\"\xff\"}", "not valid JSON"}, ErrorCode::malformed_json);
  check_refused<Place>({R"({"city":"x"} x)", "not valid JSON"}, ErrorCode::malformed_json);
  std::string deep(100000, '[');
  check_refused<Place>({deep, "JSON nested more than 64 levels deep"}, ErrorCode::malformed_json);
}

TEST_CASE("to_json writes what from_json reads") {
  Everything all;
  all.flag = true;
  all.big = std::numeric_limits<std::int64_t>::max();
  all.real = 0.1;
  all.words = {"a"};
  all.inners = {{1, 2}};
  all.counts = {{"quote\" \n", 3}};
  const deepseek::RawJson json = to_json(all);
  CHECK(json.text() == R"({"flag":true,"big":9223372036854775807,"real":0.1,"words":["a"],)"
                       R"("inners":[{"small":1,"natural":2}],"counts":{"quote\" \n":3}})");
  const auto back = from_json<Everything>(json.view());
  REQUIRE(back);
  CHECK(back->counts == all.counts);

  CHECK(to_json(Place{"\x01\xff", "x"}).text() == "{\"city\":\"\\u0001\xEF\xBF\xBD\",\"unit\":\"x\"}");
  all.real = std::nan("");
  CHECK(to_json(all).text().find("\"real\":null") != std::string::npos);
}

TEST_CASE("the nlohmann bridge goes both ways and reports what cannot") {
  const auto value = deepseek::interop::to_nlohmann(deepseek::RawJson(R"({"b":1,"a":[2]})"));
  REQUIRE(value);
  CHECK((*value)["a"][0] == 2);
  CHECK(deepseek::interop::from_nlohmann(*value).value().text() == R"({"a":[2],"b":1})");
  CHECK(deepseek::interop::to_nlohmann(deepseek::RawJson("{")).error().code() == ErrorCode::malformed_json);
  CHECK(deepseek::interop::from_nlohmann(nlohmann::json("\xff")).error().code() == ErrorCode::invalid_argument);
}

// --- chat_as ---

namespace {
std::string says(const std::string& content) {
  return reply_body(R"({"role":"assistant","content":)" + quoted(content) + R"(,"reasoning_content":"r"})");
}
}  // namespace

TEST_CASE("chat_as asks in JSON mode with the schema and reads the answer") {
  ScriptedClient scripted;
  scripted.transport->answer(says("\n ```json\n{\"city\":\"Paris\"}\n```  "));
  const auto place = scripted.client.chat_as<Place>("Where is the Eiffel Tower?");
  REQUIRE(place);
  CHECK(place->city == "Paris");
  const auto sent = nlohmann::json::parse(scripted.transport->requests().at(0));
  CHECK(sent["response_format"]["type"] == "json_object");
  CHECK(sent["messages"][0]["role"] == "system");
  CHECK(sent["messages"][0]["content"].get<std::string>().find(schema_of<Place>().text()) != std::string::npos);
  CHECK(sent["messages"][1]["content"] == "Where is the Eiffel Tower?");
}

TEST_CASE("chat_as joins the schema to the caller's system message") {
  ScriptedClient scripted;
  scripted.transport->answer(says(R"({"city":"Paris"})"));
  deepseek::ChatRequest request;
  request.messages = {deepseek::Message::system("Be exact."), deepseek::Message::user("Where?")};
  REQUIRE(scripted.client.chat_as<Place>(request));
  const auto sent = nlohmann::json::parse(scripted.transport->requests().at(0));
  CHECK(sent["messages"].size() == 2);
  CHECK(sent["messages"][0]["content"].get<std::string>().rfind("Be exact.", 0) == 0);
}

TEST_CASE("chat_as lets the model correct itself once") {
  ScriptedClient scripted;
  SECTION("and takes the second answer") {
    scripted.transport->answer(says(R"({"city":7})"));
    scripted.transport->answer(says(R"({"city":"Paris"})"));
    REQUIRE(scripted.client.chat_as<Place>("?"));
    const auto sent = nlohmann::json::parse(scripted.transport->requests().at(1));
    REQUIRE(sent["messages"].size() == 4);
    CHECK(sent["messages"][2]["content"] == R"({"city":7})");
    CHECK(sent["messages"][2]["reasoning_content"] == "r");
    CHECK(sent["messages"][3]["content"].get<std::string>().find("$.city: expected a string") != std::string::npos);
  }
  SECTION("not twice") {
    scripted.transport->answer(says("no"));
    scripted.transport->answer(says("still no"));
    const auto place = scripted.client.chat_as<Place>("?");
    REQUIRE_FALSE(place);
    CHECK(place.error().code() == ErrorCode::malformed_json);
    REQUIRE(place.error().partial());
    CHECK(place.error().partial()->content() == "still no");
    CHECK(scripted.transport->requests().size() == 2);
  }
  SECTION("an empty answer is asked for again unchanged") {
    scripted.transport->answer(says("  "));
    scripted.transport->answer(says(R"({"city":"Paris"})"));
    REQUIRE(scripted.client.chat_as<Place>("?"));
    CHECK(scripted.transport->requests().size() == 2);
  }
}

TEST_CASE("chat_as does not correct what the token limit cut off") {
  ScriptedClient scripted;
  scripted.transport->answer(reply_body(R"({"role":"assistant","content":"{\"city\":\"Par"})", "length"));
  const auto place = scripted.client.chat_as<Place>("?");
  REQUIRE_FALSE(place);
  CHECK(place.error().code() == ErrorCode::truncated);
  REQUIRE(place.error().partial());
  CHECK(place.error().partial()->content() == R"({"city":"Par)");
  CHECK(scripted.transport->requests().size() == 1);
}

TEST_CASE("chat_as passes errors of the call on") {
  ScriptedClient scripted;
  scripted.transport->fail(deepseek::Error(ErrorCode::connection_lost, "gone"));
  CHECK(scripted.client.chat_as<Place>("?").error().code() == ErrorCode::connection_lost);
  deepseek::ChatRequest request;
  request.messages = {deepseek::Message::user("?")};
  request.tools = {deepseek::Tool::server("deepseek_web_search")};
  CHECK(scripted.client.chat_as<Place>(request).error().code() == ErrorCode::invalid_argument);
}
