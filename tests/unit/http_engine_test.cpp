// Bodies and response heads.
#include <deepseek/http/engine.hpp>

#include "support/catch.hpp"

namespace {

using deepseek::HttpHead;

}  // namespace

TEST_CASE("http: a body in memory reads from any offset, again and again", "[modes]") {
  const auto body = deepseek::make_body("0123456789");
  CHECK(body->size() == 10);
  CHECK(body->contiguous() == "0123456789");
  char into[4] = {};
  for (int round = 0; round < 2; ++round) {
    CHECK(body->read(8, into, 4).value() == 2);
    CHECK(std::string_view(into, 2) == "89");
    CHECK(body->read(0, into, 4).value() == 4);
    CHECK(std::string_view(into, 4) == "0123");
    CHECK(body->read(10, into, 4).value() == 0);
    CHECK(body->read(~std::uint64_t{0}, into, 4).value() == 0);
  }
}

TEST_CASE("http: a header is found by name, in any case, the first one", "[modes]") {
  const HttpHead head{
      200, 11, "Content-Type:\t text/plain \r\nX-A: 1\r\nx-a: 2\r\nEmpty:\r\nNoColon\r\nX-AB: 3\r\n: odd\r\nLast: end"};
  CHECK(head.header("content-type") == "text/plain");
  CHECK(head.header("X-A") == "1");
  CHECK(head.header("x-ab") == "3");
  CHECK(head.header("empty").empty());
  CHECK(head.header("nocolon").empty());
  CHECK(head.header("x").empty());
  CHECK(head.header("LAST") == "end");
  CHECK(head.header("") == "odd");
  CHECK(HttpHead{}.header("x").empty());
  CHECK(HttpHead{200, 11, "\n\n\r\nA: b\n"}.header("a") == "b");
}
