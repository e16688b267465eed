// Client credentials: what is asked for, when, by how many, and what comes of a bad answer.
#include <deepseek/auth/detail/encoding.hpp>
#include <deepseek/auth/jwt.hpp>
#include <deepseek/auth/oauth.hpp>
#include <deepseek/core/log.hpp>
#include <deepseek/core/metrics.hpp>

#include <nlohmann/json.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "support/catch.hpp"
#include "support/key_pair.hpp"
#include "support/shared_data.hpp"
#include "support/temp_folder.hpp"
#include "support/token_server.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::Answers;
using deepseek_tests::ask;
using deepseek_tests::header;
using deepseek_tests::KeyPair;
using deepseek_tests::TempFolder;
using deepseek_tests::TokenServer;
using nlohmann::json;

namespace {

/// The fields of a form. Only what the tests send is decoded.
std::map<std::string, std::string> form_of(const std::string& body) {
  const auto plain = [](const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '%') {
        out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
        i += 2;
      } else {
        out += text[i] == '+' ? ' ' : text[i];
      }
    }
    return out;
  };
  std::map<std::string, std::string> fields;
  std::istringstream parts(body);
  for (std::string part; std::getline(parts, part, '&');)
    fields[plain(part.substr(0, part.find('=')))] = plain(part.substr(part.find('=') + 1));
  return fields;
}

std::string everything_in(const Error& error) {
  std::ostringstream out;
  out << error << error.message() << error.advice() << error.cause() << error.service().message << error.service().code
      << error.service().type << error.service().param;
  return out.str();
}

}  // namespace

TEST_CASE("the first call fetches a token, the next ones have it", "[oauth]") {
  const TokenServer server;
  server.token("first");
  const auto credential = oauth2(server.options());
  const Credential copy = credential;
  CHECK(credential.present());
  CHECK(server.requests() == 0);
  CHECK(header(credential) == "Bearer first");
  CHECK(header(copy) == "Bearer first");
  // At once: the answer is there when the question returns.
  Answers answers;
  credential.source().authorization(answers.taker());
  CHECK(answers.count() == 1);
  CHECK(server.requests() == 1);
  const auto request = server.request(0);
  CHECK(request.method == "POST");
  CHECK(request.url == "https://auth.example/token");
  CHECK(request.header("Content-Type") == "application/x-www-form-urlencoded");
  CHECK(request.header("Accept") == "application/json");
  CHECK(request.body == "grant_type=client_credentials");
}

namespace {

/// What the sinks of a source were told.
struct Told {
  OAuth2Options watched(OAuth2Options options) {
    options.metrics = metrics;
    options.log = make_callback_log([this](const LogRecord& record) {
      const std::lock_guard<std::mutex> lock(mutex);
      append_json_line(lines, record);
    });
    return options;
  }
  bool counted(const std::string& line) const {
    return ("\n" + metrics->prometheus_text()).find("\n" + line + "\n") != std::string::npos;
  }
  std::string log() const { return (std::lock_guard<std::mutex>(mutex), lines); }
  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>();
  mutable std::mutex mutex;
  std::string lines;  // guarded
};

}  // namespace

TEST_CASE("token requests are counted and logged by how they ended, and with nothing else", "[oauth][observe]") {
  Told told;
  const TokenServer server;
  auto options = told.watched(server.options());
  options.client_id = "seeded-client";
  options.client_secret = Secret(std::string("seeded-secret"));
  options.scopes = {"seeded-scope"};
  options.backoff_first = options.backoff_most = 1s;
  const auto credential = oauth2(options);
  server.answer(R"({"error":"seeded-error","error_description":"seeded-words"})", 503);
  CHECK_FALSE(ask(credential).has_value());
  CHECK_FALSE(ask(credential).has_value());  // the back-off answers: no request, nothing to count
  server.clock->advance(2s);
  server.answer(R"({"error":"invalid_client","access_token":"seeded-refused"})", 401);
  CHECK_FALSE(ask(credential).has_value());
  server.clock->advance(2s);
  server.token("seeded-token");
  CHECK(header(credential) == "Bearer seeded-token");
  CHECK(header(credential) == "Bearer seeded-token");
  CHECK(server.requests() == 3);

  INFO(told.metrics->prometheus_text() << told.log());
  CHECK(told.counted(R"(deepseek_token_refreshes_total{result="ok"} 1)"));
  CHECK(told.counted(R"(deepseek_token_refreshes_total{result="failed",error_type="token_failed"} 1)"));
  CHECK(told.counted(R"(deepseek_token_refreshes_total{result="failed",error_type="authentication"} 1)"));
  CHECK(told.counted(R"(deepseek_token_refresh_duration_seconds_count{result="failed"} 2)"));
  CHECK(told.counted(R"(deepseek_token_refresh_duration_seconds_count{result="ok"} 1)"));
  const std::string log = told.log();
  CHECK(std::count(log.begin(), log.end(), '\n') == 3);
  for (const char* const part :
       {R"("event.action":"token_refreshed")", R"("event.action":"token_failed")", R"("log.level":"warn")",
        R"("error.code":"authentication")", R"("http.response.status_code":503)", R"("server.address":"auth.example")"})
    CHECK(log.find(part) != std::string::npos);
  CHECK(log.find("withheld") == std::string::npos);
  CHECK((log + told.metrics->prometheus_text()).find("seeded") == std::string::npos);
}

