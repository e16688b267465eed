// What this process is to the operating system: its memory, its random numbers, a file that lines are added to.
// Private.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

struct ProcessMemory {
  std::uint64_t resident = 0;  ///< bytes; 0: not known
  std::uint64_t limit = 0;     ///< bytes: of the control group, else of the machine; 0: not known
};
ProcessMemory process_memory() noexcept;

/// A number nobody can guess; of the clock and the process id where the system has no random numbers to give.
std::uint64_t random_number() noexcept;

/// Keeps the host's signals, and the one that a broken pipe raises, away from the calling thread.
void mask_signals_here() noexcept;

/// A file that several processes may add lines to. One thread at a time.
class AppendFile {
 public:
  AppendFile() = default;
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// 0, or errno.
  int open(const std::string& path);
  bool is_open() const noexcept { return fd_ >= 0; }
  /// True if `path` is now another file or none: somebody moved this one away.
  bool replaced() const noexcept;
  std::uint64_t size() const noexcept;
  bool regular() const noexcept { return regular_; }
  /// Writes as much as can be written now; `error` gets errno if that is not all.
  std::size_t append(std::string_view text, int& error) noexcept;
  /// Moves path.1 to path.2 and so on up to `keep`, path to path.1 (keep 0: removes it), and opens a new file. 0, or
  /// errno. Only the first of several processes moves; the others open what it made.
  int rotate(int keep);

 private:
  void close() noexcept;
  std::string path_;
  int fd_ = -1;
  bool regular_ = false;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/process.ipp>
#endif
