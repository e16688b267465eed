#pragma once
#include <deepseek/auth/jwt.hpp>

#include <deepseek/auth/detail/encoding.hpp>
#include <deepseek/auth/impl/strict_json.ipp>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- OpenSSL's objects -------------------------------------------------------------------------------

template <auto release>
struct OpensslDelete {
  template <class T>
  void operator()(T* object) const noexcept {
    release(object);
  }
};
using EvpKey = std::unique_ptr<EVP_PKEY, OpensslDelete<EVP_PKEY_free>>;
using EvpKeyContext = std::unique_ptr<EVP_PKEY_CTX, OpensslDelete<EVP_PKEY_CTX_free>>;
using EvpDigestContext = std::unique_ptr<EVP_MD_CTX, OpensslDelete<EVP_MD_CTX_free>>;
using BigNumber = std::unique_ptr<BIGNUM, OpensslDelete<BN_free>>;
using EcdsaSignature = std::unique_ptr<ECDSA_SIG, OpensslDelete<ECDSA_SIG_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, OpensslDelete<OSSL_PARAM_BLD_free>>;
using ParamList = std::unique_ptr<OSSL_PARAM, OpensslDelete<OSSL_PARAM_free>>;
using MemoryBio = std::unique_ptr<BIO, OpensslDelete<BIO_free_all>>;

/// What fails in here leaves no trace in the thread's queue of OpenSSL errors, which belongs to the host too.
class OpensslErrors {
 public:
  OpensslErrors() { ERR_set_mark(); }
  ~OpensslErrors() { ERR_pop_to_mark(); }
  OpensslErrors(const OpensslErrors&) = delete;
  OpensslErrors& operator=(const OpensslErrors&) = delete;
};

inline const unsigned char* octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

DEEPSEEK_DECL std::string sha256(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr) != 1) return {};
  return std::string(reinterpret_cast<char*>(digest), size);
}

// --- algorithms --------------------------------------------------------------------------------------

enum class JwsFamily { hmac, rsa, pss, ecdsa, eddsa };

/// What a key is, as far as algorithms depend on it.
enum class KeyKind { secret, rsa, p256, p384, p521, ed25519, ed448 };

struct JwsRow {
  JwsAlgorithm algorithm;
  const char* name;
  JwsFamily family;
  const EVP_MD* (*digest)();
  KeyKind kind;  // of its key; EdDSA has two
};

inline constexpr JwsRow jws_table[] = {
    {JwsAlgorithm::HS256, "HS256", JwsFamily::hmac, EVP_sha256, KeyKind::secret},
    {JwsAlgorithm::HS384, "HS384", JwsFamily::hmac, EVP_sha384, KeyKind::secret},
    {JwsAlgorithm::HS512, "HS512", JwsFamily::hmac, EVP_sha512, KeyKind::secret},
    {JwsAlgorithm::RS256, "RS256", JwsFamily::rsa, EVP_sha256, KeyKind::rsa},
    {JwsAlgorithm::RS384, "RS384", JwsFamily::rsa, EVP_sha384, KeyKind::rsa},
    {JwsAlgorithm::RS512, "RS512", JwsFamily::rsa, EVP_sha512, KeyKind::rsa},
    {JwsAlgorithm::PS256, "PS256", JwsFamily::pss, EVP_sha256, KeyKind::rsa},
    {JwsAlgorithm::PS384, "PS384", JwsFamily::pss, EVP_sha384, KeyKind::rsa},
    {JwsAlgorithm::PS512, "PS512", JwsFamily::pss, EVP_sha512, KeyKind::rsa},
    {JwsAlgorithm::ES256, "ES256", JwsFamily::ecdsa, EVP_sha256, KeyKind::p256},
    {JwsAlgorithm::ES384, "ES384", JwsFamily::ecdsa, EVP_sha384, KeyKind::p384},
    {JwsAlgorithm::ES512, "ES512", JwsFamily::ecdsa, EVP_sha512, KeyKind::p521},
    {JwsAlgorithm::EdDSA, "EdDSA", JwsFamily::eddsa, nullptr, KeyKind::ed25519},
};

