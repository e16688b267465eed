// A fault server of other people, npm's WireMock: how it breaks connections and bodies, and what each is called here.
// Every case goes through both readers of cleartext HTTP/1.1, the library's own and libcurl's.
#include <curl/curl.h>

#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/foreign/server.hpp"

#include <deepseek/http/curl.hpp>
#include <nlohmann/json.hpp>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::ask;
using deepseek_tests::Foreign;

namespace {

const std::string story = "Once upon a time there was a jar in Zürich, and it dripped.";

/// Which of the two reads, and what was asked for.
struct Way {
  bool own_reader;
  bool streamed;
};

std::string name_of(Way way) {
  return std::string(way.own_reader ? "own reader" : "libcurl") + (way.streamed ? ", streamed" : ", whole");
}

/// A client of the mapping that wiremock.json calls `name`.
DeepSeekClient client_of(const Foreign& server, const std::string& name, Way way,
                         const std::function<void(ClientOptions&)>& edit = {}) {
  return server.client([&](ClientOptions& options) {
    options.endpoints = {{server.root() + "/" + name, api_key(std::string("right"))}};
    if (!way.own_reader) {
      CurlOptions curl;
      curl.read_cleartext = false;
      options.http_engine = make_curl_engine(curl).value();
    }
    if (edit) edit(options);
  });
}

Result<ChatReply> talk(const DeepSeekClient& client, Way way) {
  return way.streamed ? client.stream(ask("hello")).result() : client.chat(ask("hello"));
}

std::string admin(const Foreign& server, const std::string& path, const std::string& body) {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  const std::string url = server.root() + "/__admin" + path;
  std::string answer;
  const auto keep = +[](char* data, std::size_t, std::size_t size, void* to) {
    static_cast<std::string*>(to)->append(data, size);
    return size;
  };
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_COPYPOSTFIELDS, body.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer);
  REQUIRE(curl_easy_perform(curl.get()) == CURLE_OK);
  return answer;
}

/// Requests to a mapping so far, as WireMock counts them.
int requests_to(const Foreign& server, const std::string& name) {
  const nlohmann::json asked = {{"urlPath", "/" + name + "/chat/completions"}};
  return nlohmann::json::parse(admin(server, "/requests/count", asked.dump())).at("count");
}

}  // namespace

TEST_CASE("wiremock: each way to break a connection has its outcome", "[integration][foreign]") {
  struct Fault {
    const char* name;
    Outcome outcome;
    ErrorCode code;
    int status;
  };
  const auto fault = GENERATE(Fault{"empty", Outcome::network_error, ErrorCode::connection_lost, 0},
                              Fault{"reset", Outcome::network_error, ErrorCode::connection_lost, 0},
                              Fault{"random", Outcome::malformed, ErrorCode::http_protocol, 0},
                              // a good head, then no chunk at all: an unclean end
                              Fault{"bad-chunk", Outcome::truncated, ErrorCode::truncated, 200});
  const Way way = GENERATE(Way{true, true}, Way{true, false}, Way{false, true}, Way{false, false});
  const Foreign& server = Foreign::wiremock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  CAPTURE(fault.name, name_of(way));
  const int before = requests_to(server, fault.name);
  const auto reply = talk(client_of(server, fault.name, way), way);
  REQUIRE_FALSE(reply.has_value());
  CAPTURE(reply.error().message(), reply.error().cause());
  CHECK(reply.error().outcome() == fault.outcome);
  CHECK(reply.error().code() == fault.code);
  CHECK(reply.error().http_status() == fault.status);
  CHECK(reply.error().bytes_delivered() == 0);
  CHECK(reply.error().partial() == nullptr);
  CHECK(requests_to(server, fault.name) == before + 1);
}

TEST_CASE("wiremock: a head that is late is timed out by the first-byte clock", "[integration][foreign]") {
  const Way way = GENERATE(Way{true, true}, Way{true, false}, Way{false, true}, Way{false, false});
  const Foreign& server = Foreign::wiremock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  CAPTURE(name_of(way));
  const auto client =
      client_of(server, "late", way, [](ClientOptions& options) { options.timeouts.first_byte = 200ms; });
  const auto began = std::chrono::steady_clock::now();
  const auto reply = talk(client, way);
  REQUIRE_FALSE(reply.has_value());
  CHECK(reply.error().outcome() == Outcome::timed_out);
  CHECK(reply.error().code() == ErrorCode::timeout_first_byte);
  CHECK(reply.error().clock() == "first_byte");
  CHECK(std::chrono::steady_clock::now() - began >= 200ms);
  CHECK(std::chrono::steady_clock::now() - began < 15s);  // its delay is 20 s
}

TEST_CASE("wiremock: a stream that drips in pieces without regard for lines is whole", "[integration][foreign]") {
  const bool own_reader = GENERATE(true, false);
  const Foreign& server = Foreign::wiremock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  CAPTURE(own_reader);
  const auto client = client_of(server, "dribble", {own_reader, true});
  auto stream = client.stream(ask("hello"));
  std::string text;
  std::size_t chunks = 0;
  for (const ChatChunk& chunk : stream) {
    text += chunk.content();
    if (!chunk.content().empty()) ++chunks;
  }
  const auto reply = stream.result();
  REQUIRE(reply.has_value());
  CHECK(text == story);
  CHECK(reply->content() == story);
  CHECK(chunks == 5);
  CHECK(reply->finish_reason() == "stop");
  CHECK_FALSE(reply->info.end_mark_missing);
}

