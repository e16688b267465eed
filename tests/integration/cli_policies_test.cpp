// The built command against the double: the flags that stand for a policy, from --retries to --metrics-port.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "integration/cli_kit.hpp"
#include "support/catch.hpp"
#include "support/closed_port.hpp"
#include "support/raw_server.hpp"

using namespace deepseek::test;
using namespace cli_kit;

namespace {

class Folder {
 public:
  Folder() {
    path_ = (std::filesystem::temp_directory_path() / "cli-test-XXXXXX").string();
    REQUIRE(mkdtemp(path_.data()));
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + '/' + name; }

 private:
  std::string path_;
};

/// One request to this machine, and all that comes back.
std::string get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
  REQUIRE(write(fd, request.data(), request.size()) == static_cast<ssize_t>(request.size()));
  std::string page;
  char block[4096];
  for (ssize_t count; (count = read(fd, block, sizeof block)) > 0;) page.append(block, static_cast<std::size_t>(count));
  close(fd);
  return page;
}

}  // namespace

TEST_CASE("command: --retries repeats what failed before anything was shown") {
  Double server;
  server.script({status(503), say("Hello")});
  const Run result = run(server, {"chat", "--json", "hi", "--retries", "1"});
  CHECK(result.code == 0);
  CHECK(result.last()["attempts"] == 2);
  server.script({status(503), say("Hello")});
  CHECK(run(server, {"chat", "--json", "hi"}).code == 5);
  CHECK(server.script_left() == 1);
}

TEST_CASE("command: --endpoint is asked in its order, and the next one when that fails") {
  const deepseek_tests::ClosedPort closed;
  Double first, second;
  first.script({say("One")});
  second.script({say("Two"), say("Three"), say("Four")});
  const std::vector<std::string> environment = {"DEEPSEEK_API_KEY=" + std::string(key),
                                                "DEEPSEEK_BASE_URL=" + closed.url()};
  const std::vector<std::string> both = {"chat", "hi", "--endpoint", first.base_url(), "--endpoint", second.base_url()};
  const auto json = [](std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    return arguments;
  };
  const Run healthy = run_with(environment, json(both));
  CHECK(healthy.text("content") == "One");
  CHECK(healthy.last()["attempts"] == 1);
  CHECK(second.requests().empty());

  first.script({status(401), status(401), status(401)});
  const Run moved = run_with(environment, json(both));
  CHECK(moved.code == 0);
  CHECK(moved.text("content") == "Two");
  CHECK(moved.last()["attempts"] == 2);
  CHECK(second.requests().back().header("authorization") == "Bearer " + std::string(key));

  const Run told = run_with(environment, both);
  CHECK(told.out == "Three\n");
  CHECK(told.err.find("2 attempts (1 retry, 1 failover)") != std::string::npos);

  const Run dead =
      run_with(environment, {"chat", "hi", "--json", "--endpoint", closed.url(), "--endpoint", second.base_url()});
  CHECK(dead.text("content") == "Four");

  // --retries counts over all servers: none leaves nothing for the second.
  auto alone = json(both);
  alone.insert(alone.end(), {"--retries", "0"});
  CHECK(run_with(environment, alone).code == 3);
  CHECK(second.requests().size() == 3);
}

TEST_CASE("command: --hedge-after asks another server when the first is slow") {
  Double first, second;
  first.script({say("Slow").stall_after_events(1)});
  second.script({say("Quick")});
  const Run told =
      run_with({"DEEPSEEK_API_KEY=" + std::string(key)}, {"chat", "hi", "--endpoint", first.base_url(), "--endpoint",
                                                          second.base_url(), "--hedge-after", "50", "--retries", "0"});
  CHECK(told.code == 0);
  CHECK(told.out == "Quick\n");
  CHECK(told.err.find("2 attempts (1 hedge)") != std::string::npos);
}

TEST_CASE("command: a wrong one among several --endpoint is named") {
  Double server;
  const Run result = run_with({"DEEPSEEK_API_KEY=" + std::string(key)},
                              {"chat", "hi", "--endpoint", server.base_url(), "--endpoint", "ftp://user:pass@host"});
  CHECK(result.code == 2);
  CHECK(result.err.find("--endpoint \"ftp://***@host\"") != std::string::npos);
}