DEEPSEEK_DECL const JwsRow& jws_row(JwsAlgorithm algorithm) noexcept {
  for (const JwsRow& row : jws_table)
    if (row.algorithm == algorithm) return row;
  return jws_table[0];
}

DEEPSEEK_DECL const JwsRow* jws_row(std::string_view name) noexcept {
  for (const JwsRow& row : jws_table)
    if (name == row.name) return &row;
  return nullptr;
}

inline bool kind_suits(KeyKind kind, const JwsRow& row) {
  return kind == row.kind || (row.family == JwsFamily::eddsa && kind == KeyKind::ed448);
}

struct EcCurve {
  const char* name;
  KeyKind kind;
  const char* group;   // as OpenSSL calls it
  std::size_t octets;  // of a coordinate
};

inline constexpr EcCurve ec_curves[] = {
    {"P-256", KeyKind::p256, "prime256v1", 32},
    {"P-384", KeyKind::p384, "secp384r1", 48},
    {"P-521", KeyKind::p521, "secp521r1", 66},
};

inline std::size_t coordinate_octets(KeyKind kind) {
  for (const EcCurve& curve : ec_curves)
    if (curve.kind == kind) return curve.octets;
  return 0;
}

// --- keys --------------------------------------------------------------------------------------------

struct JwkData {
  std::string id;
  std::string thumbprint;
  KeyKind kind = KeyKind::rsa;
  std::optional<JwsAlgorithm> only;  // `alg`
  Secret secret;                     // of an oct key
  EvpKey key;                        // of every other

  static JsonWebKey wrap(std::shared_ptr<const JwkData> data) { return JsonWebKey(std::move(data)); }
  static const JwkData& of(const JsonWebKey& key) { return *key.data_; }
};

inline Error bad_key(const char* why) { return Error(ErrorCode::invalid_argument, std::string("JWK: ") + why); }

DEEPSEEK_DECL std::optional<std::string> octet_member(const nlohmann::json& jwk, const char* name) {
  const auto text = string_member(jwk, name);
  if (!text || text->empty()) return std::nullopt;
  return from_base64url(*text);
}

DEEPSEEK_DECL EvpKey key_from_params(const char* type, OSSL_PARAM_BLD* builder) {
  const ParamList params(OSSL_PARAM_BLD_to_param(builder));
  const EvpKeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1) return nullptr;
  if (EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) return nullptr;
  return EvpKey(key);
}

/// RFC 7518 demands 2048 bits; beyond 8192 a signature costs whoever has to check it too much.
inline bool rsa_size_is_sound(int bits) { return bits >= 2048 && bits <= 8192; }

DEEPSEEK_DECL std::optional<Error> read_rsa_key(const nlohmann::json& jwk, JwkData& data) {
  const auto n = octet_member(jwk, "n"), e = octet_member(jwk, "e");
  if (!n || !e) return bad_key("n or e of an RSA key is missing or no base64url");
  if (n->size() > 1024 + 1 || e->size() > 8) return bad_key("the RSA key is too large");
  const BigNumber modulus(BN_bin2bn(octets(*n), static_cast<int>(n->size()), nullptr));
  const BigNumber exponent(BN_bin2bn(octets(*e), static_cast<int>(e->size()), nullptr));
  if (!modulus || !exponent) return bad_key("the RSA key cannot be read");
  if (!rsa_size_is_sound(BN_num_bits(modulus.get()))) return bad_key("an RSA key needs 2048 to 8192 bits");
  if (!BN_is_odd(modulus.get()) || !BN_is_odd(exponent.get()) || BN_is_one(exponent.get()))
    return bad_key("modulus or exponent of the RSA key is none");
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1)
    return bad_key("the RSA key cannot be read");
  data.kind = KeyKind::rsa;
  data.key = key_from_params("RSA", builder.get());
  if (!data.key) return bad_key("the RSA key cannot be read");
  data.thumbprint = R"({"e":")" + base64url(*e) + R"(","kty":"RSA","n":")" + base64url(*n) + R"("})";
  return std::nullopt;
}

