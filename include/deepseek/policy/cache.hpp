// Cache: answers that were paid for once. Three levels, from the nearest to the farthest: memory, Redis, disk.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/policy/cache_store.hpp>
#include <deepseek/policy/policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// What the life of an answer may depend on.
struct CacheQuery {
  std::string_view operation{};  ///< "chat", "completion"
  std::string_view model{};
  std::uint64_t tokens = 0;         ///< estimated, of the prompt and the answer
  std::uint64_t request_bytes = 0;  ///< of the request's canonical form
  bool stream = false;
};

/// How long an answer is fresh, from a duration in any unit. Zero or less: it is not kept. At most ten years, so that
/// nothing overflows.
class CacheLife {
 public:
  template <class Rep, class Period>
  CacheLife(std::chrono::duration<Rep, Period> time) {
    const std::chrono::duration<double> seconds(time);
    if (!(seconds.count() > 0)) return;
    time_ = seconds < longest ? std::chrono::duration_cast<std::chrono::milliseconds>(time) : longest;
  }
  /// Zero to ten years.
  std::chrono::milliseconds time() const noexcept { return time_; }

 private:
  static constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 3650);
  std::chrono::milliseconds time_{0};
};

/// Called on the loop. If it throws, cache_ttl_by_complexity counts for that answer.
using CacheTtl = Function<CacheLife(const CacheQuery&)>;
/// The default: the more tokens a query takes, the dearer its answer and the rarer its like. One hour up to 512
/// tokens, six up to 8192, a day beyond.
std::chrono::milliseconds cache_ttl_by_complexity(const CacheQuery& query);

/// The digest in a key. md5 is there for who must share entries with programs that use it; an attacker who may choose
/// prompts can make two with one md5.
enum class CacheDigest { sha256, md5 };

/// The cache of a client. Off by default: without any level there is none.
struct CacheOptions {
  /// Bytes of the memory level, from 64 KiB; 64 MiB is a good start. 0: no memory level of the client's own.
  std::uint64_t memory_bytes = 0;
  std::shared_ptr<CacheStore> memory{};  ///< a memory level shared with other clients, instead of memory_bytes
  std::shared_ptr<CacheStore> redis{};   ///< deepseek::redis(...), component deepseek::redis
  std::shared_ptr<CacheStore> disk{};    ///< deepseek::sqlite(...), component deepseek::sqlite

  CacheTtl ttl{};  ///< null: cache_ttl_by_complexity
  /// The life of each answer is shortened or lengthened by up to this share, so that answers that came together do
  /// not all end together. 0 to 0.9.
  double ttl_jitter = 0.1;
  /// How long an answer is kept when it is no longer fresh, for a degrade policy. 0: not at all.
  std::chrono::milliseconds keep_stale{0};
  /// How long the refusal of a request (400, 413, 422) is kept. 0: not at all.
  std::chrono::milliseconds negative_ttl{0};
  std::uint64_t max_entry_bytes = 8 * 1024 * 1024;  ///< longer answers are not kept
  CacheDigest digest = CacheDigest::sha256;
  /// Part of every key: clients with different scopes never see each other's answers, wherever they are kept.
  std::string scope{};
  Function<double()> random{};  ///< uniform in [0, 1), called on the loop; null: a generator of the cache's own
  CacheNotice notice{};         ///< null: nobody is told

  /// True if there is a level.
  bool any() const noexcept { return memory_bytes != 0 || memory || redis || disk; }
};

/// Why these options cannot be used; nothing: they can.
std::optional<Error> check(const CacheOptions& options);

/// One level at one moment.
struct CacheLevelStats {
  std::string_view level{};
  CacheStats stats{};
};

/// The policy at Phase::cache. On the loop only, except stats().
class CachePolicy : public Policy {
 public:
  /// Any thread.
  virtual std::vector<CacheLevelStats> stats() const = 0;
  /// Answers `call` with what is kept, fresh or not: plays it to `sink`, or calls `none` if nothing is. Either way
  /// once, perhaps before this returns. The call must not be held by anybody, and its decoder be as new.
  virtual void play_kept(CallPtr call, SinkPtr sink, Function<void()> none) = 0;
};

/// Told of writes that a level dropped, soon after. On the loop, and once more where the policy ends.
using CacheDropWatch = Function<void(std::string_view level, std::uint64_t count)>;

/// `base_urls`: of all endpoints of the client, part of every key. `clock` may not be null. Options that check()
/// refuses make a policy that does nothing.
///
/// Answered and kept are calls whose codec can write a canonical form: chat and completions, with tools or without.
/// Streamed and whole replies are kept apart, each as it came: a stream is played again frame by frame. Only complete
/// answers are kept (`length` is complete: a repetition would end there too), and none that was put together from
/// several attempts or is less than was asked for. A hit counts no attempt and no usage.
std::shared_ptr<CachePolicy> make_cache_policy(const CacheOptions& options, const std::vector<std::string>& base_urls,
                                               std::shared_ptr<const Clock> clock, CacheDropWatch dropped = {});

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/cache.ipp>
#endif