TEST_CASE("those who wait for one token request are counted, the request once", "[oauth][observe][concurrent]") {
  Told told;
  const TokenServer server;
  const auto credential = oauth2(told.watched(server.options()));
  server.hold_next();
  Answers answers;
  for (int i = 0; i < 5; ++i) credential.source().authorization(answers.taker());
  REQUIRE(server.await_requests(1));
  server.clock->advance(3s);
  server.release(0, "late");
  REQUIRE(answers.await(5));
  CHECK(told.counted(R"(deepseek_token_refreshes_total{result="ok"} 1)"));
  CHECK(told.counted("deepseek_token_waits_total 5"));
  CHECK(told.log().find(R"("deepseek.count":5)") != std::string::npos);
  const std::string text = told.metrics->prometheus_text();
  const auto sum = text.find(R"(deepseek_token_refresh_duration_seconds_sum{result="ok"} 3)");
  CHECK(sum != std::string::npos);
}

TEST_CASE("a source below its log level makes no records", "[oauth][observe]") {
  Told told;
  const TokenServer server;
  auto options = told.watched(server.options());
  options.log_level = LogLevel::warn;
  server.token("t");
  CHECK(header(oauth2(options)) == "Bearer t");
  CHECK(told.log().empty());
}

TEST_CASE("each way to authenticate", "[oauth]") {
  const TokenServer server;
  server.token("t");
  auto options = server.options();
  SECTION("client_secret_basic: both parts form-encoded first") {
    options.client_id = "basic";
    options.client_secret = Secret(std::string("s3cr:et/+ %"));
    options.scopes = {"model.read", "model.stream"};
    options.audience = "https://api.example/?a=b&c";
    options.resource = "urn:api";
    CHECK(header(oauth2(options)) == "Bearer t");
    const auto request = server.request(0);
    CHECK(request.header("Authorization") == "Basic YmFzaWM6czNjciUzQWV0JTJGJTJCKyUyNQ==");
    CHECK(
        request.body ==
        "grant_type=client_credentials&scope=model.read+model.stream&audience=https%3A%2F%2Fapi.example%2F%3Fa%3Db%26c"
        "&resource=urn%3Aapi");
    const std::string file = "conformance/oauth/exchanges.json";
    if (deepseek_tests::has_shared(file)) {
      const auto vector = json::parse(deepseek_tests::read_shared(file))["basic_auth_vector"];
      CHECK(request.header("Authorization") == vector["header"].get<std::string>());
      CHECK(vector["client_secret"] == "s3cr:et/+ %");
    }
  }
  SECTION("client_secret_post") {
    options.auth = ClientAuth::client_secret_post;
    options.client_secret = Secret(std::string("s3cr:et/+ %&=\xc3\xa9"));
    CHECK(header(oauth2(options)) == "Bearer t");
    const auto request = server.request(0);
    CHECK(request.header("Authorization").empty());
    auto fields = form_of(request.body);
    CHECK(fields["client_id"] == "client");
    CHECK(fields["client_secret"] == "s3cr:et/+ %&=\xc3\xa9");
  }
  SECTION("tls_client_auth names the client only") {
    options.auth = ClientAuth::tls_client_auth;
    options.client_secret = Secret();
    CHECK(header(oauth2(options)) == "Bearer t");
    const auto request = server.request(0);
    CHECK(request.header("Authorization").empty());
    CHECK(request.body == "grant_type=client_credentials&client_id=client");
  }
  SECTION("a secret in a file is read anew for each request") {
    const TempFolder folder;
    options.client_secret = Secret();
    options.client_secret_file = folder.write("secret", "one\n");
    options.auth = ClientAuth::client_secret_post;
    const auto credential = oauth2(options);
    CHECK(header(credential) == "Bearer t");
    folder.write("secret", "two");
    server.clock->advance(2h);
    server.token("u");
    CHECK(header(credential) == "Bearer u");
    CHECK(form_of(server.request(0).body)["client_secret"] == "one");
    CHECK(form_of(server.request(1).body)["client_secret"] == "two");
    std::filesystem::remove(options.client_secret_file);
    server.clock->advance(2h);
    CHECK(ask(credential).error().code() == ErrorCode::io_error);
    CHECK(server.requests() == 2);
  }
}