TEST_CASE("wiremock: a stream that stalls keeps what had come", "[integration][foreign]") {
  const bool own_reader = GENERATE(true, false);
  const Foreign& server = Foreign::wiremock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  CAPTURE(own_reader);
  const Way way{own_reader, true};
  const auto client =
      client_of(server, "drip", way, [](ClientOptions& options) { options.timeouts.between_tokens = 200ms; });
  const auto reply = talk(client, way);
  REQUIRE_FALSE(reply.has_value());
  CHECK(reply.error().outcome() == Outcome::timed_out);
  CHECK(reply.error().code() == ErrorCode::timeout_between_tokens);
  REQUIRE(reply.error().partial() != nullptr);
  const std::string part = reply.error().partial()->content();
  CHECK_FALSE(part.empty());
  CHECK(story.compare(0, part.size(), part) == 0);
  CHECK(reply.error().bytes_delivered() == part.size());
}

TEST_CASE("wiremock: a stream that ends early is truncated, and never repeated", "[integration][foreign]") {
  const bool own_reader = GENERATE(true, false);
  const Foreign& server = Foreign::wiremock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  CAPTURE(own_reader);
  const Way way{own_reader, true};
  const int before = requests_to(server, "cut");
  const auto reply = talk(client_of(server, "cut", way, [](ClientOptions& options) { options.retry = {}; }), way);
  REQUIRE_FALSE(reply.has_value());
  CHECK(reply.error().outcome() == Outcome::truncated);
  REQUIRE(reply.error().partial() != nullptr);
  CHECK(reply.error().partial()->content() == "Once upon a time there ");
  CHECK(requests_to(server, "cut") == before + 1);
}

TEST_CASE("wiremock: what fails once is asked again", "[integration][foreign]") {
  struct Case {
    const char* name;
    std::chrono::milliseconds least;  // Retry-After
    ErrorCode alone;                  // without a repeat
    int status;
  };
  const auto one =
      GENERATE(Case{"busy", 1s, ErrorCode::rate_limited, 429}, Case{"down", 0s, ErrorCode::overloaded, 503},
               Case{"reset-once", 0s, ErrorCode::connection_lost, 0});
  const Way way = GENERATE(Way{true, true}, Way{true, false}, Way{false, true}, Way{false, false});
  const Foreign& server = Foreign::wiremock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  CAPTURE(one.name, name_of(way));
  const int before = requests_to(server, one.name);
  const auto client = client_of(server, one.name, way, [](ClientOptions& options) {
    options.retry = {};
    options.retry.base = options.retry.throttled_base = 1ms;
  });
  const auto began = std::chrono::steady_clock::now();
  const auto reply = talk(client, way);
  REQUIRE(reply.has_value());
  CHECK(reply->content() == "Once upon a time.");
  CHECK(reply->info.attempts == 2);
  CHECK(std::chrono::steady_clock::now() - began >= one.least);
  CHECK(requests_to(server, one.name) == before + 2);

  const auto first = talk(client_of(server, one.name, way), way);
  REQUIRE_FALSE(first.has_value());
  CHECK(first.error().code() == one.alone);
  CHECK(first.error().http_status() == one.status);
  CHECK(first.error().retryable());
  if (one.least > 0s) CHECK(first.error().retry_after() == one.least);
  CHECK(talk(client_of(server, one.name, way), way).has_value());  // the scenario is at its beginning again
}

TEST_CASE("wiremock: a wrong key is told once, the right one is sent as it is", "[integration][foreign]") {
  const Way way = GENERATE(Way{true, true}, Way{true, false}, Way{false, true}, Way{false, false});
  const Foreign& server = Foreign::wiremock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  CAPTURE(name_of(way));
  CHECK(talk(client_of(server, "key", way), way).has_value());
  const int before = requests_to(server, "key");
  const auto client = client_of(server, "key", way, [](ClientOptions& options) {
    options.endpoints.front().credential = api_key(std::string("wrong"));
    options.retry = {};
  });
  const auto reply = talk(client, way);
  REQUIRE_FALSE(reply.has_value());
  CHECK(reply.error().outcome() == Outcome::http_error);
  CHECK(reply.error().code() == ErrorCode::authentication);
  CHECK(reply.error().service().message == "No such key");
  CHECK_FALSE(reply.error().retryable());
  CHECK(requests_to(server, "key") == before + 1);
}

TEST_CASE("wiremock: a body of another type is malformed, a stream under a wrong name is a stream",
          "[integration][foreign]") {
  const Way way = GENERATE(Way{true, true}, Way{true, false}, Way{false, true}, Way{false, false});
  const Foreign& server = Foreign::wiremock();
  if (!server.missing().empty()) SKIP_TEST(server.missing().c_str());
  CAPTURE(name_of(way));
  const auto page = talk(client_of(server, "html", way), way);
  REQUIRE_FALSE(page.has_value());
  CHECK(page.error().outcome() == Outcome::malformed);
  CHECK(page.error().code() == (way.streamed ? ErrorCode::malformed_stream : ErrorCode::malformed_json));
  CHECK(page.error().http_status() == 200);

  const auto mislabelled = talk(client_of(server, "plain", way), way);
  REQUIRE(mislabelled.has_value() == way.streamed);
  if (way.streamed)
    CHECK(mislabelled->content() == story);
  else
    CHECK(mislabelled.error().outcome() == Outcome::malformed);
}
