// CacheStore: a place where replies are kept, one level of a cache.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/core/clock.hpp>
#include <deepseek/core/function.hpp>
#include <deepseek/core/loop.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// How long a kept reply is good for. By the wall clock: entries outlive a process and are shared by several. An
/// entry that was written in the future (a clock has jumped back) is not used.
struct CacheTimes {
  WallTime written{};
  WallTime fresh_until{};  ///< answers calls until then
  WallTime keep_until{};   ///< kept until then, for a policy that would rather give an old answer than none

  bool fresh(WallTime now) const noexcept;
  bool kept(WallTime now) const noexcept;
  bool from_future(WallTime now) const noexcept;
};

/// One kept reply: its bytes, the same in every store, with a checksum over them and the key. Immutable, shared between
/// threads.
class CacheEntry {
 public:
  /// Takes bytes() back, after a store has kept them. Null if they are not what was put under `key`, whole.
  static std::shared_ptr<const CacheEntry> read(std::string_view key, std::string bytes);

  const CacheTimes& times() const noexcept { return times_; }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  friend class CacheEntryWriter;
  CacheEntry() = default;
  CacheTimes times_{};
  std::string bytes_{};
};
using CacheEntryPtr = std::shared_ptr<const CacheEntry>;

/// What a store has done so far. Counted since it was made, entries and bytes as of now.
struct CacheStats {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;    ///< told that there is nothing, failures and late answers included
  std::uint64_t failures = 0;  ///< lookups that failed or came too late, and entries that were damaged
  std::uint64_t writes = 0;
  std::uint64_t dropped_writes = 0;  ///< not kept: a full queue or disk, no connection, no time left at the end
  std::uint64_t entries = 0;         ///< 0 for a store that does not know
  std::uint64_t bytes = 0;           ///< 0 for a store that does not know
  /// Why entries and bytes could not be told: what the store stands on is damaged, foreign or out of reach (io_error).
  /// Nothing: they could. Damage that only reading an entry would meet is not looked for.
  std::optional<Error> trouble{};
};

/// Told what a person who runs the program should know: a file set aside, a server that cannot be reached. One line
/// without secrets; from any thread; must not block.
using CacheNotice = Function<void(std::string_view level, std::string_view text)>;

/// One client's hand on a store. On the client's loop only.
class CacheSession {
 public:
  virtual ~CacheSession() = default;
  /// True if find(key) answers without waiting, false if find(key, done) must be asked.
  virtual bool immediate() const noexcept = 0;
  /// What is kept under `key`, stale entries too; null if nothing is. Damaged entries are never returned.
  virtual CacheEntryPtr find(std::string_view key);
  /// The same, told later: `done` runs once, never before this returns, and not much later than the store's own
  /// deadline, whatever has become of the other side.
  virtual void find(std::string_view key, Function<void(CacheEntryPtr)> done);
  /// Keeps `entry`, now or soon. Does not wait; what cannot be kept is counted.
  virtual void put(std::string_view key, CacheEntryPtr entry) = 0;
  /// Waits until what was put is kept, for at most `most`. Called once, when the client goes and its loop has ended:
  /// on any thread.
  virtual void flush(std::chrono::milliseconds most);
};

/// Safe from all threads. May serve several clients at once.
class CacheStore {
 public:
  virtual ~CacheStore() = default;
  /// The level's fixed word: "memory", "redis", "disk". Static storage.
  virtual std::string_view level() const noexcept = 0;
  /// Why the store's options cannot be used, asked when a client is made; nothing: they can. What may mend itself (a
  /// server away, a full disk) is no reason: the level then answers nothing and says so by a notice.
  virtual std::optional<Error> check() const;
  /// Called once by each client. `loop` outlives the session, but does not run any more when it ends.
  virtual std::unique_ptr<CacheSession> open(Loop& loop, const CacheNotice& notice) = 0;
  virtual CacheStats stats() const = 0;
  /// Writes that were dropped since this was last asked: each is told once, however many clients share the store. Any
  /// thread, and cheap.
  virtual std::uint64_t take_dropped_writes() noexcept { return 0; }
  /// Drops every entry; returns how many. May wait for a disk or a server.
  virtual Result<std::uint64_t> clear() = 0;
};

/// Keeps entries in this process, up to `max_bytes` of them (keys and bookkeeping included); the one that was not
/// used for longest goes first.
std::shared_ptr<CacheStore> memory_store(std::uint64_t max_bytes);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/cache_store.ipp>
#endif
