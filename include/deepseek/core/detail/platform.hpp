// Every call to the operating system that is not plain C++ stands behind this header. Linux today.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include <deepseek/core/loop.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Waits for descriptors, and can be woken from any thread. One thread at a time may call the members
/// other than wake().
class Poller {
 public:
  static constexpr int infinite = -1;

  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  bool ok() const noexcept { return poll_fd_ >= 0 && wake_fd_ >= 0; }
  void watch(int fd, bool read, bool write, IoWatcher* watcher) noexcept;
  /// Events of `watcher` that were fetched but not yet handed out are dropped.
  void forget(int fd, const IoWatcher* watcher) noexcept;
  /// Waits up to `timeout_ms`; then dispatch() hands out what is ready.
  void wait(int timeout_ms) noexcept;
  void dispatch();
  void wake() noexcept;

 private:
  static constexpr int batch_size = 256;
  int poll_fd_ = -1;
  int wake_fd_ = -1;
  struct Batch;
  std::unique_ptr<Batch> batch_;
  int next_ = 0;
  int ready_ = 0;
};

/// A descriptor that is readable while it is set. set() and clear() need no order between threads
/// beyond the caller's own lock.
class ReadyFd {
 public:
  ReadyFd();
  ~ReadyFd();
  ReadyFd(const ReadyFd&) = delete;
  ReadyFd& operator=(const ReadyFd&) = delete;
  int fd() const noexcept { return fd_; }
  void set() noexcept;
  void clear() noexcept;

 private:
  int fd_ = -1;
};

/// Changes in the child of every fork after the first call. Compare with a value taken earlier.
unsigned fork_generation() noexcept;

/// Closes a socket (libcurl hands over the closing of its own, so that the poller can forget it first).
int close_socket(int fd) noexcept;

/// True if `path` is a folder of hashed CA certificates that OpenSSL can look up.
bool is_hashed_ca_folder(const char* path) noexcept;

/// True if the file can be opened for reading.
bool is_readable_file(const char* path) noexcept;

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/platform.ipp>
#endif