DEEPSEEK_DECL std::optional<Error> read_ec_key(const nlohmann::json& jwk, JwkData& data) {
  const auto name = string_member(jwk, "crv").value_or("");
  const auto curve =
      std::find_if(std::begin(ec_curves), std::end(ec_curves), [&](const EcCurve& c) { return name == c.name; });
  if (curve == std::end(ec_curves)) return bad_key("the curve is not known");
  const auto x = octet_member(jwk, "x"), y = octet_member(jwk, "y");
  if (!x || !y || x->size() != curve->octets || y->size() != curve->octets)
    return bad_key("x or y of an EC key is missing or has the wrong length");
  const std::string point = '\x04' + *x + *y;
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1)
    return bad_key("the EC key cannot be read");
  data.kind = curve->kind;
  data.key = key_from_params("EC", builder.get());  // refuses a point that is not on the curve
  if (!data.key) return bad_key("the point is not on its curve");
  data.thumbprint =
      R"({"crv":")" + name + R"(","kty":"EC","x":")" + base64url(*x) + R"(","y":")" + base64url(*y) + R"("})";
  return std::nullopt;
}

DEEPSEEK_DECL std::optional<Error> read_okp_key(const nlohmann::json& jwk, JwkData& data) {
  const auto name = string_member(jwk, "crv").value_or("");
  if (name != "Ed25519" && name != "Ed448") return bad_key("the curve is not known");
  const bool small = name == "Ed25519";
  const auto x = octet_member(jwk, "x");
  if (!x || x->size() != (small ? 32u : 57u)) return bad_key("x of an OKP key is missing or has the wrong length");
  data.kind = small ? KeyKind::ed25519 : KeyKind::ed448;
  data.key.reset(
      EVP_PKEY_new_raw_public_key(small ? EVP_PKEY_ED25519 : EVP_PKEY_ED448, nullptr, octets(*x), x->size()));
  if (!data.key) return bad_key("the OKP key cannot be read");
  data.thumbprint = R"({"crv":")" + name + R"(","kty":"OKP","x":")" + base64url(*x) + R"("})";
  return std::nullopt;
}

DEEPSEEK_DECL std::optional<Error> read_oct_key(const nlohmann::json& jwk, JwkData& data) {
  auto k = octet_member(jwk, "k");
  if (!k) return bad_key("k of a shared secret is missing or no base64url");
  data.kind = KeyKind::secret;
  std::string text = R"({"k":")" + base64url(*k) + R"(","kty":"oct"})";
  data.thumbprint = text;
  wipe(text);
  data.secret = Secret(std::move(*k));
  return std::nullopt;
}

/// False if the key says that it is for something else than verifying.
DEEPSEEK_DECL bool may_verify(const nlohmann::json& jwk) {
  if (const auto use = jwk.find("use"); use != jwk.end() && *use != "sig") return false;
  const auto operations = jwk.find("key_ops");
  if (operations == jwk.end()) return true;
  return operations->is_array() && std::find(operations->begin(), operations->end(), "verify") != operations->end();
}

