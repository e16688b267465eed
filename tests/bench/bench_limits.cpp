// bench_limits: what a turn costs. One JSON line: nanoseconds per acquire, best of several rounds.
//
//   bench_limits [ROUNDS]
//
// acquire: one token bucket. turn: what a call pays, from a slot, a request and its tokens to giving back.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deepseek/policy/detail/limiter_core.hpp>
#include <deepseek/policy/limits.hpp>
#include <thread>
#include <vector>

namespace {

using deepseek::TimePoint;
using deepseek::detail::LimitAsk;
using deepseek::detail::LimiterCore;
using deepseek::detail::Permit;
using deepseek::detail::Shortage;
using deepseek::detail::TokenBucket;
using Clock = std::chrono::steady_clock;

constexpr int turns = 200'000;

/// Nanoseconds that a turn takes a thread while `threads` take turns as fast as they can.
template <class Turn>
double measure(int threads, int rounds, Turn turn) {
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    std::atomic<int> ready{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> others;
    const auto work = [&] {
      for (int i = 0; i < turns; ++i) turn();
    };
    for (int i = 1; i < threads; ++i) {
      others.emplace_back([&] {
        ++ready;
        while (!go) std::this_thread::yield();
        work();
      });
    }
    while (ready != threads - 1) std::this_thread::yield();
    const auto begin = Clock::now();
    go = true;
    work();
    for (auto& thread : others) thread.join();
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    best = std::min(best, took.count() / turns);
  }
  return best;
}

std::atomic<std::uint64_t> refused{0};

double bucket(int threads, int rounds, bool with_clock) {
  TokenBucket requests(1'000'000'000, std::chrono::seconds(1), 100'000'000, Clock::now());
  const TimePoint fixed = Clock::now();
  return measure(threads, rounds, [&, with_clock] {
    if (requests.acquire(1, with_clock ? Clock::now() : fixed) != deepseek::Duration::zero()) ++refused;
  });
}

double limiter(int threads, int rounds, bool per_user) {
  deepseek::LimitOptions options;
  options.requests_per_minute = 100'000'000;
  options.requests_burst = 10'000'000'000;
  options.tokens_per_minute = 1'000'000'000;
  options.tokens_burst = 1'000'000'000'000;
  options.in_flight = 1000;
  if (per_user) options.per_user = deepseek::Limits(options);
  LimiterCore core(options, Clock::now());
  return measure(threads, rounds, [&] {
    Permit permit;
    LimitAsk ask;
    ask.user = "user";
    ask.tokens = 1000;
    const TimePoint now = Clock::now();
    if (core.take(ask, permit, now).of != Shortage::Of::nothing) ++refused;
    core.release(permit, 900, {}, now);
  });
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 15;
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), rounds);
  std::printf("{\"clock_ns\":%.1f", measure(1, rounds, [] { static_cast<void>(Clock::now()); }));
  std::printf(",\"acquire_ns\":%.1f,\"acquire_with_clock_ns\":%.1f,\"acquire_with_clock_2_threads_ns\":%.1f",
              bucket(1, rounds, false), bucket(1, rounds, true), bucket(2, rounds, true));
  std::printf(
      ",\"turn_ns\":%.1f,\"turn_2_threads_ns\":%.1f,\"turn_per_user_ns\":%.1f,\"turn_per_user_2_threads_ns\":%.1f",
      limiter(1, rounds, false), limiter(2, rounds, false), limiter(1, rounds, true), limiter(2, rounds, true));
  std::printf(",\"refused\":%llu}\n", static_cast<unsigned long long>(refused.load()));
  return 0;
}
