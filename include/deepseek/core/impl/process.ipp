#pragma once
#include <deepseek/core/detail/process.hpp>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The first bytes of a small file of the kernel's; empty if it cannot be read.
DEEPSEEK_DECL std::string_view read_kernel_file(const char* path, char* into, std::size_t capacity) noexcept {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t count = ::read(fd, into, capacity);
  ::close(fd);
  return count > 0 ? std::string_view(into, static_cast<std::size_t>(count)) : std::string_view();
}

/// The first number of `text` behind blanks; 0 if there is none ("max").
DEEPSEEK_DECL std::uint64_t leading_number(std::string_view text) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// The limit of the control group that this process sees as its root, as in a container, or of its own path.
DEEPSEEK_DECL std::uint64_t memory_limit_of_group() noexcept {
  char text[1024];
  if (const auto limit = leading_number(read_kernel_file("/sys/fs/cgroup/memory.max", text, sizeof text))) return limit;
  std::string_view own = read_kernel_file("/proc/self/cgroup", text, sizeof text);
  if (const std::size_t at = own.find("0::/"); at != std::string_view::npos) {
    own = own.substr(at + 3, own.find('\n', at) - at - 3);
    char path[sizeof text + 64];
    char value[64];
    const int length =
        std::snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/memory.max", static_cast<int>(own.size()), own.data());
    if (length > 0 && static_cast<std::size_t>(length) < sizeof path)
      if (const auto limit = leading_number(read_kernel_file(path, value, sizeof value))) return limit;
  }
  return leading_number(read_kernel_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", text, sizeof text));
}

DEEPSEEK_DECL ProcessMemory process_memory() noexcept {
  ProcessMemory memory;
  char text[256];
  // Pages: the whole size first, then what is resident.
  std::string_view pages = read_kernel_file("/proc/self/statm", text, sizeof text);
  pages.remove_prefix(std::min(pages.find(' '), pages.size()));
  memory.resident = leading_number(pages) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  struct sysinfo machine{};
  if (::sysinfo(&machine) == 0) memory.limit = std::uint64_t{machine.totalram} * machine.mem_unit;
  // A group without a limit says "max", or a number beyond any machine's memory.
  const std::uint64_t group = memory_limit_of_group();
  if (group > 0 && (memory.limit == 0 || group < memory.limit)) memory.limit = group;
  return memory;
}

DEEPSEEK_DECL std::uint64_t random_number() noexcept {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, GRND_NONBLOCK) == static_cast<ssize_t>(sizeof number)) return number;
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return (static_cast<std::uint64_t>(now) ^ (static_cast<std::uint64_t>(::getpid()) << 32)) * 0x9E3779B97F4A7C15u;
}

DEEPSEEK_DECL void mask_signals_here() noexcept {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

// --- a file that lines are added to --------------------------------------------------------------------

DEEPSEEK_DECL AppendFile::~AppendFile() { close(); }

DEEPSEEK_DECL void AppendFile::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

DEEPSEEK_DECL int AppendFile::open(const std::string& path) {
  close();
  // Not blocking: a named pipe without a reader is an error, not a thread that hangs.
  fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
  if (fd_ < 0) return errno;
  struct stat info{};
  regular_ = ::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode);
  if (&path != &path_) path_ = path;
  return 0;
}

DEEPSEEK_DECL bool AppendFile::replaced() const noexcept {
  if (!regular_) return false;
  struct stat ours{};
  struct stat theirs{};
  if (::fstat(fd_, &ours) != 0 || ::stat(path_.c_str(), &theirs) != 0) return true;
  return ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev;
}

DEEPSEEK_DECL std::uint64_t AppendFile::size() const noexcept {
  struct stat info{};
  return ::fstat(fd_, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

DEEPSEEK_DECL std::size_t AppendFile::append(std::string_view text, int& error) noexcept {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(fd_, text.data() + done, text.size() - done);
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      error = errno;
      return done;
    }
    pollfd room{fd_, POLLOUT, 0};  // a pipe whose reader is slow
    if (::poll(&room, 1, 1000) > 0) continue;
    error = EAGAIN;
    return done;
  }
  return done;
}

DEEPSEEK_DECL int AppendFile::rotate(int keep) {
  // Of several processes that find the file full at once, one moves it and the others see that it has moved.
  const bool mine = ::flock(fd_, LOCK_EX | LOCK_NB) == 0 && !replaced();
  if (mine) {
    const auto numbered = [this](int number) { return path_ + '.' + std::to_string(number); };
    for (int number = keep; number > 1; --number)
      ::rename(numbered(number - 1).c_str(), numbered(number).c_str());  // a gap in the row is no harm
    const int moved = keep > 0 ? ::rename(path_.c_str(), numbered(1).c_str()) : ::unlink(path_.c_str());
    if (moved != 0) {
      const int error = errno;
      ::flock(fd_, LOCK_UN);
      return error;
    }
  }
  return open(path_);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
