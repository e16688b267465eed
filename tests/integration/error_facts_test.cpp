// What an error tells of where it came from and what to do about it.
#include <deepseek/schema.hpp>

#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/raw_server.hpp"

using namespace deepseek;
using deepseek_tests::ask;
using deepseek_tests::RawServer;
using deepseek_tests::Socket;

struct Town {
  std::string name;
};

template <>
struct deepseek::Schema<Town> {
  static constexpr auto fields = std::make_tuple(deepseek::field("name", &Town::name));
};

namespace {

ClientOptions to(const std::string& url) {
  ClientOptions options;
  options.endpoints = {{url, {}}};
  options.retry.max_attempts = 1;
  return options;
}

Error error_of(ClientOptions options) {
  return DeepSeekClient::create(std::move(options)).value().chat(ask("hi")).error();
}

RawServer refusing_server() {
  const std::string body = R"({"error":{"message":"invalid key","type":"authentication_error"}})";
  return RawServer([body](Socket& socket, int) {
    while (!socket.request().empty())
      socket.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  });
}

}  // namespace

TEST_CASE("an error names the server that was asked, and what may help", "[integration]") {
  ClientOptions options = to("http://127.0.0.1:18/v1");
  options.unix_socket = "/nobody/listens/here";
  const Error error = error_of(options);
  CHECK(error.code() == ErrorCode::connect_failed);
  CHECK(error.endpoint() == "http://127.0.0.1:18/v1");
  CHECK(error.advice().find("whether the server runs") != std::string::npos);
  CHECK(to_string(error).find(" [server 127.0.0.1:18]; check host") != std::string::npos);
}

TEST_CASE("an error of a call that asked nobody names no server", "[integration]") {
  const auto client = DeepSeekClient::create(to("http://127.0.0.1:18")).value();
  ChatRequest wrong = ask("hi");
  wrong.temperature = 7;
  const auto reply = client.chat(wrong);
  REQUIRE_FALSE(reply);
  CHECK(reply.error().attempts() == 0);
  CHECK(reply.error().endpoint().empty());
}

TEST_CASE("a refused key and a key that was not sent are told apart", "[integration]") {
  RawServer server = refusing_server();
  ClientOptions options = to(server.url());
  CHECK(error_of(options).advice().find("no key was sent") == 0);

  ClientOptions by_header = options;
  by_header.headers = {{"api-key", "of another service"}};
  CHECK(error_of(by_header).advice().find("no key was sent") == std::string::npos);

  options.endpoints[0].credential = api_key("test-key");
  const Error refused = error_of(options);
  CHECK(refused.code() == ErrorCode::authentication);
  CHECK(refused.advice().find("no key was sent") == std::string::npos);
  CHECK(refused.endpoint() == server.url());
}

TEST_CASE("an endpoint that may not be asked is passed over", "[integration]") {
  deepseek::test::Double server;
  const Endpoint live = server.client_options().endpoints.front();
  ClientOptions options;
  options.retry.max_attempts = 1;  // to pass one over is no attempt
  options.breaker.minimum_calls = 1;
  SECTION("its key would travel in the clear") {
    options.endpoints = {{"http://192.0.2.1", api_key("test-key")}, live};
  }
  SECTION("it has no key") { options.endpoints = {{"https://api.deepseek.com", {}}, live}; }
  const auto client = DeepSeekClient::create(options).value();
  const auto reply = client.chat(ask("hi"));
  REQUIRE(reply);
  CHECK(reply->info.endpoint == live.base_url);
  CHECK(reply->info.attempts == 1);
  CHECK(reply->info.retries == 0);

  options.endpoints.pop_back();
  const auto alone = DeepSeekClient::create(options).value();
  for (int i = 0; i < 3; ++i) {  // no circuit opens: that it may not be asked says nothing of its health
    const Error error = alone.chat(ask("hi")).error();
    CHECK((error.code() == ErrorCode::missing_key || error.code() == ErrorCode::insecure_credential));
    CHECK(error.endpoint() == options.endpoints.front().base_url);
    CHECK(error.attempts() == 0);
  }
}

TEST_CASE("a typed answer that never came tells of both requests", "[integration]") {
  deepseek::test::Double server;
  server.script({deepseek::test::say("no"), deepseek::test::say("still no")});
  const auto client = deepseek_tests::client_of(server);
  const auto town = client.chat_as<Town>("Where?");
  REQUIRE_FALSE(town);
  CHECK(town.error().code() == ErrorCode::malformed_json);
  CHECK(town.error().attempts() == 2);
  CHECK(town.error().http_status() == 200);
  CHECK_FALSE(town.error().trace_id().empty());
  CHECK(town.error().endpoint() == server.client_options().endpoints.front().base_url);
}
