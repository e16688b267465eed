#include "cli/interrupt.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>

namespace deepseek::cli {

namespace {

// A handler may only write to a descriptor: cancelling takes locks, so a thread does it.
constexpr std::uint64_t interrupted = 1;
constexpr std::uint64_t finished = 1u << 20;
std::atomic<int> event_of_handler{-1};
struct sigaction previous;

void on_signal(int) {
  const int saved = errno;
  const int event = event_of_handler.load();
  if (event >= 0) (void)!write(event, &interrupted, sizeof interrupted);
  errno = saved;
}

// One for the process, never closed: a handler may still hold it while an Interrupt goes.
int shared_event() {
  static const int event = eventfd(0, EFD_CLOEXEC);
  return event;
}

void add(int event, std::uint64_t count) { (void)!write(event, &count, sizeof count); }

}  // namespace

Interrupt::Interrupt(CancelSource source) : source_(std::move(source)), event_(shared_event()) {
  if (event_ < 0) return;  // Ctrl-C then ends the process, as it does without us
  std::uint64_t leftover = 0;
  add(event_, interrupted);  // so that the read, which empties the counter, cannot block
  (void)!read(event_, &leftover, sizeof leftover);
  watcher_ = std::thread([this] { wait_for_signal(); });
  event_of_handler = event_;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  // The second SIGINT finds the default again and kills.
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  sigaction(SIGINT, &action, &previous);
}

Interrupt::~Interrupt() {
  if (event_ < 0) return;
  sigaction(SIGINT, &previous, nullptr);
  event_of_handler = -1;
  add(event_, finished);
  watcher_.join();
}

void Interrupt::wait_for_signal() const {
  std::uint64_t seen = 0;
  while (seen < finished) {
    std::uint64_t count = 0;
    if (read(event_, &count, sizeof count) != sizeof count) {
      if (errno == EINTR) continue;
      return;
    }
    if (count % finished != 0) source_.cancel();
    seen += count;
  }
}

}  // namespace deepseek::cli