DEEPSEEK_DECL Result<JsonWebKey> read_jwk(const nlohmann::json& jwk) {
  if (!jwk.is_object()) return bad_key("it is no object");
  if (!may_verify(jwk)) return bad_key("it is not for verifying signatures");
  auto data = std::make_shared<JwkData>();
  data->id = string_member(jwk, "kid").value_or("");
  const auto type = string_member(jwk, "kty").value_or("");
  std::optional<Error> error;
  if (type == "RSA")
    error = read_rsa_key(jwk, *data);
  else if (type == "EC")
    error = read_ec_key(jwk, *data);
  else if (type == "OKP")
    error = read_okp_key(jwk, *data);
  else if (type == "oct")
    error = read_oct_key(jwk, *data);
  else
    error = bad_key("the key type is not known");
  if (error) return *std::move(error);
  if (const auto alg = jwk.find("alg"); alg != jwk.end()) {
    const JwsRow* const row = alg->is_string() ? jws_row(alg->get_ref<const std::string&>()) : nullptr;
    if (!row || !kind_suits(data->kind, *row)) return bad_key("alg is not known or does not suit the key");
    data->only = row->algorithm;
  }
  std::string text = std::exchange(data->thumbprint, {});
  data->thumbprint = base64url(sha256(text));
  wipe(text);
  return JwkData::wrap(std::move(data));
}

// --- signatures --------------------------------------------------------------------------------------

/// RSASSA-PSS with the digest's own length of salt, as RFC 7518 fixes it.
inline bool set_padding(EVP_PKEY_CTX* context, JwsFamily family) {
  if (family != JwsFamily::pss) return true;  // PKCS #1 v1.5 is the default of a plain RSA key
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

/// JWS has r and s side by side, OpenSSL wants them in DER. Empty if the length is wrong.
DEEPSEEK_DECL std::string der_of_ecdsa(std::string_view raw, std::size_t half) {
  if (raw.size() != 2 * half) return {};
  const EcdsaSignature signature(ECDSA_SIG_new());
  BigNumber r(BN_bin2bn(octets(raw), static_cast<int>(half), nullptr));
  BigNumber s(BN_bin2bn(octets(raw) + half, static_cast<int>(half), nullptr));
  if (!signature || !r || !s || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return {};
  (void)r.release(), (void)s.release();
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

DEEPSEEK_DECL std::string raw_of_ecdsa(std::string_view der, std::size_t half) {
  const unsigned char* at = octets(der);
  const EcdsaSignature signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  std::string out(2 * half, '\0');
  auto* const bytes = reinterpret_cast<unsigned char*>(out.data());
  const int size = static_cast<int>(half);
  if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), bytes, size) != size ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), bytes + half, size) != size)
    return {};
  return out;
}

DEEPSEEK_DECL bool verify_hmac(const JwkData& key, const JwsRow& row, std::string_view text,
                               std::string_view signature) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const std::string_view secret = key.secret.reveal();
  const EVP_MD* const digest = row.digest();
  // RFC 7518 3.2: a key shorter than the digest would be easier to guess than the signature.
  if (secret.size() < static_cast<std::size_t>(EVP_MD_get_size(digest))) return false;
  if (!HMAC(digest, secret.data(), static_cast<int>(secret.size()), octets(text), text.size(), mac, &size))
    return false;
  return signature.size() == size && CRYPTO_memcmp(signature.data(), mac, size) == 0;
}

DEEPSEEK_DECL bool verify_signature(const JwkData& key, const JwsRow& row, std::string_view text,
                                    std::string_view signature) {
  const OpensslErrors quiet;
  if (row.family == JwsFamily::hmac) return verify_hmac(key, row, text, signature);
  std::string der;
  if (row.family == JwsFamily::ecdsa) {
    der = der_of_ecdsa(signature, coordinate_octets(key.kind));
    if (der.empty()) return false;
    signature = der;
  }
  const EvpDigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;  // the digest context's
  const EVP_MD* const digest = row.digest ? row.digest() : nullptr;
  if (!context || EVP_DigestVerifyInit(context.get(), &options, digest, nullptr, key.key.get()) != 1) return false;
  if (!set_padding(options, row.family)) return false;
  return EVP_DigestVerify(context.get(), octets(signature), signature.size(), octets(text), text.size()) == 1;
}

// --- tokens ------------------------------------------------------------------------------------------

DEEPSEEK_DECL Error token_refused(const char* why) {
  ErrorDetails details;
  details.code = ErrorCode::authentication;
  details.outcome = Outcome::refused;
  details.message = std::string("the token is refused: ") + why;
  return Error(std::move(details));
}

