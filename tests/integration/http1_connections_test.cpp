// Cleartext HTTP/1.1 at the engine: when a connection is used again, and which address it goes to.
#include <atomic>
#include <chrono>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "integration/http1_kit.hpp"
#include "support/catch.hpp"
#include "support/closed_port.hpp"
#include "support/raw_server.hpp"
#include "support/temp_folder.hpp"

using namespace deepseek;
using namespace deepseek_tests;
using namespace http1_kit;

// --- idle connections --------------------------------------------------------------------------------

TEST_CASE("http1: bytes that nobody asked for never become the next answer", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  // With the answer, later while the loop rests, later while it runs: libcurl 7.88 takes these two for the answer.
  const int when = own ? GENERATE(0, 1, 2) : 0;
  CAPTURE(own, when);
  Signal go;
  std::atomic<bool> sent{false};
  RawServer server([&](Socket& socket, int nth) {
    socket.request();
    if (nth == 2) {
      socket.send(counted("right"));
      return;
    }
    socket.send(counted("first") + (when == 0 ? counted("WRONG") : ""));
    if (when > 0 && go.await()) socket.send(counted("WRONG"));
    sent = true;
    socket.peer_gone();
  });
  EngineRig rig(reading(own));
  CHECK(finish(rig, get(server.url()))->body == "first");
  go.send();
  if (when == 1) REQUIRE(await([&] { return sent.load(); }));
  if (when == 2) REQUIRE(rig.until([&] { return sent.load(); }));
  const auto got = finish(rig, get(server.url()));
  CHECK(got->outcome() == "200|right|head|clean");
  CHECK_FALSE(got->end->timings.reused_connection);
}

TEST_CASE("http1: a connection that ended while it was idle is replaced, once", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const bool reset = GENERATE(false, true);
  const int good = GENERATE(0, 1);  // does the second connection answer?
  // libcurl gives up if the connection ends while it sends.
  const bool big = own && GENERATE(false, true);
  CAPTURE(own, reset, good, big);
  RawServer server([&](Socket& socket, int nth) {
    socket.request();
    if (nth == 1) {
      socket.send(counted("first"));
      socket.taste(1);  // the next request is under way
    }
    if (nth == 2 && good == 1) socket.send(counted("second"));
    if (reset) socket.reset();
  });
  EngineRig rig(reading(own));
  CHECK(finish(rig, get(server.url()))->body == "first");
  const std::string body = big ? std::string(1u << 20, 'x') : "x";
  const auto got = finish(rig, post(server.url(), make_body(body)));
  CHECK(server.accepted() == 2);
  CHECK_FALSE(got->end->timings.reused_connection);
  if (good == 1)
    CHECK(got->body == "second");
  else
    CHECK(got->outcome() == std::string("0||no head|") + to_string(ErrorCode::connection_lost));
}

TEST_CASE("http1: a connection closed while nobody drives the loop is not used", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  Signal closed;
  RawServer server([&](Socket& socket, int) {
    socket.request();
    socket.send(counted("x"));
    socket.close();
    closed.send();
  });
  EngineRig rig(reading(own));
  for (int i = 1; i < 4; ++i) {
    const auto got = finish(rig, get(server.url()));
    CHECK(got->outcome() == "200|x|head|clean");
    CHECK_FALSE(got->end->timings.reused_connection);
    CHECK(closed.await());
  }
}

TEST_CASE("http1: the first request of a connection is not sent twice", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  RawServer server([](Socket& socket, int) { socket.request(); });
  EngineRig rig(reading(own));
  CHECK(finish(rig, get(server.url()))->end->code == ErrorCode::connection_lost);
  CHECK(server.accepted() == 1);
}

// libcurl does ask again if no more than a piece of the status line came.
TEST_CASE("http1: an answer that began is never asked for again", "[integration][http1]") {
  RawServer server([](Socket& socket, int) {
    socket.request();
    socket.send(counted("first"));
    socket.request();
    socket.send("HTTP/1.1 200");
  });
  EngineRig rig(reading(true));
  finish(rig, get(server.url()));
  const auto got = finish(rig, get(server.url()));
  CHECK_FALSE(got->end->clean);
  CHECK(server.accepted() == 1);
}

