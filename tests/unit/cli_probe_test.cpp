#include "cli/probe.hpp"

// The command is a program, not a library: the file under test is compiled in here.
#include "cli/advice.hpp"
#include "cli/probe.cpp"
#include "support/catch.hpp"
#include "support/closed_port.hpp"

using namespace deepseek::cli;

TEST_CASE("probe: the server of a base URL") {
  struct Case {
    const char* url;
    const char* host;
    int port;
    bool tls;
  };
  const Case cases[] = {
      {"https://api.deepseek.com", "api.deepseek.com", 443, true},
      {"http://localhost:8080/v1", "localhost", 8080, false},
      {"http://127.0.0.1", "127.0.0.1", 80, false},
      {"https://[::1]:8443/x", "::1", 8443, true},
      {"https://[::1]", "::1", 443, true},
      {"https://a.example?x", "a.example", 443, true},
      {"HTTP://localhost:8080", "localhost", 8080, false},
  };
  for (const Case& one : cases) {
    INFO(one.url);
    const auto address = parse_address(one.url);
    REQUIRE(address);
    CHECK(address->host == one.host);
    CHECK(address->port == one.port);
    CHECK(address->tls == one.tls);
  }
}

TEST_CASE("probe: what is no base URL") {
  for (const char* wrong : {"", "api.deepseek.com", "ftp://x", "https://", "https://:1", "https://x:", "https://x:0",
                            "https://x:99999", "https://x:1a", "https://[::1", "https://[::1]1", "https://u:p@x"}) {
    INFO(wrong);
    CHECK_FALSE(parse_address(wrong));
  }
}

TEST_CASE("probe: a port where nobody listens") {
  const deepseek_tests::ClosedPort closed;
  const auto connection = connect_to({"127.0.0.1", closed.port(), false}, std::chrono::seconds(5));
  REQUIRE_FALSE(connection);
  CHECK(connection.error().code() == deepseek::ErrorCode::connect_failed);
  CHECK_FALSE(in_flags(connection.error()).advice().empty());
}