TEST_CASE("private_key_jwt: a new, short-lived assertion for every request", "[oauth][jwt]") {
  struct Row {
    JwsAlgorithm algorithm;
    const char* type;
    const char* parameter;
  };
  const auto row = GENERATE(Row{JwsAlgorithm::RS256, "RSA", "2048"}, Row{JwsAlgorithm::PS256, "RSA", "2048"},
                            Row{JwsAlgorithm::ES256, "EC", "P-256"}, Row{JwsAlgorithm::EdDSA, "ED25519", ""});
  const KeyPair pair = KeyPair::make(row.type, row.parameter);
  const TokenServer server;
  auto options = server.options();
  options.client_secret = Secret();
  options.auth = ClientAuth::private_key_jwt;
  options.private_key = Secret(pair.pem);
  options.signing_algorithm = row.algorithm;
  options.key_id = "my-key";
  json jwk = json::parse(pair.jwk);
  jwk["kid"] = "my-key";
  jwk["alg"] = to_string(row.algorithm);
  const JwkSet keys({JsonWebKey::parse(jwk.dump()).value()});
  JwtRules rules;
  rules.issuer = "client";
  rules.audience = "https://auth.example/token";
  rules.max_lifetime = 60s;
  rules.signature.algorithms = {row.algorithm};

  server.answer("{}", 503);  // the repeat after a failure needs a new one, too
  server.token("a");
  server.token("b");
  const auto credential = oauth2(options);
  CHECK_FALSE(ask(credential).has_value());
  server.clock->advance(1s);
  CHECK(header(credential) == "Bearer a");
  server.clock->advance(2h);
  CHECK(header(credential) == "Bearer b");
  std::set<std::string> ids;
  WallTime last{};
  for (const auto& exchange : server.script->exchanges()) {
    const FakeRequest& request = exchange.request;
    CHECK(request.header("Authorization").empty());
    auto fields = form_of(request.body);
    CHECK(fields["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    CHECK(fields["client_id"] == "client");
    CHECK(fields["grant_type"] == "client_credentials");
    CHECK(fields.count("client_secret") == 0);
    // The first two were made before the clock was moved.
    const auto made = server.clock->wall_now() - (ids.size() < 2 ? 2h : 0h);
    const auto read = verify_jwt(fields["client_assertion"], keys, rules, made);
    REQUIRE(read.has_value());
    CHECK(read->subject == "client");
    CHECK(read->audience == std::vector<std::string>{"https://auth.example/token"});
    CHECK(*read->expires - *read->issued_at == 60s);
    CHECK(read->id.size() >= 32);
    CHECK(*read->issued_at >= last);
    last = *read->issued_at;
    ids.insert(read->id);
  }
  CHECK(ids.size() == 3);

  options.assertion_audience = "https://auth.example";
  server.token("c");
  CHECK(header(oauth2(options)) == "Bearer c");
  rules.audience = "https://auth.example";
  CHECK(verify_jwt(form_of(server.request(server.requests() - 1).body)["client_assertion"], keys, rules,
                   server.clock->wall_now())
            .has_value());
}

TEST_CASE("one request is under way, however many callers on however many threads wait", "[oauth][concurrent]") {
  const TokenServer server;
  server.hold_next();
  const auto credential = oauth2(server.options());
  constexpr std::size_t threads = 8, each = 50;
  Answers answers;
  std::vector<std::thread> callers;
  for (std::size_t t = 0; t < threads; ++t)
    callers.emplace_back([copy = credential, &answers] {
      for (std::size_t i = 0; i < each; ++i) copy.source().authorization(answers.taker());
    });
  for (auto& caller : callers) caller.join();
  REQUIRE(server.await_requests(1));
  CHECK(answers.count() == 0);
  server.release(0, "shared");
  REQUIRE(answers.await(threads * each));
  for (const auto& answer : answers.all()) {
    REQUIRE(answer.has_value());
    CHECK(answer->reveal() == "Bearer shared");
  }
  CHECK(server.requests() == 1);
}

TEST_CASE("a token is refreshed ahead of its expiry, and serves meanwhile", "[oauth]") {
  const TokenServer server;
  server.token("old", 1000);
  auto options = server.options();
  options.timeout = 60s;  // by the same clock, which is moved while requests are under way
  const auto credential = oauth2(options);
  CHECK(header(credential) == "Bearer old");
  server.clock->advance(930s);
  CHECK(header(credential) == "Bearer old");
  CHECK(server.requests() == 1);
  server.clock->advance(11s);  // 60 s before its end
  server.hold_next();
  CHECK(header(credential) == "Bearer old");
  REQUIRE(server.await_requests(2));
  CHECK(header(credential) == "Bearer old");
  CHECK(server.requests() == 2);
  server.release(1, "new", 100);
  REQUIRE(TokenServer::within([&] { return header(credential) == "Bearer new"; }));
  // A fifth of the lifetime at most: not 60 s before.
  server.clock->advance(78s);
  CHECK(header(credential) == "Bearer new");
  CHECK(server.requests() == 2);
  server.clock->advance(3s);
  server.hold_next();
  CHECK(header(credential) == "Bearer new");
  REQUIRE(server.await_requests(3));
  // Once it has expired callers wait.
  server.clock->advance(10s);
  Answers answers;
  credential.source().authorization(answers.taker());
  CHECK(answers.count() == 0);
  server.release(2, "newest");
  REQUIRE(answers.await(1));
  CHECK(answers.all()[0]->reveal() == "Bearer newest");
  CHECK(server.requests() == 3);
}

TEST_CASE("clocks that jump", "[oauth]") {
  const TokenServer server;
  server.token("one");
  const auto credential = oauth2(server.options());
  CHECK(header(credential) == "Bearer one");
  server.clock->set_wall(-720h);  // set back: the steady clock still counts
  CHECK(header(credential) == "Bearer one");
  CHECK(server.requests() == 1);
  server.token("two");
  server.clock->set_wall(720h);  // set ahead, or the machine slept: the token may be long dead
  CHECK(header(credential) == "Bearer two");
  CHECK(header(credential) == "Bearer two");
  CHECK(server.requests() == 2);
  server.clock->set_wall(-720h);
  server.clock->advance(2h);
  server.token("three");
  CHECK(header(credential) == "Bearer three");
}

TEST_CASE("after a failure there is a pause, and an old token bridges it", "[oauth]") {
  const TokenServer server;
  auto options = server.options();
  options.backoff_first = 1s;
  options.backoff_most = 8s;
  const auto credential = oauth2(options);
  SECTION("without a token callers get the error, and the server its rest") {
    server.answer(R"({"error":"temporarily_unavailable"})", 503);
    const auto first = ask(credential);
    REQUIRE_FALSE(first);
    CHECK(first.error().code() == ErrorCode::token_failed);
    CHECK(first.error().http_status() == 503);
    CHECK(first.error().service().code == "temporarily_unavailable");
    CHECK(first.error().retryable());
    CHECK(first.error().retry_after().has_value());  // when the next request may go out
    for (int i = 0; i < 10; ++i) {
      const auto again = ask(credential);
      REQUIRE_FALSE(again);
      CHECK(again.error().code() == ErrorCode::token_failed);
      REQUIRE(again.error().retry_after().has_value());
      CHECK(*again.error().retry_after() <= 1s);
    }
    CHECK(server.requests() == 1);
    server.clock->advance(1s);
    server.token("late");
    CHECK(header(credential) == "Bearer late");
    CHECK(server.requests() == 2);
  }
  SECTION("the pause doubles up to its cap, and a success ends it") {
    std::vector<std::chrono::milliseconds> pauses;
    for (int i = 0; i < 6; ++i) {
      server.answer("no", 500);
      CHECK_FALSE(ask(credential).has_value());
      pauses.push_back(*ask(credential).error().retry_after());
      server.clock->advance(pauses.back());
    }
    CHECK(server.requests() == 6);
    const std::chrono::milliseconds whole[] = {1s, 2s, 4s, 8s, 8s, 8s};
    for (std::size_t i = 0; i < 6; ++i) {
      CAPTURE(i, pauses[i].count());
      CHECK(pauses[i] <= whole[i]);
      CHECK(pauses[i] >= whole[i] / 2 - 1s);  // the test's own time counts, too
    }
    server.token("back", 100);
    CHECK(header(credential) == "Bearer back");
    server.clock->advance(200s);
    server.answer("no", 500);
    CHECK_FALSE(ask(credential).has_value());
    CHECK(*ask(credential).error().retry_after() <= 1s);
  }
  SECTION("what the server asks for counts, up to the cap") {
    server.answer("slow down", 429, {{"Retry-After", "5"}});
    CHECK_FALSE(ask(credential).has_value());
    server.clock->advance(4s);
    CHECK_FALSE(ask(credential).has_value());
    CHECK(server.requests() == 1);
    server.clock->advance(1s);
    server.answer("slow down", 429, {{"Retry-After", "86400"}});
    CHECK_FALSE(ask(credential).has_value());
    CHECK(server.requests() == 2);
    server.clock->advance(8s);
    server.token("t");
    CHECK(header(credential) == "Bearer t");
  }
  SECTION("while the old token is valid nobody notices") {
    server.token("old", 1000);
    CHECK(header(credential) == "Bearer old");
    server.clock->advance(950s);
    server.answer("no", 500);
    CHECK(header(credential) == "Bearer old");
    REQUIRE(server.await_requests(2));
    for (int i = 0; i < 5; ++i) CHECK(header(credential) == "Bearer old");
    server.clock->advance(45s);  // now it is dead
    REQUIRE(TokenServer::within([&] {
      server.token("new");
      return header(credential) == "Bearer new";
    }));
    CHECK(server.requests() == 3);
  }
}

TEST_CASE("a rejected token is replaced once, however many report it", "[oauth][concurrent]") {
  const TokenServer server;
  server.token("first");
  const auto credential = oauth2(server.options());
  const auto first = ask(credential).value();
  server.hold_next();
  std::vector<std::thread> callers;
  Answers answers;
  for (int t = 0; t < 8; ++t)
    callers.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        credential.source().rejected(first);
        credential.source().authorization(answers.taker());
      }
    });
  for (auto& caller : callers) caller.join();
  REQUIRE(server.await_requests(2));
  server.release(1, "second");
  REQUIRE(answers.await(160));
  for (const auto& answer : answers.all()) CHECK(answer->reveal() == "Bearer second");
  CHECK(server.requests() == 2);

  // A late report of the first says nothing about the second.
  credential.source().rejected(first);
  CHECK(header(credential) == "Bearer second");
  // An API that refuses the replacement as well does not make us ask for ever.
  const auto second = ask(credential).value();
  credential.source().rejected(second);
  CHECK(header(credential) == "Bearer second");
  CHECK(server.requests() == 2);
  server.clock->advance(31s);
  server.token("third");
  credential.source().rejected(second);
  CHECK(header(credential) == "Bearer third");
  CHECK(server.requests() == 3);
}

