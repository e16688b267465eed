// Cleartext HTTP/1.1 at the engine: the library's own reader and libcurl's, against servers that misbehave.
#include "support/catch.hpp"
#include "support/front.hpp"
#include "support/raw_server.hpp"
#include "support/temp_folder.hpp"

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <semaphore>

using namespace deepseek;
using namespace deepseek_tests;

namespace {

using RecorderPtr = std::shared_ptr<Recorder>;

CurlOptions reading(bool own) {
  CurlOptions options;
  options.read_cleartext = own;
  return options;
}

HttpRequest get(std::string url) {
  HttpRequest request;
  request.method = "GET";
  request.url = std::move(url);
  request.headers = {{"Accept", "*/*"}};
  return request;
}

HttpRequest post(std::string url, std::shared_ptr<HttpBody> body) {
  HttpRequest request = get(std::move(url));
  request.method = "POST";
  request.body = std::move(body);
  return request;
}

/// On the loop, or from inside a callback.
void start_here(EngineRig& rig, const RecorderPtr& to, HttpRequest request) {
  to->transfer = rig.engine->start(std::move(request), to);
}

RecorderPtr start(EngineRig& rig, HttpRequest request) {
  auto recorder = std::make_shared<Recorder>();
  rig.on_loop([&] { start_here(rig, recorder, std::move(request)); });
  return recorder;
}

RecorderPtr finish(EngineRig& rig, HttpRequest request) {
  auto recorder = start(rig, std::move(request));
  CHECK(rig.until([&] { return recorder->end.has_value(); }));
  CHECK_FALSE(recorder->late);
  return recorder;
}

std::string counted(std::string_view body, std::string_view more = "") {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(more) + "\r\n" +
         std::string(body);
}

/// Answers every request of every connection alike.
RawServer::Talk always(std::string answer) {
  return [answer = std::move(answer)](Socket& socket, int) {
    while (!socket.request().empty() && socket.send(answer)) {
    }
  };
}

/// A body that lies nowhere: its bytes are made when they are asked for.
class MadeBody final : public HttpBody {
 public:
  explicit MadeBody(std::uint64_t size) : size_(size) {}
  static char at(std::uint64_t offset) { return static_cast<char>('a' + offset % 23); }
  std::uint64_t size() const override { return size_; }
  Result<std::size_t> read(std::uint64_t offset, char* into, std::size_t capacity) override {
    if (offset == fails_at) return Error(ErrorCode::io_error, "the disk is gone");
    std::size_t count = 0;
    for (; count < capacity && offset + count < std::min(size_, fails_at); ++count) into[count] = at(offset + count);
    return count;
  }
  std::uint64_t fails_at = ~std::uint64_t{0};

