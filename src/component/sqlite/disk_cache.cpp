#include "component/sqlite/disk_cache.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

constexpr std::size_t most_used = 1024;
constexpr std::size_t most_at_once = 64;
constexpr std::uint64_t most_bytes_at_once = 4 * 1024 * 1024;

std::uint64_t cost_of(std::string_view name, const CacheEntryPtr& entry) {
  return 2 * name.size() + 256 + (entry ? entry->bytes().size() : 0);
}

}  // namespace

DiskCache::DiskCache(std::string folder, const DiskCacheOptions& options)
    : options_(options), writer_(std::move(folder), options_) {}

DiskCache::~DiskCache() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    work_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  if (!queue_.empty() && notice_)
    notice_("disk", std::to_string(queue_.size()) + " answers were not written to the disk in time");
}

void DiskCache::begin(const CacheNotice& notice) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (notice) notice_ = notice;
  if (thread_.joinable()) return;
  writer_.open();
  const std::string text = writer_.take_notice();
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    stop_ = true;  // no thread is to be had: what is there is read, nothing is written
  }
  lock.unlock();
  tell(text);
}

/// Not with the mutex held.
void DiskCache::tell(const std::string& text) {
  if (text.empty()) return;
  std::unique_lock<std::mutex> lock(mutex_);
  const CacheNotice notice = notice_;
  lock.unlock();
  if (notice) notice("disk", text);
}

CacheEntryPtr DiskCache::pending(std::string_view name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (pending_.empty()) return nullptr;
  const auto found = pending_.find(std::string(name));
  return found == pending_.end() ? nullptr : found->second;
}

void DiskCache::put(std::string_view name, CacheEntryPtr entry) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::uint64_t cost = cost_of(name, entry);
  if (stop_ || pending_bytes_ + cost > options_.max_pending_bytes) {
    counts.drop();
    return;
  }
  pending_bytes_ += cost;
  pending_[std::string(name)] = entry;
  queue_.push_back({std::string(name), std::move(entry)});
  if (queue_.size() == 1) work_.notify_one();
}

void DiskCache::remove(std::string_view name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (queue_.size() >= most_used) return;
  pending_bytes_ += cost_of(name, nullptr);
  queue_.push_back({std::string(name), nullptr});
  work_.notify_one();
}

void DiskCache::note_use(std::int64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (used_.size() >= most_used) return;
  used_.push_back(id);
  if (used_.size() == most_used) work_.notify_one();
}

void DiskCache::note_damage(unsigned generation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  damaged_ = generation;
  work_.notify_one();
}

void DiskCache::flush(std::chrono::milliseconds most) {
  std::unique_lock<std::mutex> lock(mutex_);
  idle_.wait_for(lock, most, [this] { return (queue_.empty() && !writing_) || stop_; });
}

void DiskCache::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return stop_ || !queue_.empty() || damaged_ != 0 || used_.size() >= most_used; });
    if (stop_) return;
    write_batch(lock);
    if (queue_.empty()) idle_.notify_all();
  }
}