TEST_CASE("answers that are no usable token", "[oauth]") {
  const TokenServer server;
  const auto refused = [&](const std::string& body) {
    server.answer(body);
    const auto answer = ask(oauth2(server.options()));
    CAPTURE(body);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == ErrorCode::token_failed);
    CHECK(everything_in(answer.error()).find("TOKEN") == std::string::npos);
  };
  const std::string good = R"("access_token":"TOKEN","token_type":"Bearer")";
  refused("");
  refused("<html>TOKEN</html>");
  refused("[]");
  refused(R"({"access_token":"TOKEN"})");
  refused(R"({"access_token":"TOKEN","token_type":"mac"})");
  refused(R"({"access_token":"TOKEN","token_type":"DPoP"})");
  refused(R"({"access_token":"TOKEN","token_type":["Bearer"]})");
  refused(R"({"token_type":"Bearer"})");
  refused(R"({"access_token":"","token_type":"Bearer"})");
  refused(R"({"access_token":7,"token_type":"Bearer"})");
  refused(R"({"access_token":"TOKEN\r\nX-Evil: 1","token_type":"Bearer"})");
  refused(R"({"access_token":"TOKEN\u0000","token_type":"Bearer"})");
  refused(R"({"access_token":"TOKEN and more","token_type":"Bearer"})");
  refused(R"({"access_token":"TOKEN\u00e9","token_type":"Bearer"})");
  refused(R"({"access_token":"TOKEN","access_token":"TOKEN","token_type":"Bearer"})");
  refused("{" + good + R"(,"expires_in":-1})");
  refused("{" + good + R"(,"expires_in":0})");
  refused("{" + good + R"(,"expires_in":"soon"})");
  refused("{" + good + R"(,"expires_in":"-5"})");
  refused("{" + good + R"(,"expires_in":"60 "})");
  refused("{" + good + R"(,"expires_in":"nan"})");
  refused("{" + good + R"(,"expires_in":true})");
  refused("{" + good + R"(,"expires_in":[60]})");
  refused("{" + good);
}

