// Cleartext HTTP/1.1 at the engine: the caller cancels, pauses and lets go.
#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "integration/http1_kit.hpp"
#include "support/catch.hpp"
#include "support/raw_server.hpp"

using namespace deepseek;
using namespace deepseek_tests;
using namespace http1_kit;

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
  Signal answer;
  RawServer server([&](Socket& socket, int) {
    socket.request();
    answer.await();
    socket.send(counted("late"));
  });
  EngineRig rig(reading(own));
  HttpRequest request = get(server.url());
  request.timeouts.connect = 100ms;
  const auto got = start(rig, std::move(request));
  rig.turns_during(250ms);
  answer.send();
  REQUIRE(rig.until([&] { return got->end.has_value(); }));
  CHECK(got->outcome() == "200|late|head|clean");
}

TEST_CASE("http1: an engine goes with transfers under way, without a word", "[integration][http1]") {
  const bool own = GENERATE(true, false);
  CAPTURE(own);
  Signal gone;
  RawServer silent([&](Socket& socket, int) {
    socket.request();
    socket.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    if (socket.peer_gone()) gone.send();
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
  CHECK(gone.await());
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
  Signal go;
  std::atomic<bool> gone{false};
  RawServer server([&](Socket& socket, int) {
    socket.taste(10);
    socket.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    go.await();
    if (reset)
      socket.reset();
    else
      socket.close();
    gone = true;
  });
  EngineRig rig(reading(true));
  const auto got = std::make_shared<Recorder>();
  got->at_data = [&] { got->transfer->pause(true); };
  rig.on_loop([&] {
    start_here(rig, got, post(server.url(), sending ? std::make_shared<MadeBody>(many_megabytes) : make_body("small")));
  });
  REQUIRE(rig.until([&] { return !got->body.empty(); }));
  go.send();
  REQUIRE(rig.until([&] { return gone.load(); }));
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
