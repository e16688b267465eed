// Redis as a cache level. Component deepseek::redis.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <deepseek/http/curl.hpp>
#include <deepseek/policy/cache_store.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Where a Redis server is and who asks. Read from an address by redis_server(), or filled by hand.
struct RedisServer {
  std::string host = "127.0.0.1";
  int port = 6379;
  std::string unix_socket{};  ///< a path: host, port and tls are not used
  std::string user{};         ///< ACL user; empty: the default user
  Secret password{};          ///< empty: none is sent
  int database = 0;
  bool tls = false;
  TlsOptions tls_options{};  ///< of rediss://; the host name is always verified
  /// How long connecting may take, with TLS and authentication.
  std::chrono::milliseconds connect_timeout{2'000};
};

/// `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, `unix://[user:password@]/path[?db=N]`.
/// User and password may be percent-encoded. Fails with invalid_options; the address is never quoted.
Result<RedisServer> redis_server(std::string_view address);

struct RedisCacheOptions {
  /// How long one lookup may take, 1 ms to 10 s. When it has passed, the call goes on without.
  std::chrono::milliseconds lookup_timeout{20};
  std::string prefix{};  ///< put before every key
  /// Bytes that may wait to be sent; what is put beyond is dropped and counted.
  std::uint64_t max_unsent_bytes = 16 * 1024 * 1024;
};

/// A cache level in Redis, for CacheOptions::redis. One connection per client, made when the client is, and again
/// after a growing pause when it breaks. While there is none, lookups miss at once. A thread that waits for one call,
/// on a client that does nothing else, looks for the answer of a server near by for up to 50 us before it sleeps.
std::shared_ptr<CacheStore> redis(std::string_view address, RedisCacheOptions options = {});
std::shared_ptr<CacheStore> redis(RedisServer server, RedisCacheOptions options = {});

DEEPSEEK_END_NAMESPACE
