// The keys of an issuer, fetched and kept up to date.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include <deepseek/auth/jwt.hpp>
#include <deepseek/core/clock.hpp>
#include <deepseek/core/function.hpp>
#include <deepseek/http/curl.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Where keys come from.
struct JwksOptions {
  std::string url{};  ///< a jwks_uri; https, or plain http to loopback
  TlsOptions tls{};
  ProxyOptions proxy{};
  bool allow_plain_http = false;              ///< believe keys that came over http:// from another host
  std::chrono::milliseconds timeout{10'000};  ///< of one request, 1 ms to 10 minutes
  std::chrono::seconds max_age{3600};         ///< keys older than this are fetched again beside their use, 1 s to 24 h
  std::chrono::seconds min_interval{30};      ///< between two requests, however many unknown keys are named; 1 s to 1 h
  std::shared_ptr<Clock> clock{};             ///< null: the system's
  /// Makes the engine of one request. Empty: libcurl with `tls` and `proxy`. Called on the source's own thread.
  Function<Result<std::unique_ptr<HttpEngine>>()> engine{};
};

/// Contradictory or missing options, if there are any.
std::optional<Error> check(const JwksOptions& options);

/// Verifies tokens against a published key set. A token that names an unknown key causes one request, at most one in
/// `min_interval`; so does a set that grew old. If a request fails, the keys that are there serve on. Copies share one
/// set; any thread.
class JwksSource {
 public:
  /// Fails with invalid_options or insecure_credential. Fetches nothing yet.
  static Result<JwksSource> create(JwksOptions options);

  /// Calls `done` once: at once where the keys are there, else later on a thread of the library's own.
  void verify(std::string token, JwtRules rules, Function<void(Result<JwtClaims>)> done) const;
  /// The keys at hand; null before the first request. Asks nobody.
  std::shared_ptr<const JwkSet> keys() const;

 private:
  struct State;
  explicit JwksSource(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/auth/impl/jwks.ipp>
#endif
