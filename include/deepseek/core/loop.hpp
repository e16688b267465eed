// The loop that carries timers and completions of one client.
#pragma once
#include <cstdint>

#include <deepseek/core/clock.hpp>
#include <deepseek/core/executor.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Told of readiness on one descriptor, on the loop. Errors and hang-ups count as readable.
class IoWatcher {
 public:
  virtual ~IoWatcher() = default;
  virtual void on_io(bool readable, bool writable) = 0;
};

/// Where a client's state lives: everything a transport, policy or engine keeps is touched on the loop
/// only, by one thread at a time. Usually that is the I/O thread; while nothing but waiting calls is
/// live, a waiting thread drives the loop itself and no thread hop is paid.
class Loop {
 public:
  using TimerId = std::uint64_t;
  virtual ~Loop() = default;

  /// Runs `task` on the loop soon. From any thread; never runs it inline.
  virtual void post(Task task) = 0;
  /// Runs `task` on the loop at `when` or a little later. On the loop only. Returns a nonzero id.
  virtual TimerId schedule(TimePoint when, Task task) = 0;
  /// Forgets a timer; an unknown or finished id is ignored. On the loop only.
  virtual void unschedule(TimerId id) = 0;
  /// Watches a descriptor, or changes what it is watched for. `watcher` must live until forget(). On the
  /// loop only. A loop without descriptors (a test's) ignores both calls.
  virtual void watch(int fd, bool read, bool write, IoWatcher* watcher) {
    (void)fd, (void)read, (void)write, (void)watcher;
  }
  /// Stops watching; nothing more reaches `watcher`. Before the descriptor is closed. On the loop only.
  virtual void forget(int fd, IoWatcher* watcher) { (void)fd, (void)watcher; }
  /// Steady time as of this turn of the loop: one clock read per wake-up, not per event. On the loop only.
  virtual TimePoint now() const = 0;
  /// Since when somebody has driven the loop without a break. While only a pull stream is live and its
  /// consumer is busy elsewhere nobody does: a clock that judges the server starts no earlier than here.
  virtual TimePoint driven_since() const { return TimePoint::min(); }
  /// True while its driver is a thread that waits for one call and has nothing else to do. Who expects an answer within
  /// microseconds may then look for it instead of letting the thread sleep: to wake it takes longer. On the loop only.
  virtual bool waits_for_one() const { return false; }
};

DEEPSEEK_END_NAMESPACE
