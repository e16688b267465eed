// DiskCache: what all sessions of one folder share in this process. Private to the component.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include <deepseek/component/sqlite.hpp>

#include "component/sqlite/cipher.hpp"
#include "component/sqlite/database.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The folder's database for writing, on one thread: opens it, sets it aside if it is no good, keeps it small. Every
/// process that has the database open holds a shared lock on the file `lock` beside it; who renames it holds it alone.
class DiskWriter {
 public:
  DiskWriter(std::string folder, const DiskCacheOptions& options);
  ~DiskWriter();

  struct Item {
    std::string name;
    CacheEntryPtr entry;  // null: to be removed
  };

  /// Opens the database unless it is open, or was tried a moment ago. True if it is open. What a person should know is
  /// put into notice().
  bool open();
  /// Writes all or nothing; false: nothing was kept.
  bool write(const std::vector<Item>& items, const std::vector<std::int64_t>& used);
  /// Renames the database and begins a new one.
  void set_aside(const char* why);
  void close();

  const std::string& path() const noexcept { return path_; }
  /// Counts the databases opened: a reader of an earlier one opens again. 0: none is open.
  unsigned generation() const noexcept { return generation_.load(std::memory_order_acquire); }
  /// Takes what has to be told; empty: nothing.
  std::string take_notice() { return std::exchange(notice_, {}); }

 private:
  using Clock = std::chrono::steady_clock;

  bool lock_shared();
  bool lock_alone();
  Trouble open_database();
  Trouble set_up();
  Trouble prepare_all();
  bool in_trouble(int code);
  void rest(const std::string& why);
  void give_up(const std::string& why);
  bool write_all(const std::vector<Item>& items, const std::vector<std::int64_t>& used, int& code);
  int make_room(std::uint64_t bytes);

  const std::string folder_;
  const std::string path_;
  const DiskCacheOptions& options_;
  EntryCipher cipher_;
  Database database_;
  Statement insert_, remove_, touch_, expire_, evict_, pages_, free_pages_;
  int lock_ = -1;
  int set_aside_ = 0;  // times; a failing disk must not be filled with wrecks
  unsigned opened_ = 0;
  bool resting_ = false;
  Clock::time_point rest_until_ = {};
  std::atomic<unsigned> generation_{0};
  std::string notice_;
};

class DiskCache {
 public:
  DiskCache(std::string folder, const DiskCacheOptions& options);
  ~DiskCache();

  void begin(const CacheNotice& notice);
  /// What waits to be written under `name`; null: nothing does.
  CacheEntryPtr pending(std::string_view name);
  void put(std::string_view name, CacheEntryPtr entry);
  /// Of a damaged entry.
  void remove(std::string_view name);
  void note_use(std::int64_t id);
  void note_damage(unsigned generation);
  void flush(std::chrono::milliseconds most);
  Result<std::uint64_t> clear();
  CacheStats stats() const;

  unsigned generation() const noexcept { return writer_.generation(); }
  const std::string& path() const noexcept { return writer_.path(); }
  const DiskCacheOptions& options() const noexcept { return options_; }

  struct Counts {
    std::atomic<std::uint64_t> hits{0}, misses{0}, failures{0}, writes{0}, dropped{0};
    std::atomic<std::uint64_t> untold{0};  // of those dropped

    void drop() {
      dropped.fetch_add(1, std::memory_order_relaxed);
      untold.fetch_add(1, std::memory_order_relaxed);
    }
  };
  Counts counts;

 private:
  std::optional<Error> measure(CacheStats& stats) const;
  void run();
  void write_batch(std::unique_lock<std::mutex>& lock);
  void tell(const std::string& text);

  const DiskCacheOptions options_;
  DiskWriter writer_;  // the writing thread's, and begin()'s before there is one

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable idle_;
  CacheNotice notice_;                                      // guarded
  std::deque<DiskWriter::Item> queue_;                      // guarded
  std::unordered_map<std::string, CacheEntryPtr> pending_;  // guarded: what queue_ and the batch under way put
  std::uint64_t pending_bytes_ = 0;                         // guarded
  std::vector<std::int64_t> used_;                          // guarded
  unsigned damaged_ = 0;                                    // guarded: a generation
  bool writing_ = false;                                    // guarded
  bool stop_ = false;                                       // guarded
  std::thread thread_;
};

/// The row of an entry.
std::int64_t row_of(std::string_view name) noexcept;

}  // namespace detail
DEEPSEEK_END_NAMESPACE
