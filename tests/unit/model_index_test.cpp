// The one-pass index against simdjson and against a walk over the same text.
#include <deepseek/model/detail/json_index.hpp>

#include <random>
#include <vector>

#include "support/catch.hpp"

using namespace deepseek;
using detail::JsonIndex;
using detail::JsonItems;
using detail::JsonMembers;
using detail::JsonValue;

namespace {

/// Everything a reader can learn of a value, by walking it down to its leaves.
std::string picture(JsonValue value) {
  std::string text(value.raw());
  text += value.is_escaped() ? "+" : "-";
  text += value.text();
  std::int64_t number = 0;
  if (value.get(number)) text += std::to_string(number);
  for (JsonMembers members(value); members.next();)
    text.append("{").append(members.key()).append(":").append(members.raw_key()).append(picture(members.value()));
  for (JsonItems items(value); items.next();) text.append("[").append(picture(items.value()));
  return text;
}

/// Reads a heap copy of the exact length, so that a sanitizer shows any read beyond it.
bool indexed(const std::string& text) {
  const std::vector<char> copy(text.begin(), text.end());
  const std::string_view exact(copy.data(), copy.size());
  JsonIndex index;
  if (!index.read(exact)) return false;
  REQUIRE(picture(index.root()) == picture(JsonValue(text)));
  return true;
}

}  // namespace

TEST_CASE("the index reads what is JSON", "") {
  for (const char* text :
       {"{}", "[]", "[[],{}]", R"({"a":1})", R"({"a":-0.5e+7,"b":[true,false,null],"c":{"d":"e"}})", "[ 1 ,\t2\r\n]",
        "{ \"a\" : [ ] , \"b\" : { } }", R"(["\"\\\/\b\f\n\r\t\u00fc\ud800"])", R"({"a\nb":"\u0000"})",
        "[\"\xE4\xBD\xA0\xF0\x9F\x98\x80\"]", R"(["a text of more than sixteen bytes, and an \"escape\" in it"])",
        "[123456789012345678901234567890,1e999,123456789012345678]"}) {
    INFO(text);
    CHECK(indexed(text));
    CHECK(detail::json_fault(text) == nullptr);
  }
}

TEST_CASE("the index refuses what is not JSON, or leaves it to others", "") {
  for (const std::string text : {"",
                                 "{",
                                 "}",
                                 "[",
                                 "{]",
                                 "[}",
                                 "[,]",
                                 "[1,]",
                                 "[,1]",
                                 "[1 2]",
                                 "{\"a\"}",
                                 "{\"a\":}",
                                 "{\"a\":1,}",
                                 "{,}",
                                 "{\"a\" 1}",
                                 "{a:1}",
                                 "{1:2}",
                                 "[01]",
                                 "[1.]",
                                 "[-]",
                                 "[1e]",
                                 "[nul]",
                                 "[nulll]",
                                 "[truefalse]",
                                 "[\"a]",
                                 "[\"a\\\"]",
                                 "[\"\\x\"]",
                                 "[\"\\u12g4\"]",
                                 "[\"a\nb\"]",
                                 "[\"\x01\"]",
                                 "[\"\xff\"]",
                                 "[\"\xC3\"]",
                                 "[\"\xed\xa0\x80\"]",
                                 "[]]",
                                 "[][]",
                                 "[] x",
                                 "{\"a\":1}{\"b\":2}",
                                 "1",
                                 "\"a\"",
                                 "\"a]",
                                 " []",
                                 "[] "})
    CHECK_FALSE(indexed(text));
  CHECK_FALSE(indexed(std::string("[\"\0\"]", 5)));
  CHECK(indexed(std::string(32, '[') + std::string(32, ']')));
  CHECK_FALSE(indexed(std::string(33, '[') + std::string(33, ']')));
  std::string many = "[0";
  for (int i = 0; i < 400; ++i) many += ",0";
  CHECK_FALSE(indexed(many + "]"));
}

TEST_CASE("the index never takes what simdjson refuses") {
  std::mt19937 random(11);
  const std::string seed =
      R"({"id":"i\u00fc","n":[-1.5e3,0,12],"o":{"":{},"x":[[]]}, "t" : true,"f":false,"z":null,"s":"a longer text"})";
  const std::string bytes = "{}[]\",:\\u0aenull-1.\xC3\xA4 \xff\n";
  int taken = 0;
  for (int round = 0; round < 50000; ++round) {
    std::string text = seed;
    for (auto edits = 1 + random() % 3; edits != 0; --edits) {
      const std::size_t at = random() % text.size();
      if (random() % 3 == 0)
        text.erase(at, 1);
      else if (random() % 2 == 0)
        text.insert(at, 1, bytes[random() % bytes.size()]);
      else
        text[at] = bytes[random() % bytes.size()];
    }
    INFO(text);
    const bool right = detail::json_fault(text) == nullptr;
    const bool bracketed = text.front() == '{' && text.back() == '}';
    REQUIRE(indexed(text) == (right && bracketed));
    taken += right ? 1 : 0;
  }
  CHECK(taken > 1000);
}
