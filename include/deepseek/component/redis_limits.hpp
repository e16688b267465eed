// Limits that several processes share through Redis. Component deepseek::redis.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <deepseek/component/redis.hpp>
#include <deepseek/policy/limits.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct SharedLimitOptions {
  /// Of all processes together. The bursts mean what they mean in a client; requests_burst 0 is a twentieth of a
  /// minute's requests. `adaptive` is refused: an adaptive limit belongs to one client.
  Limits limits{};
  bool per_model = false;  ///< each model has these limits for itself
  /// Each user id has them for itself (with per_model: for each model); no id counts as one. Redis sees a digest of the
  /// id. A client tells 1024 models and users apart at one time, idle ones go after a minute; all others share one
  /// more. For limits per key give each key's clients a name of their own.
  bool per_user = false;
  std::string name = "deepseek";  ///< who names the same and uses the same server shares; no braces
  std::string prefix{};           ///< put before every key, for example for an ACL
  /// What this client allows itself of the limits while Redis is away, in percent, 1 to 100: with four clients 25
  /// keeps all of them together to the limits. At least one request, token and slot. What it was granted before counts
  /// against its share, and what it takes meanwhile is told to Redis when it is back.
  int share_percent = 10;
  /// How long Redis may take to answer, 1 ms to 10 s; then this attempt is decided here.
  std::chrono::milliseconds ask_timeout{50};
  /// How long a slot outlives a client that ended without giving it back, 5 s to 1 h. Renewed three times as often.
  std::chrono::milliseconds lease{60'000};
  /// Told in one line when Redis is away and when it is back, on the client's loop. May be empty.
  Function<void(std::string_view)> notice{};
};
std::optional<Error> check(const SharedLimitOptions& options);

/// A SharedBudget for one client, kept in Redis 5 or newer by one atomic script. The server's clock counts, so that the
/// clients' need not agree. An ACL user needs @read, @write, @scripting and TIME. Address as in redis_server().
Result<std::shared_ptr<SharedBudget>> redis_limits(std::string_view address, SharedLimitOptions options);
Result<std::shared_ptr<SharedBudget>> redis_limits(RedisServer server, SharedLimitOptions options);

DEEPSEEK_END_NAMESPACE
