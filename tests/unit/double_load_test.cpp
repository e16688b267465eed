// Thousands of streams at once on the double's one thread.
#include <deepseek/testing/double.hpp>

#include <sys/epoll.h>
#include <sys/resource.h>

#include <dirent.h>

#include <algorithm>
#include <memory>

#include "../support/catch.hpp"
#include "double_socket.hpp"

using namespace double_tests;
using namespace deepseek::test;

namespace {

int threads_of_this_process() {
  int count = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const auto* entry = ::readdir(tasks)) {
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(tasks);
  return count;
}

bool allow_files(rlim_t count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < count) return false;
  limit.rlim_cur = std::max(limit.rlim_cur, count);
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

}  // namespace

TEST_CASE("two thousand slow streams at once, on one thread") {
  constexpr std::size_t count = 2000;
  if (!allow_files(2 * count + 100)) SKIP_TEST("too few file descriptors allowed");
  const int before = threads_of_this_process();
  Double server;
  std::vector<Reply> script(count, say("one two three four five").pace(100ms).after_head(300ms));
  server.script(std::move(script));

  std::vector<Peer> peers;
  peers.reserve(count);
  const int poller = ::epoll_create1(EPOLL_CLOEXEC);
  for (std::size_t i = 0; i < count; ++i) {
    peers.emplace_back(server.port());
    REQUIRE(peers.back().connected());
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    REQUIRE(::epoll_ctl(poller, EPOLL_CTL_ADD, peers.back().fd(), &event) == 0);
  }
  for (auto& peer : peers) peer.post("/chat/completions", ask(true, no_thinking));
  CHECK(server.wait_for_requests(count, 60s));
  CHECK(threads_of_this_process() == before + 1);

  std::vector<std::string> bytes(count);
  std::size_t whole = 0;
  const auto deadline = Clock::now() + 60s;
  while (whole < count && Clock::now() < deadline) {
    epoll_event events[256];
    const int ready = ::epoll_wait(poller, events, 256, 1000);
    for (int i = 0; i < ready; ++i) {
      auto& text = bytes[events[i].data.u64];
      char buffer[8192];
      const auto got = ::recv(peers[events[i].data.u64].fd(), buffer, sizeof buffer, 0);
      REQUIRE(got > 0);
      text.append(buffer, static_cast<std::size_t>(got));
      if (text.size() > 7 && text.compare(text.size() - 7, 7, "\r\n0\r\n\r\n") == 0) ++whole;
    }
  }
  ::close(poller);
  CHECK(whole == count);
  Seen last;
  last.bytes = bytes.back();
  CHECK(last.deltas("content") == "one two three four five");
  CHECK(server.wait_for_active(0));
  CHECK(server.connections_accepted() == count);
  peers.clear();
}

TEST_CASE("two thousand open streams are held at once, and clients that go are noticed") {
  constexpr std::size_t count = 2000;
  if (!allow_files(2 * count + 100)) SKIP_TEST("too few file descriptors allowed");
  Double server;
  server.script(std::vector<Reply>(count, say("x").stall_after_events(1)));
  std::vector<Peer> peers;
  for (std::size_t i = 0; i < count; ++i) {
    peers.emplace_back(server.port());
    peers.back().post("/chat/completions", ask(true));
  }
  REQUIRE(server.wait_for_active(count, 60s));
  CHECK(server.open_connections() == count);
  peers.clear();
  CHECK(server.wait_for_active(0, 60s));
}
