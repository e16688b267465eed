// The built command against the double: what it refuses, what goes wrong, and how both are told.
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "integration/cli_kit.hpp"
#include "support/catch.hpp"
#include "support/closed_port.hpp"

using namespace deepseek::test;
using namespace std::chrono_literals;
using namespace cli_kit;

TEST_CASE("command: outcomes, their words and their exit codes") {
  struct Case {
    Reply reply;
    const char* outcome;
    const char* code;
    int exit;
  };
  const char* nothing_said =
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
  const Case cases[] = {
      {say("Hello").finish_reason("length"), "complete", "", 0},
      {status(400, "no"), "http_error", "bad_request", 5},
      {status(401), "http_error", "authentication", 3},
      {status(402), "http_error", "insufficient_balance", 3},
      {status(404, "no"), "http_error", "not_found", 5},
      {status(429), "http_error", "rate_limited", 4},
      {status(500), "http_error", "server_error", 5},
      {status(503), "http_error", "overloaded", 5},
      {say("Hello").finish_reason("content_filter"), "filtered", "filtered", 8},
      {say("Hello").finish_reason("insufficient_system_resource"), "no_capacity", "no_capacity", 4},
      {say("Hello").end_without_finish(), "truncated", "truncated", 7},
      {say("Hello world").cut_after_events(4), "truncated", "truncated", 7},
      {say("Hello world").malformed_event(2), "malformed", "malformed_stream", 7},
      {say("Hello world").error_in_band(2, "oops"), "service_error", "service_error", 5},
      {drop(), "network_error", "connection_lost", 6},
      {raw_stream(nothing_said), "empty", "empty_reply", 7},
  };
  Double server;
  for (const Case& one : cases) {
    INFO(one.outcome << ' ' << one.code);
    server.script({one.reply});
    const Run result = run(server, {"chat", "--json", "--no-thinking", "hi"});
    CHECK(result.code == one.exit);
    const Json end = result.last();
    CHECK(end["outcome"] == one.outcome);
    CHECK(end["attempts"] == 1);
    CHECK(end.size() == 9);
    if (one.exit == 0) continue;
    CHECK(end["error"]["code"] == one.code);
    CHECK_FALSE(end["error"]["message"].get<std::string>().empty());
  }
}

TEST_CASE("command: an error for people is a line with advice on standard error") {
  Double server;
  server.script({status(401)});
  const Run result = run(server, {"chat", "hi"});
  CHECK(result.code == 3);
  CHECK(result.out.empty());
  CHECK(result.err.find("deepseek: authentication: ") == 0);
}

TEST_CASE("command: what was delivered before a cut stays on the output") {
  Double server;
  server.script({say("Hello world").end_without_finish()});
  const Run result = run(server, {"chat", "hi"});
  CHECK(result.code == 7);
  CHECK(result.out == "Hello world\n");
  CHECK(result.err.find("deepseek: truncated: ") == 0);
}

TEST_CASE("command: chat and doctor give the same advice, in terms of flags") {
  DoubleOptions options;
  options.certificate = Certificate::good;
  const Double unknown(options);
  options.certificate = Certificate::wrong_host;
  const Double other(options);
  options.certificate = Certificate::expired;
  const Double old(options);
  const deepseek_tests::ClosedPort closed;
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--base-url", closed.url()}, "host and port"},
      {{"--base-url", "http://no-such-host.invalid"}, "spelling"},
      {{"--base-url", unknown.base_url()}, "--ca-file"},
      {{"--base-url", other.base_url(), "--ca-file", other.ca_file()}, "another name"},
      {{"--base-url", old.base_url(), "--ca-file", old.ca_file()}, "clock"},
  };
  for (const auto& [where, wanted] : cases) {
    INFO(wanted);
    std::vector<std::string> chat = {"chat", "hi", "--json"}, doctor = {"doctor", "--json"};
    chat.insert(chat.end(), where.begin(), where.end());
    doctor.insert(doctor.end(), where.begin(), where.end());
    const Run asked = run_with({}, chat), looked = run_with({}, doctor);
    CHECK(asked.code == 6);
    CHECK(looked.code == 6);
    const Json advice = asked.last()["error"]["advice"];
    CHECK(advice.get<std::string>().find(wanted) != std::string::npos);
    CHECK(looked.last()["checks"].back()["advice"] == advice);
  }
  const Run plain =
      run_with({"DEEPSEEK_API_KEY=" + std::string(key)}, {"chat", "hi", "--base-url", "http://a.invalid"});
  CHECK(plain.code == 2);
  CHECK(plain.err.find("--allow-plain-http") != std::string::npos);
}

