// Reactor: the one loop of a client, and who drives it.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <deepseek/core/detail/platform.hpp>
#include <deepseek/core/loop.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Timers in a heap over reused slots: no allocation once the slots are there. Not thread-safe.
class TimerHeap {
 public:
  Loop::TimerId add(TimePoint when, Task task);
  void remove(Loop::TimerId id);
  bool empty() const noexcept { return live_ == 0; }
  /// When the earliest timer is due. Precondition: !empty().
  TimePoint earliest();
  /// Takes one timer that is due at `now`; false if none is.
  bool take_due(TimePoint now, Task& task);

 private:
  struct Slot {
    std::uint32_t generation = 1;
    Task task;
  };
  struct Entry {
    TimePoint when;
    Loop::TimerId id;
    friend bool operator<(const Entry& a, const Entry& b) {
      return b.when < a.when || (b.when == a.when && b.id < a.id);
    }
  };
  bool stale(const Entry& entry) const noexcept;
  void drop_stale_top();
  void compact();

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<Entry> heap_;
  std::size_t live_ = 0;
};

/// A thread that waits in a call. Lives on that thread's stack or in the call.
class Waiter {
 private:
  friend class Reactor;
  std::condition_variable wake_;
  std::atomic<bool> signalled_{false};
};

/// Everything of a client runs on its loop, by one driver at a time. The driver is the I/O thread while
/// anything hosted is live (a callback, future, coroutine or queue call) or posted work waits with nobody
/// else there; otherwise a waiting thread drives for itself, so that a lone sync call pays no thread hop.
/// When hosted work starts, the waiting driver hands over; when the last hosted call ends, the I/O thread
/// gives the loop back to a waiter.
///
/// The hand-over is a mutex-protected flag: whoever sets `driving_` has seen all that the driver before
/// it did. Nothing in here calls user code with the mutex held.
class Reactor final : public Loop, public std::enable_shared_from_this<Reactor> {
 public:
  explicit Reactor(std::shared_ptr<Clock> clock);
  ~Reactor() override;

  bool ok() const noexcept { return poller_.ok(); }
  const Clock& clock() const noexcept { return *clock_; }

  // Loop
  void post(Task task) override;
  TimerId schedule(TimePoint when, Task task) override { return timers_.add(when, std::move(task)); }
  void unschedule(TimerId id) override { timers_.remove(id); }
  void watch(int fd, bool read, bool write, IoWatcher* watcher) override { poller_.watch(fd, read, write, watcher); }
  void forget(int fd, IoWatcher* watcher) override { poller_.forget(fd, watcher); }
  TimePoint now() const override { return now_; }
  TimePoint driven_since() const override { return driven_since_; }
  bool waits_for_one() const override;

  /// Posts work for a caller that will wait() at once and thus drive it itself: wakes nobody.
  void post_before_wait(Task task);
  /// Does what can be done without waiting, if nobody else drives: a request leaves before its caller waits.
  void run_ready();
  /// Waits until signal(waiter), driving the loop if nobody else must. Not on the I/O thread.
  void wait(Waiter& waiter);
  /// Ends a wait. On the loop only.
  void signal(Waiter& waiter);
  /// True if signal() came since the last wait() and no wait is needed.
  bool signalled(const Waiter& waiter) const noexcept { return waiter.signalled_.load(std::memory_order_acquire); }

  /// Counts calls that only the I/O thread may drive. begin: any thread; end: on the loop.
  void begin_hosted();
  void end_hosted();

  /// True on the thread that drives the loop at this moment.
  bool on_loop() const noexcept { return driver_.load(std::memory_order_acquire) == std::this_thread::get_id(); }
  bool on_io_thread() const noexcept { return io_id_.load(std::memory_order_acquire) == std::this_thread::get_id(); }
  /// True while the thread that waits for `waiter` drives the loop itself. On the loop only.
  bool driven_by(const Waiter& waiter) const noexcept { return driving_waiter_ == &waiter; }
  /// True for a driver that is a waiting thread, which must not run user code. On the loop only.
  bool driven_by_waiter() const noexcept { return driving_waiter_ != nullptr; }

  /// Ends the I/O thread after the work already posted; returns when it is gone, except on itself.
  void stop();

 private:
  void turn();
  bool run_tasks();
  bool run_timers();
  int wait_ms();
  void run_io_thread();
  void wake_io_thread();
  void pass_on();
  void take_loop(Waiter* waiter);
  void leave_loop();

  std::shared_ptr<Clock> clock_;
  Poller poller_;
  TimerHeap timers_;
  TimePoint now_;
  unsigned busy_turns_ = 0;  // since the last look at the sockets
  TimePoint driven_since_;
  std::vector<Task> running_;  // swapped with tasks_: keeps its capacity

  mutable std::mutex mutex_;
  std::vector<Task> tasks_;       // guarded
  std::vector<Waiter*> waiters_;  // guarded: those that sleep
  bool driving_ = false;          // guarded
  bool stopping_ = false;         // guarded
  std::thread io_thread_;         // guarded
  std::condition_variable io_wake_;
  std::atomic<bool> has_tasks_{false};
  std::atomic<bool> hand_over_{false};
  std::atomic<std::size_t> hosted_{0};  // changed under the mutex
  std::atomic<std::thread::id> driver_{};
  std::atomic<std::thread::id> io_id_{};
  Waiter* driving_waiter_ = nullptr;  // loop only
  bool passing_by_ = false;           // loop only: the driver is about to go, see run_ready()
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/reactor.ipp>
#endif
