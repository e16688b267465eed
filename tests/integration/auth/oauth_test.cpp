// Tokens from real authorization servers, on their way through real clients to an API that gets them.
#include <deepseek/auth/jwks.hpp>
#include <deepseek/auth/oauth.hpp>

#include <nlohmann/json.hpp>

#include <atomic>
#include <set>
#include <thread>

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/clients.hpp"
#include "support/foreign/oauth_servers.hpp"
#include "support/key_pair.hpp"
#include "support/temp_folder.hpp"
#include "support/token_server.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek::test::Double;
using deepseek::test::say;
using deepseek::test::status;
using deepseek_tests::client_of;
using deepseek_tests::Collector;
using deepseek_tests::header;
using deepseek_tests::KeyPair;
using deepseek_tests::OAuthServer;
using deepseek_tests::ShiftedClock;
using nlohmann::json;

namespace {

const char* const odd_secret = "s3cr:et/+ %";

json client_with(const std::string& id, const std::string& method, const json& more = json::object()) {
  json client = {{"client_id", id},
                 {"grant_types", {"client_credentials"}},
                 {"redirect_uris", json::array()},
                 {"response_types", json::array()},
                 {"token_endpoint_auth_method", method}};
  client.update(more);
  return client;
}

const KeyPair& key_for(const std::string& algorithm) {
  static std::map<std::string, KeyPair> pairs;
  auto found = pairs.find(algorithm);
  if (found != pairs.end()) return found->second;
  const bool rsa = algorithm[1] == 'S' && algorithm[0] != 'E';
  return pairs
      .emplace(algorithm, rsa                    ? KeyPair::make("RSA", "2048")
                          : algorithm == "ES256" ? KeyPair::make("EC", "P-256")
                                                 : KeyPair::make("ED25519"))
      .first->second;
}

/// oidc-provider with a client for each way to authenticate; its tokens live for five seconds.
json provider_config() {
  json clients = {client_with("basic", "client_secret_basic", {{"client_secret", odd_secret}}),
                  client_with("post", "client_secret_post", {{"client_secret", odd_secret}})};
  for (const char* algorithm : {"RS256", "PS256", "ES256", "EdDSA"}) {
    json jwk = json::parse(key_for(algorithm).jwk);
    jwk["kid"] = "mine";
    clients.push_back(client_with(algorithm, "private_key_jwt",
                                  {{"jwks", {{"keys", {jwk}}}}, {"token_endpoint_auth_signing_alg", algorithm}}));
  }
  return {{"clients", clients}, {"ttl", 5}};
}

OAuth2Options options_for(const OAuthServer& server, const std::string& id = "basic") {
  OAuth2Options options;
  options.token_url = server.issuer() + "/token";
  options.client_id = id;
  options.client_secret = Secret(std::string(odd_secret));
  options.scopes = {"model.read", "model.stream"};
  return options;
}

JwtRules api_rules(const OAuthServer& server) {
  JwtRules rules;
  rules.issuer = server.issuer();
  rules.audience = "urn:api";
  rules.scopes = {"model.read"};
  rules.type = "at+jwt";
  return rules;
}

/// What an API would do with the header it gets.
Result<JwtClaims> verdict(const JwksSource& keys, const std::string& value, const JwtRules& rules) {
  if (value.compare(0, 7, "Bearer ") != 0) return Error(ErrorCode::internal, "no token came: " + value);
  struct Wait {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<JwtClaims>> result;
  };
  const auto wait = std::make_shared<Wait>();
  keys.verify(value.substr(7), rules, [wait](Result<JwtClaims> result) {
    const std::lock_guard<std::mutex> lock(wait->mutex);
    wait->result.emplace(std::move(result));
    wait->changed.notify_all();
  });
  std::unique_lock<std::mutex> lock(wait->mutex);
  if (!wait->changed.wait_for(lock, 10s, [&] { return wait->result.has_value(); }))
    return Error(ErrorCode::internal, "no verdict within ten seconds");
  return *wait->result;
}

JwksSource keys_of(const OAuthServer& server, std::shared_ptr<Clock> clock = nullptr) {
  JwksOptions options;
  options.url = server.issuer() + "/jwks";
  options.clock = std::move(clock);
  return JwksSource::create(options).value();
}

/// One attempt for each call, and the repeat that a 401 is worth.
DeepSeekClient client_with(const Double& api, const Credential& credential) {
  return client_of(api, [&](ClientOptions& options) {
    options.endpoints.front().credential = credential;
    options.retry.max_attempts = 1;
  });
}

}  // namespace