TEST_CASE("lifetimes", "[oauth]") {
  struct Row {
    const char* told;
    std::chrono::seconds valid;
    std::chrono::seconds over;
  };
  const auto row =
      GENERATE(Row{R"(,"expires_in":100)", 80s, 95s}, Row{R"(,"expires_in":"100")", 80s, 95s},
               Row{R"(,"expires_in":100.9)", 80s, 95s}, Row{"", 280s, 295s}, Row{R"(,"expires_in":null)", 280s, 295s},
               Row{R"(,"expires_in":1e300)", 23h, 24h}, Row{R"(,"expires_in":99999999999999999999)", 23h, 24h});
  CAPTURE(row.told);
  const TokenServer server;
  server.answer(R"({"access_token":"t","token_type":"BEARER")" + std::string(row.told) + "}");
  auto options = server.options();
  options.refresh_ahead = 0s;
  const auto credential = oauth2(options);
  CHECK(header(credential) == "Bearer t");
  server.clock->advance(row.valid);
  CHECK(header(credential) == "Bearer t");
  CHECK(server.requests() == 1);
  server.clock->advance(row.over - row.valid);
  server.token("u");
  CHECK(header(credential) == "Bearer u");
}

TEST_CASE("refusals of the server are typed and hold no secret", "[oauth]") {
  const TokenServer server;
  auto options = server.options();
  options.auth = ClientAuth::client_secret_post;
  const auto failed = [&](std::string body, int status, std::vector<HttpHeader> headers = {}) {
    server.answer(std::move(body), status, std::move(headers));
    const auto answer = ask(oauth2(options));
    REQUIRE_FALSE(answer);
    CHECK(everything_in(answer.error()).find("the client's secret") == std::string::npos);
    return answer.error();
  };
  const auto wrong = failed(R"({"error":"invalid_client","error_description":"client authentication failed"})", 401);
  CHECK(wrong.code() == ErrorCode::authentication);
  CHECK(wrong.http_status() == 401);
  CHECK(wrong.service().code == "invalid_client");
  CHECK(wrong.service().message == "client authentication failed");
  CHECK_FALSE(wrong.retryable());
  CHECK_FALSE(wrong.advice().empty());
  CHECK(failed(R"({"error":"invalid_scope"})", 400).code() == ErrorCode::authentication);
  CHECK(failed("not json", 403).code() == ErrorCode::authentication);
  CHECK(failed("", 500).code() == ErrorCode::token_failed);
  CHECK(failed("", 408).retryable());
  CHECK(failed(R"({"access_token":"x","token_type":"Bearer"})", 201).code() == ErrorCode::token_failed);
  CHECK(failed("", 204).code() == ErrorCode::token_failed);
  const auto moved = failed("", 307, {{"Location", "https://evil.example/token"}});
  CHECK(moved.code() == ErrorCode::redirected);
  CHECK(server.request(server.requests() - 1).url == "https://auth.example/token");
  // What the server quotes of ours, and what it says too loudly.
  const auto echo = failed(R"({"error":"x","error_description":"bad secret: the client's secret"})", 401);
  CHECK(echo.service().message.empty());
  CHECK(failed(R"({"error":"x","error_description":"assertion eyJhbGciOi.."})", 401).service().message.empty());
  options.auth = ClientAuth::client_secret_basic;
  for (const char* form : {"Basic Y2xpZW50OnRoZStjbGllbnQlMjdzK3NlY3JldA==", "the+client%27s+secret"}) {
    const auto quoted =
        failed(std::string(R"({"error":")") + form + R"(","error_description":"we got )" + form + "\"}", 401);
    INFO(everything_in(quoted));
    CHECK(everything_in(quoted).find(form + 6) == std::string::npos);
  }
  const auto loud = failed(R"({"error":"a\nb","error_description":")" + std::string(5000, 'x') + R"("})", 400);
  CHECK(loud.service().code == "ab");
  CHECK(loud.service().message.size() == 200);
}

TEST_CASE("exchanges that fail before an answer is whole", "[oauth]") {
  const TokenServer server;
  auto options = server.options();
  SECTION("no connection") {
    FakeReply reply;
    reply.end = FakeReply::End::before_head;
    reply.code = ErrorCode::connect_failed;
    server.script->reply(reply);
    const auto answer = ask(oauth2(options));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == ErrorCode::token_failed);
    CHECK(answer.error().cause() == "connect_failed: scripted");
    CHECK(answer.error().retryable());
  }
  SECTION("a server that is not who it says") {
    FakeReply reply;
    reply.end = FakeReply::End::before_head;
    reply.code = ErrorCode::tls_failed;
    server.script->reply(reply);
    const auto answer = ask(oauth2(options));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == ErrorCode::tls_failed);
    CHECK_FALSE(answer.error().retryable());
  }
  SECTION("cut in the middle") {
    FakeReply reply;
    reply.chunks.emplace_back(R"({"access_token":"TOKEN","token_type":"Bearer"})");
    reply.end = FakeReply::End::broken;
    server.script->reply(reply);
    CHECK(ask(oauth2(options)).error().code() == ErrorCode::token_failed);
  }
  SECTION("larger than 64 KiB") {
    FakeReply reply;
    for (int i = 0; i < 70; ++i) reply.chunks.emplace_back(std::string(1024, ' '));
    reply.end = FakeReply::End::hold;
    server.script->reply(reply);
    const auto answer = ask(oauth2(options));
    CHECK(answer.error().code() == ErrorCode::token_failed);
    CHECK(answer.error().cause() == "limit_exceeded");
    CHECK(server.script->cancelled(0));
  }
  SECTION("never whole") {
    server.hold_next();
    options.timeout = 50ms;
    const auto answer = ask(oauth2(options));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == ErrorCode::token_failed);
    CHECK(answer.error().cause() == "timeout_total");
    CHECK(server.script->cancelled(0));
  }
  SECTION("no engine") {
    options.engine = []() -> Result<std::unique_ptr<HttpEngine>> {
      return Error(ErrorCode::invalid_options, "no such file");
    };
    CHECK(ask(oauth2(options)).error().code() == ErrorCode::invalid_options);
  }
}

