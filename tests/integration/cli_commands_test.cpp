// The built command against the double: every command but chat, and the help of all.
#include <csignal>
#include <string>
#include <vector>

#include "integration/cli_kit.hpp"
#include "support/catch.hpp"
#include "support/closed_port.hpp"

using namespace deepseek::test;
using namespace cli_kit;

TEST_CASE("command: fim") {
  Double server;
  server.script({say("return 1"), say("return 1")});
  const Run json = run(server, {"fim", "--prompt", "-", "--suffix", "end", "--json", "--deepseek"}, "def f():");
  CHECK(json.code == 0);
  CHECK(json.text("content") == "return 1");
  CHECK(json.last()["outcome"] == "complete");
  CHECK(body_of(server)["prompt"] == "def f():");
  CHECK(body_of(server)["suffix"] == "end");
  CHECK(server.requests().front().path == "/beta/completions");
  const Run whole = run(server, {"fim", "--prompt", "x", "--no-stream"});
  CHECK(whole.out == "return 1\n");
}

TEST_CASE("command: models and balance, for people and for programs") {
  Double server;
  const Run models = run(server, {"models"});
  CHECK(models.code == 0);
  CHECK(models.out.find("deepseek-flash") != std::string::npos);
  const Json list = run(server, {"models", "--json"}).last();
  CHECK(list["object"] == "list");
  CHECK(list["data"][0]["id"] == "deepseek-flash");
  CHECK(run(server, {"balance"}).out.find("CNY") != std::string::npos);
  CHECK(run(server, {"balance", "--json"}).last()["balance_infos"][0]["currency"] == "CNY");
  server.script({status(401), status(500)});
  CHECK(run(server, {"models"}).code == 3);
  const Run failed = run(server, {"balance", "--json"});
  CHECK(failed.code == 5);
  CHECK(failed.last()["error"]["status"] == 500);
}

TEST_CASE("command: doctor finds everything well") {
  Double server;
  const Run result = run(server, {"doctor", "--json"});
  CHECK(result.code == 0);
  const Json report = result.last();
  CHECK(report["ok"] == true);
  std::vector<std::string> names;
  for (const Json& check : report["checks"]) names.push_back(check["name"]);
  CHECK(names == std::vector<std::string>{"dns", "connect", "tls", "key", "chat"});
  CHECK(report["checks"][2]["verdict"] == "skip");
  CHECK(report["latency_ms"]["first_byte"].is_number());
  CHECK(run(server, {"doctor"}).out.find("accepted") != std::string::npos);
}

TEST_CASE("command: doctor names the first thing that fails, with its exit code and advice") {
  const auto last_check = [](const Run& result) {
    const Json report = result.last();
    CHECK(report["ok"] == false);
    const Json check = report["checks"].back();
    CHECK(check["verdict"] == "fail");
    CHECK_FALSE(check["advice"].is_null());
    return check["name"].get<std::string>();
  };
  const deepseek_tests::ClosedPort port;
  const Run closed = run_with({"DEEPSEEK_BASE_URL=" + port.url()}, {"doctor", "--json"});
  CHECK(closed.code == 6);
  CHECK(last_check(closed) == "connect");
  DoubleOptions options;
  options.key = "another";
  Double strict(options);
  const Run refused = run(strict, {"doctor", "--json"});
  CHECK(refused.code == 3);
  CHECK(last_check(refused) == "key");
  const Run wrong = run_with({"DEEPSEEK_BASE_URL=nonsense"}, {"doctor", "--json"});
  CHECK(wrong.code == 2);
  CHECK(last_check(wrong) == "address");
}

TEST_CASE("command: doctor looks at TLS") {
  DoubleOptions options;
  options.certificate = Certificate::good;
  Double good(options);
  const Run fine = run(good, {"doctor", "--json", "--ca-file", good.ca_file()});
  INFO(fine.out << fine.err);
  CHECK(fine.code == 0);
  const Json check = fine.last()["checks"][2];
  CHECK(check["name"] == "tls");
  CHECK(check["detail"].get<std::string>().find("TLSv1.") == 0);
  const Run unknown = run(good, {"doctor", "--json"});
  CHECK(unknown.code == 6);
  CHECK(unknown.last()["checks"].back()["name"] == "tls");
  CHECK(unknown.last()["checks"].back()["advice"].get<std::string>().find("--ca-file") != std::string::npos);
  options.certificate = Certificate::expired;
  Double old(options);
  const Run expired = run(old, {"doctor", "--json", "--ca-file", old.ca_file()});
  CHECK(expired.code == 6);
  CHECK(expired.last()["checks"].back()["detail"].get<std::string>().find("expired") != std::string::npos);
}

TEST_CASE("command: every command explains itself") {
  CHECK(run_with({}, {"--version"}).out.find("deepseek ") == 0);
  const Run general = run_with({}, {"--help"});
  CHECK(general.code == 0);
  CHECK(general.out.find("cache") != std::string::npos);
  CHECK(run_with({}, {"cache", "--help"}).out.find("--base-url") == std::string::npos);
  for (const char* name : {"chat", "fim", "models", "balance", "doctor"}) {
    CHECK(general.out.find(name) != std::string::npos);
    const Run help = run_with({}, {name, "--help"});
    CHECK(help.code == 0);
    for (const char* option : {"--base-url", "--endpoint", "--oauth-scopes", "--log", "--api-key-file", "--timeout",
                               "--retries", "--json", "Exit codes", "141"})
      CHECK(help.out.find(option) != std::string::npos);
  }
  CHECK(general.out.find("double") != std::string::npos);
}

TEST_CASE("command: double prints its port first and serves the others") {
  Process server({"double", "--port", "0"}, {});
  REQUIRE(server.read_until([&] { return server.out.find('\n') != std::string::npos; }));
  const std::string port = server.out.substr(0, server.out.find('\n'));
  CHECK(port.find_first_not_of("0123456789") == std::string::npos);
  const Run result = run_with({"DEEPSEEK_API_KEY=" + std::string(key), "DEEPSEEK_BASE_URL=http://127.0.0.1:" + port},
                              {"chat", "--json", "hi"});
  CHECK(result.code == 0);
  CHECK(result.last()["outcome"] == "complete");
  server.signal(SIGTERM);
  CHECK(server.finish() == 0);
}
