// Signed tokens: the public vectors, and what a hostile token, key or set may try.
#include <deepseek/auth/detail/encoding.hpp>
#include <deepseek/auth/jwt.hpp>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <nlohmann/json.hpp>

#include <map>
#include <memory>
#include <string>

#include "support/catch.hpp"
#include "support/key_pair.hpp"
#include "support/shared_data.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::KeyPair;
using nlohmann::json;

namespace {

const WallTime now = WallTime(1'800'000'000s);

Result<JwkSet> set_of(const json& jwk) {
  auto key = JsonWebKey::parse(jwk.dump());
  if (!key) return key.error();
  return JwkSet({*key});
}

std::string encoded(const json& part) { return detail::base64url(part.dump()); }

/// A signed token with these claims.
std::string signed_token(const KeyPair& pair, JwsAlgorithm algorithm, const json& claims, std::string kid = "k") {
  return JwtSigner::from_pem(Secret(pair.pem), algorithm, std::move(kid)).value().sign(claims.dump()).value();
}

json good_claims() {
  return {{"iss", "https://issuer.example"},
          {"aud", "api"},
          {"sub", "someone"},
          {"scope", "model.read model.stream"},
          {"exp", 1'800'000'060},
          {"nbf", 1'799'999'990},
          {"iat", 1'799'999'990}};
}

const KeyPair& p256() {
  static const KeyPair pair = KeyPair::make("EC", "P-256");
  return pair;
}

JwkSet p256_set(const json& more = json::object()) {
  json jwk = json::parse(p256().jwk);
  jwk["kid"] = "k";
  jwk.update(more);
  return set_of(jwk).value();
}

Result<JwtClaims> verify(const json& claims, const JwtRules& rules = {}) {
  return verify_jwt(signed_token(p256(), JwsAlgorithm::ES256, claims), p256_set(), rules, now);
}

bool refused(const Result<JwtClaims>& result, const char* why) {
  return !result && result.error().code() == ErrorCode::authentication &&
         result.error().message().find(why) != std::string::npos;
}

}  // namespace

TEST_CASE("Wycheproof's JWS vectors", "[jwt]") {
  const std::string file = "conformance/jwt/json_web_signature_test.json";
  if (!deepseek_tests::has_shared(file)) SKIP_TEST("the shared conformance data is not there");
  // Where this verifier differs from the file's verdict, and why.
  const std::map<int, const char*> differs = {
      {346, "called valid: alg PS384 with a key whose alg is PS256"},
      {347, "called valid: alg ES512 with a key whose alg is ES521, which does not exist"},
      {350, "as 346"},
      {351, "as 347"},
      {367, "called invalid for its padding, but byte for byte vector 357, which is valid: the padding got lost"},
      {370, "as 367"},
      {372, "called valid: `?` inside base64url"},
      {373, "called valid: `?` inside base64url"},
  };
  const json suite = json::parse(deepseek_tests::read_shared(file));
  std::map<int, std::string> tokens;
  int agreed = 0, total = 0;
  for (const json& group : suite["testGroups"]) {
    const auto keys = set_of(group.contains("public") ? group["public"] : group["private"]);
    for (const json& test : group["tests"]) {
      const int id = test["tcId"];
      const std::string& token = tokens[id] = test["jws"];
      const bool accepted = keys && verify_jws(token, *keys).has_value();
      ++total;
      CAPTURE(id, test["comment"].get<std::string>());
      const bool same = accepted == (test["result"] == "valid");
      CHECK(same == (differs.count(id) == 0));
      agreed += same ? 1 : 0;
    }
  }
  CHECK(total == 401);
  CHECK(agreed == 393);
  CHECK(tokens[367] == tokens[357]);
  CHECK(tokens[370] == tokens[357]);
}

TEST_CASE("the examples of the RFCs", "[jwt]") {
  const std::string file = "conformance/jwt/rfc_examples.json";
  if (!deepseek_tests::has_shared(file)) SKIP_TEST("the shared conformance data is not there");
  const json examples = json::parse(deepseek_tests::read_shared(file));
  int verified = 0;
  for (const json& vector : examples["vectors"]) {
    CAPTURE(vector["id"].get<std::string>());
    const std::string token = vector["jws"];
    if (vector["alg"] == "none") {
      CHECK_FALSE(verify_jws(token, p256_set()));
      CHECK_FALSE(verify_jws(token, JwkSet()));
      continue;
    }
    const auto keys = set_of(vector["jwk"]);
    REQUIRE(keys.has_value());
    const auto jws = verify_jws(token, *keys);
    REQUIRE(jws.has_value());
    CHECK(jws->payload == vector["payload_utf8"].get<std::string>());
    CHECK(to_string(jws->algorithm) == vector["alg"].get<std::string>());
    CHECK_FALSE(verify_jws(vector["tampered_must_fail"].get<std::string>(), *keys));
    if (vector.contains("thumbprint_sha256"))
      CHECK(keys->keys()[0].thumbprint() == vector["thumbprint_sha256"].get<std::string>());
    ++verified;
  }
  CHECK(verified == 5);
  for (const json& example : examples["thumbprints"])
    CHECK(JsonWebKey::parse(example["jwk"].dump()).value().thumbprint() == example["sha256"].get<std::string>());
  for (const json& example : examples["base64url"]) {
    std::string bytes;
    for (const int byte : example["bytes"]) bytes += static_cast<char>(byte);
    CHECK(detail::base64url(bytes) == example["text"].get<std::string>());
    CHECK(detail::from_base64url(example["text"].get<std::string>()) == bytes);
  }
}

TEST_CASE("what is signed here is verified here, for each algorithm", "[jwt]") {
  struct Row {
    JwsAlgorithm algorithm;
    const char* type;
    const char* parameter;
  };
  const auto row = GENERATE(Row{JwsAlgorithm::RS256, "RSA", "2048"}, Row{JwsAlgorithm::RS384, "RSA", "2048"},
                            Row{JwsAlgorithm::RS512, "RSA", "2048"}, Row{JwsAlgorithm::PS256, "RSA", "2048"},
                            Row{JwsAlgorithm::PS384, "RSA", "2048"}, Row{JwsAlgorithm::PS512, "RSA", "2048"},
                            Row{JwsAlgorithm::ES256, "EC", "P-256"}, Row{JwsAlgorithm::ES384, "EC", "P-384"},
                            Row{JwsAlgorithm::ES512, "EC", "P-521"}, Row{JwsAlgorithm::EdDSA, "ED25519", ""},
                            Row{JwsAlgorithm::EdDSA, "ED448", ""});
  static std::map<std::string, KeyPair> pairs;  // RSA keys take their time
  const std::string name = std::string(row.type) + row.parameter;
  if (pairs.count(name) == 0) pairs.emplace(name, KeyPair::make(row.type, row.parameter));
  const KeyPair& pair = pairs.at(name);
  CAPTURE(to_string(row.algorithm), name);
  const std::string token = signed_token(pair, row.algorithm, good_claims());
  const auto keys = set_of(json::parse(pair.jwk)).value();
  const auto jws = verify_jws(token, keys);
  // The key has no kid, the token has one: it is not the key that the token means.
  CHECK_FALSE(jws);
  json named = json::parse(pair.jwk);
  named["kid"] = "k";
  const auto named_set = set_of(named).value();
  REQUIRE(verify_jws(token, named_set).has_value());
  CHECK(verify_jws(token, named_set).value().key_id == "k");
  CHECK(verify_jws(token, named_set).value().type == "JWT");
  // One that names no key is tried with all that suit.
  CHECK(verify_jws(signed_token(pair, row.algorithm, good_claims(), ""), named_set).has_value());
  // Believed or not is the rules' business, too.
  CHECK(verify_jws(token, named_set, {{row.algorithm}}).has_value());
  CHECK_FALSE(verify_jws(token, named_set, {{JwsAlgorithm::HS256}}));
  // Another key of the same kind says no; so does a changed byte anywhere.
  const KeyPair other = KeyPair::make(row.type, row.parameter);
  json stranger = json::parse(other.jwk);
  stranger["kid"] = "k";
  CHECK_FALSE(verify_jws(token, set_of(stranger).value()));
  for (const std::size_t at : {token.find('.') + 3, token.size() - 20}) {
    std::string changed = token;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    CHECK_FALSE(verify_jws(changed, named_set));
  }
  // Pinned to another algorithm, the key is of no use for this one.
  if (std::string(row.type) == "RSA") {
    named["alg"] = row.algorithm == JwsAlgorithm::RS256 ? "PS256" : "RS256";
    CHECK_FALSE(verify_jws(token, set_of(named).value()));
  }
}

TEST_CASE("a public key is no shared secret", "[jwt]") {
  const KeyPair pair = KeyPair::make("RSA", "2048");
  json jwk = json::parse(pair.jwk);
  jwk["kid"] = "k";
  const auto keys = set_of(jwk).value();
  const std::string unsigned_part = encoded({{"alg", "HS256"}, {"kid", "k"}}) + "." + encoded(good_claims());
  for (const std::string& secret : {pair.public_pem, jwk["n"].get<std::string>(), jwk.dump()}) {
    json as_secret = {{"kty", "oct"}, {"kid", "k"}, {"k", detail::base64url(secret)}};
    const std::string mac = deepseek_tests::hmac_sha256(secret, unsigned_part);
    const std::string token = unsigned_part + "." + detail::base64url(mac);
    REQUIRE(verify_jws(token, set_of(as_secret).value()).has_value());  // the forgery itself is well made
    CHECK_FALSE(verify_jws(token, keys));
  }
  // A set that was fetched never brings secrets.
  const json set = {{"keys", {{{"kty", "oct"}, {"k", detail::base64url(std::string(32, 's'))}}, jwk}}};
  const auto parsed = JwkSet::parse(set.dump());
  REQUIRE(parsed.has_value());
  CHECK(parsed->keys().size() == 1);
  // And a short secret is guessed sooner than a signature.
  const json short_secret = {{"kty", "oct"}, {"kid", "k"}, {"k", detail::base64url("short")}};
  CHECK_FALSE(verify_jws(unsigned_part + "." + detail::base64url(deepseek_tests::hmac_sha256("short", unsigned_part)),
                         set_of(short_secret).value()));
}

TEST_CASE("hostile headers are refused whatever the signature", "[jwt]") {
  const auto keys = p256_set();
  const auto with_header = [&](const std::string& header) {
    const std::string text = detail::base64url(header) + "." + encoded(good_claims());
    return verify_jws(text + "." + deepseek_tests::es256_signature(p256(), text), keys);
  };
  REQUIRE(with_header(R"({"alg":"ES256","kid":"k"})").has_value());
  REQUIRE(with_header(R"({"alg":"ES256","kid":"k","b64":true,"x5u":"https://evil.example","jwk":{}})").has_value());
  for (const char* header : {R"({"alg":"none"})",
                             R"({"alg":"nOnE"})",
                             R"({"alg":""})",
                             R"({})",
                             R"({"alg":null,"kid":"k"})",
                             R"({"alg":["ES256"],"kid":"k"})",
                             R"({"alg":"es256","kid":"k"})",
                             R"({"alg":"ES384","kid":"k"})",
                             R"({"alg":"RS256","kid":"k"})",
                             R"({"alg":"HS256","kid":"k"})",
                             R"({"alg":"ES256","kid":"K"})",
                             R"({"alg":"ES256","kid":7})",
                             R"({"alg":"ES256","kid":"k","crit":["exp"],"exp":1})",
                             R"({"alg":"ES256","kid":"k","crit":["b64"],"b64":false})",
                             R"({"alg":"ES256","kid":"k","crit":[]})",
                             R"({"alg":"ES256","kid":"k","b64":false})",
                             R"({"alg":"none","alg":"ES256","kid":"k"})",
                             R"({"alg":"ES256","alg":"ES256","kid":"k"})",
                             R"(["ES256"])",
                             R"("ES256")",
                             "",
                             "{",
                             R"({"alg":"ES256","kid":"k"} )"
                             "\x01"}) {
    CAPTURE(header);
    CHECK_FALSE(with_header(header));
  }
  std::string deep = R"({"alg":"ES256","kid":"k","x":)";
  deep += std::string(40, '[') + std::string(40, ']') + "}";
  CHECK_FALSE(with_header(deep));
}

TEST_CASE("the shape of a token", "[jwt]") {
  const auto keys = p256_set();
  const std::string token = signed_token(p256(), JwsAlgorithm::ES256, good_claims());
  REQUIRE(verify_jws(token, keys).has_value());
  for (const std::string& bad : {std::string(), std::string("."), std::string(".."), std::string("..."), token + ".",
                                 "." + token, token + "=", token + " ", " " + token, token + "\n", token + "AA",
                                 token.substr(0, token.rfind('.')), token.substr(0, token.rfind('.') + 1)}) {
    CAPTURE(bad);
    CHECK_FALSE(verify_jws(bad, keys));
  }
  const auto too_large = verify_jws(token + std::string(20'000, 'A'), keys);
  REQUIRE_FALSE(too_large);
  CHECK(too_large.error().message().find("too large") != std::string::npos);
  // Errors never quote the token.
  CHECK(to_string(too_large.error()).find("eyJ") == std::string::npos);
  JwsRules narrow;
  narrow.max_bytes = token.size() - 1;
  CHECK_FALSE(verify_jws(token, keys, narrow));
}

TEST_CASE("keys that cannot be trusted", "[jwt]") {
  const json good = json::parse(p256().jwk);
  REQUIRE(JsonWebKey::parse(good.dump()).has_value());
  const auto with = [&](const json& change) {
    json jwk = good;
    jwk.merge_patch(change);
    return JsonWebKey::parse(jwk.dump()).has_value();
  };
  CHECK(with({{"use", "sig"}, {"key_ops", {"verify"}}, {"alg", "ES256"}}));
  CHECK_FALSE(with({{"use", "enc"}}));
  CHECK_FALSE(with({{"key_ops", {"sign"}}}));
  CHECK_FALSE(with({{"key_ops", "verify"}}));
  CHECK_FALSE(with({{"alg", "ES384"}}));
  CHECK_FALSE(with({{"alg", "RS256"}}));
  CHECK_FALSE(with({{"alg", "none"}}));
  CHECK_FALSE(with({{"alg", 7}}));
  CHECK_FALSE(with({{"crv", "P-384"}}));
  CHECK_FALSE(with({{"crv", "secp256k1"}}));
  CHECK_FALSE(with({{"kty", "RSA"}}));
  CHECK_FALSE(with({{"kty", "OKP"}}));
  CHECK_FALSE(with({{"kty", nullptr}}));
  CHECK_FALSE(with({{"x", good["y"]}}));  // not on the curve
  CHECK_FALSE(with({{"x", "AA"}}));
  CHECK_FALSE(with({{"x", good["x"].get<std::string>() + "="}}));
  CHECK_FALSE(JsonWebKey::parse("[]"));
  CHECK_FALSE(JsonWebKey::parse("nothing"));

  const KeyPair weak = KeyPair::make("RSA", "1024");
  CHECK_FALSE(JsonWebKey::parse(weak.jwk));
  CHECK_FALSE(JwtSigner::from_pem(Secret(weak.pem), JwsAlgorithm::RS256));
  json rsa = json::parse(KeyPair::make("RSA", "2048").jwk);
  rsa["e"] = "AQ";  // 1: every number is its own signature
  CHECK_FALSE(JsonWebKey::parse(rsa.dump()));
  rsa["e"] = "AA";
  CHECK_FALSE(JsonWebKey::parse(rsa.dump()));
  rsa["e"] = detail::base64url(std::string(200, '\x55'));
  CHECK_FALSE(JsonWebKey::parse(rsa.dump()));
  rsa["e"] = "AQAB";
  rsa["n"] = detail::base64url(std::string(8192, '\x55'));
  CHECK_FALSE(JsonWebKey::parse(rsa.dump()));
}

TEST_CASE("a set leaves out what it cannot use and refuses what is none", "[jwt]") {
  json mine = json::parse(p256().jwk);
  mine["kid"] = "k";
  const json set = {{"keys", {{{"kty", "future"}}, 7, {{"kty", "EC"}, {"crv", "P-256"}}, mine}}, {"more", 1}};
  const auto keys = JwkSet::parse(set.dump());
  REQUIRE(keys.has_value());
  REQUIRE(keys->keys().size() == 1);
  CHECK(keys->has("k"));
  CHECK_FALSE(keys->has(""));
  CHECK(JwkSet::parse(R"({"keys":[]})").value().keys().empty());
  for (const char* text : {"", "{}", "[]", "null", R"({"keys":{}})", R"({"keys":[],"keys":[]})", "<html>"}) {
    CAPTURE(text);
    REQUIRE_FALSE(JwkSet::parse(text));
    CHECK(JwkSet::parse(text).error().code() == ErrorCode::malformed_json);
  }
  json many = json::array();
  for (int i = 0; i < 129; ++i) many.push_back(mine);
  CHECK(JwkSet::parse(json{{"keys", many}}.dump()).error().code() == ErrorCode::limit_exceeded);
  CHECK(JwkSet::parse(std::string(300 * 1024, ' ')).error().code() == ErrorCode::limit_exceeded);
}

TEST_CASE("claims", "[jwt]") {
  const auto claims = verify(good_claims());
  REQUIRE(claims.has_value());
  CHECK(claims->issuer == "https://issuer.example");
  CHECK(claims->subject == "someone");
  CHECK(claims->scopes == std::vector<std::string>{"model.read", "model.stream"});
  CHECK(claims->audience == std::vector<std::string>{"api"});
  CHECK(claims->expires == WallTime(1'800'000'060s));
  CHECK(json::parse(claims->all.text()) == good_claims());

  const auto with = [](const json& change, const JwtRules& rules = {}) {
    json changed = good_claims();
    changed.merge_patch(change);
    return verify(changed, rules);
  };
  SECTION("time") {
    JwtRules exact;
    exact.clock_skew = 0s;
    CHECK(refused(with({{"exp", 1300819380}}), "expired"));
    CHECK(refused(with({{"exp", 1'800'000'000}}, exact), "expired"));  // on or after, RFC 7519 4.1.4
    CHECK(with({{"exp", 1'800'000'000.5}}, exact).has_value());
    CHECK(with({{"exp", 1'799'999'980}}).has_value());  // within the skew
    CHECK(refused(with({{"exp", 1'799'999'970}}), "expired"));
    CHECK(refused(with({{"nbf", 1'800'000'031}}), "not valid yet"));
    CHECK(with({{"nbf", 1'800'000'030}}).has_value());
    CHECK(refused(with({{"iat", 1'800'000'031}}), "future"));
    CHECK(refused(with({{"exp", nullptr}}), "no expiry"));
    JwtRules lasting;
    lasting.require_expiry = false;
    CHECK(with({{"exp", nullptr}}, lasting).has_value());
    JwtRules brief;
    brief.max_lifetime = 60s;
    CHECK(refused(with(json::object(), brief), "lives too long"));
    brief.max_lifetime = 70s;
    CHECK(with(json::object(), brief).has_value());
    CHECK(refused(with({{"iat", nullptr}}, brief), "lifetime"));
    for (const json& impossible :
         {json("soon"), json("1800000060"), json(-1), json(1e300), json(1800000060000), json(true), json::array()})
      CHECK(refused(with({{"exp", impossible}}), "impossible"));
    CHECK(with({{"exp", 253402300799}}).has_value());
  }
  SECTION("who") {
    JwtRules rules;
    rules.issuer = "https://issuer.example";
    rules.audience = "api";
    rules.scopes = {"model.stream"};
    CHECK(with(json::object(), rules).has_value());
    CHECK(with({{"aud", {"other", "api"}}}, rules).has_value());
    CHECK(refused(with({{"aud", nullptr}}, rules), "somebody else"));
    CHECK(refused(with({{"aud", "API"}}, rules), "somebody else"));
    CHECK(refused(with({{"aud", {"api2"}}}, rules), "somebody else"));
    CHECK(refused(with({{"aud", {"api", 7}}}, rules), "wrong type"));
    CHECK(refused(with({{"iss", "https://ISSUER.example"}}, rules), "issuer"));
    CHECK(refused(with({{"iss", "https://issuer.example/"}}, rules), "issuer"));
    CHECK(refused(with({{"iss", nullptr}}, rules), "issuer"));
    CHECK(refused(with({{"iss", 7}}, rules), "wrong type"));
    CHECK(refused(with({{"scope", "model.streaming"}}, rules), "scope"));
    CHECK(refused(with({{"scope", ""}}, rules), "scope"));
    CHECK(with({{"scope", nullptr}, {"scp", {"model.stream"}}}, rules).has_value());
    rules.type = "at+jwt";
    CHECK(refused(with(json::object(), rules), "kind of token"));
    rules.type = "application/jwt";
    CHECK(with(json::object(), rules).has_value());
  }
  SECTION("payloads that are no claims") {
    const auto keys = p256_set();
    const auto signer = JwtSigner::from_pem(Secret(p256().pem), JwsAlgorithm::ES256, "k").value();
    for (const char* payload : {"", "[]", "7", "{", R"({"exp":1,"exp":1800000060})", "\xff\xfe"}) {
      CAPTURE(payload);
      CHECK(refused(verify_jwt(signer.sign(payload).value(), keys, {}, now), "claims"));
    }
  }
  SECTION("rules that say nothing sensible") {
    JwtRules rules;
    rules.clock_skew = -1s;
    CHECK(verify(good_claims(), rules).error().code() == ErrorCode::invalid_options);
    rules.clock_skew = 11min;
    CHECK(check(rules).has_value());
    rules = {};
    rules.scopes = {"a b"};
    CHECK(check(rules).has_value());
    CHECK_FALSE(check(JwtRules()).has_value());
  }
}

TEST_CASE("private keys", "[jwt]") {
  const auto code = [](const Result<JwtSigner>& signer) {
    return signer ? ErrorCode::internal : signer.error().code();
  };
  CHECK(code(JwtSigner::from_pem(Secret(), JwsAlgorithm::ES256)) == ErrorCode::invalid_options);
  CHECK(code(JwtSigner::from_pem(Secret(std::string("nothing")), JwsAlgorithm::ES256)) == ErrorCode::invalid_options);
  CHECK(code(JwtSigner::from_pem(Secret(p256().public_pem), JwsAlgorithm::ES256)) == ErrorCode::invalid_options);
  CHECK(code(JwtSigner::from_pem(Secret(p256().pem), JwsAlgorithm::RS256)) == ErrorCode::invalid_options);
  CHECK(code(JwtSigner::from_pem(Secret(p256().pem), JwsAlgorithm::ES384)) == ErrorCode::invalid_options);
  CHECK(code(JwtSigner::from_pem(Secret(p256().pem), JwsAlgorithm::HS256)) == ErrorCode::invalid_options);
  const std::string locked = p256().encrypted_pem("opens it");
  CHECK(code(JwtSigner::from_pem(Secret(locked), JwsAlgorithm::ES256)) == ErrorCode::invalid_options);  // asks nobody
  CHECK(code(JwtSigner::from_pem(Secret(locked), JwsAlgorithm::ES256, "", Secret(std::string("wrong")))) ==
        ErrorCode::invalid_options);
  CHECK(JwtSigner::from_pem(Secret(locked), JwsAlgorithm::ES256, "", Secret(std::string("opens it"))).has_value());
  // A key id goes into the header as text, whatever is in it.
  const auto odd = JwtSigner::from_pem(Secret(p256().pem), JwsAlgorithm::ES256, "\",\"alg\":\"none\xff");
  REQUIRE(odd.has_value());
  json jwk = json::parse(p256().jwk);
  CHECK(verify_jws(odd->sign("{}").value(), set_of(jwk).value()).error().message().find("no key suits") !=
        std::string::npos);
}
