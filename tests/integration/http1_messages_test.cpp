// Cleartext HTTP/1.1 at the engine, what is sent and what is read: the library's own reader and libcurl's, against
// servers that misbehave.
#include <atomic>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "integration/http1_kit.hpp"
#include "support/catch.hpp"
#include "support/raw_server.hpp"

using namespace deepseek;
using namespace deepseek_tests;
using namespace http1_kit;

// --- reading -----------------------------------------------------------------------------------------

TEST_CASE("http1: a connection is used again, and the request is what was asked for", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  std::vector<std::string> requests;
  RawServer server([&](Socket& socket, int) {
    for (std::string text = socket.request(); !text.empty(); text = socket.request()) {
      requests.push_back(text);
      socket.send(counted("hello", "X-A: b\r\n"));
    }
  });
  {
    EngineRig rig(reading(own));
    for (int i = 0; i < 3; ++i) {
      HttpRequest request = post(server.url("/path?q=1"), i == 1 ? make_body("") : make_body("body"));
      request.headers = {{"Accept", "text/plain"}, {"X-Empty", ""}};
      const auto got = finish(rig, std::move(request));
      CHECK(got->outcome() == "200|hello|head|clean");
      CHECK(got->block.find("X-A: b\r\n") != std::string::npos);
      CHECK(got->end->timings.reused_connection == (i > 0));
      CHECK((got->end->timings.connect.count() > 0) == (i == 0));
      CHECK(got->end->timings.first_byte.count() > 0);
      CHECK(got->end->timings.total >= got->end->timings.first_byte);
    }
    CHECK(finish(rig, get(server.url("")))->end->clean);
    CHECK(server.accepted() == 1);
  }
  REQUIRE(requests.size() == 4);
  const auto has = [](const std::string& text, const std::string& line) {
    return text.find("\r\n" + line + "\r\n") != std::string::npos;
  };
  const std::string host = "Host: 127.0.0.1:" + std::to_string(server.port());
  CHECK(requests[0].compare(0, 28, "POST /path?q=1 HTTP/1.1\r\nHos") == 0);
  CHECK(has(requests[0], host));
  CHECK(has(requests[0], "Accept: text/plain"));
  CHECK((has(requests[0], "X-Empty: ") || has(requests[0], "X-Empty:")));
  CHECK(has(requests[0], "Content-Length: 4"));
  CHECK(requests[0].substr(requests[0].size() - 8) == "\r\n\r\nbody");
  CHECK(has(requests[1], "Content-Length: 0"));
  CHECK(requests[3].compare(0, 16, "GET / HTTP/1.1\r\n") == 0);
  CHECK(requests[3].find("Content-Length") == std::string::npos);
}

