// What lies between client and server: TLS, HTTP/2, proxies, redirects, broken servers.
#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/closed_port.hpp"
#include "support/front.hpp"

#include <atomic>
#include <cstdio>
#include <thread>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek::test::Certificate;
using deepseek::test::Double;
using deepseek::test::DoubleOptions;
using deepseek::test::say;
using deepseek_tests::ask;
using deepseek_tests::client_of;
using deepseek_tests::ClosedPort;
using deepseek_tests::Collector;
using deepseek_tests::Front;

namespace {

DoubleOptions with(Certificate certificate) {
  DoubleOptions options;
  options.certificate = certificate;
  return options;
}

}  // namespace

TEST_CASE("TLS is verified: chain, host name, dates", "[integration][tls]") {
  SECTION("good") {
    Double server(with(Certificate::good));
    const auto client = client_of(server);
    const auto reply = client.chat(ask("hi"));
    REQUIRE(reply.has_value());
    REQUIRE(reply->info.timings.tls.count() > 0);
    REQUIRE(client.chat(ask("hi")).value().info.reused_connection);
  }
  SECTION("bad ones are refused before a byte of the request is sent") {
    const auto kind = GENERATE(Certificate::expired, Certificate::not_yet_valid, Certificate::wrong_host,
                               Certificate::self_signed, Certificate::unknown_ca);
    Double server(with(kind));
    const auto reply = client_of(server).chat(ask("hi"));
    REQUIRE(reply.error().code() == ErrorCode::tls_failed);
    REQUIRE(reply.error().outcome() == Outcome::network_error);
    REQUIRE_FALSE(reply.error().cause().empty());
    REQUIRE(server.requests().empty());
  }
  SECTION("the system's authorities do not know the test authority") {
    Double server(with(Certificate::good));
    const auto client = client_of(server, [](ClientOptions& options) { options.tls.ca_file.clear(); });
    REQUIRE(client.chat(ask("hi")).error().code() == ErrorCode::tls_failed);
  }
  SECTION("a pin is checked beside the chain") {
    Double server(with(Certificate::good));
    const auto client = client_of(server, [](ClientOptions& options) {
      options.tls.pinned_public_key = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    });
    REQUIRE(client.chat(ask("hi")).error().code() == ErrorCode::tls_failed);
    REQUIRE(server.requests().empty());
  }
  SECTION("TLS 1.3 can be required") {
    Double server(with(Certificate::good));
    const auto client = client_of(server, [](ClientOptions& options) { options.tls.require_tls13 = true; });
    REQUIRE(client.chat(ask("hi")).has_value());
  }
}

TEST_CASE("a connection that the server closed while idle is replaced without a word", "[integration][tls]") {
  const auto kind = GENERATE(Certificate::none, Certificate::good);
  Double server(with(kind));
  const auto client = client_of(server);
  for (int round = 0; round < 12; ++round) {
    REQUIRE(client.chat(ask("hi")).has_value());
    server.reset_connections();  // a write may now meet a dead socket: no SIGPIPE may come of it
    REQUIRE(client.stream(ask("hi")).result().has_value());
    server.reset_connections();
  }
}

TEST_CASE("options that contradict each other are named", "[integration]") {
  const auto refused = [](const std::function<void(ClientOptions&)>& edit) {
    ClientOptions options;
    edit(options);
    auto client = DeepSeekClient::create(std::move(options));
    REQUIRE_FALSE(client.has_value());
    CHECK(client.error().code() == ErrorCode::invalid_options);
    return client.error().message();
  };
  CHECK(refused([](ClientOptions& o) { o.tls.ca_file = "/nonexistent.pem"; }).find("ca_file") != std::string::npos);
  CHECK(refused([](ClientOptions& o) { o.tls.client_cert_file = "/etc/hostname"; }).find("key") != std::string::npos);
  CHECK(refused([](ClientOptions& o) { o.proxy.url = "ftp://x"; }).find("scheme") != std::string::npos);
  CHECK(refused([](ClientOptions& o) {
          o.proxy.url = "http://x", o.proxy.from_environment = true;
        }).find("contradict") != std::string::npos);
  CHECK_FALSE(refused([](ClientOptions& o) { o.endpoints = {{"http://user:pw@host"}}; }).empty());
  CHECK_FALSE(refused([](ClientOptions& o) { o.endpoints = {{"gopher://host"}}; }).empty());
  CHECK_FALSE(refused([](ClientOptions& o) { o.endpoints = {{"http://host:99999"}}; }).empty());
  CHECK_FALSE(refused([](ClientOptions& o) { o.endpoints = {{std::string("http://ho\0st", 12)}}; }).empty());
  CHECK_FALSE(refused([](ClientOptions& o) {
                o.endpoints = {{"http://a"}, {"http://b"}};
                o.endpoints.front().weight = 1;
              }).empty());
  CHECK_FALSE(refused([](ClientOptions& o) { o.size_limits.body_bytes = 0; }).empty());
  CHECK_FALSE(refused([](ClientOptions& o) { o.stream_buffer_bytes = 1; }).empty());
  CHECK_FALSE(refused([](ClientOptions& o) { o.model.clear(); }).empty());
}