TEST_CASE("a source may go at any moment", "[oauth][concurrent]") {
  const TokenServer server;
  SECTION("with a request under way") {
    server.hold_next();
    auto credential = std::make_unique<Credential>(oauth2(server.options()));
    Answers answers;
    credential->source().authorization(answers.taker());
    REQUIRE(server.await_requests(1));
    credential.reset();
    CHECK(server.script->cancelled(0));
    CHECK(answers.count() == 0);
  }
  SECTION("before its request is out") {
    for (int i = 0; i < 50; ++i) {
      server.hold_next();
      Answers answers;
      oauth2(server.options()).source().authorization(answers.taker());
    }
  }
  SECTION("the last one inside its own answer") {
    server.token("t");
    Answers answers;
    auto credential =
        std::make_shared<std::unique_ptr<Credential>>(std::make_unique<Credential>(oauth2(server.options())));
    const auto take = answers.taker();
    (*credential)->source().authorization([credential, take](Result<Secret> answer) {
      credential->reset();
      take(std::move(answer));
    });
    REQUIRE(answers.await(1));
    CHECK(answers.all()[0].has_value());
  }
  SECTION("a caller that left does not stop the others") {
    server.hold_next();
    const auto credential = oauth2(server.options());
    Answers answers;
    credential.source().authorization([](const Result<Secret>&) {});
    credential.source().authorization(answers.taker());
    REQUIRE(server.await_requests(1));
    server.release(0, "t");
    REQUIRE(answers.await(1));
  }
}

