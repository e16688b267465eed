// Cleartext HTTP/1.1 at the engine: many transfers, many threads, and nothing left behind.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "integration/http1_kit.hpp"
#include "support/catch.hpp"
#include "support/front.hpp"
#include "support/raw_server.hpp"

using namespace deepseek;
using namespace deepseek_tests;
using namespace http1_kit;

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
  CHECK(await([&] { return open_files() <= files; }));
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
  CHECK(await([&] { return open_files() <= before; }));
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
