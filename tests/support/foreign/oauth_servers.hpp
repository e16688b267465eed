// Authorization servers that nobody here wrote: npm's oidc-provider and oauth2-mock-server, put into
// $DEEPSEEK_FOREIGN_DIR by install.sh. Each runs a script of this folder on a loopback port of the kernel's
// choice and is told what to do in lines of JSON. Ended by its process id; it also ends when its standard input does.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/shared_data.hpp"

extern char** environ;

namespace deepseek_tests {

class OAuthServer {
 public:
  /// `script` lies in FOREIGN_DIR/oauth; `first` is its first line of input, if it wants one.
  explicit OAuthServer(const std::string& script, const nlohmann::json& first = nullptr) {
    const char* const set = std::getenv("DEEPSEEK_FOREIGN_DIR");
    const std::string dir = set ? set : "";
    if (dir.empty()) {
      missing_ = "DEEPSEEK_FOREIGN_DIR is not set (tests/support/foreign/install.sh)";
    } else if (!std::filesystem::exists(dir + "/oauth.ready")) {
      missing_ = read_file(dir + "/oauth.missing");
      missing_.erase(missing_.find_last_not_of('\n') + 1);
      if (missing_.empty()) missing_ = "oidc-provider is not installed in DEEPSEEK_FOREIGN_DIR";
    } else if (!start({dir + "/node", dir + "/oauth/" + script, dir + "/oauth"}, first)) {
      missing_ = script + " did not start";
    }
  }
  ~OAuthServer() {
    if (pid_ <= 0) return;
    close(input_);
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
    close(output_);
  }
  OAuthServer(const OAuthServer&) = delete;
  OAuthServer& operator=(const OAuthServer&) = delete;

  /// Why it does not run; empty if it does.
  const std::string& missing() const { return missing_; }
  const std::string& issuer() const { return issuer_; }
  /// Tells it something; returns its answer, or null after ten seconds.
  nlohmann::json tell(const nlohmann::json& command) {
    const std::string line = command.dump() + "\n";
    if (write(input_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) return nullptr;
    return read_line();
  }
  /// Token requests so far.
  int requests() { return tell(nlohmann::json::object()).value("requests", -1); }

 private:
  bool start(std::vector<std::string> command, const nlohmann::json& first) {
    std::vector<char*> arguments;
    for (auto& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) return false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    const int failed = posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    input_ = in[1];
    output_ = out[0];
    if (failed != 0) return pid_ = -1, false;
    const auto hello = first.is_null() ? read_line() : tell(first);
    issuer_ = hello.is_object() ? hello.value("issuer", "") : "";
    return !issuer_.empty();
  }

  nlohmann::json read_line() {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (said_.find('\n') == std::string::npos) {
      if (std::chrono::steady_clock::now() > until) return nullptr;
      pollfd readable{output_, POLLIN, 0};
      if (poll(&readable, 1, 1000) <= 0) continue;
      char buffer[4096];
      const ssize_t got = read(output_, buffer, sizeof buffer);
      if (got <= 0) return nullptr;
      said_.append(buffer, static_cast<std::size_t>(got));
    }
    const std::string line = said_.substr(0, said_.find('\n'));
    said_.erase(0, line.size() + 1);
    return nlohmann::json::parse(line, nullptr, false);
  }

  std::string missing_;
  std::string issuer_;
  std::string said_;
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
};

}  // namespace deepseek_tests
