// The loop: timers, posting, and who drives it.
#include "support/catch.hpp"

#include <deepseek/core/detail/reactor.hpp>

#include <atomic>
#include <random>
#include <set>
#include <thread>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek::detail::Reactor;
using deepseek::detail::TimerHeap;
using deepseek::detail::Waiter;

namespace {

std::shared_ptr<Reactor> make_reactor() { return std::make_shared<Reactor>(std::make_shared<Clock>()); }

/// Runs `work` on the loop the way a waiting call does.
void run_waiting(Reactor& reactor, const Task& work = [] {}) {
  Waiter waiter;
  reactor.post_before_wait([&] {
    work();
    reactor.signal(waiter);
  });
  reactor.wait(waiter);
}

/// Work that only the I/O thread may do, counted like a callback call.
template <class Work>
void post_hosted(Reactor& reactor, Work work) {
  reactor.begin_hosted();
  reactor.post([&reactor, work] {
    work();
    reactor.end_hosted();
  });
}

}  // namespace

TEST_CASE("timers fire in order of their time and can be removed", "[core]") {
  TimerHeap timers;
  const TimePoint start{};
  std::vector<int> fired;
  const auto add = [&](int at) {
    return timers.add(start + std::chrono::milliseconds(at), [&fired, at] { fired.push_back(at); });
  };
  add(30);
  const auto removed = add(10);
  add(20);
  add(20);
  timers.remove(removed);
  timers.remove(removed);
  timers.remove(12345);
  REQUIRE(timers.earliest() == start + 20ms);
  Task task;
  REQUIRE_FALSE(timers.take_due(start + 19ms, task));
  while (timers.take_due(start + 40ms, task)) task();
  REQUIRE(fired == std::vector<int>{20, 20, 30});
  REQUIRE(timers.empty());
}

TEST_CASE("the timer heap agrees with a sorted set under random use", "[core]") {
  TimerHeap timers;
  std::mt19937 random(42);
  std::set<std::pair<int, Loop::TimerId>> expected;
  int now = 0;
  for (int step = 0; step < 20000; ++step) {
    const int what = static_cast<int>(random() % 3);
    if (what == 0 || expected.empty()) {
      const int at = now + static_cast<int>(random() % 1000);
      expected.emplace(at, timers.add(TimePoint{} + std::chrono::milliseconds(at), [] {}));
    } else if (what == 1) {
      auto victim = expected.begin();
      std::advance(victim, static_cast<long>(random() % expected.size()));
      timers.remove(victim->second);
      expected.erase(victim);
    } else {
      now += static_cast<int>(random() % 20);
      Task task;
      while (timers.take_due(TimePoint{} + std::chrono::milliseconds(now), task)) {
        REQUIRE(expected.begin()->first <= now);
        expected.erase(expected.begin());
      }
      REQUIRE((expected.empty() || expected.begin()->first > now));
    }
    REQUIRE(timers.empty() == expected.empty());
    if (!expected.empty())
      REQUIRE(timers.earliest() == TimePoint{} + std::chrono::milliseconds(expected.begin()->first));
  }
}

TEST_CASE("a waiting thread drives the loop itself while nothing is hosted", "[core]") {
  const auto reactor = make_reactor();
  std::thread::id ran_on;
  run_waiting(*reactor, [&] { ran_on = std::this_thread::get_id(); });
  REQUIRE(ran_on == std::this_thread::get_id());
  reactor->stop();
}

TEST_CASE("a loop waits for one call while a single waiting thread drives it, and only then", "[core][concurrent]") {
  const auto reactor = make_reactor();
  const auto asked = [&](bool& answer) { return [&reactor, &answer] { answer = reactor->waits_for_one(); }; };
  bool alone = false, passing_by = true, hosted = true, with_another = true, alone_again = false;
  run_waiting(*reactor, asked(alone));
  CHECK(alone);

  reactor->post_before_wait(asked(passing_by));
  reactor->run_ready();
  CHECK_FALSE(passing_by);

  std::atomic<bool> done{false};
  post_hosted(*reactor, [&] {
    hosted = reactor->waits_for_one();
    done = true;
  });
  while (!done) std::this_thread::yield();
  CHECK_FALSE(hosted);

  // The second thread sleeps in its wait while the first drives.
  Waiter first, second;
  std::thread sleeper;
  reactor->post_before_wait([&] {
    sleeper = std::thread([&] { reactor->wait(second); });
    while (reactor->waits_for_one()) std::this_thread::yield();
    with_another = false;
    reactor->signal(second);
    reactor->signal(first);
  });
  reactor->wait(first);
  sleeper.join();
  CHECK_FALSE(with_another);

  run_waiting(*reactor, asked(alone_again));
  CHECK(alone_again);
  reactor->stop();
}

