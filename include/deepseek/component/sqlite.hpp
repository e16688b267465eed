// SQLite as a cache level on the disk. Component deepseek::sqlite.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <deepseek/core/secret.hpp>
#include <deepseek/policy/cache_store.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// A key for what is written to the disk.
struct DiskKey {
  std::uint32_t id = 0;  ///< stands beside each entry, so that keys can be changed
  Secret key{};          ///< 32 bytes, as they are
};

struct DiskCacheOptions {
  /// Bytes of the database, from 1 MiB; what was not used for longest goes first. Its write-ahead log takes up to 16
  /// MiB more.
  std::uint64_t max_bytes = 1024ull * 1024 * 1024;
  /// Encrypt entries with AES-256-GCM. The first key encrypts, all decrypt; entries of other keys are not seen. None:
  /// no encryption. What is not encrypted: how many entries there are, how long, and when they were used.
  std::vector<DiskKey> keys{};
  /// Bytes that may wait to be written; what is put beyond is dropped and counted.
  std::uint64_t max_pending_bytes = 32ull * 1024 * 1024;
};

/// A cache level in the folder `folder`, for CacheOptions::disk. The folder is made if it is not there, readable by its
/// owner alone. Lookups read on the thread that asks and never wait; one thread writes. Several processes may share a
/// folder on one machine, and each may be killed at any moment.
///
/// A database that is damaged or not this cache's is renamed (`.bad-` and the time) and a new one begun. If the disk is
/// full, or the folder cannot be written to, nothing is kept there until it can be again; calls go on without. Either
/// is told by CacheOptions::notice. stats() changes nothing, and says in `trouble` what it finds of either.
std::shared_ptr<CacheStore> sqlite(std::string folder, DiskCacheOptions options = {});

DEEPSEEK_END_NAMESPACE
