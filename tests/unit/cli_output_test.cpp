#include "cli/output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

// The command is a program, not a library: the files under test are compiled in here.
#include "cli/exit_code.cpp"
#include "cli/output.cpp"
#include "support/catch.hpp"

using namespace deepseek;
using namespace deepseek::cli;

namespace {

Error error_of(ErrorCode code) { return Error(code, "m"); }

std::vector<std::string> keys_of(const std::string& line) {
  std::vector<std::string> keys;
  const auto object = nlohmann::ordered_json::parse(line);
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

const std::vector<std::string> end_keys = {"type",  "outcome", "finish_reason", "model", "id",
                                           "usage", "error",   "attempts",      "cache"};

}  // namespace

TEST_CASE("output: the end line of a complete reply, to the letter") {
  ChatReply reply;
  reply.id = "i";
  reply.model = "m";
  reply.choices.emplace_back();
  reply.choices[0].finish_reason = "stop";
  reply.usage.emplace();
  reply.usage->raw = RawJson("{\"total_tokens\":21,\n \"x\":1.50}");
  CHECK(end_line(reply) == R"({"type":"end","outcome":"complete","finish_reason":"stop","model":"m","id":"i",)"
                           R"("usage":{"total_tokens":21,  "x":1.50},"error":null,"attempts":1,"cache":"off"})"
                           "\n");
}

TEST_CASE("output: every key of the end line is there, null if unknown") {
  const std::string bare = end_line(Result<ChatReply>(error_of(ErrorCode::invalid_request)));
  CHECK(keys_of(bare) == end_keys);
  const auto line = nlohmann::json::parse(bare);
  for (const char* key : {"finish_reason", "model", "id", "usage"}) CHECK(line[key].is_null());
  CHECK(line["outcome"] == "refused");
  CHECK(line["attempts"] == 0);
  CHECK(line["error"]["code"] == "invalid_request");
  CHECK(line["error"]["status"].is_null());
}

TEST_CASE("output: the end line of a failure carries the partial reply and the facts") {
  auto partial = std::make_shared<ChatReply>();
  partial->id = "i";
  partial->model = "m";
  const Error error = error_of(ErrorCode::rate_limited).with([&](ErrorDetails& details) {
    details.http_status = 429;
    details.attempts = 3;
    details.retry_after = std::chrono::milliseconds(1500);
    details.service.type = "t\"";
    details.partial = partial;
  });
  const auto line = nlohmann::json::parse(end_line(Result<ChatReply>(error)));
  CHECK(line["model"] == "m");
  CHECK(line["attempts"] == 3);
  CHECK(line["error"]["status"] == 429);
  CHECK(line["error"]["retry_after_ms"] == 1500);
  CHECK(line["error"]["type"] == "t\"");
}

TEST_CASE("output: JSON strings hold any text") {
  CHECK(json_string("a\"\n\x01") == "\"a\\\"\\n\\u0001\"");
  CHECK(json_string("\xff") == "\"\xef\xbf\xbd\"");
  CHECK(json_string_or_null("") == "null");
}

TEST_CASE("output: control characters lose their power on a terminal") {
  CHECK(printable("a\n\tb\u00fc\u20ac") == "a\n\tb\u00fc\u20ac");
  CHECK(printable("\x1b[31mred") == "\ufffd[31mred");
  CHECK(printable("a\rb\x7f") == "a\ufffdb\ufffd");
  CHECK(printable("\xc2\x9b") == "\ufffd");
  CHECK(printable("\xc2") == "\xc2");
}

TEST_CASE("output: columns are counted in characters") {
  CHECK(table({{"A", "B"}, {"\u00fc\u00fc\u00fc", "x"}, {"y", "z"}}) == "A    B\n\u00fc\u00fc\u00fc  x\ny    z\n");
  CHECK(table({}).empty());
}

TEST_CASE("output: a reader that goes away ends the writing") {
  std::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  Output output(ends[1]);
  CHECK_FALSE(output.terminal());
  output.write("x");
  CHECK(output.good());
  close(ends[0]);
  output.write("y");
  CHECK_FALSE(output.good());
  CHECK(output.failure_exit_code() == 141);
  close(ends[1]);
}

TEST_CASE("output: a descriptor that somebody made non-blocking is waited for") {
  int ends[2];
  REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
  const std::string text(1 << 20, 'x');  // more than a pipe holds
  std::size_t received = 0;
  std::thread reader([&] {
    char block[4096];
    for (pollfd entry = {ends[0], POLLIN, 0}; received < text.size() && poll(&entry, 1, 10'000) > 0;) {
      const ssize_t count = read(ends[0], block, sizeof block);
      if (count > 0) received += static_cast<std::size_t>(count);
    }
  });
  Output output(ends[1]);
  output.write(text);
  reader.join();
  CHECK(output.good());
  CHECK(received == text.size());
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("output: a full disk is another failure") {
  const int full = open("/dev/full", O_WRONLY);
  if (full < 0) SKIP_TEST("no /dev/full");
  Output output(full);
  output.write("x");
  CHECK(output.failure_exit_code() == exit_code::other);
  close(full);
}

TEST_CASE("exit codes: one per class") {
  const std::pair<ErrorCode, int> expected[] = {
      {ErrorCode::invalid_argument, 2},
      {ErrorCode::invalid_options, 2},
      {ErrorCode::invalid_request, 2},
      {ErrorCode::missing_key, 3},
      {ErrorCode::insecure_credential, 2},
      {ErrorCode::unsupported, 2},
      {ErrorCode::io_error, 2},
      {ErrorCode::dns_failed, 6},
      {ErrorCode::connect_failed, 6},
      {ErrorCode::tls_failed, 6},
      {ErrorCode::connection_lost, 6},
      {ErrorCode::http_protocol, 7},
      {ErrorCode::limit_exceeded, 7},
      {ErrorCode::timeout_idle, 6},
      {ErrorCode::timeout_total, 6},
      {ErrorCode::cancelled, 130},
      {ErrorCode::http_error, 5},
      {ErrorCode::bad_request, 5},
      {ErrorCode::authentication, 3},
      {ErrorCode::insufficient_balance, 3},
      {ErrorCode::not_found, 5},
      {ErrorCode::rate_limited, 4},
      {ErrorCode::server_error, 5},
      {ErrorCode::overloaded, 5},
      {ErrorCode::redirected, 5},
      {ErrorCode::service_error, 5},
      {ErrorCode::filtered, 8},
      {ErrorCode::no_capacity, 4},
      {ErrorCode::malformed_json, 7},
      {ErrorCode::malformed_stream, 7},
      {ErrorCode::truncated, 7},
      {ErrorCode::empty_reply, 7},
      {ErrorCode::tool_failed, 1},
      {ErrorCode::too_many_rounds, 1},
      {ErrorCode::internal, 1},
  };
  for (const auto& [code, exit] : expected) {
    INFO(to_string(code));
    CHECK(exit_code_of(error_of(code)) == exit);
  }
}