TEST_CASE("command: what is wrong with a base URL is told with it, and never a password") {
  for (const char* wrong : {"ftp://here", "http://h h/", "http://h:99999", "http://u:hidden@here", "http://here?hidden",
                            "nonsense", "http://[::1", "http://a\nb"}) {
    INFO(wrong);
    const Run given = run_with({}, {"chat", "hi", "--base-url", wrong});
    CHECK(given.code == 2);
    CHECK(given.err.find("--base-url \"") != std::string::npos);
    const Run set = run_with({"DEEPSEEK_BASE_URL=" + std::string(wrong)}, {"doctor"});
    CHECK(set.code == 2);
    CHECK(set.out.find("DEEPSEEK_BASE_URL \"") != std::string::npos);
    for (const auto* text : {&given.err, &given.out, &set.err, &set.out})
      CHECK(text->find("hidden") == std::string::npos);
  }
}

TEST_CASE("command: a port where nobody listens") {
  const deepseek_tests::ClosedPort closed;
  const Run result = run_with({"DEEPSEEK_BASE_URL=" + closed.url()}, {"chat", "--json", "hi"});
  CHECK(result.code == 6);
  CHECK(result.last()["outcome"] == "network_error");
  CHECK(result.last()["error"]["code"] == "connect_failed");
}

TEST_CASE("command: --timeout is for the whole") {
  Double server;
  server.script({say("Hello world").stall_after_events(4)});
  const auto start = std::chrono::steady_clock::now();
  const Run result = run(server, {"chat", "--json", "hi", "--no-thinking", "--timeout", "0.5"});
  CHECK(std::chrono::steady_clock::now() - start < 20s);
  CHECK(result.code == 6);
  CHECK(result.last()["outcome"] == "timed_out");
  CHECK(result.last()["error"]["code"] == "timeout_total");
  CHECK(result.last()["error"]["clock"] == "total");
  CHECK(result.last()["error"]["message"].get<std::string>().find("--timeout") != std::string::npos);
  CHECK_FALSE(result.text("content").empty());
}

TEST_CASE("command: refusals before sending still end with the end line") {
  Double server;
  const TemporaryFile text("not an image"), broken("{");
  const std::vector<std::vector<std::string>> cases = {
      {"\xff"},
      {""},
      {"hi", "--image", text.path()},
      {"hi", "--file", text.path() + "-missing"},
      {"hi", "--tools", broken.path()},
      {"hi", "--api-key-file", text.path() + "-missing"},
      {"hi", "--base-url", "ftp://example.com"},
      {"hi", "--ca-file", text.path() + "-missing"},
  };
  for (auto arguments : cases) {
    INFO(arguments.back());
    arguments.insert(arguments.begin(), {"chat", "--json"});
    const Run result = run(server, arguments);
    CHECK(result.code == 2);
    CHECK(result.last()["outcome"] == "refused");
    CHECK(result.last()["attempts"] == 0);
  }
  CHECK(server.requests().empty());
}

TEST_CASE("command: the service itself is not asked without a key") {
  const Run result = run_with({}, {"chat", "--json", "hi"});
  CHECK(result.code == 3);
  CHECK(result.last()["outcome"] == "refused");
  CHECK(result.last()["error"]["code"] == "missing_key");
}