TEST_CASE("command: --cache answers an equal request without the server") {
  const Folder folder;
  const std::string cache = folder.file("cache");
  Double server;
  server.script({say("Kept"), say("Other"), status(500)});
  const std::vector<std::string> question = {"chat", "hi", "--json", "--cache", cache};
  const Run first = run(server, question);
  if (first.err.find("not in this build") != std::string::npos) SKIP_TEST("the command was built without SQLite");
  CHECK(first.code == 0);
  CHECK(first.last()["cache"] == "miss");
  const Run again = run(server, question);
  CHECK(again.code == 0);
  CHECK(again.text("content") == "Kept");
  CHECK(again.last()["cache"] == "disk");
  CHECK(again.last()["attempts"] == 0);
  CHECK(again.last()["usage"] == first.last()["usage"]);
  CHECK(server.requests().size() == 1);

  const Run people = run(server, {"chat", "hi", "--cache", cache});
  CHECK(people.out == "Kept\n");
  CHECK(people.err.find("from the cache (disk)") != std::string::npos);
  CHECK(people.err.find("USD") == std::string::npos);  // nothing was paid

  CHECK(run(server, {"chat", "ho", "--json", "--cache", cache}).last()["cache"] == "miss");
  CHECK(run(server, {"chat", "hey", "--json", "--cache", cache}).last()["cache"] == "miss");  // a failure too

  const Run stats = run_with({}, {"cache", "stats", "--cache", cache, "--json"});
  CHECK(stats.last()["entries"] == 2);
  CHECK(stats.last()["bytes"] > 0);
  CHECK(run_with({}, {"cache", "clear", "--cache", cache}).out == "2 entries removed\n");
  CHECK(run_with({}, {"cache", "stats", "--cache", cache, "--json"}).last()["entries"] == 0);
  server.script({say("New")});
  CHECK(run(server, question).text("content") == "New");

  const Run nowhere = run_with({}, {"cache", "clear", "--cache", folder.file("none")});
  CHECK(nowhere.code == 2);
  CHECK_FALSE(std::filesystem::exists(folder.file("none")));
}

TEST_CASE("command: cache stats of a damaged database says so and leaves it to clear") {
  const Folder folder;
  const std::string database = folder.file("replies-1.db");
  std::ofstream(database) << "somebody's letter";
  const Run stats = run_with({}, {"cache", "stats", "--cache", folder.path(), "--json"});
  if (stats.err.find("not in this build") != std::string::npos) SKIP_TEST("the command was built without SQLite");
  CHECK(stats.code == 1);
  CHECK(stats.last()["error"]["code"] == "io_error");
  const Run people = run_with({}, {"cache", "stats", "--cache", folder.path()});
  CHECK(people.code == 1);
  CHECK(people.out.empty());
  CHECK(people.err.find("damaged") != std::string::npos);
  CHECK(std::filesystem::exists(database));

  const Run cleared = run_with({}, {"cache", "clear", "--cache", folder.path()});
  CHECK(cleared.code == 0);
  CHECK(cleared.out == "0 entries removed\n");
  CHECK(cleared.err.find("set aside") != std::string::npos);
  CHECK(run_with({}, {"cache", "stats", "--cache", folder.path(), "--json"}).last()["entries"] == 0);
}

TEST_CASE("command: --log writes JSON lines and no secret") {
  const Folder folder;
  const std::string log = folder.file("log");
  Double server;
  server.script({status(503), say("the answer")});
  REQUIRE(run(server, {"chat", "my secret question", "--retries", "1", "--log", log}).code == 0);
  std::ifstream file(log);
  std::string line, all;
  int lines = 0;
  for (; std::getline(file, line); ++lines) {
    CHECK(Json::parse(line).contains("@timestamp"));
    all += line;
  }
  CHECK(lines > 0);
  CHECK(all.find(key) == std::string::npos);
  CHECK(all.find("secret question") == std::string::npos);
  CHECK(all.find("the answer") == std::string::npos);

  const Run refused = run(server, {"chat", "hi", "--log", folder.file("no/log")});
  CHECK(refused.code == 2);
  CHECK(refused.err.find("--log") != std::string::npos);
}

