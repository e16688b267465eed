#pragma once
#include <deepseek/core/detail/reactor.hpp>

#include <algorithm>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- timers ------------------------------------------------------------------------------------------

DEEPSEEK_DECL Loop::TimerId TimerHeap::add(TimePoint when, Task task) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.task = std::move(task);
  const Loop::TimerId id = (Loop::TimerId{slot.generation} << 32) | index;
  heap_.push_back({when, id});
  std::push_heap(heap_.begin(), heap_.end());
  ++live_;
  return id;
}

DEEPSEEK_DECL void TimerHeap::remove(Loop::TimerId id) {
  const auto index = static_cast<std::uint32_t>(id);
  if (id == 0 || index >= slots_.size() || slots_[index].generation != id >> 32) return;
  Slot& slot = slots_[index];
  slot.task = nullptr;
  ++slot.generation;
  free_.push_back(index);
  --live_;
  // Removed timers stay in the heap until they surface; long ones would pile up under load.
  if (heap_.size() > 64 && heap_.size() > 4 * live_) compact();
}

DEEPSEEK_DECL bool TimerHeap::stale(const Entry& entry) const noexcept {
  return slots_[static_cast<std::uint32_t>(entry.id)].generation != entry.id >> 32;
}

DEEPSEEK_DECL void TimerHeap::drop_stale_top() {
  while (!heap_.empty() && stale(heap_.front())) {
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
  }
}

DEEPSEEK_DECL void TimerHeap::compact() {
  heap_.erase(std::remove_if(heap_.begin(), heap_.end(), [this](const Entry& e) { return stale(e); }), heap_.end());
  std::make_heap(heap_.begin(), heap_.end());
}

DEEPSEEK_DECL TimePoint TimerHeap::earliest() {
  drop_stale_top();
  return heap_.front().when;
}

DEEPSEEK_DECL bool TimerHeap::take_due(TimePoint now, Task& task) {
  drop_stale_top();
  if (heap_.empty() || heap_.front().when > now) return false;
  const Loop::TimerId id = heap_.front().id;
  task = std::move(slots_[static_cast<std::uint32_t>(id)].task);
  remove(id);
  return true;
}

// --- reactor -----------------------------------------------------------------------------------------

DEEPSEEK_DECL Reactor::Reactor(std::shared_ptr<Clock> clock)
    : clock_(std::move(clock)), now_(clock_->steady_now()), driven_since_(now_) {}

DEEPSEEK_DECL Reactor::~Reactor() {
  if (io_thread_.joinable()) io_thread_.detach();  // only the I/O thread itself can still be running here
}

DEEPSEEK_DECL void Reactor::post(Task task) {
  std::lock_guard<std::mutex> lock(mutex_);
  const bool first = tasks_.empty();
  tasks_.push_back(std::move(task));
  has_tasks_.store(true, std::memory_order_release);
  if (!driving_) return wake_io_thread();
  if (first && !on_loop()) poller_.wake();
}

DEEPSEEK_DECL void Reactor::post_before_wait(Task task) {
  std::lock_guard<std::mutex> lock(mutex_);
  const bool first = tasks_.empty();
  tasks_.push_back(std::move(task));
  has_tasks_.store(true, std::memory_order_release);
  if (driving_ && first) poller_.wake();
}

// With the mutex held.
DEEPSEEK_DECL void Reactor::wake_io_thread() {
  if (!io_thread_.joinable() && !stopping_) {
    auto self = shared_from_this();  // the loop must outlive its thread, even if the client goes on this thread
    io_thread_ = std::thread([self] { self->run_io_thread(); });
    return;
  }
  io_wake_.notify_one();
}

DEEPSEEK_DECL void Reactor::begin_hosted() {
  std::lock_guard<std::mutex> lock(mutex_);
  hosted_.fetch_add(1);
  if (!driving_) return;  // the call's own post() wakes the I/O thread
  if (io_id_.load() == driver_.load()) return;
  hand_over_.store(true);
  poller_.wake();
}

DEEPSEEK_DECL void Reactor::end_hosted() {
  std::lock_guard<std::mutex> lock(mutex_);
  hosted_.fetch_sub(1);
}

// With the mutex held.
DEEPSEEK_DECL void Reactor::take_loop(Waiter* waiter) {
  driving_ = true;
  driving_waiter_ = waiter;
  hand_over_.store(false);
  driver_.store(std::this_thread::get_id(), std::memory_order_release);
  now_ = driven_since_ = clock_->steady_now();
}

// With the mutex held.
DEEPSEEK_DECL void Reactor::leave_loop() {
  driving_ = false;
  driving_waiter_ = nullptr;
  driver_.store(std::thread::id{}, std::memory_order_release);
}

// With the mutex held and nobody driving: whoever must or may drive next is woken.
DEEPSEEK_DECL void Reactor::pass_on() {
  if (driving_) return;
  if (hosted_.load() > 0) return wake_io_thread();
  if (!waiters_.empty()) return waiters_.front()->wake_.notify_one();
  if (!tasks_.empty()) wake_io_thread();
}

