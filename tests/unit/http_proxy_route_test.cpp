// What is kept away from a proxy.
#include <deepseek/http/detail/proxy_route.hpp>

#include <cstdlib>

#include "support/catch.hpp"
#include "support/raw_server.hpp"

using namespace deepseek;
using deepseek_tests::EngineRig;
using deepseek_tests::RawServer;
using deepseek_tests::Recorder;
using deepseek_tests::Socket;

namespace {

ProxyOptions proxy_at(const char* url) {
  ProxyOptions proxy;
  proxy.url = url;
  return proxy;
}

/// Answers every request with its own body.
RawServer::Talk answering(const char* body) {
  return [body](Socket& socket, int) {
    const std::string text = body;
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n";
    while (!socket.request().empty() && socket.send(head + text)) {
    }
  };
}

std::string body_of(EngineRig& rig, const std::string& url) {
  HttpRequest request;
  request.method = "GET";
  request.url = url;
  auto recorder = std::make_shared<Recorder>();
  rig.on_loop([&] { recorder->transfer = rig.engine->start(std::move(request), recorder); });
  CHECK(rig.until([&] { return recorder->end.has_value(); }));
  return recorder->body;
}

}  // namespace

TEST_CASE("proxy route: cleartext to loopback keeps away from a proxy on another host") {
  using detail::is_kept_on_this_machine;
  using detail::is_proxy_elsewhere;
  for (const char* url : {"http://proxy.example:8080", "socks5h://10.0.0.1", "http://localhost@proxy.example",
                          "http://localhost.example", "https://[2001:db8::1]:80"})
    CHECK(is_proxy_elsewhere(proxy_at(url)));
  for (const char* url : {"", "http://127.0.0.1:8080", "socks5://user:x@localhost:1080", "http://[::1]:80"})
    CHECK_FALSE(is_proxy_elsewhere(proxy_at(url)));
  ProxyOptions environment;
  environment.from_environment = true;
  CHECK(is_proxy_elsewhere(environment));

  for (const char* url : {"http://localhost:8000/v1", "HTTP://127.1.2.3", "http://[::1]:80/"})
    CHECK(is_kept_on_this_machine(url));
  for (const char* url : {"https://localhost:8000/v1", "http://a.example/localhost", "http://127.0.0.1.example/"})
    CHECK_FALSE(is_kept_on_this_machine(url));
}

TEST_CASE("proxy route: a proxy on another host never sees a request to loopback") {
  RawServer server(answering("direct"));
  RawServer proxy(answering("proxied"));
  const std::string port = std::to_string(proxy.port());
  CurlOptions options;
  // Another host by its name; where it really listens does not matter to the rule.
  options.resolve = {"proxy.example:" + port + ":127.0.0.1"};
  SECTION("given") {
    options.proxy.url = "http://proxy.example:" + port;
    EngineRig rig(options);
    for (int round = 0; round < 2; ++round) {  // one handle serves all
      CHECK(body_of(rig, "http://a.example/") == "proxied");
      CHECK(body_of(rig, server.url()) == "direct");
    }
  }
  SECTION("unless it is on this machine itself") {
    options.proxy.url = "http://127.0.0.1:" + port;
    EngineRig rig(options);
    CHECK(body_of(rig, server.url()) == "proxied");
  }
  SECTION("what no_proxy says still counts") {
    RawServer other(answering("by no_proxy"));
    const std::string other_port = std::to_string(other.port());
    options.proxy.url = "http://proxy.example:" + port;
    options.proxy.no_proxy = "b.example";
    options.resolve.push_back("b.example:" + other_port + ":127.0.0.1");
    EngineRig rig(options);
    CHECK(body_of(rig, server.url()) == "direct");
    CHECK(body_of(rig, "http://b.example:" + other_port + "/") == "by no_proxy");
    CHECK(body_of(rig, "http://c.example/") == "proxied");
  }
  SECTION("from the environment") {
    ::setenv("http_proxy", ("http://proxy.example:" + port).c_str(), 1);
    options.proxy.from_environment = true;
    EngineRig rig(options);
    for (int round = 0; round < 2; ++round) {
      CHECK(body_of(rig, "http://a.example/") == "proxied");
      CHECK(body_of(rig, server.url()) == "direct");
    }
    ::unsetenv("http_proxy");
  }
}
