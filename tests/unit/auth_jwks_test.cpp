// Fetched keys: when they are asked for, how rotation goes, and what a bad set does.
#include <deepseek/auth/detail/encoding.hpp>
#include <deepseek/auth/jwks.hpp>

#include <nlohmann/json.hpp>

#include <thread>

#include "support/catch.hpp"
#include "support/key_pair.hpp"
#include "support/token_server.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::KeyPair;
using deepseek_tests::TokenServer;
using nlohmann::json;

namespace {

/// Claims or errors, from whatever thread.
class Verdicts {
 public:
  Function<void(Result<JwtClaims>)> taker() {
    return [this](Result<JwtClaims> verdict) {
      const std::lock_guard<std::mutex> lock(mutex_);
      verdicts_.push_back(std::move(verdict));
      changed_.notify_all();
    };
  }
  bool await(std::size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, 10s, [&] { return verdicts_.size() >= count; });
  }
  std::size_t count() const { return (std::lock_guard<std::mutex>(mutex_), verdicts_.size()); }
  std::vector<Result<JwtClaims>> all() const { return (std::lock_guard<std::mutex>(mutex_), verdicts_); }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Result<JwtClaims>> verdicts_;
};

struct Issuer {
  TokenServer server;

  static const KeyPair& pair(const std::string& kid) {
    static std::map<std::string, KeyPair> pairs;
    auto found = pairs.find(kid);
    if (found == pairs.end()) found = pairs.emplace(kid, KeyPair::make("EC", "P-256")).first;
    return found->second;
  }
  static std::string set_of(const std::vector<std::string>& kids) {
    json keys = json::array();
    for (const auto& kid : kids) {
      json jwk = json::parse(pair(kid).jwk);
      jwk["kid"] = kid;
      keys.push_back(jwk);
    }
    return json{{"keys", keys}}.dump();
  }
  std::string token(const std::string& kid) const {
    const auto now = std::chrono::floor<std::chrono::seconds>(server.clock->wall_now().time_since_epoch()).count();
    const json claims = {{"sub", "someone"}, {"iat", now}, {"exp", now + 60}};
    return JwtSigner::from_pem(Secret(pair(kid).pem), JwsAlgorithm::ES256, kid).value().sign(claims.dump()).value();
  }
  JwksOptions options() const {
    JwksOptions options;
    options.url = "https://issuer.example/jwks";
    options.clock = server.clock;
    options.engine = server.factory();
    return options;
  }
  JwksSource source() const { return JwksSource::create(options()).value(); }
};

Result<JwtClaims> verdict(const JwksSource& source, const std::string& token, const JwtRules& rules = {}) {
  const auto verdicts = std::make_shared<Verdicts>();
  source.verify(token, rules, [verdicts, take = verdicts->taker()](auto result) { take(std::move(result)); });
  if (!verdicts->await(1)) return Error(ErrorCode::internal, "no verdict within ten seconds");
  return verdicts->all().front();
}

}  // namespace

TEST_CASE("keys are fetched once and serve every token", "[jwks]") {
  Issuer issuer;
  issuer.server.answer(Issuer::set_of({"one"}));
  const auto source = issuer.source();
  CHECK(source.keys() == nullptr);
  CHECK(issuer.server.requests() == 0);
  const auto first = verdict(source, issuer.token("one"));
  REQUIRE(first.has_value());
  CHECK(first->subject == "someone");
  for (int i = 0; i < 5; ++i) CHECK(verdict(source, issuer.token("one")).has_value());
  CHECK(issuer.server.requests() == 1);
  CHECK(issuer.server.request(0).method == "GET");
  CHECK(issuer.server.request(0).url == "https://issuer.example/jwks");
  REQUIRE(source.keys() != nullptr);
  CHECK(source.keys()->has("one"));
  // A key that is there answers at once, whatever the token is worth.
  Verdicts verdicts;
  source.verify(issuer.token("one") + "x", {}, verdicts.taker());
  source.verify("no token", {}, verdicts.taker());
  CHECK(verdicts.count() == 2);
}

TEST_CASE("rotation: an unknown key is asked for, but not too often", "[jwks]") {
  Issuer issuer;
  issuer.server.answer(Issuer::set_of({"one"}));
  const auto source = issuer.source();
  CHECK(verdict(source, issuer.token("one")).has_value());
  // Whoever invents names does not make us ask: the last request was a moment ago.
  for (int i = 0; i < 20; ++i) CHECK_FALSE(verdict(source, issuer.token("two")).has_value());
  CHECK(issuer.server.requests() == 1);
  issuer.server.clock->advance(31s);
  issuer.server.answer(Issuer::set_of({"two"}));
  CHECK(verdict(source, issuer.token("two")).has_value());
  CHECK(issuer.server.requests() == 2);
  // The old key is gone with the old set.
  const auto old = verdict(source, issuer.token("one"));
  REQUIRE_FALSE(old);
  CHECK(old.error().code() == ErrorCode::authentication);
  CHECK(issuer.server.requests() == 2);
}