struct JwsHead {
  const JwsRow* row = nullptr;
  std::string key_id;
  std::string type;
};

DEEPSEEK_DECL Result<JwsHead> read_jws_head(std::string_view part) {
  const auto text = from_base64url(part);
  const auto json = text ? parse_strict_object(*text) : std::nullopt;
  if (!json) return token_refused("its header cannot be read");
  // RFC 7515 4.1.11: an extension that is not understood must not be ignored, and none is understood here.
  if (json->contains("crit")) return token_refused("it demands an extension that is not known");
  if (const auto b64 = json->find("b64"); b64 != json->end() && *b64 != true)
    return token_refused("its payload is not in base64url");
  JwsHead head;
  head.row = jws_row(string_member(*json, "alg").value_or(""));
  if (!head.row) return token_refused("its algorithm is not believed");
  head.type = string_member(*json, "typ").value_or("");
  if (const auto id = json->find("kid"); id != json->end()) {
    if (!id->is_string()) return token_refused("its header cannot be read");
    head.key_id = id->get<std::string>();
  }
  return head;
}

DEEPSEEK_DECL std::optional<WallTime> date_claim(const nlohmann::json& claims, const char* name, bool& malformed) {
  const auto found = claims.find(name);
  if (found == claims.end()) return std::nullopt;
  constexpr double year_9999 = 253402300799.0;
  const double seconds = found->is_number() ? found->get<double>() : -1.0;
  if (!std::isfinite(seconds) || seconds < 0 || seconds > year_9999) {
    malformed = true;
    return std::nullopt;
  }
  // In milliseconds: the system clock's own nanoseconds end in the year 2262.
  const auto ms = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(WallTime::max().time_since_epoch());
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::min(ms, most)));
}

/// A string or a list of strings. False if it is anything else.
DEEPSEEK_DECL bool list_claim(const nlohmann::json& claims, const char* name, std::vector<std::string>& out) {
  const auto found = claims.find(name);
  if (found == claims.end()) return true;
  if (found->is_string()) return out.push_back(found->get<std::string>()), true;
  if (!found->is_array()) return false;
  for (const auto& item : *found) {
    if (!item.is_string()) return false;
    out.push_back(item.get<std::string>());
  }
  return true;
}

DEEPSEEK_DECL std::vector<std::string> split_words(const std::vector<std::string>& texts) {
  std::vector<std::string> words;
  for (const std::string& text : texts) {
    for (std::size_t start = 0; start < text.size();) {
      const std::size_t end = std::min(text.find(' ', start), text.size());
      if (end > start) words.push_back(text.substr(start, end - start));
      start = end + 1;
    }
  }
  return words;
}

DEEPSEEK_DECL Result<JwtClaims> read_claims(std::string payload) {
  const auto json = parse_strict_object(payload);
  if (!json) return token_refused("its claims cannot be read");
  JwtClaims claims;
  bool malformed = false;
  const auto text = [&](const char* name) {
    const auto found = json->find(name);
    if (found == json->end()) return std::string();
    if (!found->is_string()) malformed = true;
    return malformed ? std::string() : found->get<std::string>();
  };
  claims.issuer = text("iss");
  claims.subject = text("sub");
  claims.client_id = text("client_id");
  claims.id = text("jti");
  claims.expires = date_claim(*json, "exp", malformed);
  claims.not_before = date_claim(*json, "nbf", malformed);
  claims.issued_at = date_claim(*json, "iat", malformed);
  std::vector<std::string> scopes;
  if (!list_claim(*json, "aud", claims.audience) ||
      !list_claim(*json, json->contains("scope") ? "scope" : "scp", scopes))
    malformed = true;
  if (malformed) return token_refused("a claim has the wrong type or an impossible date");
  claims.scopes = split_words(scopes);
  claims.all = RawJson(std::move(payload));
  return claims;
}

