// A way onto a loop for threads that may outlive it. Private.
#pragma once
#include <mutex>
#include <utility>

#include <deepseek/core/loop.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Shared by whoever lives on the loop, who closes it, and by whoever has something to bring there. Any thread.
class LoopPort {
 public:
  explicit LoopPort(Loop& loop) : loop_(&loop) {}
  /// Runs `task` on the loop soon; drops it if the port is closed.
  void post(Task task) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (loop_) loop_->post(std::move(task));
  }
  /// Before the loop goes. Nothing is posted after this returns.
  void close() {
    const std::lock_guard<std::mutex> lock(mutex_);
    loop_ = nullptr;
  }

 private:
  std::mutex mutex_;
  Loop* loop_;  // guarded
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