TEST_CASE("http1: connections that may not be used again are closed", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const std::string answer = GENERATE(as<std::string>{}, counted("x", "Connection: close\r\n"),
                                      "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx");
  CAPTURE(own, answer);
  std::atomic<int> gone{0};
  RawServer server([&](Socket& socket, int) {
    socket.request();
    socket.send(answer);
    gone += socket.peer_gone();
  });
  EngineRig rig(reading(own));
  for (int i = 1; i < 3; ++i) {
    CHECK(finish(rig, get(server.url()))->body == "x");
    CHECK(rig.until([&] { return gone == i; }));
  }
}

TEST_CASE("http1: an idle connection grows too old", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  RawServer server(always(counted("x")));
  CurlOptions options = reading(own);
  options.max_idle_time = 1s;
  EngineRig rig(options);
  CHECK_FALSE(finish(rig, get(server.url()))->end->timings.reused_connection);
  CHECK(finish(rig, get(server.url()))->end->timings.reused_connection);
  rig.turns_during(2100ms);
  CHECK_FALSE(finish(rig, get(server.url()))->end->timings.reused_connection);
}

TEST_CASE("http1: any idle time is a limit", "[integration][http1]") {
  RawServer server(always(counted("x")));
  CurlOptions options = reading(true);
  options.max_idle_time = std::chrono::seconds::max();
  EngineRig rig(options);
  finish(rig, get(server.url()));
  CHECK(finish(rig, get(server.url()))->end->timings.reused_connection);
}

TEST_CASE("http1: no connection is kept if none may be", "[integration][http1]") {
  std::atomic<int> gone{0};
  RawServer server([&](Socket& socket, int) {
    socket.request();
    socket.send(counted("x"));
    gone += socket.peer_gone();
  });
  CurlOptions options = reading(true);
  options.max_idle_connections = 0;
  EngineRig rig(options);
  for (int i = 1; i < 3; ++i) {
    CHECK(finish(rig, get(server.url()))->end->clean);
    CHECK(rig.until([&] { return gone == i; }));
  }
}

// --- addresses ---------------------------------------------------------------------------------------

TEST_CASE("http1: a refused connection", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const char* const host = GENERATE("127.0.0.1", "localhost");
  CAPTURE(own, host);
  const ClosedPort closed;
  EngineRig rig(reading(own));
  const auto got = finish(rig, get("http://" + std::string(host) + ':' + std::to_string(closed.port()) + '/'));
  CHECK(got->outcome() == std::string("0||no head|") + to_string(ErrorCode::connect_failed));
  CHECK_FALSE(got->end->cause.empty());
  CHECK(got->end->timings.first_byte.count() == 0);
}

TEST_CASE("http1: a host name is resolved, and its connection used again", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  std::string host;
  RawServer server([&](Socket& socket, int) {
    for (std::string text = socket.request(); !text.empty(); text = socket.request()) {
      host = text.substr(text.find("Host: "), 16);
      socket.send(counted("x"));
    }
  });
  {
    EngineRig rig(reading(own));
    for (int i = 0; i < 3; ++i) {
      const auto got = finish(rig, get("http://localhost:" + std::to_string(server.port()) + "/"));
      CHECK(got->outcome() == "200|x|head|clean");
      CHECK(got->end->timings.reused_connection == (i > 0));
      CHECK((got->end->timings.connect.count() > 0) == (i == 0));
    }
    CHECK(server.accepted() == 1);
  }
  CHECK(host == "Host: localhost:");
}

TEST_CASE("http1: a name that nobody knows", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  EngineRig rig(reading(own));
  CHECK(finish(rig, get("http://no-such-host.invalid/"))->end->code == ErrorCode::dns_failed);
}

TEST_CASE("http1: names are answered by options too", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  RawServer server(always(counted("x")));
  CurlOptions options = reading(own);
  const std::string port = std::to_string(server.port());
  options.resolve = {"service.invalid:" + port + ":127.0.0.1"};
  EngineRig rig(options);
  CHECK(finish(rig, get("http://service.invalid:" + port + "/"))->body == "x");
}

