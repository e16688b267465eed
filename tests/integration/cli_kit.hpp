// What the tests of the built command share: the command as a process, and what it printed.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/testing/double.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"

namespace cli_kit {

using namespace deepseek::test;
using namespace std::chrono_literals;
using Json = nlohmann::json;

inline constexpr auto patience = 60s;
inline constexpr const char* key = "sk-test-0123456789";

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

inline std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

/// The environment of the test without what would steer the command, and with `more`.
inline std::vector<std::string> environment_with(const std::vector<std::string>& more) {
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

inline std::vector<std::string> environment_for(const Double& server) {
  return {"DEEPSEEK_API_KEY=" + std::string(key), "DEEPSEEK_BASE_URL=" + server.base_url()};
}

inline Run run_with(const std::vector<std::string>& environment, const std::vector<std::string>& arguments,
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

inline Run run(const Double& server, const std::vector<std::string>& arguments, const std::string& input = {}) {
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

inline Json body_of(const Double& server, std::size_t index = 0) {
  const auto requests = server.requests();
  REQUIRE(requests.size() > index);
  return Json::parse(requests[index].body);
}

}  // namespace cli_kit
