#pragma once
#include <deepseek/core/detail/platform.hpp>

#include <dirent.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#ifndef __linux__
#error "deepseek: only Linux is supported so far; port core/impl/platform.ipp (kqueue, IOCP) and the rest follows"
#endif

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

struct Poller::Batch {
  epoll_event events[batch_size];
};

DEEPSEEK_DECL Poller::Poller()
    : poll_fd_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      batch_(std::make_unique<Batch>()) {
  if (!ok()) return;
  epoll_event event{};
  // Edge-triggered and never read: each write is one wake-up, and no read is paid for it.
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  ::epoll_ctl(poll_fd_, EPOLL_CTL_ADD, wake_fd_, &event);
}

DEEPSEEK_DECL Poller::~Poller() {
  if (poll_fd_ >= 0) ::close(poll_fd_);
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

DEEPSEEK_DECL void Poller::watch(int fd, bool read, bool write, IoWatcher* watcher) noexcept {
  epoll_event event{};
  event.events = (read ? std::uint32_t{EPOLLIN} : 0u) | (write ? std::uint32_t{EPOLLOUT} : 0u);
  event.data.ptr = watcher;
  if (::epoll_ctl(poll_fd_, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT)
    ::epoll_ctl(poll_fd_, EPOLL_CTL_ADD, fd, &event);
}

DEEPSEEK_DECL void Poller::forget(int fd, const IoWatcher* watcher) noexcept {
  epoll_event event{};
  ::epoll_ctl(poll_fd_, EPOLL_CTL_DEL, fd, &event);
  for (int i = next_; i < ready_; ++i)
    if (batch_->events[i].data.ptr == watcher) batch_->events[i].data.ptr = nullptr;
}

DEEPSEEK_DECL void Poller::wait(int timeout_ms) noexcept {
  ready_ = ::epoll_wait(poll_fd_, batch_->events, batch_size, timeout_ms);
}

DEEPSEEK_DECL void Poller::dispatch() {
  for (next_ = 0; next_ < ready_;) {
    const epoll_event event = batch_->events[next_++];
    auto* watcher = static_cast<IoWatcher*>(event.data.ptr);
    if (!watcher) continue;
    watcher->on_io((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0, (event.events & EPOLLOUT) != 0);
  }
  next_ = ready_ = 0;
}

DEEPSEEK_DECL void Poller::wake() noexcept {
  const std::uint64_t one = 1;
  while (::write(wake_fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

DEEPSEEK_DECL ReadyFd::ReadyFd() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

DEEPSEEK_DECL ReadyFd::~ReadyFd() {
  if (fd_ >= 0) ::close(fd_);
}

DEEPSEEK_DECL void ReadyFd::set() noexcept {
  const std::uint64_t one = 1;
  while (::write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

DEEPSEEK_DECL void ReadyFd::clear() noexcept {
  std::uint64_t count = 0;
  while (::read(fd_, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

DEEPSEEK_DECL std::atomic<unsigned>& fork_counter() noexcept {
  static std::atomic<unsigned> counter{0};
  return counter;
}

DEEPSEEK_DECL unsigned fork_generation() noexcept {
  static std::once_flag once;
  std::call_once(once, [] { ::pthread_atfork(nullptr, nullptr, [] { fork_counter().fetch_add(1); }); });
  return fork_counter().load(std::memory_order_relaxed);
}

DEEPSEEK_DECL int close_socket(int fd) noexcept { return ::close(fd); }

DEEPSEEK_DECL bool is_hashed_ca_folder(const char* path) noexcept {
  DIR* folder = ::opendir(path);
  if (!folder) return false;
  bool found = false;
  while (const dirent* entry = ::readdir(folder)) {
    // OpenSSL looks up "hhhhhhhh.n": eight hex digits of the subject's hash.
    found = std::strlen(entry->d_name) >= 10 && entry->d_name[8] == '.' &&
            std::strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[9] >= '0' && entry->d_name[9] <= '9';
    if (found) break;
  }
  ::closedir(folder);
  return found;
}

DEEPSEEK_DECL bool is_readable_file(const char* path) noexcept {
  struct stat info{};
  return ::stat(path, &info) == 0 && !S_ISDIR(info.st_mode) && ::access(path, R_OK) == 0;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
