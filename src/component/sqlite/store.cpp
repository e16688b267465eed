// The cache level on the disk.
#include <deepseek/component/sqlite.hpp>
#include <deepseek/core/detail/platform.hpp>

#include <sqlite3.h>

#include <utility>

#include "component/sqlite/disk_cache.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

void count(std::atomic<std::uint64_t>& number) { number.fetch_add(1, std::memory_order_relaxed); }

/// Reads with a handle of its own, never waiting for anybody.
class DiskSession final : public CacheSession {
 public:
  explicit DiskSession(std::shared_ptr<DiskCache> cache) : cache_(std::move(cache)), cipher_(cache_->options().keys) {
    ready();
  }

  bool immediate() const noexcept override { return true; }

  CacheEntryPtr find(std::string_view key) override {
    CacheEntryPtr entry = cache_->pending(key);
    if (!entry) entry = read(key);
    count(entry ? cache_->counts.hits : cache_->counts.misses);
    return entry;
  }

  void put(std::string_view key, CacheEntryPtr entry) override { cache_->put(key, std::move(entry)); }
  void flush(std::chrono::milliseconds most) override { cache_->flush(most); }

 private:
  bool ready() {
    const unsigned generation = cache_->generation();
    if (generation == generation_) return static_cast<bool>(select_);
    select_ = Statement();
    database_.close();
    generation_ = generation;
    if (generation == 0 || database_.open(cache_->path(), false) != SQLITE_OK) return false;
    return database_.prepare("SELECT value FROM entry WHERE id = ?1", select_) == SQLITE_OK;
  }

  CacheEntryPtr read(std::string_view key) {
    if (!ready()) return nullptr;
    const std::int64_t id = row_of(key);
    select_.bind(1, id);
    std::string bytes;
    EntryCipher::Status status = EntryCipher::Status::damaged;
    const int code = select_.step();
    if (code == SQLITE_ROW) status = cipher_.open(key, select_.blob(0), bytes);
    select_.reset();
    if (code != SQLITE_ROW) return failed(code), nullptr;
    if (status == EntryCipher::Status::unknown_key) return nullptr;
    CacheEntryPtr entry = status == EntryCipher::Status::read ? CacheEntry::read(key, std::move(bytes)) : nullptr;
    if (entry) return cache_->note_use(id), entry;
    count(cache_->counts.failures);
    cache_->remove(key);
    return nullptr;
  }

  void failed(int code) {
    if (code == SQLITE_DONE) return;
    count(cache_->counts.failures);
    if (trouble_of(code) == Trouble::damaged) cache_->note_damage(generation_);
  }

  std::shared_ptr<DiskCache> cache_;
  EntryCipher cipher_;
  Database database_;
  Statement select_;
  unsigned generation_ = 0;
};

class DiskStore final : public CacheStore {
 public:
  DiskStore(std::string folder, DiskCacheOptions options)
      : folder_(std::move(folder)), options_(std::move(options)), cache_(make()) {}

  std::string_view level() const noexcept override { return "disk"; }

  std::optional<Error> check() const override {
    const auto bad = [](const char* what) { return Error(ErrorCode::invalid_options, what); };
    if (folder_.empty() || folder_.find('\0') != std::string::npos) return bad("the disk cache names no folder");
    if (options_.max_bytes < 1024 * 1024) return bad("DiskCacheOptions::max_bytes is below 1 MiB");
    if (options_.max_bytes > 8'000'000'000'000) return bad("DiskCacheOptions::max_bytes is above 8 TB");
    if (options_.max_pending_bytes < 64 * 1024) return bad("DiskCacheOptions::max_pending_bytes is below 64 KiB");
    for (std::size_t i = 0; i < options_.keys.size(); ++i) {
      if (options_.keys[i].key.reveal().size() != 32) return bad("a key of the disk cache is not 32 bytes long");
      for (std::size_t j = 0; j < i; ++j)
        if (options_.keys[j].id == options_.keys[i].id) return bad("two keys of the disk cache have the same id");
    }
    return std::nullopt;
  }

  std::unique_ptr<CacheSession> open(Loop&, const CacheNotice& notice) override {
    const auto cache = current();
    cache->begin(notice);
    return std::make_unique<DiskSession>(cache);
  }
  CacheStats stats() const override { return current()->stats(); }
  std::uint64_t take_dropped_writes() noexcept override {
    return current()->counts.untold.exchange(0, std::memory_order_relaxed);
  }
  Result<std::uint64_t> clear() override {
    if (auto error = check()) return *error;
    return current()->clear();
  }

 private:
  std::shared_ptr<DiskCache> make() const { return std::make_shared<DiskCache>(folder_, options_); }

  // A forked child has neither the writing thread nor a right to the parent's handles and locks.
  std::shared_ptr<DiskCache> current() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fork_generation_ != fork_generation()) {
      new std::shared_ptr<DiskCache>(std::move(cache_));
      cache_ = make();
      fork_generation_ = fork_generation();
    }
    return cache_;
  }

  const std::string folder_;
  const DiskCacheOptions options_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<DiskCache> cache_;  // guarded
  mutable unsigned fork_generation_ = fork_generation();
};

}  // namespace
}  // namespace detail

std::shared_ptr<CacheStore> sqlite(std::string folder, DiskCacheOptions options) {
  return std::make_shared<detail::DiskStore>(std::move(folder), std::move(options));
}

DEEPSEEK_END_NAMESPACE