 private:
  std::uint64_t size_;
};

std::size_t open_files() {
  using Entries = std::filesystem::directory_iterator;
  return static_cast<std::size_t>(std::distance(Entries("/proc/self/fd"), Entries()));
}

constexpr std::size_t many_megabytes = 20u << 20;

}  // namespace

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
      for (int i = 0; i < 50 && *turns == before && cut > 0; ++i) std::this_thread::sleep_for(100us);
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
  std::counting_semaphore<> heard(0);
  RawServer server([&](Socket& socket, int) {
    socket.taste(100'000);
    socket.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n" +
                std::string(length, 'x'));
    if (how == 2) return socket.reset();
    if (how == 1) ::shutdown(socket.fd(), SHUT_WR);
    // Read on before it is heard, and the whole body may be sent first: the connection would be as good as new.
    heard.try_acquire_for(patience);
    // Of no use any more: the rest of the body would be read as the next request.
    socket.peer_gone();
  });
  EngineRig rig(reading(true));
  for (int i = 1; i < 4; ++i) {
    std::shared_ptr<HttpBody> body = std::make_shared<MadeBody>(many_megabytes);
    if (contiguous) body = make_body(std::string(many_megabytes, 'x'));
    const auto got = finish(rig, post(server.url(), body));
    heard.release();
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

// --- idle connections --------------------------------------------------------------------------------

TEST_CASE("http1: bytes that nobody asked for never become the next answer", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  // With the answer, later while the loop rests, later while it runs: libcurl 7.88 takes these two for the answer.
  const int when = own ? GENERATE(0, 1, 2) : 0;
  CAPTURE(own, when);
  std::atomic<bool> go{false}, sent{false};
  RawServer server([&](Socket& socket, int nth) {
    socket.request();
    if (nth == 2) {
      socket.send(counted("right"));
      return;
    }
    socket.send(counted("first") + (when == 0 ? counted("WRONG") : ""));
    while (!go && when > 0) std::this_thread::sleep_for(1ms);
    if (when > 0) socket.send(counted("WRONG"));
    sent = true;
    socket.peer_gone();
  });
  EngineRig rig(reading(own));
  CHECK(finish(rig, get(server.url()))->body == "first");
  go = true;
  if (when == 2)
    rig.until([&] { return sent.load(); });
  else
    while (!sent && when == 1) std::this_thread::sleep_for(1ms);
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
  std::atomic<int> closed{0};
  RawServer server([&](Socket& socket, int) {
    socket.request();
    socket.send(counted("x"));
    socket.close();
    ++closed;
  });
  EngineRig rig(reading(own));
  for (int i = 1; i < 4; ++i) {
    const auto got = finish(rig, get(server.url()));
    CHECK(got->outcome() == "200|x|head|clean");
    CHECK_FALSE(got->end->timings.reused_connection);
    while (closed < i) std::this_thread::sleep_for(1ms);
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
  int port = 0;
  {
    const Listener gone;
    port = gone.port();
  }
  EngineRig rig(reading(own));
  const auto got = finish(rig, get("http://" + std::string(host) + ':' + std::to_string(port) + '/'));
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

// --- ends that the caller makes ----------------------------------------------------------------------

TEST_CASE("http1: cancelled at any point, nothing more is heard and the connection goes", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const std::string where = GENERATE(as<std::string>{}, "start", "wait", "head", "data", "end");
  CAPTURE(own, where);
  std::atomic<bool> asked{false}, gone{false};
  RawServer server([&](Socket& socket, int) {
    if (socket.request().empty()) return;
    asked = true;
    if (where == "wait") {
      gone = socket.peer_gone();
      return;
    }
    socket.send("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + std::string(200'000, 'x'));
    gone = socket.peer_gone();
  });
  EngineRig rig(reading(own));
  const auto got = std::make_shared<Recorder>();
  int calls = 0;
  const auto cancel = [&] {
    ++calls;
    got->transfer->cancel();
    got->transfer->cancel();
    got->transfer->pause(true);
    got->transfer->pause(false);
  };
  if (where == "head") got->at_head = cancel;
  if (where == "data") got->at_data = cancel;
  if (where == "end") got->at_end = cancel;
  rig.on_loop([&] {
    start_here(rig, got, get(server.url()));
    if (where == "start") cancel();
  });
  if (where == "wait") {
    REQUIRE(rig.until([&] { return asked.load(); }));
    rig.on_loop(cancel);
  }
  REQUIRE(rig.until([&] { return calls == 1; }));
  rig.turns_during(50ms);
  CHECK(calls == 1);
  CHECK(got->end.has_value() == (where == "end"));
  if (where == "start" || where == "wait") CHECK(got->heads == 0);
  if (where == "head") CHECK(got->body.empty());
  if (where != "end" && where != "start") CHECK(rig.until([&] { return gone.load(); }));
  rig.on_loop([&] { cancel(); });
  rig.drop_engine();
  CHECK(got->transfer->timings().total.count() >= 0);
}

TEST_CASE("http1: the handler goes with the transfer", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const bool cancelled = GENERATE(true, false);
  CAPTURE(own, cancelled);
  RawServer server(cancelled ? RawServer::Talk([](Socket& socket, int) { socket.peer_gone(); }) : always(counted("x")));
  EngineRig rig(reading(own));
  auto got = start(rig, get(server.url()));
  const std::weak_ptr<Recorder> watched = got;
  if (cancelled)
    rig.on_loop([&] { got->transfer->cancel(); });
  else
    REQUIRE(rig.until([&] { return got->end.has_value(); }));
  got.reset();
  CHECK(watched.expired());
}

TEST_CASE("http1: no connection in time", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const std::string how = GENERATE(as<std::string>{}, "timeout", "cancel", "destroyed");
  CAPTURE(own, how);
  // A full backlog: what comes then is not answered.
  const Listener full(Listener::Family::v4, 0);
  std::vector<std::unique_ptr<Socket>> fill;
  for (int i = 0; i < 4; ++i) {
    fill.push_back(std::make_unique<Socket>(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(full.port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)::connect(fill.back()->fd(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  const std::size_t files = open_files();
  const char* const host = GENERATE("127.0.0.1", "localhost");
  CAPTURE(host);
  {
    EngineRig rig(reading(own));
    HttpRequest request = get("http://" + std::string(host) + ':' + std::to_string(full.port()) + '/');
    if (how == "timeout") request.timeouts.connect = 100ms;
    const auto got = start(rig, std::move(request));
    if (how == "timeout") {
      REQUIRE(rig.until([&] { return got->end.has_value(); }));
      CHECK(got->end->code == ErrorCode::timeout_connect);
    } else {
      rig.turns_during(50ms);
      if (how == "cancel")
        rig.on_loop([&] { got->transfer->cancel(); });
      else
        rig.drop_engine();
      CHECK(got.use_count() == 1);
      CHECK_FALSE(got->end);
    }
  }
  CHECK(open_files() <= files);
}

TEST_CASE("http1: the limit on connecting is over when the connection stands", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  RawServer server([](Socket& socket, int) {
    socket.request();
    std::this_thread::sleep_for(250ms);
    socket.send(counted("late"));
  });
  EngineRig rig(reading(own));
  HttpRequest request = get(server.url());
  request.timeouts.connect = 100ms;
  CHECK(finish(rig, std::move(request))->outcome() == "200|late|head|clean");
}

TEST_CASE("http1: an engine goes with transfers under way, without a word", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  std::atomic<int> gone{0};
  RawServer silent([&](Socket& socket, int) {
    socket.request();
    socket.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    gone += socket.peer_gone();
  });
  RawServer quick(always(counted("x")));
  EngineRig rig(reading(own));
  finish(rig, get(quick.url()));  // one idle connection
  const auto got = start(rig, get(silent.url()));
  REQUIRE(rig.until([&] { return got->body == "he"; }));
  // Its end, which is known but not told yet: refused within start() or right after it.
  std::vector<RecorderPtr> others;
  const Listener nobody;
  ::shutdown(nobody.fd(), SHUT_RDWR);
  rig.on_loop([&] {
    for (int i = 0; i < 3; ++i) {
      others.push_back(std::make_shared<Recorder>());
      start_here(rig, others.back(), get(nobody.url() + "/"));
      others.push_back(std::make_shared<Recorder>());
      start_here(rig, others.back(), get("http://localhost:" + std::to_string(nobody.port()) + "/"));
    }
    rig.engine.reset();
  });
  rig.turns_during(50ms);
  CHECK_FALSE(got->end);
  CHECK(got.use_count() == 1);
  for (const auto& other : others) {
    CHECK_FALSE(other->end);
    CHECK(other.use_count() == 1);
  }
  while (gone == 0) std::this_thread::sleep_for(1ms);
  rig.on_loop([&] {
    got->transfer->pause(true);
    got->transfer->cancel();
  });
  CHECK(got->transfer->timings().total.count() >= 0);
}

namespace {

/// Ends another transfer when it goes.
struct Vindictive final : HttpHandler {
  ~Vindictive() override {
    if (other) other->cancel();
  }
  void on_head(const HttpHead&) override {}
  void on_data(std::string_view) override {}
  void on_end(const HttpEnd&) override {}
  std::shared_ptr<HttpTransfer> other;
};

}  // namespace

TEST_CASE("http1: a handler may cancel others while the engine goes", "[integration][http1]") {
  RawServer server([](Socket& socket, int) { socket.peer_gone(); });
  EngineRig rig(reading(true));
  rig.on_loop([&] {
    std::vector<std::shared_ptr<Vindictive>> handlers;
    std::vector<std::shared_ptr<HttpTransfer>> transfers;
    for (int i = 0; i < 4; ++i) {
      handlers.push_back(std::make_shared<Vindictive>());
      transfers.push_back(rig.engine->start(get(server.url()), handlers.back()));
    }
    for (std::size_t i = 0; i < 4; ++i) handlers[i]->other = transfers[(i + 1) % 4];
  });
  rig.turns_during(20ms);
  rig.drop_engine();
  CHECK_FALSE(rig.engine);
}

TEST_CASE("http1: transfers are started and cancelled from inside callbacks", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  RawServer server(always(counted("x")));
  EngineRig rig(reading(own));
  std::vector<RecorderPtr> chain;
  std::function<void()> next = [&] {
    if (chain.size() == 50) return;
    chain.push_back(std::make_shared<Recorder>());
    chain.back()->at_end = next;
    start_here(rig, chain.back(), get(server.url()));
    CHECK_FALSE(chain.back()->end);  // never before start() has returned
  };
  rig.on_loop(next);
  REQUIRE(rig.until([&] { return chain.size() == 50 && chain.back()->end; }));
  for (const auto& link : chain) {
    CHECK(link->outcome() == "200|x|head|clean");
    CHECK_FALSE(link->late);
  }
  CHECK(server.accepted() == 1);
  for (const auto& link : chain) link->at_end = nullptr;
}

TEST_CASE("http1: one transfer's callback may end another whose events wait", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  // Both answers are there before the loop looks: whoever comes first cancels the other one.
  std::vector<std::unique_ptr<Socket>> sockets;
  std::atomic<bool> ready{false};
  RawServer server([&](Socket& socket, int nth) {
    sockets.push_back(std::make_unique<Socket>(std::move(socket)));
    if (nth < 8) return;
    for (auto& each : sockets) each->request();
    for (auto& each : sockets) each->send(counted("x"));
    ready = true;
  });
  EngineRig rig(reading(own));
  std::vector<RecorderPtr> all;
  rig.on_loop([&] {
    for (int i = 0; i < 8; ++i) {
      all.push_back(std::make_shared<Recorder>());
      all.back()->at_head = [&, i] {
        for (int k = 0; k < 8; ++k)
          if (k != i) all[static_cast<std::size_t>(k)]->transfer->cancel();
      };
      start_here(rig, all.back(), get(server.url()));
    }
  });
  const auto ends = [&] { return std::count_if(all.begin(), all.end(), [](auto& one) { return one->end; }); };
  REQUIRE(rig.until([&] { return ends() == 1; }));
  rig.turns_during(50ms);
  CHECK(ends() == 1);
  for (auto& one : all) one->at_head = nullptr;
}

// --- pausing -----------------------------------------------------------------------------------------

TEST_CASE("http1: a paused transfer goes on where it stopped, also if all has arrived", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  const std::string where = GENERATE(as<std::string>{}, "start", "head", "data");
  const std::size_t size = GENERATE(std::size_t{5}, std::size_t{4} << 20);
  const bool until_close = GENERATE(false, true);
  CAPTURE(own, where, size, until_close);
  std::atomic<bool> sent{false};
  RawServer server([&](Socket& socket, int) {
    socket.request();
    socket.send(until_close ? "HTTP/1.1 200 OK\r\n\r\n" + std::string(size, 'x') : counted(std::string(size, 'x')));
    sent = true;
    if (!until_close) socket.peer_gone();
  });
  EngineRig rig(reading(own));
  const auto got = std::make_shared<Recorder>();
  int pauses = 0;
  const auto pause = [&] {
    if (++pauses <= 3) got->transfer->pause(true);
  };
  if (where == "head") got->at_head = pause;
  if (where == "data") got->at_data = pause;
  rig.on_loop([&] {
    start_here(rig, got, get(server.url()));
    if (where == "start") pause();
  });
  for (int round = 0; round < 3; ++round) {
    rig.until([&] { return pauses > round || got->end; }, 200ms);
    const std::size_t before = got->body.size();
    rig.turns_during(20ms);
    if (!own || round > 0) CHECK((got->body.size() == before || pauses > round + 1 || pauses > 3 || where != "data"));
    rig.on_loop([&] { got->transfer->pause(false); });
  }
  REQUIRE(rig.until([&] { return got->end.has_value(); }));
  CHECK(got->outcome() == "200|" + std::string(size, 'x') + "|head|clean");
  CHECK_FALSE(got->late);
}

TEST_CASE("http1: a paused transfer reads nothing", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  std::atomic<std::size_t> written{0};
  RawServer server([&](Socket& socket, int) {
    socket.request();
    socket.send("HTTP/1.1 200 OK\r\n\r\n");
    const std::string block(1u << 20, 'x');
    for (int i = 0; i < 64 && socket.send(block); ++i) written += block.size();
  });
  EngineRig rig(reading(own));
  const auto got = std::make_shared<Recorder>();
  got->at_data = [&] { got->transfer->pause(true); };
  rig.on_loop([&] { start_here(rig, got, get(server.url())); });
  REQUIRE(rig.until([&] { return !got->body.empty(); }));
  rig.turns_during(200ms);
  CHECK(got->body.size() <= 128u << 10);
  CHECK(written < 64u << 20);
  got->at_data = nullptr;
  rig.on_loop([&] { got->transfer->pause(false); });
  REQUIRE(rig.until([&] { return got->end.has_value(); }));
  CHECK(got->body.size() == 64u << 20);
}

TEST_CASE("http1: a paused transfer whose peer is gone costs nothing and ends when it goes on",
          "[integration][http1]") {
  const bool reset = GENERATE(true, false);
  const bool sending = GENERATE(false, true);  // the peer goes while the body is still on its way
  CAPTURE(reset, sending);
  std::atomic<bool> gone{false};
  RawServer server([&](Socket& socket, int) {
    socket.taste(10);
    socket.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    while (!gone) std::this_thread::sleep_for(1ms);
    if (reset)
      socket.reset();
    else
      socket.close();
    gone = false;
  });
  EngineRig rig(reading(true));
  const auto got = std::make_shared<Recorder>();
  got->at_data = [&] { got->transfer->pause(true); };
  rig.on_loop([&] {
    start_here(rig, got, post(server.url(), sending ? std::make_shared<MadeBody>(many_megabytes) : make_body("small")));
  });
  REQUIRE(rig.until([&] { return !got->body.empty(); }));
  gone = true;
  REQUIRE(rig.until([&] { return !gone; }));
  CHECK(rig.turns_during(300ms) < 50);
  CHECK_FALSE(got->end);
  rig.on_loop([&] { got->transfer->pause(false); });
  REQUIRE(rig.until([&] { return got->end.has_value(); }));
  CHECK(got->outcome() == std::string("200|hello|head|") + to_string(ErrorCode::connection_lost));
}

TEST_CASE("http1: an idle engine does not turn", "[integration][http1]") {
  std::atomic<int> gone{0};
  RawServer server([&](Socket& socket, int) {
    socket.request();
    socket.send(counted("x"));
    socket.reset();
    ++gone;
  });
  EngineRig rig(reading(true));
  finish(rig, get(server.url()));
  rig.until([&] { return gone == 1; });
  CHECK(rig.turns_during(200ms) < 20);
}

// --- many --------------------------------------------------------------------------------------------

TEST_CASE("http1: a thousand at once, and only some connections are kept", "[integration][http1][many]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  constexpr std::size_t count = 1000;
  if (raise_open_files(2 * count + 500) < 2 * count + 500) SKIP_TEST("too few open files");
  std::vector<std::unique_ptr<Socket>> sockets;
  std::atomic<std::size_t> kept{0};
  RawServer server([&](Socket& socket, int nth) {
    sockets.push_back(std::make_unique<Socket>(std::move(socket)));
    if (nth < static_cast<int>(count)) return;
    for (auto& each : sockets) each->request();
    for (auto& each : sockets) each->send(counted("x"));
    for (auto& each : sockets) kept += !each->peer_gone(own ? 20ms : 0ms);
    sockets.clear();
  });
  const std::size_t files = open_files();
  {
    CurlOptions options = reading(own);
    options.max_idle_connections = 16;
    EngineRig rig(options);
    std::vector<RecorderPtr> all;
    rig.on_loop([&] {
      for (std::size_t i = 0; i < count; ++i) {
        all.push_back(std::make_shared<Recorder>());
        start_here(rig, all.back(), get(server.url()));
      }
    });
    const auto good = [&] {
      return static_cast<std::size_t>(
          std::count_if(all.begin(), all.end(), [](auto& one) { return one->end && one->end->clean; }));
    };
    REQUIRE(rig.until([&] { return good() == count; }, 60s));
    if (own) {
      REQUIRE(rig.until([&] { return kept > 0; }));
      CHECK(rig.until([&] { return open_files() <= files + 64; }));  // the server's are gone
      CHECK(kept == 16);
    }
  }
  for (int i = 0; i < 5000 && open_files() > files; ++i) std::this_thread::sleep_for(1ms);
  CHECK(open_files() <= files);
  CHECK(server.accepted() == static_cast<int>(count));
}

TEST_CASE("http1: no descriptor is left behind", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  RawServer server([](Socket& socket, int nth) {
    if (nth % 3 == 0) return;
    socket.request();
    socket.send(nth % 3 == 1 ? counted("x") : "HTTP/1.1 200 OK\r\n");
  });
  const std::size_t before = open_files();
  for (int round = 0; round < 2; ++round) {
    EngineRig rig(reading(own));
    for (int i = 0; i < 12; ++i) {
      finish(rig, get(i % 2 == 0 ? server.url() : "http://localhost:" + std::to_string(server.port()) + "/"));
      const auto dropped = start(rig, get("http://localhost:" + std::to_string(server.port()) + "/"));
      if (i % 3 > 0) rig.turns_during(2ms);
      rig.on_loop([&] { dropped->transfer->cancel(); });
    }
  }
  for (int i = 0; i < 2000 && open_files() > before; ++i) std::this_thread::sleep_for(1ms);
  CHECK(open_files() <= before);
}

TEST_CASE("http1: many threads hand requests to the loop's own", "[integration][http1][concurrent]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  std::vector<std::thread> served;
  auto server = std::make_unique<RawServer>([&](Socket& socket, int) {
    served.emplace_back([socket = std::move(socket)]() mutable {
      for (int i = 0; i < 20 && !socket.request().empty(); ++i) socket.send(counted("x"));
    });
  });
  struct Counter final : HttpHandler {
    void on_head(const HttpHead&) override {}
    void on_data(std::string_view data) override { bytes += data.size(); }
    void on_end(const HttpEnd& end) override { done(end.clean && bytes == 1); }
    std::size_t bytes = 0;
    std::function<void(bool)> done;
  };
  const auto loop = std::make_shared<deepseek::detail::Reactor>(std::make_shared<Clock>());
  auto engine = *make_curl_engine(reading(own));
  std::mutex mutex;
  std::condition_variable changed;
  int good = 0, ended = 0;
  const auto settled = [&](bool whole) {
    const std::lock_guard lock(mutex);
    good += whole;
    ++ended;
    changed.notify_all();
  };
  const auto on_loop = [&](auto action) {
    loop->post([&, action] {
      action();
      settled(true);
    });
  };
  loop->begin_hosted();
  on_loop([&] { engine->attach(*loop); });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i)
        loop->post([&] {
          auto handler = std::make_shared<Counter>();
          handler->done = settled;
          engine->start(get(server->url()), std::move(handler));
        });
    });
  for (auto& thread : threads) thread.join();
  const auto await = [&](int count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, patience, [&] { return ended == count; });
  };
  CHECK(await(101));
  on_loop([&] {
    engine.reset();
    loop->end_hosted();
  });
  CHECK(await(102));
  loop->stop();
  server.reset();
  for (auto& thread : served) thread.join();
  CHECK(good == 102);
}