TEST_CASE("oidc-provider: each way to authenticate brings a token that the API can verify", "[integration][foreign]") {
  OAuthServer server("oauth_provider.mjs", provider_config());
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  const JwksSource keys = keys_of(server);
  for (const char* id : {"basic", "post", "RS256", "PS256", "ES256", "EdDSA"}) {
    CAPTURE(id);
    auto options = options_for(server, id);
    if (std::string(id) == "post") options.auth = ClientAuth::client_secret_post;
    for (int i = 0; i < 13; ++i) {
      if (to_string(static_cast<JwsAlgorithm>(i)) != std::string(id)) continue;
      options.auth = ClientAuth::private_key_jwt;
      options.signing_algorithm = static_cast<JwsAlgorithm>(i);
      options.client_secret = Secret();
      options.private_key = Secret(key_for(id).pem);
      options.key_id = "mine";
    }
    Double api;
    const auto client = client_with(api, oauth2(options));
    const auto reply = client.chat("hi");
    REQUIRE(reply.has_value());
    REQUIRE(api.requests().size() == 1);
    const auto claims = verdict(keys, api.requests()[0].header("Authorization"), api_rules(server));
    REQUIRE(claims.has_value());
    CHECK(claims->client_id == id);
    CHECK(claims->has_scope("model.stream"));
    CHECK(claims->has_audience("urn:api"));
    CHECK(*claims->expires - *claims->issued_at == 5s);
    JwtRules stranger = api_rules(server);
    stranger.audience = "urn:other";
    CHECK_FALSE(verdict(keys, api.requests()[0].header("Authorization"), stranger).has_value());

    // Each request proves itself anew: a repeated jti would be refused.
    options.assertion_audience = server.issuer();
    options.scopes = {"model.read"};
    for (int i = 0; i < 2; ++i) {
      const auto other = verdict(keys, header(oauth2(options)), api_rules(server));  // signed with ES256
      REQUIRE(other.has_value());
      CHECK(other->scopes == std::vector<std::string>{"model.read"});
    }
  }
}

TEST_CASE("oidc-provider: what it refuses", "[integration][foreign]") {
  OAuthServer server("oauth_provider.mjs", provider_config());
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  Double api;
  const auto refused = [&](auto edit, const char* id = "basic") {
    auto options = options_for(server, id);
    edit(options);
    const auto reply = client_with(api, oauth2(options)).chat("hi");
    REQUIRE_FALSE(reply);
    CHECK(to_string(reply.error()).find(odd_secret) == std::string::npos);
    CHECK(reply.error().code() == ErrorCode::authentication);
    return std::to_string(reply.error().http_status()) + " " + reply.error().service().code;
  };
  const auto by_key = [&](OAuth2Options& o) {
    o.auth = ClientAuth::private_key_jwt;
    o.signing_algorithm = JwsAlgorithm::RS256;
    o.client_secret = Secret();
    o.private_key = Secret(key_for("RS256").pem);
  };
  CHECK(refused([](OAuth2Options& o) { o.client_secret = Secret(std::string("wrong")); }) == "401 invalid_client");
  CHECK(refused([](OAuth2Options& o) { o.client_id = "nobody"; }) == "401 invalid_client");
  CHECK(refused([](OAuth2Options& o) { o.resource = "no address"; }) == "400 invalid_target");
  CHECK(refused([&](OAuth2Options& o) { by_key(o), o.assertion_audience = server.issuer() + "/"; }, "RS256") ==
        "401 invalid_client");
  CHECK(refused([&](OAuth2Options& o) { by_key(o), o.private_key = Secret(key_for("PS256").pem); }, "RS256") ==
        "401 invalid_client");
  CHECK(refused([&](OAuth2Options& o) { by_key(o), o.signing_algorithm = JwsAlgorithm::PS256; }, "RS256") ==
        "401 invalid_client");
  CHECK(refused([](OAuth2Options& o) { o.token_url += "/nowhere"; }).find("404") == 0);
  CHECK(api.requests().empty());
}