TEST_CASE("a set that grew old is renewed beside its use", "[jwks]") {
  Issuer issuer;
  issuer.server.answer(Issuer::set_of({"one"}));
  auto options = issuer.options();
  options.max_age = 600s;
  const auto source = JwksSource::create(options).value();
  CHECK(verdict(source, issuer.token("one")).has_value());
  issuer.server.clock->advance(601s);
  issuer.server.answer(Issuer::set_of({"two"}));
  Verdicts verdicts;
  source.verify(issuer.token("one"), {}, verdicts.taker());
  CHECK(verdicts.count() == 1);
  REQUIRE(TokenServer::within([&] { return source.keys()->has("two"); }));
  CHECK(issuer.server.requests() == 2);
}

TEST_CASE("many wait for one request", "[jwks][concurrent]") {
  Issuer issuer;
  issuer.server.hold_next();
  const auto source = issuer.source();
  const std::string token = issuer.token("one");
  Verdicts verdicts;
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int i = 0; i < 25; ++i) source.verify(token, {}, verdicts.taker());
    });
  for (auto& caller : callers) caller.join();
  REQUIRE(issuer.server.await_requests(1));
  CHECK(verdicts.count() == 0);
  FakeReply reply;
  reply.chunks.emplace_back(Issuer::set_of({"one"}));
  issuer.server.script->deliver(0, reply);
  REQUIRE(verdicts.await(100));
  for (const auto& result : verdicts.all()) CHECK(result.has_value());
  CHECK(issuer.server.requests() == 1);
}

TEST_CASE("a failed request leaves the keys that are there", "[jwks]") {
  Issuer issuer;
  issuer.server.answer(Issuer::set_of({"one"}));
  const auto source = issuer.source();
  CHECK(verdict(source, issuer.token("one")).has_value());
  const auto bad = GENERATE(std::string("<html>"), std::string("{}"), std::string(300 * 1024, ' '));
  issuer.server.clock->advance(31s);
  issuer.server.answer(bad);
  CHECK(verdict(source, issuer.token("two")).error().code() == ErrorCode::authentication);
  CHECK(issuer.server.requests() == 2);
  CHECK(verdict(source, issuer.token("one")).has_value());
  // After a failure it is asked again sooner.
  issuer.server.clock->advance(3s);
  issuer.server.answer(Issuer::set_of({"one", "two"}));
  CHECK(verdict(source, issuer.token("two")).has_value());
}

TEST_CASE("without keys the reason is told", "[jwks]") {
  Issuer issuer;
  const auto source = issuer.source();
  issuer.server.answer("gone", 404);
  const auto missing = verdict(source, issuer.token("one"));
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code() == ErrorCode::http_error);
  CHECK(missing.error().http_status() == 404);
  CHECK(verdict(source, issuer.token("one")).error().code() == ErrorCode::http_error);
  CHECK(issuer.server.requests() == 1);
  issuer.server.clock->advance(3s);
  issuer.server.answer("", 302, {{"Location", "https://evil.example/jwks"}});
  CHECK(verdict(source, issuer.token("one")).error().code() == ErrorCode::redirected);
  issuer.server.clock->advance(3s);
  CHECK(verdict(source, issuer.token("one")).error().code() == ErrorCode::connection_lost);
  issuer.server.clock->advance(3s);
  issuer.server.answer(Issuer::set_of({"one"}));
  CHECK(verdict(source, issuer.token("one")).has_value());
}

TEST_CASE("key sources that cannot work are refused", "[jwks]") {
  const Issuer issuer;
  const auto code = [&](auto edit) {
    auto options = issuer.options();
    edit(options);
    const auto source = JwksSource::create(options);
    return source ? ErrorCode::internal : source.error().code();
  };
  CHECK(code([](JwksOptions&) {}) == ErrorCode::internal);
  CHECK(code([](JwksOptions& o) { o.url = ""; }) == ErrorCode::invalid_options);
  CHECK(code([](JwksOptions& o) { o.url = "http://issuer.example/jwks"; }) == ErrorCode::insecure_credential);
  CHECK(code([](JwksOptions& o) { o.url = "http://127.0.0.1:1/jwks"; }) == ErrorCode::internal);
  CHECK(code([](JwksOptions& o) { o.max_age = 0s; }) == ErrorCode::invalid_options);
  CHECK(code([](JwksOptions& o) { o.min_interval = 0s; }) == ErrorCode::invalid_options);
  CHECK(code([](JwksOptions& o) { o.timeout = 0s; }) == ErrorCode::invalid_options);
}