TEST_CASE("http1: however the bytes of a response are cut, it is the same", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const std::string answer = GENERATE(
      as<std::string>{}, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: t\r\n\r\n");
  CAPTURE(own, answer);
  std::atomic<long>* turns = nullptr;
  std::atomic<std::size_t> cut{0};
  RawServer server([&](Socket& socket, int) {
    while (!socket.request().empty()) {
      const long before = *turns;
      socket.send(std::string_view(answer).substr(0, cut));
      // The reader has woken up for the first part, or will read both at once: either is fine.
      await([&] { return *turns != before || cut == 0; }, 5ms);
      socket.send(std::string_view(answer).substr(cut));
    }
  });
  EngineRig rig(reading(own));
  turns = &rig.turns;
  for (cut = 0; cut < answer.size(); ++cut) {
    INFO(cut);
    CHECK(finish(rig, get(server.url()))->outcome() == "200|hello|head|clean");
  }
  CHECK(server.accepted() == 1);
}

TEST_CASE("http1: a body without a length ends with the connection", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  RawServer server([](Socket& socket, int) {
    socket.request();
    socket.send("HTTP/1.1 200 OK\r\nServer: old\r\n\r\nall of ");
    socket.send("it");
  });
  EngineRig rig(reading(own));
  for (int i = 1; i < 3; ++i) {
    CHECK(finish(rig, get(server.url()))->outcome() == "200|all of it|head|clean");
    CHECK(server.accepted() == i);
  }
}

TEST_CASE("http1: a response broken off at any byte is never whole, and both readers say so", "[integration][http1]") {
  const bool reset = GENERATE(false, true);
  const std::string answer = GENERATE(as<std::string>{}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                                      "HTTP/1.1 200 OK\r\nServer: old\r\n\r\nhello");
  CAPTURE(reset, answer);
  const bool until_close = answer.find("old") != std::string::npos;
  const std::size_t head_end = answer.find("\r\n\r\n") + 4;
  std::atomic<std::size_t> cut{0};
  RawServer server([&](Socket& socket, int) {
    socket.request();
    socket.send(std::string_view(answer).substr(0, cut));
    if (reset) socket.reset();
  });
  EngineRig own(reading(true)), curl(reading(false));
  for (cut = 0; cut < answer.size(); ++cut) {
    INFO(cut);
    const auto got = finish(own, get(server.url()));
    const auto reference = finish(curl, get(server.url()));
    const bool whole = until_close && !reset && cut >= head_end;
    CHECK(got->end->clean == whole);
    CHECK(got->end->head_complete == (cut >= head_end));
    CHECK(got->body == reference->body);
    // libcurl does not wait for the very last line feed.
    const bool all_but_one = cut + 1 == answer.size() && answer.find("chunked") != std::string::npos;
    CHECK(got->end->clean == (reference->end->clean && !all_but_one));
    CHECK(got->end->head_complete == reference->end->head_complete);
    CHECK(got->end->cause.empty() == whole);
    if (!whole) {
      const bool in_head = cut > 0 && cut < head_end;
      CHECK(got->end->code == (in_head ? ErrorCode::truncated : ErrorCode::connection_lost));
      // libcurl does not tell a piece of the status line from nothing.
      if (!all_but_one && (cut == 0 || cut > answer.find('\n'))) CHECK(reference->end->code == got->end->code);
    }
  }
  CHECK(server.accepted() == static_cast<int>(2 * answer.size()));
}

TEST_CASE("http1: interim responses are passed over", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  RawServer server(always("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + counted("x")));
  EngineRig rig(reading(own));
  for (int i = 0; i < 2; ++i) {
    const auto got = finish(rig, post(server.url(), make_body("b")));
    CHECK(got->outcome() == "200|x|head|clean");
    CHECK(got->heads == 1);
    CHECK(got->block.find("Link") == std::string::npos);
  }
  CHECK(server.accepted() == 1);
}

TEST_CASE("http1: a head has a limit, and what is no HTTP is refused", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  const auto outcome = [&](RawServer::Talk talk) {
    RawServer server(std::move(talk));
    EngineRig rig(reading(own));
    HttpRequest request = get(server.url());
    request.limits.header_bytes = 1000;
    return finish(rig, std::move(request))->outcome();
  };
  const auto limit = std::string("0||no head|") + to_string(ErrorCode::limit_exceeded);
  CHECK(outcome([](Socket& socket, int) {
          socket.request();
          socket.send("HTTP/1.1 200 OK\r\n");
          while (socket.send("X-Filler: " + std::string(100, 'x') + "\r\n")) {
          }
        }) == limit);
  CHECK(outcome([](Socket& socket, int) {
          socket.request();
          socket.send("HTTP/1.1 200 OK\r\n");
          while (socket.send(std::string(1000, 'x'))) {
          }
        }).find("|no head|") != std::string::npos);
  CHECK(outcome([](Socket& socket, int) {
          socket.request();
          while (socket.send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")) {
          }
        }) == limit);
  CHECK(outcome(always("SSH-2.0-OpenSSH_9.2\r\n")) == std::string("0||no head|") + to_string(ErrorCode::http_protocol));
}

TEST_CASE("http1: what makes the end of a body doubtful is refused", "[integration][http1]") {
  const std::string fields = GENERATE(as<std::string>{}, "Content-Length: 5\r\nContent-Length: 6\r\n",
                                      "Content-Length: 5x\r\n", "Content-Length: 5\r6\r\n", "Content-Length : 5\r\n",
                                      "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked\r6\r\n");
  CAPTURE(fields);
  RawServer server(always("HTTP/1.1 200 OK\r\n" + fields + "\r\nhello!"));
  EngineRig rig(reading(true));
  const auto got = finish(rig, get(server.url()));
  CHECK(got->outcome() == std::string("0||no head|") + to_string(ErrorCode::http_protocol));
}

TEST_CASE("http1: what is no answer, or lies about its end, is refused by both readers", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const std::string line(200'000, 'x');
  const auto [answer, code] = GENERATE_COPY(table<std::string, ErrorCode>(
      {{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\ndata: hello\n\n", ErrorCode::http_protocol},
       {"HTTP/1.1 101 Switching Protocols\r\n\r\ndata: hello\n\n", ErrorCode::http_protocol},
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", ErrorCode::http_protocol},
       {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhello!", ErrorCode::http_protocol},
       {"HTTP/2 200\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", ErrorCode::http_protocol},
       {"HTTP/1.1 200 OK\r\nX: " + line + "\r\n\r\n", ErrorCode::limit_exceeded},
       {"HTTP/1.1 200 " + line + "\r\n\r\n", ErrorCode::limit_exceeded}}));
  INFO(own << ' ' << answer.substr(0, 60));
  RawServer server(always(answer));
  EngineRig rig(reading(own));
  HttpRequest request = get(server.url());
  request.limits.header_bytes = 150'000;
  const auto got = finish(rig, std::move(request));
  CHECK(got->outcome() == std::string("0||no head|") + to_string(code));
}

TEST_CASE("http1: a server that never stops sending keeps no clock and no other call waiting", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  std::atomic<bool> over{false};
  const std::string block(64 * 1024, ':');
  RawServer flood([&](Socket& socket, int) {
    socket.request();
    socket.send("HTTP/1.1 200 OK\r\n\r\n");
    while (!over && socket.send(block)) {
    }
  });
  EngineRig rig(reading(own));
  const auto flooded = start(rig, get(flood.url()));
  REQUIRE(rig.until([&] { return flooded->body.size() > 4 * block.size(); }));
  RawServer other(always(counted("hello")));
  CHECK(finish(rig, get(other.url()))->outcome() == "200|hello|head|clean");
  CHECK_FALSE(flooded->end);
  over = true;
  rig.on_loop([&] { flooded->transfer->cancel(); });
}

// --- sending -----------------------------------------------------------------------------------------

TEST_CASE("http1: a large body arrives whole at a slow reader", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const bool contiguous = GENERATE(true, false);
  CAPTURE(own, contiguous);
  std::atomic<bool> whole{false};
  RawServer server([&](Socket& socket, int) {
    const int small = 128 * 1024;
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    const std::string text = socket.request();
    const std::size_t head = text.find("\r\n\r\n") + 4;
    bool same = text.size() == head + many_megabytes;
    for (std::size_t i = head; i < text.size() && same; ++i) same = text[i] == MadeBody::at(i - head);
    whole = same;
    socket.send(counted("ok"));
    socket.peer_gone();
  });
  EngineRig rig(reading(own));
  std::shared_ptr<HttpBody> body = std::make_shared<MadeBody>(many_megabytes);
  if (contiguous) {
    std::string text(many_megabytes, ' ');
    REQUIRE(body->read(0, text.data(), text.size()).value() == text.size());
    body = make_body(std::move(text));
  }
  CHECK(finish(rig, post(server.url(), body))->outcome() == "200|ok|head|clean");
  CHECK(whole);
}

TEST_CASE("http1: a refusal is heard while the body is still being sent", "[integration][http1]") {
  const bool contiguous = GENERATE(true, false);
  const int how = GENERATE(0, 1, 2);  // the connection stays, ends, is reset
  CAPTURE(contiguous, how);
  // Before a reset one segment within the first window: a reset throws away what the kernel has not sent yet.
  const std::size_t length = how == 2 ? 30'000 : 100'000;
  Signal heard;
  RawServer server([&](Socket& socket, int) {
    socket.taste(100'000);
    socket.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n" +
                std::string(length, 'x'));
    if (how == 2) return socket.reset();
    if (how == 1) ::shutdown(socket.fd(), SHUT_WR);
    // Read on before it is heard, and the whole body may be sent first: the connection would be as good as new.
    heard.await();
    // Of no use any more: the rest of the body would be read as the next request.
    socket.peer_gone();
  });
  EngineRig rig(reading(true));
  for (int i = 1; i < 4; ++i) {
    std::shared_ptr<HttpBody> body = std::make_shared<MadeBody>(many_megabytes);
    if (contiguous) body = make_body(std::string(many_megabytes, 'x'));
    const auto got = finish(rig, post(server.url(), body));
    heard.send();
    REQUIRE(got->end);
    CHECK(got->status == 413);
    CHECK(got->body.size() == length);
    CHECK(got->end->clean);
    CHECK_FALSE(got->end->timings.reused_connection);
    CHECK(server.accepted() == i);
  }
}

TEST_CASE("http1: an answer without a length that ends in a reset while the body is sent is not whole",
          "[integration][http1]") {
  RawServer server([](Socket& socket, int) {
    socket.taste(100'000);
    socket.send("HTTP/1.1 200 OK\r\n\r\nhalf of ");
    socket.reset();
  });
  EngineRig rig(reading(true));
  for (int i = 0; i < 20; ++i)
    CHECK_FALSE(finish(rig, post(server.url(), std::make_shared<MadeBody>(many_megabytes)))->end->clean);
}

TEST_CASE("http1: a body that cannot be read ends the request", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  RawServer server([](Socket& socket, int) { socket.peer_gone(); });
  EngineRig rig(reading(own));
  auto body = std::make_shared<MadeBody>(many_megabytes);
  body->fails_at = 3u << 20;
  CHECK(finish(rig, post(server.url(), body))->end->code == ErrorCode::io_error);
}