TEST_CASE("oidc-provider: mutual TLS", "[integration][foreign]") {
  const deepseek_tests::TestAuthority authority, other;
  const auto server_pair = authority.issue("server", "127.0.0.1");
  const auto client_pair = authority.issue("dify-client");
  const auto stranger = authority.issue("stranger");
  json config = provider_config();
  config["clients"].push_back(
      client_with("tls", "tls_client_auth", {{"tls_client_auth_subject_dn", "CN=dify-client"}}));
  config["tls"] = {{"key", server_pair.key}, {"cert", server_pair.certificate}, {"ca", authority.pem()}};
  OAuthServer server("oauth_provider.mjs", config);
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  const deepseek_tests::TempFolder folder;
  auto options = options_for(server, "tls");
  options.auth = ClientAuth::tls_client_auth;
  options.client_secret = Secret();
  options.tls.ca_file = folder.write("ca.pem", authority.pem());
  options.tls.client_cert_file = folder.write("client.pem", client_pair.certificate);
  options.tls.client_key_file = folder.write("client.key", client_pair.key);
  Double api;
  const auto reply = client_with(api, oauth2(options)).chat("hi");
  CHECK((reply ? "fine" : to_string(reply.error())) == "fine");
  CHECK(api.requests().size() == 1);

  folder.write("client.pem", stranger.certificate);
  folder.write("client.key", stranger.key);
  CHECK(deepseek_tests::ask(oauth2(options)).error().service().code == "invalid_client");
  folder.write("ca.pem", other.pem());
  CHECK(deepseek_tests::ask(oauth2(options)).error().code() == ErrorCode::tls_failed);
  // A secret over TLS, with the authority that signed the server.
  folder.write("ca.pem", authority.pem());
  auto plain = options_for(server);
  plain.tls.ca_file = options.tls.ca_file;
  CHECK(header(oauth2(plain)).substr(0, 9) == "Bearer ey");
}

TEST_CASE("oidc-provider: one refresh for many clients on many threads", "[integration][foreign]") {
  OAuthServer server("oauth_provider.mjs", provider_config());
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  const auto clock = std::make_shared<ShiftedClock>();
  auto options = options_for(server);
  options.clock = clock;
  const auto credential = oauth2(options);
  Double api;
  std::vector<DeepSeekClient> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(client_with(api, credential));
  std::atomic<int> good{0};
  for (int round = 0; round < 3; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 9; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 3; ++i)
          if (clients[static_cast<std::size_t>(t % 3)].chat("hi").has_value()) ++good;
      });
    for (auto& thread : threads) thread.join();
    CHECK(server.requests() == round + 1);
    clock->advance(6s);
  }
  CHECK(good == 81);
  std::set<std::string> tokens;
  for (const auto& request : api.requests()) tokens.insert(request.header("Authorization"));
  CHECK(tokens.size() == 3);
}

TEST_CASE("oidc-provider: the short life of a token is renewed beside its use", "[integration][foreign]") {
  OAuthServer server("oauth_provider.mjs", provider_config());
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  const auto clock = std::make_shared<ShiftedClock>();
  auto options = options_for(server);
  options.clock = clock;
  const auto credential = oauth2(options);
  const std::string first = header(credential);
  clock->advance(4100ms);  // a fifth before its end
  CHECK(header(credential) == first);
  REQUIRE(deepseek_tests::TokenServer::within([&] { return header(credential) != first; }));
  CHECK(server.requests() == 2);
}

