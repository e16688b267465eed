// JWT: signed tokens, verified against the keys of their issuer, and signed as a client's assertion.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/auth/jws_algorithm.hpp>
#include <deepseek/core/clock.hpp>
#include <deepseek/core/raw_json.hpp>
#include <deepseek/core/secret.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

namespace detail {
struct JwkData;
struct SignerData;
}  // namespace detail

/// One key that verifies: RSA of 2048 to 8192 bits, EC on P-256, P-384 or P-521, Ed25519, Ed448, or a shared
/// secret. The key decides which algorithms are believed, never the token. Immutable; copies share it; any thread.
class JsonWebKey {
 public:
  /// Reads a JWK (RFC 7517). Refuses, with invalid_argument: a key for another use than `sig`, key_ops without
  /// `verify`, a key type, curve or `alg` that is not known, a weak key, a point that is not on its curve. Private
  /// members are ignored.
  static Result<JsonWebKey> parse(std::string_view json);

  /// `kid`; may be empty.
  const std::string& id() const noexcept;
  /// True for a shared secret (`oct`).
  bool symmetric() const noexcept;
  /// True if the key's type and curve, its `alg` if it has one, suit the algorithm.
  bool suits(JwsAlgorithm algorithm) const noexcept;
  /// RFC 7638 with SHA-256, in base64url.
  const std::string& thumbprint() const noexcept;

 private:
  friend struct detail::JwkData;
  explicit JsonWebKey(std::shared_ptr<const detail::JwkData> data) : data_(std::move(data)) {}
  std::shared_ptr<const detail::JwkData> data_;
};

/// The keys of one issuer.
class JwkSet {
 public:
  static constexpr std::size_t most_keys = 128;
  static constexpr std::size_t most_bytes = 256 * 1024;

  JwkSet() = default;
  explicit JwkSet(std::vector<JsonWebKey> keys) : keys_(std::move(keys)) {}
  /// Reads a JWK set. Keys that this library cannot use are left out, as RFC 7517 wants; shared secrets too, which have
  /// no place in a published set. malformed_json if it is no set, limit_exceeded beyond 128 keys or 256 KiB.
  static Result<JwkSet> parse(std::string_view json);

  const std::vector<JsonWebKey>& keys() const noexcept { return keys_; }
  bool has(std::string_view key_id) const noexcept;

 private:
  std::vector<JsonWebKey> keys_;
};

/// What a signature must be.
struct JwsRules {
  /// Algorithms that are believed. Empty: every one that the key suits.
  std::vector<JwsAlgorithm> algorithms{};
  std::size_t max_bytes = 16 * 1024;  ///< of the whole token
};

/// A token whose signature is right.
struct VerifiedJws {
  JwsAlgorithm algorithm = JwsAlgorithm::RS256;
  std::string key_id{};   ///< `kid` of the header, perhaps empty
  std::string type{};     ///< `typ` of the header, perhaps empty
  std::string payload{};  ///< decoded, any bytes
};

/// Verifies a compact JWS. A token that names a key is tried with the keys of that name only; one that names none,
/// with those that suit its algorithm, at most 8. Refused, with code `authentication` and the reason: a wrong
/// signature, an algorithm that the key does not suit, `crit` (no extension is known here), `b64`, duplicate members,
/// padding, blanks or spare bits in base64url. Keys inside the header (jwk, jku, x5c, x5u) are never looked at.
Result<VerifiedJws> verify_jws(std::string_view token, const JwkSet& keys, const JwsRules& rules = {});

/// What a token must say.
struct JwtRules {
  JwsRules signature{};
  std::string issuer{};                  ///< compared exactly; empty: any
  std::string audience{};                ///< must be among the token's; empty: any
  std::vector<std::string> scopes{};     ///< all must be granted
  std::string type{};                    ///< of the header, for example "at+jwt" (any case); empty: any
  std::chrono::seconds clock_skew{30};   ///< how far two clocks may differ, 0 to 10 minutes
  bool require_expiry = true;            ///< refuse a token without `exp`
  std::chrono::seconds max_lifetime{0};  ///< refuse one that lives longer, or has no `iat`; 0: any
};

/// Contradictory or empty rules, if there are any.
std::optional<Error> check(const JwtRules& rules);

/// What a verified token says. Absent claims are empty.
struct JwtClaims {
  std::string issuer{};
  std::string subject{};
  std::string client_id{};
  std::string id{};  ///< jti
  std::vector<std::string> audience{};
  std::vector<std::string> scopes{};  ///< of `scope` or `scp`
  std::optional<WallTime> expires{};
  std::optional<WallTime> not_before{};
  std::optional<WallTime> issued_at{};
  RawJson all{};  ///< every claim, as it was signed

  bool has_scope(std::string_view scope) const noexcept;
  bool has_audience(std::string_view who) const noexcept;
};

/// Verifies a signed token and its claims at the time `now`. Errors have the code `authentication` and say which
/// claim was wrong, never what was in the token.
Result<JwtClaims> verify_jwt(std::string_view token, const JwkSet& keys, const JwtRules& rules, WallTime now);

/// A private key that signs. Copies share it; any thread. The key is overwritten when the last copy goes.
class JwtSigner {
 public:
  /// From PEM (PKCS#8 or the older forms). Fails with invalid_options if it cannot be read, is weak or does not suit
  /// the algorithm. Never asks a terminal for a password. HS* is not for this: it needs no key pair.
  static Result<JwtSigner> from_pem(const Secret& pem, JwsAlgorithm algorithm, std::string key_id = {},
                                    const Secret& password = {});
  /// The compact JWS of this payload (a JSON object).
  Result<std::string> sign(std::string_view payload) const;
  JwsAlgorithm algorithm() const noexcept;

 private:
  explicit JwtSigner(std::shared_ptr<const detail::SignerData> data) : data_(std::move(data)) {}
  std::shared_ptr<const detail::SignerData> data_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/auth/impl/jwt.ipp>
#endif
