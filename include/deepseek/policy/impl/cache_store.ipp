#pragma once
#include <deepseek/core/detail/platform.hpp>
#include <deepseek/policy/cache_store.hpp>
#include <deepseek/policy/detail/cache_entry.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE

DEEPSEEK_DECL bool CacheTimes::fresh(WallTime now) const noexcept { return now < fresh_until && !from_future(now); }
DEEPSEEK_DECL bool CacheTimes::kept(WallTime now) const noexcept { return now < keep_until && !from_future(now); }
DEEPSEEK_DECL bool CacheTimes::from_future(WallTime now) const noexcept {
  return written > now + std::chrono::minutes(5);
}

namespace detail {

// --- entries -----------------------------------------------------------------------------------------

// 0 magic, 4 format, 5 flags, 8 written, 16 fresh until, 24 kept until (milliseconds since 1970), 32 checksum over the
// key and all else. Then frames: 4 bytes of length, bytes. Little-endian: Redis is shared by different machines.
inline constexpr std::string_view cache_magic = "DSRC";
inline constexpr char cache_format = 1;
inline constexpr char cache_negative_flag = 1;
inline constexpr std::size_t cache_sum_at = 32;
inline constexpr std::size_t cache_header_bytes = 40;
inline constexpr std::size_t cache_length_bytes = 4;

inline void store_number(char* at, std::uint64_t value, std::size_t bytes = 8) noexcept {
  for (std::size_t i = 0; i < bytes; ++i) at[i] = static_cast<char>(value >> (8 * i) & 0xFF);
}

inline std::uint64_t load_number(const char* at, std::size_t bytes = 8) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t{static_cast<unsigned char>(at[i])} << (8 * i);
  return value;
}

/// load_number() of eight bytes, as one load.
inline std::uint64_t load_word(const char* at) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

inline std::uint64_t mixed(std::uint64_t state, std::uint64_t word) noexcept {
  state = (state ^ word) * 0xD6E8FEB86659FD93u;  // odd: reversible
  return state ^ (state >> 32);
}

DEEPSEEK_DECL std::uint64_t cache_checksum(std::uint64_t seed, std::string_view bytes) noexcept {
  // Four lanes, because one would wait for its own multiplication.
  std::uint64_t lanes[4] = {seed, seed + 1, seed + 2, seed + 3};
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 32; left -= 32, at += 32)
    for (std::size_t i = 0; i < 4; ++i) lanes[i] = mixed(lanes[i], load_word(at + 8 * i));
  for (; left >= 8; left -= 8, at += 8) lanes[0] = mixed(lanes[0], load_word(at));
  lanes[1] = mixed(lanes[1], load_number(at, left));
  std::uint64_t sum = mixed(seed, bytes.size());
  for (const std::uint64_t lane : lanes) sum = mixed(sum, lane);
  return sum;
}

inline std::uint64_t entry_checksum(std::string_view key, std::string_view bytes) noexcept {
  const std::uint64_t head = cache_checksum(cache_checksum(0, key), bytes.substr(0, cache_sum_at));
  return cache_checksum(head, bytes.substr(cache_header_bytes));
}

inline std::uint64_t to_milliseconds(WallTime time) noexcept {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

/// A damaged clock may say anything: beyond the range of WallTime, the end of it.
inline WallTime from_milliseconds(std::uint64_t count) noexcept {
  constexpr std::uint64_t most = 8'000'000'000'000u;  // the year 2223
  return WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(std::min(count, most))));
}

DEEPSEEK_DECL CacheTimes entry_times(std::string_view bytes) noexcept {
  const auto time = [bytes](std::size_t at) { return from_milliseconds(load_word(bytes.data() + at)); };
  return {time(8), time(16), time(24)};
}

DEEPSEEK_DECL bool is_whole_entry(std::string_view key, std::string_view bytes) noexcept {
  return bytes.size() >= cache_header_bytes && bytes.substr(0, cache_magic.size()) == cache_magic &&
         bytes[4] == cache_format && load_word(bytes.data() + cache_sum_at) == entry_checksum(key, bytes);
}

DEEPSEEK_DECL void seal_entry(std::string_view key, std::string& bytes, const CacheTimes& times) noexcept {
  store_number(bytes.data() + 8, to_milliseconds(times.written));
  store_number(bytes.data() + 16, to_milliseconds(times.fresh_until));
  store_number(bytes.data() + 24, to_milliseconds(times.keep_until));
  store_number(bytes.data() + cache_sum_at, entry_checksum(key, bytes));
}

DEEPSEEK_DECL CacheFrames::CacheFrames(const CacheEntry& entry) noexcept
    : rest_(std::string_view(entry.bytes()).substr(cache_header_bytes)) {}

DEEPSEEK_DECL bool CacheFrames::next(std::string_view& frame) noexcept {
  if (rest_.size() < cache_length_bytes) return false;
  const auto size = static_cast<std::size_t>(load_number(rest_.data(), cache_length_bytes));
  rest_.remove_prefix(cache_length_bytes);
  frame = rest_.substr(0, size);
  rest_.remove_prefix(frame.size());
  return true;
}