TEST_CASE("an API that answers 401 gets one other token and one repeat", "[integration][foreign]") {
  OAuthServer server("oauth_provider.mjs", provider_config());
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  Double api;
  const auto credential = oauth2(options_for(server));
  const auto client = client_with(api, credential);
  api.script({status(401), say("in the end")});
  const auto reply = client.chat("hi");
  REQUIRE(reply.has_value());
  CHECK(reply->content() == "in the end");
  REQUIRE(api.requests().size() == 2);
  CHECK(api.requests()[0].header("Authorization") != api.requests()[1].header("Authorization"));
  CHECK(server.requests() == 2);

  // It refuses the new one as well: no third request, and the authorization server is left in peace.
  api.forget_requests();
  api.script({status(401), status(401), status(401)});
  const auto refused = client.chat("hi");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::authentication);
  CHECK(refused.error().http_status() == 401);
  CHECK(api.requests().size() == 1);
  CHECK(server.requests() == 2);

  // Many calls at once whose token is refused share one refresh.
  api.forget_requests();
  const auto fresh = oauth2(options_for(server));
  const auto many = client_with(api, fresh);
  api.script({say("warm")});
  REQUIRE(many.chat("hi").has_value());
  CHECK(server.requests() == 3);
  std::vector<deepseek::test::Reply> replies;
  for (int i = 0; i < 8; ++i) replies.push_back(status(401).after(100ms));
  for (int i = 0; i < 8; ++i) replies.push_back(say("ok"));
  api.script(replies);
  Collector collector;
  for (int i = 0; i < 8; ++i) many.chat_async(deepseek_tests::ask("hi"), collector.handler());
  REQUIRE(collector.await_ends(8));
  for (const auto& result : collector.results()) CHECK(result.has_value());
  CHECK(server.requests() == 4);
}

TEST_CASE("oidc-provider: rotated keys are found, and the old ones forgotten", "[integration][foreign]") {
  OAuthServer server("oauth_provider.mjs", provider_config());
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  const auto clock = std::make_shared<ShiftedClock>();
  const JwksSource keys = keys_of(server, clock);
  const std::string before = header(oauth2(options_for(server)));
  CHECK(verdict(keys, before, api_rules(server)).has_value());
  server.tell({{"rotate", true}});
  const std::string after = header(oauth2(options_for(server)));
  CHECK_FALSE(verdict(keys, after, api_rules(server)).has_value());  // asked a moment ago
  clock->advance(31s);
  JwtRules patient = api_rules(server);
  patient.clock_skew = 60s;  // the clock of the verifier was moved
  CHECK(verdict(keys, after, patient).has_value());
  CHECK_FALSE(verdict(keys, before, patient).has_value());
  // Thirty seconds of difference between two clocks are forgiven, not more.
  CHECK(verdict(keys, after, patient).has_value());
  JwtRules strict = api_rules(server);
  strict.clock_skew = 0s;
  CHECK_FALSE(verdict(keys, after, strict).has_value());
}