TEST_CASE("http1: a numeric IPv6 address", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  auto listener = std::make_unique<Listener>(Listener::Family::v6);
  if (!listener->ok()) SKIP_TEST("no IPv6 loopback");
  RawServer server(std::move(listener), always(counted("six")));
  EngineRig rig(reading(own));
  for (int i = 0; i < 2; ++i) CHECK(finish(rig, get(server.url()))->body == "six");
  CHECK(server.accepted() == 1);
}

TEST_CASE("http1: a unix socket", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  const TempFolder folder;
  CurlOptions options = reading(own);
  SECTION("answers") {
    options.unix_socket = folder.file("s");
    RawServer server(std::make_unique<Listener>(options.unix_socket), always(counted("local")));
    EngineRig rig(options);
    for (int i = 0; i < 2; ++i) CHECK(finish(rig, get("http://any.invalid/"))->outcome() == "200|local|head|clean");
    CHECK(server.accepted() == 1);
  }
  SECTION("is not there") {
    options.unix_socket = folder.file("none");
    EngineRig rig(options);
    CHECK(finish(rig, get("http://127.0.0.1/"))->end->code == ErrorCode::connect_failed);
  }
}

TEST_CASE("http1: a URL cannot carry another header, nor another address", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  std::string url =
      GENERATE(as<std::string>{}, "http://127.0.0.1:PORT/a\r\nX-Evil: 1", "http://127.0.0.1:PORT/a b",
               "http://127.0.0.1:PORT/\n", "http://127.0.0.1:PORT\r\nX-Evil: 1/", "http://127.0.0.1:OVER/",
               "http://127.0.0.1:PORTx/", "http://127.0.0.1:-PORT/", "http://[127.0.0.1]:PORT/",
               "http://[::ffff:127.0.0.1:PORT/", "http:///", "http://:PORT/", "http://");
  std::string seen;
  RawServer server([&](Socket& socket, int) {
    for (std::string text = socket.request(); !text.empty(); text = socket.request()) {
      seen += text;
      socket.send(counted("x"));
    }
  });
  const auto replace = [&url](const std::string& word, int number) {
    if (const std::size_t at = url.find(word); at != url.npos) url.replace(at, word.size(), std::to_string(number));
  };
  replace("PORT", server.port());
  replace("OVER", server.port() + 65536);
  CAPTURE(own, url);
  {
    EngineRig rig(reading(own));
    const auto got = finish(rig, get(url));
    if (url.find("/a b") == url.npos) CHECK_FALSE(got->end->clean);
  }
  CHECK(seen.find("Evil") == seen.npos);
  CHECK(seen.find("/a b") == seen.npos);
  if (!seen.empty()) CHECK(seen.find("/a%20b ") != seen.npos);
}

TEST_CASE("http1: unusual URLs reach the same server in the same words", "[integration][http1]") {
  std::vector<std::string> seen;
  RawServer server([&](Socket& socket, int) {
    const std::string text = socket.request();
    seen.push_back(text.substr(0, text.find("\r\nAccept")));
    socket.send(counted("x", "Connection: close\r\n"));
  });
  const std::string authority = "127.0.0.1:" + std::to_string(server.port());
  const std::string urls[] = {"http://" + authority,           "http://" + authority + "?q=/1",
                              "http://" + authority + "/a#b",  "http://" + authority + "/a/../b",
                              "http://" + authority + "/a//b", "http://" + authority + "/%41?b=%20#",
                              "http://" + authority + "/a/.b", "HTTP://" + authority + "/"};
  for (const std::string& url : urls)
    for (const bool own : {true, false}) {
      EngineRig rig(reading(own));
      INFO(url);
      CHECK(finish(rig, get(url))->end->clean);
    }
  REQUIRE(seen.size() == 2 * std::size(urls));
  for (std::size_t i = 0; i < seen.size(); i += 2) CHECK(seen[i] == seen[i + 1]);
}
