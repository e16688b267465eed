// OAuth 2.0 client credentials: a credential that fetches its own tokens.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/auth/jws_algorithm.hpp>
#include <deepseek/core/clock.hpp>
#include <deepseek/core/credential.hpp>
#include <deepseek/core/log_level.hpp>
#include <deepseek/http/curl.hpp>

DEEPSEEK_BEGIN_NAMESPACE

class LogSink;
class MetricSink;

/// How the client proves itself to the token endpoint.
enum class ClientAuth {
  client_secret_basic,  ///< id and secret in an Authorization header (RFC 6749 2.3.1)
  client_secret_post,   ///< id and secret in the body
  private_key_jwt,      ///< an assertion signed with a private key (RFC 7523), new for every request
  tls_client_auth,      ///< the client certificate of OAuth2Options::tls (RFC 8705)
};

/// Where tokens come from and who asks for them.
struct OAuth2Options {
  std::string token_url{};  ///< https; plain http to loopback only, see allow_plain_http
  std::string client_id{};
  ClientAuth auth = ClientAuth::client_secret_basic;
  Secret client_secret{};            ///< of the client_secret_* methods
  std::string client_secret_file{};  ///< instead of client_secret: read anew for every request
  std::vector<std::string> scopes{};
  std::string audience{};  ///< sent as `audience` if not empty
  std::string resource{};  ///< sent as `resource` (RFC 8707) if not empty

  // private_key_jwt
  Secret private_key{};            ///< PEM
  std::string private_key_file{};  ///< instead of private_key: read anew for every request
  Secret private_key_password{};
  JwsAlgorithm signing_algorithm = JwsAlgorithm::RS256;  ///< RS*, PS*, ES* or EdDSA, as the key is
  std::string key_id{};                                  ///< `kid` of the assertion; empty: none
  std::string assertion_audience{};                      ///< `aud` of the assertion; empty: token_url
  std::chrono::seconds assertion_lifetime{60};           ///< 10 s to 10 minutes

  TlsOptions tls{};  ///< of the token endpoint
  ProxyOptions proxy{};
  bool allow_plain_http = false;                    ///< let secrets travel over http:// to a host that is not loopback
  std::chrono::milliseconds timeout{10'000};        ///< of one token request, 1 ms to 10 minutes
  std::chrono::milliseconds refresh_ahead{60'000};  ///< before the expiry, but at most a fifth of the lifetime
  std::chrono::seconds default_lifetime{300};       ///< of a token whose lifetime the server does not tell
  std::chrono::milliseconds backoff_first{500};     ///< after a failed request; doubles with each, with jitter
  std::chrono::milliseconds backoff_most{60'000};   ///< also caps the server's Retry-After
  std::shared_ptr<Clock> clock{};                   ///< null: the system's
  /// Told of each token request, once however many clients use the source: metric::token_refreshes,
  /// token_refresh_duration and token_waits; LogEvent::token_refreshed (`info`) and token_failed (`warn`). Of secrets,
  /// ids and tokens nothing. Null: nobody is told. Called on the source's own thread.
  std::shared_ptr<MetricSink> metrics{};
  std::shared_ptr<LogSink> log{};
  LogLevel log_level = LogLevel::info;  ///< records below are not made
  /// Makes the engine of one token request. Empty: libcurl with `tls` and `proxy`. Called on the source's own thread.
  Function<Result<std::unique_ptr<HttpEngine>>()> engine{};
};

/// Contradictory or missing options, if there are any. Reads no file and asks no server.
std::optional<Error> check(const OAuth2Options& options);

/// A credential that sends `Bearer` tokens which it fetches with the client credentials grant.
///
/// Copies share one token; any number of clients may use them at once. The first call fetches; later ones get the
/// token at once, and a new one is fetched beside them shortly before it expires. However many callers wait, one token
/// request is under way. A token that the API answers with 401 is dropped and replaced once; the API's answer stands if
/// it refuses the next one too. After a failed request callers get its error until the back-off is over, or the old
/// token while it is valid. Redirects are refused, replies bounded to 64 KiB, secrets overwritten when dropped. Tokens
/// are fetched on a thread of the library's own, so a client may go at any time.
///
/// Options that cannot work are reported by the first call; check() tells them earlier.
Credential oauth2(OAuth2Options options);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/auth/impl/oauth.ipp>
#endif