TEST_CASE("oauth2-mock-server: answers that are wrong", "[integration][foreign]") {
  OAuthServer server("oauth_faults.mjs");
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  Double api;
  const auto talk = [&](const json& fault) {
    server.tell({{"next", fault}});
    auto options = options_for(server);
    options.timeout = 500ms;
    return client_with(api, oauth2(options)).chat("hi");
  };
  CHECK(talk(json::object()).has_value());
  CHECK(api.requests().size() == 1);
  const json faults[] = {
      {{"merge", {{"token_type", "mac"}}}},
      {{"merge", {{"token_type", nullptr}}}},
      {{"merge", {{"access_token", nullptr}}}},
      {{"merge", {{"access_token", "two words"}}}},
      {{"merge", {{"access_token", "line\r\nX-Evil: 1"}}}},
      {{"merge", {{"expires_in", -1}}}},
      {{"merge", {{"expires_in", "never"}}}},
      {{"merge", {{"padding", std::string(70'000, 'x')}}}},
      {{"status", 200}, {"body", nullptr}},
      {{"status", 200}, {"body", "text"}},
      {{"status", 200}, {"body", json::array()}},
      {{"status", 500}, {"body", {{"error", "server_error"}}}},
      {{"status", 503}, {"body", ""}},
      {{"stall", 1500}},
  };
  for (const json& fault : faults) {
    CAPTURE(fault.dump().substr(0, 200));
    const auto reply = talk(fault);
    REQUIRE_FALSE(reply);
    CHECK(reply.error().code() == ErrorCode::token_failed);
  }
  const auto refused = talk({{"status", 400}, {"body", {{"error", "invalid_grant"}}}});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::authentication);
  CHECK(refused.error().service().code == "invalid_grant");
  CHECK(talk({{"status", 302}, {"body", {{"error", "x"}}}}).error().code() == ErrorCode::redirected);
  CHECK(api.requests().size() == 1);
  for (const json& lifetime : {json("3600"), json(1e18), json(7.5), json(nullptr)})
    CHECK(talk({{"merge", {{"expires_in", lifetime}}}}).has_value());
}

TEST_CASE("a passing failure of the authorization server passes, and it is left in peace meanwhile",
          "[integration][foreign]") {
  OAuthServer server("oauth_faults.mjs");
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  Double api;
  server.tell({{"next", {{"status", 503}, {"body", ""}}}});
  server.tell({{"next", {{"merge", {{"token_type", "mac"}}}}}});
  const auto clock = std::make_shared<ShiftedClock>();
  auto options = options_for(server);
  options.clock = clock;
  const auto client = client_with(api, oauth2(options));
  for (int failures = 1; failures <= 2; ++failures) {
    for (int i = 0; i < 3; ++i) {
      const auto reply = client.chat("hi");
      REQUIRE_FALSE(reply);
      CHECK(reply.error().code() == ErrorCode::token_failed);
      CHECK(reply.error().retry_after().has_value());
    }
    CHECK(server.requests() == failures);
    clock->advance(1s * failures);
  }
  CHECK(client.chat("hi").has_value());
  CHECK(server.requests() == 3);
  CHECK(api.requests().size() == 1);
}

TEST_CASE("a client that goes in the middle of a refresh takes nobody along", "[integration][foreign]") {
  OAuthServer server("oauth_faults.mjs");
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  Double api;
  const auto credential = oauth2(options_for(server));
  server.tell({{"next", {{"stall", 500}}}});
  Collector leaving, staying;
  {
    const auto first = client_with(api, credential);
    first.chat_async(deepseek_tests::ask("hi"), leaving.handler());
    const auto second = client_with(api, credential);
    second.chat_async(deepseek_tests::ask("hi"), staying.handler());
    auto handle = second.chat_async(deepseek_tests::ask("hi"), leaving.handler());
    handle.cancel();
    REQUIRE(leaving.await_ends(1));  // at once, not when the token comes
    auto gone = std::make_unique<DeepSeekClient>(client_with(api, credential));
    gone->chat_async(deepseek_tests::ask("hi"), leaving.handler());
    gone.reset();
    REQUIRE(leaving.await_ends(2));
    CHECK(api.requests().empty());
    REQUIRE(staying.await_ends(1));
    CHECK(staying.results()[0].has_value());
    REQUIRE(leaving.await_ends(3));
  }
  int cancelled = 0;
  for (const auto& result : leaving.results())
    if (!result && result.error().code() == ErrorCode::cancelled) ++cancelled;
  CHECK(cancelled == 2);
  CHECK(server.requests() == 1);
}

TEST_CASE("no authorization server at all", "[integration][foreign]") {
  OAuth2Options options;
  {
    OAuthServer server("oauth_faults.mjs");
    if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
    options = options_for(server);
  }
  Double api;
  const auto reply = client_with(api, oauth2(options)).chat("hi");
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code() == ErrorCode::token_failed);
  CHECK(reply.error().cause().find("connect_failed") == 0);
  CHECK(api.requests().empty());
}