DEEPSEEK_DECL void Reactor::wait(Waiter& waiter) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto may_drive = [this] { return !driving_ && hosted_.load() == 0; };
  while (!signalled(waiter)) {
    if (may_drive()) {
      take_loop(&waiter);
      lock.unlock();
      while (!signalled(waiter) && !hand_over_.load(std::memory_order_acquire)) turn();
      lock.lock();
      leave_loop();
      if (!signalled(waiter)) pass_on();  // hand-over: the I/O thread goes on
      continue;
    }
    waiters_.push_back(&waiter);
    waiter.wake_.wait(lock, [&] { return signalled(waiter) || may_drive(); });
    waiters_.erase(std::find(waiters_.begin(), waiters_.end(), &waiter));
  }
  waiter.signalled_.store(false, std::memory_order_relaxed);
  pass_on();
}

DEEPSEEK_DECL void Reactor::run_ready() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (driving_ || hosted_.load() > 0) return;
  Waiter nobody;
  take_loop(&nobody);
  passing_by_ = true;
  lock.unlock();
  for (int turns = 0; turns < 16 && !hand_over_.load(std::memory_order_acquire) && (run_tasks() || run_timers());
       ++turns) {
  }
  lock.lock();
  passing_by_ = false;
  leave_loop();
  pass_on();
}

DEEPSEEK_DECL bool Reactor::waits_for_one() const {
  if (driving_waiter_ == nullptr || passing_by_ || hosted_.load() > 0) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  return waiters_.empty();
}

DEEPSEEK_DECL void Reactor::signal(Waiter& waiter) {
  if (driving_waiter_ == &waiter) return waiter.signalled_.store(true, std::memory_order_release);
  // Under the mutex, or a waiter between its last look and its sleep would miss it; and the waiter may be
  // gone as soon as the mutex is free.
  std::lock_guard<std::mutex> lock(mutex_);
  waiter.signalled_.store(true, std::memory_order_release);
  waiter.wake_.notify_one();
}

DEEPSEEK_DECL bool Reactor::run_tasks() {
  if (!has_tasks_.load(std::memory_order_acquire)) return false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    // A hosted call counts before its start is posted, so its start can never run on a waiting thread.
    if (driving_waiter_ && hosted_.load() > 0) return true;
    running_.swap(tasks_);
    has_tasks_.store(false, std::memory_order_relaxed);
  }
  now_ = clock_->steady_now();  // not before they were posted: what they time begins now
  // By index: a task may not touch running_, but its destructor runs here, in order, one by one.
  for (std::size_t i = 0; i < running_.size(); ++i) {
    Task task = std::move(running_[i]);
    task();
  }
  running_.clear();
  return true;
}

/// Not all that are due: libcurl asks to be called back at once for as long as a server sends faster than it reads.
DEEPSEEK_DECL bool Reactor::run_timers() {
  constexpr int most = 16;
  int run = 0;
  for (Task task; run < most && !timers_.empty() && timers_.take_due(now_, task); ++run) {
    task();
    task = nullptr;
  }
  if (run > 0) now_ = clock_->steady_now();  // or a deadline would wait for them all
  return run > 0;
}

DEEPSEEK_DECL int Reactor::wait_ms() {
  if (timers_.empty()) return Poller::infinite;
  const auto left = timers_.earliest() - now_;
  if (left <= left.zero()) return 0;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<long long>(ms, 60'000));
}

DEEPSEEK_DECL void Reactor::turn() {
  // No system call while there is work, and the driver looks whether it is done before it sleeps. But whoever always
  // has work must not keep the others from their clocks and sockets.
  constexpr unsigned most_busy_turns = 16;
  const bool look = ++busy_turns_ >= most_busy_turns;
  const bool ran_tasks = run_tasks();
  if (ran_tasks && !look) return;
  const bool ran_timers = run_timers();
  if (ran_timers && !look) return;
  busy_turns_ = 0;
  poller_.wait(ran_tasks || ran_timers ? 0 : wait_ms());
  now_ = clock_->steady_now();  // before anything runs: what arrived, arrived now
  poller_.dispatch();
}

DEEPSEEK_DECL void Reactor::run_io_thread() {
  std::unique_lock<std::mutex> lock(mutex_);
  io_id_.store(std::this_thread::get_id(), std::memory_order_release);
  const auto must_run = [this] { return hosted_.load() > 0 || has_tasks_.load(std::memory_order_acquire); };
  for (;;) {
    io_wake_.wait(lock, [&] { return !driving_ && (stopping_ || must_run()); });
    if (stopping_ && !must_run()) return;
    take_loop(nullptr);
    lock.unlock();
    while (must_run()) turn();
    lock.lock();
    leave_loop();
    pass_on();
  }
}

DEEPSEEK_DECL void Reactor::stop() {
  std::thread thread;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    io_wake_.notify_one();
    if (on_io_thread() || !io_thread_.joinable()) return;
    thread = std::move(io_thread_);
  }
  thread.join();
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
