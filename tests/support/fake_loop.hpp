// A loop whose time stands still until a test moves it.
#pragma once
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include <deepseek/core/loop.hpp>

namespace deepseek_tests {

class FakeLoop final : public deepseek::Loop {
 public:
  void post(deepseek::Task task) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  TimerId schedule(deepseek::TimePoint when, deepseek::Task task) override {
    ++schedules;
    timers_.emplace(std::pair(when, ++last_id_), std::move(task));
    return last_id_;
  }
  void unschedule(TimerId id) override {
    for (auto it = timers_.begin(); it != timers_.end(); ++it) {
      if (it->first.second != id) continue;
      timers_.erase(it);
      return;
    }
  }
  deepseek::TimePoint now() const override { return now_; }

  /// Runs what is posted, and what that posts, until nothing is left. Time does not move.
  void run() {
    while (true) {
      deepseek::Task task;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }
  /// Runs one posted task, if there is one.
  bool run_one() {
    deepseek::Task task;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (tasks_.empty()) return false;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
    return true;
  }
  /// Moves time on, running tasks and timers in order as they fall due.
  void advance(std::chrono::nanoseconds by) {
    const deepseek::TimePoint until = now_ + by;
    run();
    while (!timers_.empty() && timers_.begin()->first.first <= until) {
      auto first = timers_.extract(timers_.begin());
      if (first.key().first > now_) now_ = first.key().first;
      first.mapped()();
      run();
    }
    now_ = until;
  }
  /// Moves time to the first timer and runs what is due then.
  void advance_to_next_timer() {
    if (!timers_.empty()) advance(timers_.begin()->first.first - now_);
  }
  /// Runs everything, moving time to each timer in turn, until nothing is left. Bounded by `most`.
  void run_all(std::chrono::nanoseconds most = std::chrono::hours(24)) {
    const deepseek::TimePoint until = now_ + most;
    run();
    while (!timers_.empty() && timers_.begin()->first.first <= until) advance_to_next_timer();
  }

  std::size_t timers() const { return timers_.size(); }
  std::size_t posted() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return tasks_.size();
  }
  std::size_t schedules = 0;  ///< how often schedule() was called

 private:
  mutable std::mutex mutex_;
  std::deque<deepseek::Task> tasks_;
  std::map<std::pair<deepseek::TimePoint, TimerId>, deepseek::Task> timers_;
  TimerId last_id_ = 0;
  deepseek::TimePoint now_ = deepseek::TimePoint(std::chrono::hours(1));
};

}  // namespace deepseek_tests