TEST_CASE("who asks to be called back at once, again and again, holds up no clock, no task and no socket", "[core]") {
  const auto reactor = make_reactor();
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::write(ends[1], "x", 1) == 1);
  struct Reader : IoWatcher {
    void on_io(bool, bool) override { seen = true; }
    bool seen = false;
  } reader;
  struct Again {
    Reactor* reactor;
    long* left;
    void operator()() const {
      if (--*left > 0) reactor->schedule(reactor->now(), *this);
    }
  };
  long left = 3'000'000;  // then it is over, whatever came of it
  bool struck = false, posted = false;
  long left_then = 0;
  run_waiting(*reactor, [&] {
    reactor->watch(ends[0], true, false, &reader);
    reactor->schedule(reactor->now(), Again{reactor.get(), &left});
    reactor->schedule(reactor->now() + std::chrono::milliseconds(5), [&] {
      struck = true;
      left_then = left;
      left = 0;
      reactor->forget(ends[0], &reader);
    });
    reactor->post([&] { posted = true; });
  });
  run_waiting(*reactor, [] {});
  while (left > 0) run_waiting(*reactor, [] {});
  CHECK(struck);
  CHECK(left_then > 0);
  CHECK(posted);
  CHECK(reader.seen);
  reactor->stop();
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("hosted work runs on the I/O thread, also while another thread waits", "[core][concurrent]") {
  const auto reactor = make_reactor();
  std::atomic<int> wrong{0};
  std::atomic<int> done{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> waiting;
  for (int i = 0; i < 3; ++i)
    waiting.emplace_back([&] {
      while (!stop) run_waiting(*reactor);
    });
  for (int i = 0; i < 3000; ++i)
    post_hosted(*reactor, [&] {
      if (!reactor->on_io_thread()) ++wrong;
      ++done;
    });
  while (done < 3000) std::this_thread::yield();
  stop = true;
  for (auto& thread : waiting) thread.join();
  REQUIRE(wrong == 0);
  reactor->stop();
}

TEST_CASE("many threads wait, post and host at once and none is forgotten", "[core][concurrent]") {
  const auto reactor = make_reactor();
  std::atomic<int> posted{0};
  std::atomic<int> ran{0};
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 6; ++seed)
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 2000; ++i) {
        switch (random() % 4) {
          case 0:
            run_waiting(*reactor);
            break;
          case 1:
            ++posted, post_hosted(*reactor, [&] { ++ran; });
            break;
          case 2:
            ++posted, reactor->post([&] { ++ran; });
            break;
          default: {
            // A wait that ends by a timer on the loop, so that the waiter really sleeps in between.
            Waiter waiter;
            reactor->post_before_wait(
                [&] { reactor->schedule(reactor->now() + 50us, [&] { reactor->signal(waiter); }); });
            reactor->wait(waiter);
          }
        }
      }
    });
  for (auto& thread : threads) thread.join();
  while (ran < posted) run_waiting(*reactor);
  REQUIRE(ran == posted);
  reactor->stop();
}

TEST_CASE("stop runs what was posted before it", "[core][concurrent]") {
  for (int round = 0; round < 50; ++round) {
    const auto reactor = make_reactor();
    std::atomic<int> ran{0};
    for (int i = 0; i < 10; ++i) reactor->post([&] { ++ran; });
    reactor->stop();
    REQUIRE(ran == 10);
  }
}

TEST_CASE("a reactor may be released by its own I/O thread", "[core][concurrent]") {
  std::atomic<bool> released{false};
  auto reactor = make_reactor();
  Reactor* const loop = reactor.get();
  loop->post([&, reactor = std::move(reactor)]() mutable {
    reactor->stop();
    reactor.reset();
    released = true;
  });
  while (!released) std::this_thread::yield();
}