DEEPSEEK_DECL bool is_negative(const CacheEntry& entry) noexcept {
  return (entry.bytes()[5] & cache_negative_flag) != 0;
}

DEEPSEEK_DECL Error negative_error(const CacheEntry& entry) {
  CacheFrames frames(entry);
  std::string_view numbers;
  frames.next(numbers);
  ErrorDetails details = Error(ErrorCode::bad_request, "").details();
  if (numbers.size() == 8) details.http_status = static_cast<int>(load_number(numbers.data()));
  for (std::string* text : {&details.message, &details.advice, &details.service.message, &details.service.type,
                            &details.service.code, &details.service.param}) {
    std::string_view field;
    if (frames.next(field)) *text = field;
  }
  return Error(std::move(details));
}

}  // namespace detail

DEEPSEEK_DECL std::shared_ptr<const CacheEntry> CacheEntry::read(std::string_view key, std::string bytes) {
  if (!detail::is_whole_entry(key, bytes)) return nullptr;
  std::shared_ptr<CacheEntry> entry(new CacheEntry());
  entry->times_ = detail::entry_times(bytes);
  entry->bytes_ = std::move(bytes);
  return entry;
}

DEEPSEEK_DECL CacheEntryWriter::CacheEntryWriter() : bytes_(detail::cache_header_bytes, '\0') {
  bytes_.replace(0, detail::cache_magic.size(), detail::cache_magic);
  bytes_[4] = detail::cache_format;
}

DEEPSEEK_DECL void CacheEntryWriter::add(std::string_view frame) {
  char length[detail::cache_length_bytes];
  detail::store_number(length, frame.size(), sizeof length);
  bytes_.append(length, sizeof length);
  bytes_.append(frame);
}

DEEPSEEK_DECL void CacheEntryWriter::add_negative(const Error& error) {
  bytes_[5] = static_cast<char>(bytes_[5] | detail::cache_negative_flag);
  char status[8];
  detail::store_number(status, static_cast<std::uint64_t>(error.http_status()));
  add({status, sizeof status});
  const ServiceError& service = error.service();
  for (const std::string* text :
       {&error.message(), &error.advice(), &service.message, &service.type, &service.code, &service.param})
    add(*text);
}

DEEPSEEK_DECL bool CacheEntryWriter::same_frames(const CacheEntry& entry) const noexcept {
  const auto frames = [](std::string_view bytes) { return bytes.substr(detail::cache_header_bytes); };
  const bool negative = (bytes_[5] & detail::cache_negative_flag) != 0;
  return negative == detail::is_negative(entry) && frames(bytes_) == frames(entry.bytes());
}

DEEPSEEK_DECL CacheEntryPtr CacheEntryWriter::finish(std::string_view key, const CacheTimes& times) {
  detail::seal_entry(key, bytes_, times);
  std::shared_ptr<CacheEntry> entry(new CacheEntry());
  entry->times_ = detail::entry_times(bytes_);
  entry->bytes_ = std::move(bytes_);
  *this = CacheEntryWriter();
  return entry;
}

// --- memory ------------------------------------------------------------------------------------------

namespace detail {

/// A part of the memory store with a lock of its own.
class MemoryShard {
 public:
  CacheEntryPtr find(std::string_view key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    used_.splice(used_.begin(), used_, found->second);
    return found->second->entry;
  }

  /// False if the entry is larger than the shard may be.
  bool put(std::string_view key, CacheEntryPtr entry, std::uint64_t capacity) {
    std::list<Item> dropped;  // freed without the lock
    const std::uint64_t size = size_of(key, *entry);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = by_key_.find(key); found != by_key_.end()) take_out(found->second, dropped);
    if (size > capacity) return false;
    while (bytes_ + size > capacity) take_out(std::prev(used_.end()), dropped);
    used_.push_front({std::string(key), std::move(entry)});
    by_key_.emplace(used_.front().key, used_.begin());
    bytes_ += size;
    return true;
  }

  std::uint64_t clear() {
    std::list<Item> dropped;
    const std::lock_guard<std::mutex> lock(mutex_);
    by_key_.clear();
    dropped.swap(used_);
    bytes_ = 0;
    return dropped.size();
  }

  void add_to(CacheStats& stats) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats.entries += used_.size();
    stats.bytes += bytes_;
  }

 private:
  struct Item {
    std::string key;
    CacheEntryPtr entry;
  };
  using Place = std::list<Item>::iterator;

  /// What an entry costs: its bytes, its key, and two nodes, a hash slot and a shared entry about it.
  static std::uint64_t size_of(std::string_view key, const CacheEntry& entry) noexcept {
    return key.size() + entry.bytes().capacity() + 256;
  }

  void take_out(Place place, std::list<Item>& dropped) {
    bytes_ -= size_of(place->key, *place->entry);
    by_key_.erase(place->key);
    dropped.splice(dropped.begin(), used_, place);
  }

  mutable std::mutex mutex_;
  std::list<Item> used_;                                // newest first
  std::unordered_map<std::string_view, Place> by_key_;  // views into used_
  std::uint64_t bytes_ = 0;
};