TEST_CASE("command: --oauth-* fetch a token and send it instead of the key") {
  const std::string secret = "the-client-secret";
  const TemporaryFile file(secret + "\n");
  const Folder folder;
  std::string asked;
  const auto chat_with = [&](const std::string& status_line, const std::string& body) {
    deepseek_tests::RawServer tokens([&](deepseek_tests::Socket& socket, int) {
      asked = socket.request();
      socket.send("HTTP/1.1 " + status_line + "\r\nContent-Type: application/json\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body);
    });
    DoubleOptions options;
    options.key = "token-1";
    Double server(options);
    Run result =
        run(server, {"chat", "hi", "--json", "--oauth-token-url", tokens.url("/token"), "--oauth-client-id", "client-1",
                     "--oauth-client-secret-file", file.path(), "--oauth-scopes", "a  b", "--log", folder.file("log")});
    CHECK((result.out + result.err).find(secret) == std::string::npos);
    return result;
  };
  const Run good = chat_with("200 OK", R"({"access_token":"token-1","token_type":"Bearer","expires_in":3600})");
  CHECK(good.code == 0);
  CHECK(asked.find("POST /token ") == 0);
  CHECK(asked.find("Authorization: Basic Y2xpZW50LTE6dGhlLWNsaWVudC1zZWNyZXQ=") != std::string::npos);
  CHECK(asked.find("scope=a+b") != std::string::npos);

  const Run refused = chat_with("401 Unauthorized", R"({"error":"invalid_client"})");
  CHECK(refused.code == 3);
  CHECK(refused.last()["error"]["code"] == "authentication");
  CHECK(refused.last()["error"]["advice"].get<std::string>().find("--oauth-client-id") != std::string::npos);

  // Readable by all, as it is mounted into many containers: said, and used.
  CHECK(good.err.empty());
  REQUIRE(chmod(file.path().c_str(), 0644) == 0);
  const Run loose = chat_with("200 OK", R"({"access_token":"token-1","token_type":"Bearer"})");
  CHECK(loose.code == 0);
  CHECK(loose.err.find("chmod 600") != std::string::npos);

  const Run broken = chat_with("500 Oh", "{}");
  CHECK(broken.code == 3);
  CHECK(broken.last()["error"]["code"] == "token_failed");

  std::ifstream log(folder.file("log"));
  const std::string records{std::istreambuf_iterator<char>(log), {}};
  CHECK(records.find("\"token_refreshed\"") != std::string::npos);
  CHECK(records.find("\"token_failed\"") != std::string::npos);
  for (const char* const withheld : {"client-1", "token-1", "a+b", secret.c_str()})
    CHECK(records.find(withheld) == std::string::npos);
}

TEST_CASE("command: --metrics-port serves what was counted while the command runs") {
  Double server;
  server.script({say("Hello world").stall_after_events(4)});
  Process process({"chat", "hi", "--json", "--metrics-port", "0"}, environment_for(server));
  const std::string mark = "metrics are at http://127.0.0.1:";
  REQUIRE(process.read_until([&] { return process.out.find("Hello") != std::string::npos; }));
  const std::size_t at = process.err.find(mark);
  REQUIRE(at != std::string::npos);
  const std::string page = get(std::stoi(process.err.substr(at + mark.size())), "/metrics");
  CHECK(page.find("200 OK") != std::string::npos);
  CHECK(page.find("deepseek_calls_in_flight{gen_ai_operation_name=\"chat\"} 1") != std::string::npos);
  process.signal(SIGINT);
  CHECK(process.finish() == 130);
}

TEST_CASE("command: people are told what it cost, for models whose price is known") {
  Double server;
  server.script({say("Hello"), say("Hello")});
  CHECK(run(server, {"chat", "hi", "--model", "deepseek-v4-flash"}).err.find(" USD") != std::string::npos);
  CHECK(run(server, {"chat", "hi", "--model", "house-model"}).err.find(" USD") == std::string::npos);
}