TEST_CASE("a forked child fetches for itself", "[oauth]") {
  const TokenServer server;
  server.token("parent");
  const auto credential = oauth2(server.options());
  CHECK(header(credential) == "Bearer parent");
  server.clock->advance(2h);
  server.hold_next();
  Answers answers;
  credential.source().authorization(answers.taker());  // under way when the child is made
  REQUIRE(server.await_requests(2));
  server.token("child");
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(header(credential) == "Bearer child" ? 0 : 1);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  server.release(1, "parent-again");
  REQUIRE(answers.await(1));
  const auto late = answers.all()[0];
  CHECK((late ? std::string(late->reveal()) : to_string(late.error())) == "Bearer parent-again");
}

TEST_CASE("options that cannot work are named", "[oauth]") {
  const TokenServer server;
  const auto code = [&](auto edit) {
    auto options = server.options();
    edit(options);
    const auto error = check(options);
    if (!error) return std::string("fine");
    // What check() says is what the first call says.
    CHECK(ask(oauth2(options)).error().code() == error->code());
    return std::string(to_string(error->code())) + " " + error->message();
  };
  using O = OAuth2Options;
  CHECK(code([](O&) {}) == "fine");
  CHECK(code([](O& o) { o.token_url = "https://auth.example:8443/t?tenant=1"; }) == "fine");
  CHECK(code([](O& o) { o.token_url = "http://127.0.0.1:9010/token"; }) == "fine");
  CHECK(code([](O& o) { o.token_url = "http://localhost/token"; }) == "fine");
  CHECK(code([](O& o) { o.token_url = "http://auth.example/token"; }).find("insecure_credential") == 0);
  CHECK(code([](O& o) {
          o.token_url = "http://auth.example/token";
          o.allow_plain_http = true;
        }) == "fine");
  for (const char* url : {"", "auth.example", "ftp://auth.example", "https://", "https://user:pw@auth.example/t",
                          "https://auth.example/#x", "https://auth.example/a b", "https://auth.example/?a=b#c",
                          "https://auth.example/\r\nX: y", "https://auth.example/?\n"})
    CHECK(code([&](O& o) { o.token_url = url; }).find("token_url is no address") != std::string::npos);
  const auto names = [&](auto edit, const char* option) {
    const std::string said = code(edit);
    CAPTURE(said, option);
    CHECK(said.find(std::string("invalid_options OAuth2Options::") + option) == 0);
  };
  names([](O& o) { o.client_id = ""; }, "client_id");
  names([](O& o) { o.client_id = "a\nb"; }, "client_id");
  names([](O& o) { o.client_secret = Secret(); }, "client_secret");
  names([](O& o) { o.client_secret_file = "/x"; }, "client_secret");
  names([](O& o) { o.auth = ClientAuth::private_key_jwt; }, "client_secret");
  names([](O& o) { o.private_key_file = "/x"; }, "private_key");
  names([](O& o) { o.scopes = {"a b"}; }, "scopes");
  names([](O& o) { o.scopes = {""}; }, "scopes");
  names([](O& o) { o.timeout = 0s; }, "timeout");
  names([](O& o) { o.timeout = 1h; }, "timeout");
  names([](O& o) { o.refresh_ahead = -1s; }, "refresh_ahead");
  names([](O& o) { o.default_lifetime = 0s; }, "default_lifetime");
  names([](O& o) { o.assertion_lifetime = 1h; }, "assertion_lifetime");
  names([](O& o) { o.backoff_first = 0s; }, "backoff_first");
  names([](O& o) { o.backoff_most = 1ms; }, "backoff_first");
  const auto key_only = [](O& o) {
    o.auth = ClientAuth::private_key_jwt;
    o.client_secret = Secret();
  };
  names(key_only, "private_key");
  CHECK(code([&](O& o) {
          key_only(o);
          o.private_key = Secret(std::string("no key"));
        }).find("the private key cannot be read") != std::string::npos);
  names(
      [](O& o) {
        o.auth = ClientAuth::tls_client_auth;
        o.client_secret = Secret();
        o.engine = nullptr;
      },
      "tls");
  names(
      [](O& o) {
        o.auth = ClientAuth::tls_client_auth;
        o.client_secret = Secret();
        o.token_url = "http://127.0.0.1/token";
      },
      "token_url");
}