DEEPSEEK_DECL const char* wrong_time(const JwtClaims& claims, const JwtRules& rules, WallTime now) {
  if (rules.require_expiry && !claims.expires) return "it has no expiry";
  // Subtracted from the clock, not added to the claim, which may be near the end of time.
  if (claims.expires && now - rules.clock_skew >= *claims.expires) return "it has expired";
  if (claims.not_before && now + rules.clock_skew < *claims.not_before) return "it is not valid yet";
  if (claims.issued_at && now + rules.clock_skew < *claims.issued_at) return "it was issued in the future";
  if (rules.max_lifetime.count() == 0) return nullptr;
  if (!claims.expires || !claims.issued_at) return "its lifetime is not known";
  return *claims.expires - *claims.issued_at > rules.max_lifetime ? "it lives too long" : nullptr;
}

DEEPSEEK_DECL bool same_type(std::string_view a, std::string_view b) {
  constexpr std::string_view prefix = "application/";  // may be left out, RFC 7515 4.1.9
  const auto lower = [&](std::string_view text) {
    std::string out(text);
    for (char& c : out)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out.compare(0, prefix.size(), prefix) == 0 ? out.substr(prefix.size()) : out;
  };
  return lower(a) == lower(b);
}

DEEPSEEK_DECL const char* wrong_claim(const JwtClaims& claims, const JwtRules& rules) {
  if (!rules.issuer.empty() && claims.issuer != rules.issuer) return "it comes from another issuer";
  if (!rules.audience.empty() && !claims.has_audience(rules.audience)) return "it is meant for somebody else";
  for (const std::string& scope : rules.scopes)
    if (!claims.has_scope(scope)) return "it lacks a scope";
  return nullptr;
}

// --- signing -----------------------------------------------------------------------------------------

struct SignerData {
  EvpKey key;
  const JwsRow* row = nullptr;
  std::string head;  // encoded
};

/// Hands PEM the password it was given. Without one it says so, instead of asking the terminal as OpenSSL would.
DEEPSEEK_DECL int give_password(char* into, int capacity, int, void* given) noexcept {
  const std::string_view password = static_cast<const Secret*>(given)->reveal();
  if (password.empty() || password.size() > static_cast<std::size_t>(capacity)) return -1;
  std::memcpy(into, password.data(), password.size());
  return static_cast<int>(password.size());
}

DEEPSEEK_DECL std::optional<KeyKind> kind_of(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA")) return KeyKind::rsa;
  if (EVP_PKEY_is_a(key, "ED25519")) return KeyKind::ed25519;
  if (EVP_PKEY_is_a(key, "ED448")) return KeyKind::ed448;
  char group[64];
  std::size_t size = 0;
  if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group, sizeof group, &size) != 1) return std::nullopt;
  for (const EcCurve& curve : ec_curves)
    if (std::string_view(group, size) == curve.group) return curve.kind;
  return std::nullopt;
}

}  // namespace detail

// --- public ------------------------------------------------------------------------------------------

DEEPSEEK_DECL const char* to_string(JwsAlgorithm algorithm) noexcept { return detail::jws_row(algorithm).name; }

DEEPSEEK_DECL Result<JsonWebKey> JsonWebKey::parse(std::string_view json) {
  const detail::OpensslErrors quiet;
  if (json.size() > JwkSet::most_bytes) return detail::bad_key("it is larger than 256 KiB");
  const auto jwk = detail::parse_strict_object(json);
  if (!jwk) return detail::bad_key("it cannot be read");
  return detail::read_jwk(*jwk);
}

DEEPSEEK_DECL const std::string& JsonWebKey::id() const noexcept { return data_->id; }
DEEPSEEK_DECL bool JsonWebKey::symmetric() const noexcept { return data_->kind == detail::KeyKind::secret; }
DEEPSEEK_DECL const std::string& JsonWebKey::thumbprint() const noexcept { return data_->thumbprint; }

