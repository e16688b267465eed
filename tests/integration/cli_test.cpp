// The built command against the double: what scripts and people see.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <deepseek/testing/double.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/raw_server.hpp"

using namespace deepseek::test;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

constexpr auto patience = 60s;
constexpr const char* key = "sk-test-0123456789";

class Pipe {
 public:
  Pipe() { REQUIRE(pipe2(ends_, O_CLOEXEC) == 0); }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  int end(int which) const { return ends_[which]; }
  void close_end(int which) {
    if (ends_[which] >= 0) close(ends_[which]);
    ends_[which] = -1;
  }

 private:
  int ends_[2] = {-1, -1};
};

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

/// The environment of the test without what would steer the command, and with `more`.
std::vector<std::string> environment_with(const std::vector<std::string>& more) {
  std::vector<std::string> list = more;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    const bool steers = text.starts_with("DEEPSEEK_") || text.starts_with("NO_COLOR=") || text.starts_with("TERM=");
    if (!steers) list.emplace_back(text);
  }
  return list;
}

/// A running command; killed if the test leaves early.
class Process {
 public:
  Process(std::vector<std::string> arguments, const std::vector<std::string>& more_environment,
          const std::string& input = {}) {
    arguments.insert(arguments.begin(), DEEPSEEK_COMMAND);
    auto environment = environment_with(more_environment);
    const auto argv = pointers(arguments), envp = pointers(environment);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in_.end(0), 0);
    posix_spawn_file_actions_adddup2(&actions, out_.end(1), 1);
    posix_spawn_file_actions_adddup2(&actions, err_.end(1), 2);
    REQUIRE(posix_spawn(&pid_, DEEPSEEK_COMMAND, &actions, nullptr, argv.data(), envp.data()) == 0);
    posix_spawn_file_actions_destroy(&actions);
    in_.close_end(0);
    out_.close_end(1);
    err_.close_end(1);
    // All inputs here fit into a pipe.
    REQUIRE(write(in_.end(1), input.data(), input.size()) == static_cast<ssize_t>(input.size()));
    in_.close_end(1);
  }

  ~Process() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  void signal(int number) const { ::kill(pid_, number); }
  void close_output() { out_.close_end(0); }

  /// Reads until `enough` says so or both outputs end; false if patience ran out.
  bool read_until(const std::function<bool()>& enough) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!enough()) {
      pollfd entries[] = {{out_.end(0), POLLIN, 0}, {err_.end(0), POLLIN, 0}};
      if (entries[0].fd < 0 && entries[1].fd < 0) return true;
      if (std::chrono::steady_clock::now() > deadline) return false;
      if (poll(entries, 2, 100) <= 0) continue;
      take(entries[0], out_, out);
      take(entries[1], err_, err);
    }
    return true;
  }

  /// The exit code, or 128 + the signal that ended it.
  int finish() {
    REQUIRE(read_until([] { return false; }));
    int status = 0;
    REQUIRE(waitpid(pid_, &status, 0) == pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  std::string out, err;

 private:
  static void take(const pollfd& entry, Pipe& from, std::string& into) {
    if (entry.fd < 0 || entry.revents == 0) return;
    char block[4096];
    const ssize_t count = read(entry.fd, block, sizeof block);
    if (count > 0)
      into.append(block, static_cast<std::size_t>(count));
    else
      from.close_end(0);
  }

  pid_t pid_ = -1;
  Pipe in_, out_, err_;
};

struct Run {
  int code = -1;
  std::string out, err;
  std::vector<Json> lines() const {
    std::vector<Json> all;
    std::size_t start = 0;
    for (std::size_t end; (end = out.find('\n', start)) != std::string::npos; start = end + 1)
      all.push_back(Json::parse(out.substr(start, end - start)));
    CHECK(start == out.size());  // every line is whole
    return all;
  }
  Json last() const {
    const auto all = lines();
    REQUIRE_FALSE(all.empty());
    return all.back();
  }
  /// The texts of all lines of one type.
  std::string text(const std::string& type) const {
    std::string whole;
    for (const Json& line : lines())
      if (line["type"] == type) whole += line["text"].get<std::string>();
    return whole;
  }
};

std::vector<std::string> environment_for(const Double& server) {
  return {"DEEPSEEK_API_KEY=" + std::string(key), "DEEPSEEK_BASE_URL=" + server.base_url()};
}

Run run_with(const std::vector<std::string>& environment, const std::vector<std::string>& arguments,
             const std::string& input = {}) {
  Process process(arguments, environment, input);
  Run run;
  run.code = process.finish();
  run.out = process.out;
  run.err = process.err;
  // Whatever happens, the key is never shown.
  CHECK((run.out + run.err).find(key) == std::string::npos);
  return run;
}

Run run(const Double& server, const std::vector<std::string>& arguments, const std::string& input = {}) {
  return run_with(environment_for(server), arguments, input);
}

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content) {
    path_ = (std::filesystem::temp_directory_path() / "cli-test-XXXXXX").string();
    const int descriptor = mkstemp(path_.data());
    REQUIRE(descriptor >= 0);
    REQUIRE(write(descriptor, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    close(descriptor);
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Json body_of(const Double& server, std::size_t index = 0) {
  const auto requests = server.requests();
  REQUIRE(requests.size() > index);
  return Json::parse(requests[index].body);
}

/// The command on a pseudo-terminal.
class Terminal {
 public:
  Terminal(std::vector<std::string> arguments, const std::vector<std::string>& more_environment) {
    arguments.insert(arguments.begin(), DEEPSEEK_COMMAND);
    auto environment = environment_with(more_environment);
    const auto argv = pointers(arguments), envp = pointers(environment);
    pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      execve(DEEPSEEK_COMMAND, argv.data(), envp.data());
      _exit(127);
    }
    REQUIRE(pid_ > 0);
  }

  ~Terminal() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(terminal_);
  }

  void type(const std::string& text) const {
    REQUIRE(write(terminal_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }

  /// Waits until `wanted` has been shown since the last wait.
  void expect(const std::string& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
      const std::size_t at = shown.find(wanted, seen_);
      if (at != std::string::npos) {
        seen_ = at + wanted.size();
        return;
      }
      INFO("wanted " << wanted << " in " << shown);
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      REQUIRE(read_some());
    }
  }

  int finish() {
    while (read_some()) {
    }
    int status = 0;
    REQUIRE(waitpid(pid_, &status, 0) == pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  std::string shown;

 private:
  bool read_some() {
    pollfd entry = {terminal_, POLLIN, 0};
    REQUIRE(poll(&entry, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) > 0);
    char block[4096];
    const ssize_t count = read(terminal_, block, sizeof block);  // EIO once the other side is closed
    if (count > 0) shown.append(block, static_cast<std::size_t>(count));
    return count > 0;
  }

  int terminal_ = -1;
  pid_t pid_ = -1;
  std::size_t seen_ = 0;
};

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

const std::string tools_json =
    R"([{"type":"function","function":{"name":"get_weather","description":"d","parameters":{"type":"object"}}}])";

}  // namespace

TEST_CASE("command: chat --json prints the fixed lines") {
  Double server;
  server.script({think("Blue.", "Hello world")});
  const Run result = run(server, {"chat", "--json", "hi"});
  CHECK(result.code == 0);
  CHECK(result.err.empty());
  CHECK(result.text("reasoning") == "Blue.");
  CHECK(result.text("content") == "Hello world");
  CHECK(result.out.find(R"({"type":"reasoning","text":")") == 0);
  CHECK(
      result.out.find(R"({"type":"end","outcome":"complete","finish_reason":"stop","model":"deepseek-flash","id":")") !=
      std::string::npos);
  const Json end = result.last();
  CHECK(end["error"].is_null());
  CHECK(end["attempts"] == 1);
  CHECK(end["cache"] == "off");
  CHECK(end["usage"]["completion_tokens"].is_number());
  CHECK(end.size() == 9);
}

TEST_CASE("command: chat --json --no-stream prints the same from one piece") {
  Double server;
  server.script({think("Blue.", "Hello world")});
  const Run result = run(server, {"chat", "--json", "--no-stream", "hi"});
  CHECK(result.code == 0);
  const auto lines = result.lines();
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == Json{{"type", "reasoning"}, {"text", "Blue."}});
  CHECK(lines[1] == Json{{"type", "content"}, {"text", "Hello world"}});
  CHECK_FALSE(body_of(server).value("stream", false));
}

TEST_CASE("command: without flags only fields that any server knows are sent") {
  Double server;
  server.script({say("x")});
  REQUIRE(run(server, {"chat", "hi"}).code == 0);
  Json body = body_of(server);
  CHECK(body["messages"] == Json::parse(R"([{"role":"user","content":"hi"}])"));
  CHECK(body["model"] == "deepseek-flash");
  CHECK(body["stream"] == true);
  for (const char* name : {"messages", "model", "stream", "stream_options"}) body.erase(name);
  CHECK(body.empty());
  const auto request = server.requests().front();
  CHECK(request.path == "/chat/completions");
  CHECK(request.header("authorization") == "Bearer " + std::string(key));
}

TEST_CASE("command: flags reach the request") {
  Double server;
  server.script({say("x")});
  const Run result = run(server, {"chat", "hi", "--system", "be brief", "--model", "deepseek-v4-pro", "--max-tokens=77",
                                  "--no-thinking", "--timeout", "50", "--retries", "0"});
  CHECK(result.code == 0);
  const Json body = body_of(server);
  CHECK(body["messages"][0] == Json{{"role", "system"}, {"content", "be brief"}});
  CHECK(body["model"] == "deepseek-v4-pro");
  CHECK(body["max_tokens"] == 77);
  CHECK(body["thinking"]["type"] == "disabled");
}

TEST_CASE("command: --effort and --base-url, which beats the environment") {
  Double server;
  server.script({say("x")});
  const Run result = run_with({"DEEPSEEK_API_KEY=" + std::string(key), "DEEPSEEK_BASE_URL=http://127.0.0.1:1"},
                              {"chat", "hi", "--effort", "low", "--base-url", server.base_url() + "/v1/"});
  CHECK(result.code == 0);
  CHECK(body_of(server)["reasoning_effort"] == "low");
  CHECK(server.requests().front().path == "/v1/chat/completions");
}

TEST_CASE("command: a prompt of - is standard input") {
  Double server;
  server.script({say("x")});
  CHECK(run(server, {"chat", "-"}, "line one\nline two\n").code == 0);
  CHECK(body_of(server)["messages"][0]["content"] == "line one\nline two\n");
}

TEST_CASE("command: for people the answer alone goes to standard output") {
  Double server;
  server.script({think("Secret thought.", "Hello").pace(30ms)});
  const Run result = run(server, {"chat", "hi"});
  CHECK(result.out == "Hello\n");
  CHECK(result.err.find("complete (stop), ") == 0);
  for (const char* part : {" tokens in", " out (", "reasoning)", "tokens/s", "first token "})
    CHECK(result.err.find(part) != std::string::npos);
  CHECK(result.err.find('\033') == std::string::npos);
}

TEST_CASE("command: no rate is told over no time") {
  Double server;
  server.script({say("one two three four five six seven")});
  const Run result = run(server, {"chat", "--no-stream", "hi"});
  CHECK(result.err.find(" out") != std::string::npos);
  const std::size_t rate = result.err.find(" tokens/s");
  if (rate == std::string::npos) return;  // else the machine was busy for so long that there is one
  CHECK(std::stod(result.err.substr(result.err.rfind(", ", rate) + 2)) < 1000);
}

TEST_CASE("command: tool calls are printed once, when they are whole, and never run") {
  Double server;
  const TemporaryFile tools(tools_json);
  for (const char* mode : {"--json", "--no-stream"}) {
    server.script({call_tool("get_weather", R"({"city": "Oslo"})").call_tool("get_weather", "{}")});
    const Run result = run(server, {"chat", "--json", "hi", "--tools", tools.path(),
                                    mode == std::string("--json") ? "--retries=0" : mode});
    CHECK(result.code == 0);
    auto lines = result.lines();
    std::erase_if(lines, [](const Json& line) { return line["type"] != "tool_call"; });
    REQUIRE(lines.size() == 2);
    CHECK(lines[0]["index"] == 0);
    CHECK(lines[0]["name"] == "get_weather");
    CHECK(lines[0]["arguments"] == R"({"city": "Oslo"})");
    CHECK(lines[0]["id"].get<std::string>().starts_with("call_"));
    CHECK(lines[0].size() == 5);
    CHECK(lines[1]["index"] == 1);
    CHECK(result.last()["finish_reason"] == "tool_calls");
  }
  CHECK(body_of(server)["tools"] == Json::parse(tools_json));
}

TEST_CASE("command: a tool call that was cut off is not printed") {
  Double server;
  const TemporaryFile tools(tools_json);
  server.script({call_tool("get_weather", R"({"city": "Os)").finish_reason("length"),
                 call_tool("get_weather", R"({"city": "Oslo"})").end_without_finish()});
  for (const int code : {0, 7}) {
    const Run result = run(server, {"chat", "--json", "hi", "--tools", tools.path()});
    CHECK(result.code == code);
    CHECK(result.out.find("tool_call\"") == std::string::npos);
  }
}

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
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--base-url", "http://127.0.0.1:1"}, "host and port"},
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
  const Run result = run_with({"DEEPSEEK_BASE_URL=http://127.0.0.1:1"}, {"chat", "--json", "hi"});
  CHECK(result.code == 6);
  CHECK(result.last()["outcome"] == "network_error");
  CHECK(result.last()["error"]["code"] == "connect_failed");
}

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
  Double first, second;
  first.script({say("One")});
  second.script({say("Two"), say("Three"), say("Four")});
  const std::vector<std::string> environment = {"DEEPSEEK_API_KEY=" + std::string(key),
                                                "DEEPSEEK_BASE_URL=http://127.0.0.1:1"};
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

  const Run dead = run_with(
      environment, {"chat", "hi", "--json", "--endpoint", "http://127.0.0.1:1", "--endpoint", second.base_url()});
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

TEST_CASE("command: lines are flushed as they come, and Ctrl-C cancels") {
  Double server;
  server.script({say("Hello world").stall_after_events(3)});
  Process process({"chat", "--json", "hi", "--no-thinking"}, environment_for(server));
  REQUIRE(process.read_until([&] { return process.out.find("\"content\"") != std::string::npos; }));
  process.signal(SIGINT);
  CHECK(process.finish() == 130);
  const Run result{130, process.out, process.err};
  CHECK(result.last()["outcome"] == "cancelled");
  CHECK(result.last()["error"]["code"] == "cancelled");
}

TEST_CASE("command: a reader that goes away ends it quietly") {
  Double server;
  server.script({say("one two three four five six seven eight nine ten").pace(50ms)});
  Process process({"chat", "--json", "hi", "--no-thinking"}, environment_for(server));
  REQUIRE(process.read_until([&] { return !process.out.empty(); }));
  process.close_output();
  CHECK(process.finish() == 141);
  CHECK(process.err.empty());
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

TEST_CASE("command: the key may come from a file, one line break after it is ignored") {
  DoubleOptions options;
  options.key = "file-key";
  Double server(options);
  server.script({say("x")});
  const TemporaryFile file("file-key\n");
  const Run result = run_with({"DEEPSEEK_BASE_URL=" + server.base_url(), "DEEPSEEK_API_KEY=" + std::string(key)},
                              {"chat", "hi", "--api-key-file", file.path()});
  CHECK(result.code == 0);
  CHECK(server.requests().front().header("authorization") == "Bearer file-key");
}

TEST_CASE("command: files and pictures become parts of the message") {
  Double server;
  server.script({say("x")});
  const TemporaryFile text("alpha\n"), picture("\x89PNG\r\n\x1a\n");
  const Run result = run(server, {"chat", "look", "--file", text.path(), "--file", "file-api-1", "--image",
                                  picture.path(), "--image", "https://example.com/a.png"});
  INFO(result.err);
  const Json content = body_of(server)["messages"][0]["content"];
  REQUIRE(content.size() == 4);
  CHECK(content[0]["text"].get<std::string>().find("look\n\n") == 0);
  CHECK(content[0]["text"].get<std::string>().find("```\nalpha\n```") != std::string::npos);
  CHECK(content[1] == Json{{"type", "file"}, {"file_id", "file-api-1"}});
  CHECK(content[2]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo=");
  CHECK(content[3]["image_url"]["url"] == "https://example.com/a.png");
}

TEST_CASE("command: standard input is read for - alone, as the prompt or as a file") {
  Double server;
  server.script({say("x"), say("x")});
  REQUIRE(run(server, {"chat", "What is this?", "--file", "-"}, "alpha\n").code == 0);
  CHECK(body_of(server)["messages"][0]["content"] == "What is this?\n\nstandard input:\n```\nalpha\n```\n");
  REQUIRE(run(server, {"chat", "What is this?"}, "alpha\n").code == 0);
  CHECK(body_of(server, 1)["messages"][0]["content"] == "What is this?");
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
  const Run closed = run_with({"DEEPSEEK_BASE_URL=http://127.0.0.1:1"}, {"doctor", "--json"});
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

TEST_CASE("command: on a terminal reasoning is dimmed and escape sequences are harmless") {
  Double server;
  server.script({think("Thought.", "red\033[31m")});
  auto environment = environment_for(server);
  environment.push_back("TERM=xterm");
  Terminal coloured({"chat", "hi"}, environment);
  CHECK(coloured.finish() == 0);
  CHECK(coloured.shown.find("\033[2mThought.\033[0m") != std::string::npos);
  CHECK(coloured.shown.find("red\ufffd[31m") != std::string::npos);
  server.script({think("Thought.", "Answer")});
  environment.push_back("NO_COLOR=1");
  Terminal plain({"chat", "hi"}, environment);
  CHECK(plain.finish() == 0);
  CHECK(plain.shown.find("Thought.\r\n\r\nAnswer") != std::string::npos);
  CHECK(plain.shown.find('\033') == std::string::npos);
}

TEST_CASE("command: without a prompt on a terminal it is a conversation") {
  Double server;
  server.script(
      {say("First answer"), say("Long answer").stall_after_events(3), say("Second answer"), say("Third answer")});
  auto environment = environment_for(server);
  environment.push_back("TERM=dumb");
  Terminal terminal({"chat", "--no-thinking", "--system", "be brief"}, environment);
  terminal.expect("> ");
  terminal.type("one\n");
  terminal.expect("First answer");
  terminal.expect("> ");
  terminal.type("never ends\n");
  terminal.expect("Long");
  terminal.type("\x03");  // Ctrl-C stops the answer, not the conversation
  terminal.expect("cancelled");
  terminal.expect("> ");
  terminal.type("two \\\nlines\n");
  terminal.expect("Second answer");
  terminal.expect("> ");
  terminal.type("/help\n");
  terminal.expect("/clear");
  terminal.expect("> ");
  terminal.type("/system be loud\n");
  terminal.expect("> ");
  terminal.type("three\n");
  terminal.expect("Third answer");
  terminal.expect("> ");
  terminal.type("\x04");
  CHECK(terminal.finish() == 0);
  for (const char* word : {"exit\n", "quit\n", "/quit\n"}) {
    Terminal other({"chat"}, environment);
    other.expect("> ");
    other.type(word);
    CHECK(other.finish() == 0);
  }
  CHECK(server.requests().size() == 4);
  const auto words = [&](std::size_t request) {
    std::vector<std::string> list;
    const Json body = body_of(server, request);
    for (const Json& message : body["messages"]) list.push_back(message["content"]);
    return list;
  };
  CHECK(words(0) == std::vector<std::string>{"be brief", "one"});
  CHECK(words(2) == std::vector<std::string>{"be brief", "one", "First answer", "two \nlines"});
  CHECK(words(3) == std::vector<std::string>{"be loud", "three"});
}
