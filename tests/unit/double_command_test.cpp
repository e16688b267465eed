// The command: its first line is the port, it ends on SIGTERM, and its usage errors are told.
#include <deepseek/testing/double.hpp>

#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <fstream>

#include "../../src/double/command.hpp"
#include "../support/catch.hpp"
#include "double_socket.hpp"

using namespace double_tests;

namespace {

/// `deepseek double` in a child process.
class Command {
 public:
  explicit Command(std::vector<std::string> words) {
    words.insert(words.begin(), "double");
    int out[2];
    REQUIRE(::pipe(out) == 0);
    std::fflush(stdout);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(out[1], 1);
      ::close(out[0]);
      ::close(out[1]);
      std::freopen("/dev/null", "w", stderr);
      std::vector<char*> arguments;
      for (auto& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      const int code = deepseek::test::run_double(static_cast<int>(words.size()), arguments.data());
      std::fflush(stdout);
      ::_exit(code);
    }
    ::close(out[1]);
    out_ = ::fdopen(out[0], "r");
  }
  ~Command() {
    if (out_ != nullptr) std::fclose(out_);
    if (pid_ > 0) stop();
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  std::string line() {
    char text[4096] = {};
    return std::fgets(text, sizeof text, out_) != nullptr ? text : "";
  }
  std::uint16_t port() { return static_cast<std::uint16_t>(std::stoi(line())); }
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int stop(int signal = SIGTERM) {
    ::kill(pid_, signal);
    return wait();
  }

 private:
  pid_t pid_ = -1;
  std::FILE* out_ = nullptr;
};

}  // namespace

TEST_CASE("the command prints its port, answers, and ends well on a signal") {
  for (const int signal : {SIGTERM, SIGINT}) {
    Command command({"--port", "0"});
    const auto line = command.line();
    REQUIRE(line.find_first_not_of("0123456789\n") == std::string::npos);
    const auto port = static_cast<std::uint16_t>(std::stoi(line));
    CHECK(chat(port, ask(true)).events().back() == "[DONE]");
    Peer open(port);
    CHECK(command.stop(signal) == 0);
  }
}

TEST_CASE("the command plays a script and shows certificates") {
  char script[] = P_tmpdir "/double-script-XXXXXX";
  ::close(::mkstemp(script));
  std::ofstream(script) << R"([{"say": "scripted"}, {"status": 503}])";
  {
    Command command({"--script", script, "--max-concurrent=5"});
    const auto port = command.port();
    CHECK(chat(port, ask(false)).json()["choices"][0]["message"]["content"] == "scripted");
    CHECK(chat(port, ask(false)).status() == 503);
    CHECK(chat(port, ask(false)).status() == 200);
  }
  {
    Command command({"--cert", "expired", "--tls", "--ca-out", script});
    CHECK(command.port() > 0);
    std::ifstream in(script);
    std::string first;
    std::getline(in, first);
    CHECK(first == "-----BEGIN CERTIFICATE-----");
  }
  std::remove(script);
}

TEST_CASE("usage errors are 2, help is 0, a taken port is 1") {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--port", "x"},
                                                {"--port", "70000"},
                                                {"--nonsense"},
                                                {"--nonsense", "1"},
                                                {"extra"},
                                                {"--script", "/does/not/exist"},
                                                {"--script", "/"},
                                                {"--replay", "/"},
                                                {"--key-file", "/"},
                                                {"--cert", "odd"},
                                                {"--ca-out", "x"},
                                                {"--port"}}) {
    INFO(words[0]);
    CHECK(Command(words).wait() == 2);
  }
  CHECK(Command({"--help"}).wait() == 0);
  // No Double here: a process with threads should not fork.
  const int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(taken, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(taken, 1) == 0);
  REQUIRE(::getsockname(taken, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  CHECK(Command({"--port", std::to_string(ntohs(address.sin_port))}).wait() == 1);
  ::close(taken);
}