DEEPSEEK_DECL bool JsonWebKey::suits(JwsAlgorithm algorithm) const noexcept {
  return detail::kind_suits(data_->kind, detail::jws_row(algorithm)) && (!data_->only || *data_->only == algorithm);
}

DEEPSEEK_DECL Result<JwkSet> JwkSet::parse(std::string_view json) {
  const detail::OpensslErrors quiet;
  if (json.size() > most_bytes) return Error(ErrorCode::limit_exceeded, "the JWK set is larger than 256 KiB");
  const auto set = detail::parse_strict_object(json);
  const auto list = set ? set->find("keys") : nlohmann::json::const_iterator();
  if (!set || list == set->end() || !list->is_array())
    return Error(ErrorCode::malformed_json, "the text is no JWK set", "name the address of a jwks_uri");
  if (list->size() > most_keys) return Error(ErrorCode::limit_exceeded, "the JWK set has more than 128 keys");
  std::vector<JsonWebKey> keys;
  for (const auto& item : *list) {
    auto key = detail::read_jwk(item);
    if (key && !key->symmetric()) keys.push_back(*std::move(key));
  }
  return JwkSet(std::move(keys));
}

DEEPSEEK_DECL bool JwkSet::has(std::string_view key_id) const noexcept {
  return std::any_of(keys_.begin(), keys_.end(), [&](const JsonWebKey& key) { return key.id() == key_id; });
}

DEEPSEEK_DECL Result<VerifiedJws> verify_jws(std::string_view token, const JwkSet& keys, const JwsRules& rules) {
  if (token.size() > rules.max_bytes) return detail::token_refused("it is too large");
  const std::size_t first = token.find('.'), last = token.rfind('.');
  if (first == std::string_view::npos || first == last || token.find('.', first + 1) != last)
    return detail::token_refused("it has not three parts");
  auto head = detail::read_jws_head(token.substr(0, first));
  if (!head) return std::move(head).error();
  auto payload = detail::from_base64url(token.substr(first + 1, last - first - 1));
  const auto signature = detail::from_base64url(token.substr(last + 1));
  if (!payload || !signature || signature->empty()) return detail::token_refused("it is no proper base64url");
  const JwsAlgorithm algorithm = head->row->algorithm;
  const auto& believed = rules.algorithms;
  if (!believed.empty() && std::find(believed.begin(), believed.end(), algorithm) == believed.end())
    return detail::token_refused("its algorithm is not believed");

  constexpr int most_tries = 8;
  int tries = 0;
  for (const JsonWebKey& key : keys.keys()) {
    if (!key.suits(algorithm) || (!head->key_id.empty() && key.id() != head->key_id)) continue;
    if (++tries > most_tries) break;
    if (!detail::verify_signature(detail::JwkData::of(key), *head->row, token.substr(0, last), *signature)) continue;
    return VerifiedJws{algorithm, std::move(head->key_id), std::move(head->type), *std::move(payload)};
  }
  return detail::token_refused(tries == 0 ? "no key suits it" : "its signature is wrong");
}

DEEPSEEK_DECL std::optional<Error> check(const JwtRules& rules) {
  const auto wrong = [](const char* what) {
    return Error(ErrorCode::invalid_options, std::string("JwtRules::") + what);
  };
  if (rules.clock_skew.count() < 0 || rules.clock_skew > std::chrono::minutes(10))
    return wrong("clock_skew is outside 0 ... 10 minutes");
  if (rules.max_lifetime.count() < 0) return wrong("max_lifetime is negative");
  if (rules.signature.max_bytes == 0) return wrong("signature.max_bytes is zero: no token could pass");
  for (const std::string& scope : rules.scopes)
    if (scope.empty() || scope.find(' ') != std::string::npos) return wrong("scopes holds an empty name or a blank");
  return std::nullopt;
}

DEEPSEEK_DECL bool JwtClaims::has_scope(std::string_view scope) const noexcept {
  return std::find(scopes.begin(), scopes.end(), scope) != scopes.end();
}

