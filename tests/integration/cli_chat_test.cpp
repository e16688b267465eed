// The built command against the double: what a chat asks for and shows, to scripts and to people.
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "integration/cli_kit.hpp"
#include "support/catch.hpp"
#include "support/closed_port.hpp"

using namespace deepseek::test;
using namespace std::chrono_literals;
using namespace cli_kit;

namespace {

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
  const deepseek_tests::ClosedPort closed;
  Double server;
  server.script({say("x")});
  const Run result = run_with({"DEEPSEEK_API_KEY=" + std::string(key), "DEEPSEEK_BASE_URL=" + closed.url()},
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