TEST_CASE("command: usage errors name the option, exit with 2 and print nothing else") {
  Double server;
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"chat"}, "no prompt"},
      {{"chat", "--json"}, "no prompt"},
      {{"chat", "a", "b"}, "more than one prompt"},
      {{"chat", "a", "--endpoint", "http://x", "--base-url", "http://y"}, "--endpoint and --base-url exclude"},
      {{"chat", "a", "--endpoint", ""}, "--endpoint is empty"},
      {{"chat", "a", "--cache", ""}, "--cache"},
      {{"chat", "a", "--log", ""}, "--log is empty"},
      {{"chat", "a", "--metrics-port", "65536"}, "--metrics-port"},
      {{"chat", "a", "--hedge-after", "0"}, "--hedge-after"},
      {{"fim", "--prompt", "a", "--hedge-after", "600000"}, "--hedge-after"},
      {{"chat", "a", "--oauth-token-url", "https://u"}, "needs --oauth-client-id"},
      {{"chat", "a", "--oauth-client-id", "u"}, "needs --oauth-token-url"},
      {{"chat", "a", "--oauth-client-secret-file", "u"}, "needs --oauth-token-url"},
      {{"chat", "a", "--oauth-scopes", "u"}, "needs --oauth-token-url"},
      {{"models", "--oauth-client-id", "u", "--api-key-file", "f"}, "--oauth-client-id and --api-key-file exclude"},
      {{"chat", "a", "--oauth-token-url", "ftp://u", "--oauth-client-id", "i", "--oauth-client-secret-file", "f"},
       "--oauth-token-url"},
      {{"chat", "a", "--oauth-token-url", "https://u", "--oauth-client-id", "", "--oauth-client-secret-file", "f"},
       "--oauth-client-id is empty"},
      {{"doctor", "--endpoint", "http://x", "--endpoint", "http://y"}, "--endpoint"},
      {{"chat", "a", "--retries", "100"}, "--retries"},
      {{"chat", "a", "--retries", "-1"}, "--retries"},
      {{"chat", "a", "--timeout", "0"}, "--timeout"},
      {{"chat", "a", "--max-tokens", "1x"}, "--max-tokens"},
      {{"chat", "a", "--no-thinking", "--effort", "low"}, "--no-thinking"},
      {{"chat", "a", "--base-url", ""}, "--base-url"},
      {{"chat", "a", "--insecure"}, "--insecure"},
      {{"chat", "a", std::string("--api-key=") + key}, "--api-key-file"},
      {{"fim"}, "--prompt"},
      {{"models", "x"}, "argument"},
      {{"serve"}, "not available"},
      {{"cache"}, "deepseek cache stats"},
      {{"cache", "fill", "--cache", "d"}, "stats and clear"},
      {{"cache", "stats"}, "--cache is missing"},
      {{"cache", "stats", "--cache", "d", "--base-url", "http://x"}, "--base-url is not an option"},
      {{"sing"}, "no such command: \"sing\""},
      {{""}, "no such command"},
      {{"chat", "-", "--file", "-"}, "standard input"},
      {{"chat", "a", "--file", "-", "--file", "-"}, "standard input"},
      {{}, "which command"},
  };
  for (const auto& [arguments, wanted] : cases) {
    INFO(wanted);
    const Run result = run(server, arguments);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(result.err.find(wanted) != std::string::npos);
  }
  CHECK(server.requests().empty());
}

TEST_CASE("command: files that are none are named") {
  Double server;
  const TemporaryFile deep(R"([{"type":"function","function":{"name":"f","parameters":)" + [] {
    std::string nested;
    for (int i = 0; i < 5'000; ++i) nested += "{\"a\":";
    return nested + '1' + std::string(5'000, '}');
  }() + "}}]");
  const std::vector<std::vector<std::string>> cases = {
      {"--file", "/"}, {"--file", ""},           {"--image", "/"},        {"--tools", "/"},
      {"--tools", ""}, {"--tools", deep.path()}, {"--api-key-file", "/"}, {"--api-key-file", "/does/not/exist"},
  };
  for (auto arguments : cases) {
    INFO(arguments[0] << ' ' << arguments[1]);
    arguments.insert(arguments.begin(), {"chat", "hi"});
    const Run result = run(server, arguments);
    CHECK(result.code == 2);
    CHECK(result.err.find("deepseek") == 0);
  }
  CHECK(run(server, {"chat", "hi", "--api-key-file", "/does/not/exist"}).err.find("/does/not/exist") !=
        std::string::npos);
  CHECK(server.requests().empty());
}