void DiskCache::write_batch(std::unique_lock<std::mutex>& lock) {
  std::vector<DiskWriter::Item> items;
  std::uint64_t bytes = 0;
  while (!queue_.empty() && items.size() < most_at_once && bytes < most_bytes_at_once) {
    bytes += cost_of(queue_.front().name, queue_.front().entry);
    items.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  const std::vector<std::int64_t> used = std::exchange(used_, {});
  const unsigned damaged = std::exchange(damaged_, 0);
  writing_ = true;
  lock.unlock();

  // A reader may tell of a database that has been replaced meanwhile.
  if (damaged != 0 && damaged == writer_.generation()) writer_.set_aside("it is damaged");
  const bool kept = writer_.write(items, used);
  tell(writer_.take_notice());

  lock.lock();
  writing_ = false;
  pending_bytes_ -= bytes;
  for (const DiskWriter::Item& item : items) {
    if (!item.entry) continue;
    if (kept)
      counts.writes.fetch_add(1, std::memory_order_relaxed);
    else
      counts.drop();
    const auto found = pending_.find(item.name);
    if (found != pending_.end() && found->second == item.entry) pending_.erase(found);
  }
}

Result<std::uint64_t> DiskCache::clear() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const DiskWriter::Item& item : queue_) pending_bytes_ -= cost_of(item.name, item.entry);
    queue_.clear();
    pending_.clear();
  }
  const auto failed = [](int code) {
    return Error(ErrorCode::io_error, "the cache on the disk cannot be cleared").with([&](ErrorDetails& details) {
      details.cause = sqlite3_errstr(code);
    });
  };
  // Not to make a folder where a wrong name was given.
  struct stat info{};
  if (::stat(path().c_str(), &info) != 0 && errno == ENOENT) return std::uint64_t{0};
  DiskWriter opener(path().substr(0, path().rfind('/')), options_);
  const bool opened = opener.open();
  const std::string notice = opener.take_notice();
  if (!opened) return Error(ErrorCode::io_error, "the cache on the disk cannot be opened", notice);
  tell(notice);
  Database database;
  if (const int code = database.open(path(), true); code != SQLITE_OK) return failed(code);
  database.set_busy_timeout(5'000);
  const auto entries = database.number("SELECT count(*) FROM entry");
  if (!entries) return failed(database.error());
  if (const int code = database.exec("DELETE FROM entry"); code != SQLITE_OK) return failed(code);
  // Gives the space back; not while another process reads, then it is used again instead.
  database.exec("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
  return static_cast<std::uint64_t>(*entries);
}

CacheStats DiskCache::stats() const {
  CacheStats stats;
  stats.hits = counts.hits.load(std::memory_order_relaxed);
  stats.misses = counts.misses.load(std::memory_order_relaxed);
  stats.failures = counts.failures.load(std::memory_order_relaxed);
  stats.writes = counts.writes.load(std::memory_order_relaxed);
  stats.dropped_writes = counts.dropped.load(std::memory_order_relaxed);
  stats.trouble = measure(stats);
  return stats;
}

/// Reads how much is kept; writes nothing, so what is damaged stays where it is. The error says why it cannot be told.
std::optional<Error> DiskCache::measure(CacheStats& stats) const {
  const auto unreadable = [](const char* what, std::string cause) {
    return Error(ErrorCode::io_error, what).with([&](ErrorDetails& details) { details.cause = std::move(cause); });
  };
  struct stat info{};
  if (::stat(path().c_str(), &info) != 0) {
    if (errno == ENOENT) return std::nullopt;  // nothing has been kept yet
    return unreadable("the cache's folder cannot be read", std::generic_category().message(errno));
  }
  Database database;
  const auto failed = [&](int code) {
    const bool damaged = trouble_of(code) == Trouble::damaged;
    return unreadable(damaged ? "the database on the disk is damaged" : "the database on the disk cannot be read",
                      sqlite3_errstr(code));
  };
  if (const int code = database.open(path(), false); code != SQLITE_OK) return failed(code);
  database.set_busy_timeout(1'000);
  const auto tables = database.number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return failed(database.error());
  if (*tables == 0) return std::nullopt;  // another process is about to fill it
  const auto id = database.number("PRAGMA application_id");
  if (!id) return failed(database.error());
  if (*id != application_id) return unreadable("the database on the disk is not this cache's", {});
  const auto entries = database.number("SELECT count(*) FROM entry");
  if (!entries) return failed(database.error());
  const auto pages = database.number("PRAGMA page_count").value_or(0);
  const auto free = database.number("PRAGMA freelist_count").value_or(0);
  stats.entries = static_cast<std::uint64_t>(*entries);
  stats.bytes = static_cast<std::uint64_t>(pages - free) * 4096;
  return std::nullopt;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