/// What a memory store holds. Sessions keep it alive.
class MemoryShards {
 public:
  explicit MemoryShards(std::uint64_t max_bytes)
      : count_(shards_for(max_bytes)), capacity_(max_bytes / count_), shards_(count_) {}

  CacheEntryPtr find(std::string_view key) {
    CacheEntryPtr entry = shard(key).find(key);
    (entry ? hits_ : misses_).fetch_add(1, std::memory_order_relaxed);
    return entry;
  }
  void put(std::string_view key, CacheEntryPtr entry) {
    const bool kept = shard(key).put(key, std::move(entry), capacity_);
    (kept ? writes_ : dropped_).fetch_add(1, std::memory_order_relaxed);
    if (!kept) untold_.fetch_add(1, std::memory_order_relaxed);
  }
  std::uint64_t take_dropped() noexcept {
    if (untold_.load(std::memory_order_relaxed) == 0) return 0;
    return untold_.exchange(0, std::memory_order_relaxed);
  }
  std::uint64_t clear() {
    std::uint64_t count = 0;
    for (MemoryShard& shard : shards_) count += shard.clear();
    return count;
  }
  CacheStats stats() const {
    CacheStats stats;
    stats.hits = hits_.load(std::memory_order_relaxed);
    stats.misses = misses_.load(std::memory_order_relaxed);
    stats.writes = writes_.load(std::memory_order_relaxed);
    stats.dropped_writes = dropped_.load(std::memory_order_relaxed);
    for (const MemoryShard& shard : shards_) shard.add_to(stats);
    return stats;
  }

 private:
  /// A small store in few parts: an entry must fit into its shard.
  static std::size_t shards_for(std::uint64_t max_bytes) noexcept {
    constexpr std::uint64_t worth_one = 4 * 1024 * 1024;
    std::size_t count = 1;
    while (count < 16 && max_bytes / (2 * count) >= worth_one) count *= 2;
    return count;
  }
  MemoryShard& shard(std::string_view key) { return shards_[std::hash<std::string_view>()(key) >> 32 & (count_ - 1)]; }

  const std::size_t count_;
  const std::uint64_t capacity_;  // of one shard
  std::vector<MemoryShard> shards_;
  std::atomic<std::uint64_t> hits_{0};
  std::atomic<std::uint64_t> misses_{0};
  std::atomic<std::uint64_t> writes_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> untold_{0};  // of those dropped
};

class MemorySession final : public CacheSession {
 public:
  explicit MemorySession(std::shared_ptr<MemoryShards> shards) : shards_(std::move(shards)) {}
  bool immediate() const noexcept override { return true; }
  CacheEntryPtr find(std::string_view key) override { return shards_->find(key); }
  void put(std::string_view key, CacheEntryPtr entry) override { shards_->put(key, std::move(entry)); }

 private:
  std::shared_ptr<MemoryShards> shards_;
};

class MemoryStore final : public CacheStore {
 public:
  explicit MemoryStore(std::uint64_t max_bytes) : max_bytes_(max_bytes), shards_(make()) {}
  std::string_view level() const noexcept override { return "memory"; }
  std::optional<Error> check() const override {
    if (max_bytes_ >= 64 * 1024) return std::nullopt;
    return Error(ErrorCode::invalid_options, "the memory cache is smaller than 64 KiB: next to nothing would fit",
                 "give it more, or leave it out");
  }
  std::unique_ptr<CacheSession> open(Loop&, const CacheNotice&) override {
    return std::make_unique<MemorySession>(shards());
  }
  CacheStats stats() const override { return shards()->stats(); }
  std::uint64_t take_dropped_writes() noexcept override { return shards()->take_dropped(); }
  Result<std::uint64_t> clear() override { return shards()->clear(); }

 private:
  std::shared_ptr<MemoryShards> make() const { return std::make_shared<MemoryShards>(max_bytes_); }

  // In a forked child a lock may be held by a thread that is not there: what the parent kept is left alone.
  std::shared_ptr<MemoryShards> shards() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fork_generation_ != fork_generation()) {
      new std::shared_ptr<MemoryShards>(std::move(shards_));
      shards_ = make();
      fork_generation_ = fork_generation();
    }
    return shards_;
  }

  const std::uint64_t max_bytes_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<MemoryShards> shards_;  // guarded
  mutable unsigned fork_generation_ = fork_generation();
};

}  // namespace detail

// What a session or a store need not have.
DEEPSEEK_DECL CacheEntryPtr CacheSession::find(std::string_view /*key*/) { return nullptr; }
DEEPSEEK_DECL void CacheSession::find(std::string_view /*key*/, Function<void(CacheEntryPtr)> /*done*/) {}
DEEPSEEK_DECL void CacheSession::flush(std::chrono::milliseconds /*most*/) {}
DEEPSEEK_DECL std::optional<Error> CacheStore::check() const { return std::nullopt; }

DEEPSEEK_DECL std::shared_ptr<CacheStore> memory_store(std::uint64_t max_bytes) {
  return std::make_shared<detail::MemoryStore>(max_bytes);
}

DEEPSEEK_END_NAMESPACE