TEST_CASE("headers that would inject another are refused", "[integration]") {
  Double server;
  const auto client = client_of(server);
  const auto header = GENERATE(values<HttpHeader>({{"X-A", "b\r\nX-Evil: 1"},
                                                   {"X A", "b"},
                                                   {"", "b"},
                                                   {"X-A", std::string("b\0c", 3)},
                                                   {"X-A\r\nX-Evil", "b"},
                                                   {"X:A", "b"}}));
  CallOptions options;
  options.headers = {header};
  const auto reply = client.chat(ask("hi"), options);
  REQUIRE(reply.error().code() == ErrorCode::invalid_argument);
  REQUIRE(server.requests().empty());
}

TEST_CASE("a redirect is never followed", "[integration]") {
  Double server, other;
  server.script({test::status(307, "").header("Location", other.base_url() + "/chat/completions")});
  const auto reply = client_of(server).chat(ask("hi"));
  REQUIRE(reply.error().code() == ErrorCode::redirected);
  REQUIRE(reply.error().outcome() == Outcome::http_error);
  REQUIRE(other.requests().empty());
}

TEST_CASE("servers that are not what they should be", "[integration]") {
  Double server;
  const auto client = client_of(server, [](ClientOptions& options) {
    options.size_limits.header_bytes = 64 * KiB;
    options.size_limits.event_bytes = options.size_limits.line_bytes = 256 * KiB;
    options.size_limits.body_bytes = 256 * KiB;
  });
  const auto stream_error = [&](test::Reply reply) {
    server.script({std::move(reply)});
    auto result = client.stream(ask("hi")).result();
    REQUIRE_FALSE(result.has_value());
    return result.error();
  };
  CHECK(stream_error(test::garbage("SSH-2.0-OpenSSH_9.2\r\n")).outcome() == Outcome::malformed);
  CHECK(stream_error(test::garbage("")).code() == ErrorCode::connection_lost);
  CHECK(stream_error(test::drop()).outcome() == Outcome::network_error);
  CHECK(stream_error(test::endless_headers()).code() == ErrorCode::limit_exceeded);
  CHECK(stream_error(say("x").huge_event(1024 * 1024)).code() == ErrorCode::limit_exceeded);
  CHECK(stream_error(test::raw_body(200, "application/json", std::string(1024 * 1024, ' ') + "{}")).outcome() !=
        Outcome::complete);
  CHECK(stream_error(test::raw_body(200, "text/html", "<html>hello</html>")).outcome() == Outcome::malformed);
  CHECK(stream_error(test::raw_body(503, "text/html", "<html>busy</html>")).code() == ErrorCode::overloaded);
  CHECK(stream_error(test::raw_body(200, "application/json", std::string(100'000, '['))).outcome() ==
        Outcome::malformed);
  CHECK(stream_error(say("hello there").cut_after_bytes(60)).outcome() ==
        Outcome::truncated);  // inside the header block
  CHECK(stream_error(say("hello there").malformed_event(3)).outcome() == Outcome::malformed);
  CHECK(stream_error(say("hello there").error_in_band(3, "boom")).outcome() == Outcome::service_error);
  CHECK(stream_error(say("hello there").end_without_finish()).outcome() == Outcome::truncated);
  CHECK(stream_error(say("hello there").finish_reason("content_filter")).outcome() == Outcome::filtered);
  CHECK(stream_error(say("hello there").finish_reason("insufficient_system_resource")).outcome() ==
        Outcome::no_capacity);
  CHECK(stream_error(say("")).outcome() == Outcome::empty);
  server.refuse_connections(true);
  server.reset_connections();
  CHECK(stream_error(say("x")).code() == ErrorCode::connect_failed);
}

TEST_CASE("no form of Transfer-Encoding loses text", "[integration]") {
  const auto codings =
      GENERATE(as<std::string>{}, "Transfer-Encoding: chunked\r\n",
               "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked,\r\n",
               "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: gzip, chunked\r\n");
  // The cut lies inside a field name, where bytes read as they are would pass for fields nobody knows.
  const std::string before =
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello \"},\"finish_reason\":null}]}\n\nda";
  const std::string after =
      "ta: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"world\"},\"finish_reason\":null}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
  char sizes[2][16];
  std::snprintf(sizes[0], sizeof sizes[0], "%zx\r\n", before.size());
  std::snprintf(sizes[1], sizeof sizes[1], "%zx\r\n", after.size());
  Double server;
  server.script({test::garbage("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + codings + "\r\n" + sizes[0] +
                               before + "\r\n" + sizes[1] + after + "\r\n0\r\n\r\n")});
  const auto reply = client_of(server).stream(ask("hi")).result();
  INFO(codings);
  if (reply)
    CHECK(reply->content() == "hello world");
  else
    CHECK(reply.error().outcome() == Outcome::malformed);
}

TEST_CASE("a stream cut at any event says truncated and keeps its text", "[integration]") {
  Double server;
  const auto client = client_of(server);
  for (std::size_t events = 1; events < 8; ++events) {
    for (const bool reset : {false, true}) {
      auto reply = say("a b c d e f g h");
      server.script({reset ? reply.reset_after_events(events) : reply.cut_after_events(events)});
      auto stream = client.stream(ask("hi"));
      std::string text;
      for (const auto& chunk : stream) text += chunk.content();
      const auto result = stream.result();
      REQUIRE_FALSE(result.has_value());
      CHECK(result.error().outcome() == Outcome::truncated);
      CHECK(result.error().bytes_delivered() == text.size());
      CHECK((result.error().partial() ? result.error().partial()->content() : "") == text);
    }
  }
}

TEST_CASE("HTTP/2: streams share a connection, cancelled ones leave the others alone",
          "[integration][tls][concurrent]") {
  Double server;
  const auto front = Front::h2(server.port());
  if (!front) SKIP_TEST("nghttpx is not installed");
  ClientOptions options = server.client_options();
  options.endpoints.front().base_url = front->url();
  options.tls.ca_file = front->ca_file();
  const auto client = DeepSeekClient::create(std::move(options)).value();
  REQUIRE(client.chat(ask("hi")).value().info.http_version == 20);
  std::vector<test::Reply> replies;
  for (int i = 0; i < 20; ++i) replies.push_back(say("a b c d e f g h").pace(2ms));
  for (int i = 0; i < 10; ++i) replies.push_back(say("a b c").stall_after_events(2));
  server.script(std::move(replies));
  Collector whole, stalled;
  std::vector<CallHandle> handles;
  for (int i = 0; i < 20; ++i) client.chat_async(ask("hi"), whole.handler());
  REQUIRE(server.wait_for_requests(21));
  for (int i = 0; i < 10; ++i) handles.push_back(client.chat_async(ask("hi"), stalled.handler()));
  REQUIRE(stalled.await_chunks(10));
  for (const auto& handle : handles) handle.cancel();
  REQUIRE(stalled.await_ends(10));
  REQUIRE(whole.await_ends(20));
  for (const auto& result : whole.results()) CHECK(result.has_value());
  for (const auto& result : stalled.results()) CHECK(result.error().outcome() == Outcome::cancelled);
  const auto after = client.chat(ask("hi"));
  REQUIRE(after.has_value());
  REQUIRE(after->info.reused_connection);
}

TEST_CASE("HTTP/2: a slow reader is paused and loses nothing", "[integration][tls][concurrent]") {
  std::string text;
  for (int i = 0; i < 5'000; ++i) text += "word" + std::to_string(i) + ' ';
  Double server;
  const auto front = Front::h2(server.port());
  if (!front) SKIP_TEST("nghttpx is not installed");
  server.script({say("hold").stall_after_events(1), say(text)});
  ClientOptions options = server.client_options();
  options.endpoints.front().base_url = front->url();
  options.tls.ca_file = front->ca_file();
  options.stream_buffer_bytes = 32 * KiB;
  const auto client = DeepSeekClient::create(std::move(options)).value();
  const CallHandle hosted = client.chat_async(ask("hi"), {});
  REQUIRE(server.wait_for_active(1));
  auto stream = client.stream(ask("hi"));
  std::string got;
  for (const auto& chunk : stream) got += chunk.content();
  REQUIRE(got == text);
  REQUIRE(stream.result().has_value());
  hosted.cancel();
}

TEST_CASE("proxies: HTTP CONNECT, plain HTTP, SOCKS5, and none by default", "[integration]") {
  Double server(with(Certificate::good));
  const auto proxy = Front::http_proxy();
  if (!proxy) SKIP_TEST("tinyproxy is not installed");
  SECTION("https through CONNECT") {
    const auto client = client_of(server, [&](ClientOptions& options) { options.proxy.url = proxy->url(); });
    REQUIRE(client.chat(ask("hi")).has_value());
    REQUIRE(proxy->log_mentions("CONNECT"));
  }
  SECTION("a dead proxy is named as such") {
    const ClosedPort dead;
    const auto client = client_of(server, [&](ClientOptions& options) { options.proxy.url = dead.url(); });
    const auto error = client.chat(ask("hi")).error();
    CHECK(error.outcome() == Outcome::network_error);
    CHECK(error.code() == ErrorCode::proxy_failed);
    CHECK(error.advice().find("check ProxyOptions") != std::string::npos);
  }
  SECTION("the environment counts only on request") {
    const ClosedPort dead;
    setenv("https_proxy", dead.url().c_str(), 1);
    REQUIRE(client_of(server).chat(ask("hi")).has_value());
    const auto client = client_of(server, [](ClientOptions& options) { options.proxy.from_environment = true; });
    REQUIRE_FALSE(client.chat(ask("hi")).has_value());
    unsetenv("https_proxy");
  }
}

TEST_CASE("SOCKS5 with remote DNS", "[integration]") {
  Double server;
  const auto proxy = Front::socks_proxy();
  if (!proxy) SKIP_TEST("microsocks is not installed");
  const auto client = client_of(server, [&](ClientOptions& options) { options.proxy.url = proxy->url(); });
  REQUIRE(client.chat(ask("hi")).has_value());
}

TEST_CASE("unix sockets and mutual TLS in front of the service", "[integration][tls]") {
  Double server;
  const auto front = Front::nginx(server.port());
  if (!front) SKIP_TEST("nginx is not installed");
  SECTION("unix socket") {
    ClientOptions options = server.client_options();
    options.endpoints.front().base_url = "http://localhost";
    options.unix_socket = front->unix_socket();
    REQUIRE(DeepSeekClient::create(std::move(options)).value().stream(ask("hi")).result().has_value());
  }
  SECTION("mutual TLS") {
    ClientOptions options = server.client_options();
    options.endpoints.front().base_url = front->url();
    options.tls.ca_file = front->ca_file();
    REQUIRE_FALSE(DeepSeekClient::create(options).value().chat(ask("hi")).has_value());
    options.tls.client_cert_file = front->client_cert_file();
    options.tls.client_key_file = front->client_key_file();
    const auto reply = DeepSeekClient::create(options).value().chat(ask("hi"));
    REQUIRE(reply.has_value());
    REQUIRE(reply->info.http_version == 20);
  }
}

TEST_CASE("thousands of streams on one I/O thread", "[integration][many]") {
  constexpr int count = 2000;
  Double server;
  const auto client = client_of(server);
  std::vector<test::Reply> replies;
  for (int i = 0; i < count; ++i) replies.push_back(say("a b c d").pace(50ms));
  server.script(std::move(replies));
  if (deepseek_tests::raise_open_files(2 * count + 500) < 2u * count + 500)
    SKIP_TEST("the limit on open files is too low");
  Collector collector;
  for (int i = 0; i < count; ++i) client.chat_async(ask("hi"), collector.handler());
  for (int tries = 0; tries < 12 && !collector.await_ends(count); ++tries) {
  }
  REQUIRE(collector.results().size() == count);
  int good = 0;
  for (const auto& result : collector.results()) good += result && result->content() == "a b c d";
  REQUIRE(good == count);
}
