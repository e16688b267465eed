// A folder and a process that go with the test that made them.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "support/temp_folder.hpp"

namespace deepseek_tests {

/// A child process whose output is read through a pipe; ended by its id.
class Child {
 public:
  explicit Child(const std::vector<std::string>& command) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that crashes leaves nobody behind
      ::dup2(ends[1], STDOUT_FILENO);
      ::dup2(ends[1], STDERR_FILENO);
      ::execvp(words[0], words.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    out_ = ends[0];
  }
  ~Child() {
    end(SIGKILL);
    if (out_ >= 0) ::close(out_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Waits until the output names `word`; false if it ends or ten seconds pass before.
  bool await(const std::string& word) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    char buffer[4096];
    while (seen_.find(word) == std::string::npos) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
      pollfd at{out_, POLLIN, 0};
      if (left <= 0 || ::poll(&at, 1, static_cast<int>(left)) <= 0) return false;
      const ssize_t got = ::read(out_, buffer, sizeof buffer);
      if (got <= 0) return false;
      seen_.append(buffer, static_cast<std::size_t>(got));
    }
    return true;
  }
  const std::string& seen() const { return seen_; }
  void tell(int signal) const {
    if (pid_ > 0) ::kill(pid_, signal);
  }
  /// Ends it and waits for that; returns what waitpid() says.
  int end(int signal) {
    int status = 0;
    if (pid_ <= 0) return status;
    ::kill(pid_, signal);
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  /// Waits for its own end.
  int wait() {
    int status = 0;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  int pid() const { return pid_; }

 private:
  int pid_ = -1;
  int out_ = -1;
  std::string seen_;
};

}  // namespace deepseek_tests