DEEPSEEK_DECL bool JwtClaims::has_audience(std::string_view who) const noexcept {
  return std::find(audience.begin(), audience.end(), who) != audience.end();
}

DEEPSEEK_DECL Result<JwtClaims> verify_jwt(std::string_view token, const JwkSet& keys, const JwtRules& rules,
                                           WallTime now) {
  if (auto error = check(rules)) return *std::move(error);
  auto jws = verify_jws(token, keys, rules.signature);
  if (!jws) return std::move(jws).error();
  if (!rules.type.empty() && !detail::same_type(jws->type, rules.type))
    return detail::token_refused("it is another kind of token");
  auto claims = detail::read_claims(std::move(jws->payload));
  if (!claims) return std::move(claims).error();
  if (const char* const why = detail::wrong_time(*claims, rules, now)) return detail::token_refused(why);
  if (const char* const why = detail::wrong_claim(*claims, rules)) return detail::token_refused(why);
  return claims;
}

DEEPSEEK_DECL Result<JwtSigner> JwtSigner::from_pem(const Secret& pem, JwsAlgorithm algorithm, std::string key_id,
                                                    const Secret& password) {
  const detail::OpensslErrors quiet;
  const auto bad = [](const char* why) {
    return Error(ErrorCode::invalid_options, std::string("the private key ") + why);
  };
  const std::string_view text = pem.reveal();
  if (text.empty() || text.size() > 64 * 1024) return bad("is empty or larger than 64 KiB");
  const detail::MemoryBio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  auto data = std::make_shared<detail::SignerData>();
  if (bio)
    data->key.reset(
        PEM_read_bio_PrivateKey(bio.get(), nullptr, &detail::give_password, const_cast<Secret*>(&password)));
  if (!data->key) return bad("cannot be read: it is no PEM, or its password is wrong");
  data->row = &detail::jws_row(algorithm);
  const auto kind = detail::kind_of(data->key.get());
  if (!kind || !detail::kind_suits(*kind, *data->row)) return bad("does not suit the signing algorithm");
  if (*kind == detail::KeyKind::rsa && !detail::rsa_size_is_sound(EVP_PKEY_get_bits(data->key.get())))
    return bad("has less than 2048 or more than 8192 bits");
  nlohmann::json head = {{"alg", data->row->name}, {"typ", "JWT"}};
  if (!key_id.empty()) head["kid"] = std::move(key_id);
  data->head = detail::base64url(head.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
  return JwtSigner(std::move(data));
}

DEEPSEEK_DECL Result<std::string> JwtSigner::sign(std::string_view payload) const {
  const detail::OpensslErrors quiet;
  const Error failed(ErrorCode::internal, "OpenSSL could not sign");
  std::string token = data_->head + '.' + detail::base64url(payload);
  const detail::EvpDigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;
  const EVP_MD* const digest = data_->row->digest ? data_->row->digest() : nullptr;
  if (!context || EVP_DigestSignInit(context.get(), &options, digest, nullptr, data_->key.get()) != 1) return failed;
  if (!detail::set_padding(options, data_->row->family)) return failed;
  std::size_t size = 0;
  const auto* const text = detail::octets(token);
  if (EVP_DigestSign(context.get(), nullptr, &size, text, token.size()) != 1) return failed;
  std::string signature(size, '\0');
  auto* const into = reinterpret_cast<unsigned char*>(signature.data());
  if (EVP_DigestSign(context.get(), into, &size, text, token.size()) != 1) return failed;
  signature.resize(size);
  if (data_->row->family == detail::JwsFamily::ecdsa)
    signature = detail::raw_of_ecdsa(signature, detail::coordinate_octets(*detail::kind_of(data_->key.get())));
  if (signature.empty()) return failed;
  return token + '.' + detail::base64url(signature);
}

DEEPSEEK_DECL JwsAlgorithm JwtSigner::algorithm() const noexcept { return data_->row->algorithm; }

DEEPSEEK_END_NAMESPACE
