// One small exchange with an authorization server, away from every client's loop. Private.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/core/clock.hpp>
#include <deepseek/core/function.hpp>
#include <deepseek/core/secret.hpp>
#include <deepseek/http/curl.hpp>
#include <deepseek/http/engine.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class Fetch;
class Reactor;

using EngineFactory = Function<Result<std::unique_ptr<HttpEngine>>()>;

struct FetchRequest {
  std::string method = "GET";
  std::string url{};
  std::vector<HttpHeader> headers{};
  Secret body{};  ///< empty: none
  std::chrono::milliseconds timeout{10'000};
  std::size_t max_bytes = 64 * 1024;  ///< of the reply's body
  EngineFactory engine{};
};

/// A reply that came whole, whatever its status.
struct FetchReply {
  int status = 0;
  Secret body{};
  std::optional<std::chrono::milliseconds> retry_after{};
};

/// A loop and a thread of its own, shared by all sources of a process (one with an injected clock has its own). Not a
/// client's loop: a token or a set of keys is awaited by several clients, each of which may go at any moment, or leave
/// its loop undriven. The thread starts with the first exchange and sleeps between two.
class BackgroundLoop : public std::enable_shared_from_this<BackgroundLoop> {
 public:
  using Done = Function<void(Result<FetchReply>)>;

  /// The process's loop for `clock` (null: the system's). After a fork the child gets a new one.
  static std::shared_ptr<BackgroundLoop> shared(const std::shared_ptr<Clock>& clock);

  explicit BackgroundLoop(std::shared_ptr<Clock> clock);
  /// Drops what is under way, without calling anybody, and waits for the thread, except on it.
  ~BackgroundLoop();
  BackgroundLoop(const BackgroundLoop&) = delete;
  BackgroundLoop& operator=(const BackgroundLoop&) = delete;

  /// Calls `prepare`, performs the request it makes, calls `done` once. Both run on the loop's thread. From any thread.
  void fetch(Function<Result<FetchRequest>()> prepare, Done done);

 private:
  friend class Fetch;
  void start(const Function<Result<FetchRequest>()>& prepare, Done done);
  void cancel_all();

  std::shared_ptr<Clock> clock_;
  std::shared_ptr<Reactor> reactor_;
  unsigned fork_generation_;
  std::vector<std::shared_ptr<Fetch>> live_;  // loop only
};

/// Refuses an address that is no http(s) URL, or plain http to another host unless allowed. `what` names it.
std::optional<Error> check_server_url(const std::string& url, bool allow_plain_http, const char* what);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/auth/impl/fetch.ipp>
#endif
