// Options: plain structs with their defaults in place. Copied at creation and never read again.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/core/cancel.hpp>
#include <deepseek/core/clock.hpp>
#include <deepseek/core/executor.hpp>
#include <deepseek/core/log_level.hpp>
#include <deepseek/http/curl.hpp>
#include <deepseek/policy/breaker.hpp>
#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/cost_meter.hpp>
#include <deepseek/policy/degrade.hpp>
#include <deepseek/policy/failover.hpp>
#include <deepseek/policy/hedge.hpp>
#include <deepseek/policy/limiter.hpp>
#include <deepseek/policy/policy.hpp>
#include <deepseek/policy/resume.hpp>
#include <deepseek/policy/retry.hpp>
#include <deepseek/policy/single_flight.hpp>
#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE

class LogSink;       // <deepseek/core/log.hpp>
class MetricSink;    // <deepseek/core/metrics.hpp>
class SharedBudget;  // <deepseek/policy/limits.hpp>

inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr std::uint64_t GiB = 1024 * MiB;

inline constexpr const char* default_base_url = "https://api.deepseek.com";

/// How a client is built. Precedence: per call, then client, then the defaults here. The environment is
/// read only by from_environment() and api_key_from_env().
struct ClientOptions {
  // Not an aggregate: a file that includes this header need not compile the copying of all that stands below.
  ClientOptions();
  ClientOptions(const ClientOptions&);
  ClientOptions(ClientOptions&&) noexcept;
  ClientOptions& operator=(const ClientOptions&);
  ClientOptions& operator=(ClientOptions&&) noexcept;
  ~ClientOptions();

  /// Servers (<deepseek/transport/endpoint.hpp>), in failover order, at most 64. Empty: https://api.deepseek.com
  /// without a key.
  std::vector<Endpoint> endpoints;
  std::string model = "deepseek-flash";  ///< for requests that name none
  Timeouts timeouts;
  SizeLimits size_limits;  ///< of what a server may send
  TlsOptions tls;
  ProxyOptions proxy;
  HttpVersion http_version = HttpVersion::automatic;
  std::string unix_socket;                      ///< connect to this path instead of the URL's host
  std::vector<std::string> resolve;             ///< HOST:PORT:ADDRESS entries that answer instead of DNS
  std::vector<HttpHeader> headers;              ///< sent with every request
  RetryOptions retry;                           ///< when a failed request is sent again
  FailoverOptions failover;                     ///< which of several endpoints is asked
  BreakerOptions breaker;                       ///< when an endpoint is left alone; off by default
  HedgeOptions hedge;                           ///< when a request is sent a second time; off by default
  ResumeOptions resume;                         ///< whether a stream that broke off is gone on with; off by default
  DegradeOptions degrade;                       ///< what stands in for an answer that failed; nothing by default
  LimitOptions limits;                          ///< how much this client may ask for; none by default
  Limiter limiter;                              ///< limits shared with other clients, instead of `limits`
  std::shared_ptr<SharedBudget> shared_budget;  ///< limits shared with other processes; beside those
  CostMeter cost;                               ///< counts what calls cost, and keeps ceilings
  CacheOptions cache;                           ///< answers that are kept; none by default
  SingleFlightOptions single_flight;            ///< equal calls at one time share a request; off by default
  std::shared_ptr<MetricSink> metrics;          ///< null: nothing is counted
  std::shared_ptr<LogSink> log;                 ///< null: nothing is logged
  LogLevel log_level = LogLevel::info;          ///< less than this is not logged
  bool traceparent = false;                     ///< send W3C trace context; see ObserveOptions
  bool lint = true;                             ///< refuse what the service is known to refuse
  /// Bytes of decoded events a pull stream (coro::Stream too), a queue's call or an executor may hold before its
  /// transfer is paused; 4 KiB to 1 GiB.
  std::uint64_t stream_buffer_bytes = 1 * MiB;
  std::shared_ptr<Executor> executor;             ///< where handlers run; null: the I/O thread
  std::shared_ptr<Clock> clock;                   ///< null: the system's
  std::shared_ptr<Transport> transport;           ///< null: HTTP. A transport belongs to one client.
  std::shared_ptr<HttpEngine> http_engine;        ///< null: libcurl. For the HTTP transport; belongs to one client.
  std::vector<std::shared_ptr<Policy>> policies;  ///< user policies, placed by their phase
};

/// What one call may change. Empty: as the client has it.
struct CallOptions {
  std::optional<Timeouts> timeouts{};
  std::optional<TimePoint> deadline{};  ///< absolute; the earlier of this and timeouts.total strikes
  CancelToken cancel{};
  std::vector<HttpHeader> headers{};          ///< added to the client's; the same name replaces
  Priority priority = Priority::interactive;  ///< who goes first where the client's limits leave no room for all
  CacheUse cache = CacheUse::normal;          ///< what the call may do with the client's caches
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/impl/options.ipp>
#endif
