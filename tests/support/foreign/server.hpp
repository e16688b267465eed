// Servers that nobody here wrote, put into $DEEPSEEK_FOREIGN_DIR by support/foreign/install.sh: aimock, WireMock and
// llama.cpp.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <deepseek/client.hpp>

#include "support/shared_data.hpp"

extern char** environ;

namespace deepseek_tests {

/// Tries until it works or `limit` has passed; yields the processor between two tries.
inline bool within(std::chrono::milliseconds limit, const std::function<bool()>& attempt) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!attempt()) {
    if (std::chrono::steady_clock::now() > until) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

/// One such server on a loopback port that the kernel chose; ended by its process id. It also ends if the
/// test program is killed, where setpriv is at hand.
class Foreign {
 public:
  /// llama.cpp, shared by all tests. Two slots, a keep-alive each second.
  static const Foreign& llama() {
    static const Foreign server("llama",
                                {dir() + "/llama-venv/bin/python", dir() + "/serve.py", dir() + "/local.jinja"});
    return server;
  }
  /// aimock with one flag set (empty: none), shared by all tests that name the same.
  static const Foreign& aimock(const std::string& flag = {}) {
    static std::map<std::string, std::unique_ptr<Foreign>> servers;
    auto& server = servers[flag];
    if (server) return *server;
    std::vector<std::string> command{dir() + "/node",       dir() + "/aimock/node_modules/.bin/llmock", "-p", "0", "-f",
                                     dir() + "/aimock.json"};
    if (!flag.empty()) command.insert(command.end(), {flag, "1"});
    server.reset(new Foreign("aimock", command));
    return *server;
  }
  /// WireMock with the mappings of wiremock.json, shared by all tests: a Java program, two seconds to start.
  static const Foreign& wiremock() {
    static const Foreign server("wiremock",
                                {dir() + "/java", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-jar",
                                 dir() + "/wiremock/wiremock.jar", "--bind-address", "127.0.0.1", "--port", "0",
                                 "--root-dir", dir() + "/wiremock", "--disable-gzip", "--disable-banner"},
                                "port:");
    return server;
  }
  ~Foreign() { stop(); }
  Foreign(const Foreign&) = delete;
  Foreign& operator=(const Foreign&) = delete;

  /// Why it does not run; empty if it does.
  const std::string& missing() const { return missing_; }
  const std::string& root() const { return url_; }
  std::string base_url() const { return url_ + "/v1"; }
  deepseek::DeepSeekClient client(const std::function<void(deepseek::ClientOptions&)>& edit = {}) const {
    deepseek::ClientOptions options;
    options.endpoints = {{base_url()}};
    options.timeouts.total = std::chrono::seconds(60);
    options.retry.max_attempts = 1;
    if (edit) edit(options);
    return deepseek::DeepSeekClient::create(std::move(options)).value();
  }
  /// This process's connections to the server that neither side has closed.
  std::size_t open_connections() const {
    std::ifstream table("/proc/self/net/tcp");
    std::size_t count = 0;
    std::string line, number, local, remote, state;
    while (std::getline(table, line)) {
      std::istringstream(line) >> number >> local >> remote >> state;
      if (state == "01" && remote.size() > 4 && remote.substr(remote.size() - 4) == port_) ++count;
    }
    return count;
  }

 private:
  static std::string dir() {
    const char* set = std::getenv("DEEPSEEK_FOREIGN_DIR");
    return set ? set : "";
  }

  /// `mark` stands before the port in what it says when it listens.
  Foreign(const std::string& name, std::vector<std::string> command, std::string mark = scheme)
      : mark_(std::move(mark)) {
    if (dir().empty()) {
      missing_ = "DEEPSEEK_FOREIGN_DIR is not set (tests/support/foreign/install.sh)";
    } else if (!std::filesystem::exists(dir() + "/" + name + ".ready")) {
      missing_ = read_file(dir() + "/" + name + ".missing");
      missing_.erase(missing_.find_last_not_of('\n') + 1);
      if (missing_.empty()) missing_ = name + " is not installed in DEEPSEEK_FOREIGN_DIR";
    } else if (!start(std::move(command))) {
      missing_ = name + " did not start: " + said_.substr(0, 200);
    }
  }

  bool start(std::vector<std::string> command) {
    if (access("/usr/bin/setpriv", X_OK) == 0)
      command.insert(command.begin(), {"/usr/bin/setpriv", "--pdeathsig", "TERM", "--"});
    std::vector<char*> arguments;
    for (auto& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC) != 0) return false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
    posix_spawn_file_actions_adddup2(&actions, pipe[1], 2);
    const int failed = posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe[1]);
    output_ = pipe[0];  // stays open: a server that cannot write its log may end
    return failed == 0 && read_address();
  }

  // Reads what the server says until it names its address.
  bool read_address() {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < until) {
      pollfd readable{output_, POLLIN, 0};
      if (poll(&readable, 1, 1000) <= 0) continue;
      char buffer[4096];
      const ssize_t got = read(output_, buffer, sizeof buffer);
      if (got <= 0) return false;
      said_.append(buffer, static_cast<std::size_t>(got));
      const auto mark = said_.find(mark_);
      const auto at = mark == std::string::npos ? mark : said_.find_first_not_of(' ', mark + mark_.size());
      const auto end = at == std::string::npos ? at : said_.find_first_not_of("0123456789", at);
      if (end == std::string::npos) continue;
      const std::string port = said_.substr(at, end - at);
      url_ = scheme + port;
      char hex[5];
      std::snprintf(hex, sizeof hex, "%04X", static_cast<unsigned>(std::stoul(port)) & 0xffffU);
      port_ = hex;
      return true;
    }
    return false;
  }

  void stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    // A server that still generates for a lost client may take its time.
    if (!within(std::chrono::seconds(3), [this] { return waitpid(pid_, nullptr, WNOHANG) == pid_; })) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(output_);
  }

  static constexpr const char* scheme = "http://127.0.0.1:";
  std::string missing_;
  std::string mark_;
  std::string said_;
  std::string url_;
  std::string port_;  // as /proc/net/tcp writes it
  pid_t pid_ = -1;
  int output_ = -1;
};

}  // namespace deepseek_tests
