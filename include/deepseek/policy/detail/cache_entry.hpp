// How a reply lies in a CacheEntry: a header, then each frame with its length. Private.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/policy/cache_store.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Finds damage, not malice. Every step is reversible in each word, so that one changed word always shows.
std::uint64_t cache_checksum(std::uint64_t seed, std::string_view bytes) noexcept;

/// Walks over the frames of an entry.
class CacheFrames {
 public:
  explicit CacheFrames(const CacheEntry& entry) noexcept;
  /// The next frame; false after the last.
  bool next(std::string_view& frame) noexcept;
  bool at_end() const noexcept { return rest_.empty(); }

 private:
  std::string_view rest_;
};

/// True if the entry holds the refusal of a request, not an answer.
bool is_negative(const CacheEntry& entry) noexcept;
/// The refusal that a negative entry holds.
Error negative_error(const CacheEntry& entry);

}  // namespace detail

/// Gathers what becomes a CacheEntry.
class CacheEntryWriter {
 public:
  CacheEntryWriter();
  void add(std::string_view frame);
  /// A refusal: the only thing in the entry.
  void add_negative(const Error& error);
  /// Bytes so far.
  std::size_t size() const noexcept { return bytes_.size(); }
  /// True if these are the frames of `entry`, or its refusal.
  bool same_frames(const CacheEntry& entry) const noexcept;
  /// Writes the header. The writer is empty after it.
  CacheEntryPtr finish(std::string_view key, const CacheTimes& times);

 private:
  std::string bytes_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/cache_store.ipp>
#endif
