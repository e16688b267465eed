// Secrets in every place where one can be, and every sink searched for them.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/closed_port.hpp"
#include "support/shared_data.hpp"

#include <deepseek/policy/observe.hpp>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek::test::Double;
using deepseek_tests::ask;
namespace fs = std::filesystem;

namespace {

// Each place has its own, so that a leak names its source. None looks like a key: no pattern could catch them.
constexpr const char* in_key = "seeded0key0value1";
constexpr const char* in_token = "seeded0token0value2";
constexpr const char* in_prompt = "seeded0prompt0value3";
constexpr const char* in_system = "seeded0system0value4";
constexpr const char* in_answer = "seeded0answer0value5";
constexpr const char* in_reasoning = "seeded0reasoning0value6";
constexpr const char* in_client_header = "seeded0header0value7";
constexpr const char* in_call_header = "seeded0header0value8";
constexpr const char* in_error_body = "seeded0error0value9";
constexpr const char* in_path = "seeded0path0value10";
constexpr const char* in_trace = "seeded0trace0value11";
constexpr const char* in_response_header = "seeded0reply0value12";
constexpr const char* in_tool = "seeded0tool0value13";
constexpr const char* in_user = "seeded0user0value14";
constexpr const char* in_reply_model = "seeded0model0value15";
constexpr const char* in_proxy = "seeded0proxy0value16";
constexpr const char* in_content_type = "seeded0type0value17";
constexpr const char* in_finish = "seeded0finish0value18";
constexpr const char* in_band = "seeded0band0value19";
constexpr const char* in_userinfo = "seeded0userinfo0value20";
constexpr const char* hex_token = "00112233445566778899aabbccddeeff";  // looks like an id

std::vector<std::string> secrets() {
  return {in_key,           in_token,       in_prompt,      in_system, in_answer,       in_reasoning,
          in_client_header, in_call_header, in_error_body,  in_path,   in_trace,        in_response_header,
          in_tool,          in_user,        in_reply_model, in_proxy,  in_content_type, in_finish,
          in_band,          in_userinfo,    hex_token};
}

std::vector<std::string> found_in(const std::string& text) {
  std::vector<std::string> found;
  for (const std::string& secret : secrets())
    if (text.find(secret) != std::string::npos) found.push_back(secret);
  return found;
}

/// Gives a token that is not an API key, and later another one.
struct TokenSource final : CredentialSource {
  explicit TokenSource(std::string value) : token("Bearer " + std::move(value)) {}
  void authorization(Function<void(Result<Secret>)> done) override { done(token); }
  bool present() const override { return true; }
  Secret token;
};

/// Everything that records are written to.
struct Sinks {
  Sinks() {
    std::string name = (fs::temp_directory_path() / "deepseek-secrets-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    file = LogFile::open((folder / "client.log").string()).value();
    options.metrics = metrics;
    options.log_level = LogLevel::debug;
    options.traceparent = true;
    options.log = make_callback_log([this](const LogRecord& record) {
      const std::lock_guard<std::mutex> lock(mutex);
      append_json_line(lines, record);
      for (const LogRecord::Item& item : record)  // the raw texts too: a host's sink sees these
        if (item.kind == LogRecord::Kind::text) texts.append(item.text()) += '\n';
      file->write(record);
    });
  }
  ~Sinks() {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
  void watch(ClientOptions& client) const {
    client.metrics = options.metrics;
    client.log = options.log;
    client.log_level = options.log_level;
    client.traceparent = options.traceparent;
  }
  std::string all() {
    REQUIRE(file->flush(10s));
    const std::lock_guard<std::mutex> lock(mutex);
    return lines + texts + deepseek_tests::read_file(folder / "client.log") + metrics->prometheus_text();
  }

  fs::path folder;
  std::shared_ptr<LogFile> file;
  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>();
  ObserveOptions options;
  std::mutex mutex;
  std::string lines;  // guarded
  std::string texts;  // guarded
};

ChatRequest seeded_request() {
  ChatRequest request = ask(std::string("my password is ") + in_prompt);
  request.messages.insert(request.messages.begin(), Message::system(in_system));
  request.user_id = in_user;
  return request;
}

CallOptions seeded_call() {
  CallOptions call;
  call.headers.push_back({"X-Session", in_call_header});
  call.headers.push_back({"traceparent", std::string("00-") + in_trace});
  return call;
}

std::vector<deepseek::test::Reply> seeded_replies() {
  using namespace deepseek::test;
  const std::string echo = std::string("you sent ") + in_error_body + " with " + in_key + " and " + in_prompt;
  return {think(in_reasoning, in_answer).model(in_reply_model),
          say(in_answer).finish_reason(in_finish).header("X-Secret", in_response_header),
          call_tool(in_tool, std::string(R"({"a":")") + in_tool + "\"}"),
          status(400, echo).header("x-ds-trace-id", in_response_header),
          status(401, echo).header("x-request-id", in_key),
          status(429, echo).header("Retry-After", in_response_header),
          raw_body(500, std::string("text/") + in_content_type, echo),
          raw_body(200, "application/json", "{\"broken\":\"" + echo),
          raw_stream("data: {\"broken\":\"" + echo + "\n\n"),
          say(in_answer).error_in_band(1, in_band),
          say(in_answer).malformed_event(1),
          say(in_answer).cut_after_events(2),
          garbage(echo),
          drop()};
}

}  // namespace

TEST_CASE("no secret reaches a log, a file or a metric", "[integration][observe]") {
  Sinks sinks;
  Double server;
  std::size_t calls = 0;
  enum class With { key, token, path };
  for (const With with : {With::key, With::token, With::path}) {
    ClientOptions options = server.client_options();
    if (with == With::path) options.endpoints[0].base_url += std::string("/") + in_path;  // all are 404 there
    options.endpoints[0].credential =
        with == With::token ? Credential(std::make_shared<TokenSource>(in_token)) : api_key(std::string(in_key));
    options.headers.push_back({"X-Api-Token", in_client_header});
    sinks.watch(options);
    const auto client = DeepSeekClient::create(std::move(options)).value();
    for (const bool streamed : {false, true}) {
      server.script(seeded_replies());
      for (std::size_t i = 0; i < seeded_replies().size(); ++i, ++calls) {
        if (streamed)
          (void)client.stream(seeded_request(), seeded_call()).result();
        else
          (void)client.chat(seeded_request(), seeded_call());
      }
    }
  }
  const std::string all = sinks.all();
  // The calls were seen, so that there was something to find.
  std::size_t ends = 0;
  for (std::size_t at = 0; (at = sinks.lines.find("call_end", at)) != std::string::npos; ++at) ++ends;
  CHECK(ends == calls);
  CHECK(all.find("rate_limited") != std::string::npos);
  CHECK(all.find("127.0.0.1") != std::string::npos);
  for (const std::string& secret : found_in(all)) {
    INFO(secret);
    CHECK(false);
  }
  CHECK(found_in(all + in_answer) == std::vector<std::string>{in_answer});  // the search finds what is there
}

TEST_CASE("a server that sends the credential back as a request id is not believed", "[integration][observe]") {
  Sinks sinks;
  Double server;
  server.script({deepseek::test::say("hello").header("x-ds-trace-id", hex_token),
                 deepseek::test::status(500, "x").header("x-ds-trace-id", hex_token)});
  ClientOptions options = server.client_options();
  options.endpoints[0].credential = api_key(std::string(hex_token));
  sinks.watch(options);
  const auto client = DeepSeekClient::create(std::move(options)).value();
  (void)client.chat(ask("hi"));
  (void)client.chat(ask("hi"));
  const std::string all = sinks.all();
  CHECK(found_in(all).empty());
  CHECK(all.find("call_end") != std::string::npos);
}

TEST_CASE("no error says the credential, whatever it looks like", "[integration][observe]") {
  const std::string key = "tok0011aabbccddeeff2233445566";
  const std::string echo = R"({"error":{"message":"no )" + key + R"( here","type":")" + key + R"(","code":")" + key +
                           R"(","param":")" + key + "\"}}";
  using namespace deepseek::test;
  Double server;
  const auto replies = {status(401, echo),
                        status(500, std::string(190, 'x') + key),  // longer than what is quoted
                        status(500, "x").header("x-ds-trace-id", "0-" + key),
                        status(307, "").header("Location", "https://" + key + ".example/"),
                        raw_body(200, "application/json", echo),
                        raw_body(200, "text/plain", "not json " + key),
                        raw_stream("event: error\ndata: " + echo + "\n\n"),
                        raw_stream("event: error\ndata: it was " + key + "\n\n")};
  ClientOptions options = server.client_options();
  options.retry.max_attempts = 1;
  options.endpoints[0].credential = api_key(key);
  const auto client = DeepSeekClient::create(std::move(options)).value();
  server.script(replies);
  for (std::size_t i = 0; i < replies.size(); ++i) {
    const auto answer = client.stream(ask("hi")).result();
    REQUIRE_FALSE(answer);
    const Error& error = answer.error();
    const std::string all = to_string(error) + error.message() + error.cause() + error.trace_id() + error.advice() +
                            error.service().message + error.service().type + error.service().code +
                            error.service().param;
    INFO(i << ": " << all);
    CHECK(error.code() != ErrorCode::connection_lost);
    CHECK(all.find(key.substr(0, 8)) == std::string::npos);
  }
}

TEST_CASE("addresses and proxies with passwords leave no trace", "[integration][observe]") {
  Sinks sinks;
  Double server;
  {
    const deepseek_tests::ClosedPort closed;
    ClientOptions options = server.client_options();
    options.proxy.url = "http://user:" + std::string(in_proxy) + "@127.0.0.1:" + std::to_string(closed.port());
    sinks.watch(options);
    const auto client = DeepSeekClient::create(std::move(options));
    if (client) (void)client->chat(ask("hi"));
  }
  for (const std::string& address : {"http://user:" + std::string(in_userinfo) + "@127.0.0.1:1",
                                     "http://127.0.0.1:1/?key=" + std::string(in_userinfo)}) {
    ClientOptions options;
    options.endpoints = {Endpoint{address, api_key(std::string(in_key)), std::nullopt, false}};
    sinks.watch(options);
    const auto client = DeepSeekClient::create(std::move(options));
    REQUIRE_FALSE(client.has_value());
    CHECK(found_in(to_string(client.error())).empty());
  }
  CHECK(found_in(sinks.all()).empty());
}
