// Ctrl-C while a call runs: the first cancels the call, the second ends the process.
#pragma once
#include <thread>

#include <deepseek/core/cancel.hpp>

namespace deepseek::cli {

/// While it lives, SIGINT cancels `source`. One at a time. Restores the previous disposition.
class Interrupt {
 public:
  explicit Interrupt(CancelSource source);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

 private:
  void wait_for_signal() const;
  CancelSource source_;
  int event_ = -1;
  std::thread watcher_;
};

}  // namespace deepseek::cli
