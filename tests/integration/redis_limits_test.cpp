// Limits that processes share: against a real redis-server that is busy, gone, frozen, emptied, wrong.
#include "support/catch.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include <deepseek/client.hpp>
#include <deepseek/component/redis_limits.hpp>
#include <deepseek/testing/double.hpp>

#include "component/redis/connection.hpp"
#include "integration/redis_server.hpp"

using namespace deepseek;
using namespace deepseek_tests;
using namespace std::chrono_literals;
using deepseek::detail::RedisConnection;
using deepseek::detail::RedisReply;

namespace {

SharedLimitOptions limits_of(std::uint64_t requests, std::uint64_t tokens, std::uint32_t slots) {
  SharedLimitOptions options;
  options.limits.requests_per_minute = requests;
  options.limits.requests_burst = requests;
  options.limits.tokens_per_minute = tokens;
  options.limits.in_flight = slots;
  options.ask_timeout = 5s;
  return options;
}

/// One client's hand on the shared limits, with a loop of its own.
struct Hand {
  Hand(const std::string& address, SharedLimitOptions options) {
    options.notice = [this](std::string_view text) {
      const std::lock_guard<std::mutex> lock(mutex);
      notices.emplace_back(text);
    };
    auto made = redis_limits(address, std::move(options));
    REQUIRE(made);
    budget = *std::move(made);
    loop.run([&] { budget->attach(loop.loop()); });
  }
  ~Hand() {
    loop.run([&] { budget.reset(); });
  }
  BudgetGrant take(std::uint64_t tokens = 0, const std::string& model = "", const std::string& user = "") {
    BudgetGrant answer;
    loop.until_done([&](auto done) {
      budget->take({model, user, tokens}, [&answer, done](BudgetGrant grant) {
        answer = grant;
        done();
      });
    });
    return answer;
  }
  void settle(std::uint64_t lease, std::optional<std::uint64_t> used) {
    loop.run([&] { budget->settle(lease, used); });
  }
  /// Lets the loop turn for a moment.
  void turn() {
    const auto until = std::chrono::steady_clock::now() + 5ms;
    loop.await([until] { return std::chrono::steady_clock::now() > until; });
  }
  bool said(const std::string& word) {
    const std::lock_guard<std::mutex> lock(mutex);
    return std::any_of(notices.begin(), notices.end(),
                       [&](const std::string& text) { return text.find(word) != std::string::npos; });
  }
  /// Takes and gives back until the answer comes from Redis (or no longer does).
  bool becomes(bool degraded) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (std::chrono::steady_clock::now() < until) {
      const BudgetGrant grant = take();
      if (grant.granted) settle(grant.lease, 0);
      if (budget->degraded() == degraded) return true;
      turn();
    }
    return false;
  }
  TestLoop loop;
  std::mutex mutex;
  std::vector<std::string> notices;
  std::shared_ptr<SharedBudget> budget;
};

/// Says one command to the server, beside the limits.
RedisReply say(const RealRedis& redis, const std::vector<std::string_view>& words) {
  TestLoop loop;
  Result<RedisReply> answer = Error(ErrorCode::internal, "never answered");
  std::optional<RedisConnection> connection;
  loop.until_done([&](auto done) {
    connection.emplace(redis_server(redis.address()).value(), loop.loop(), nullptr);
    connection->command(words, loop.loop().now() + 5s, [&answer, done](Result<RedisReply> reply) {
      answer = std::move(reply);
      done();
    });
  });
  loop.run([&] { connection.reset(); });
  return answer.value();
}

}  // namespace

TEST_CASE("shared limits: options that cannot be kept are refused", "[redis]") {
  void (*const edits[])(SharedLimitOptions&) = {
      [](SharedLimitOptions& o) { o.limits = {}; },
      [](SharedLimitOptions& o) { o.limits.adaptive = true; },
      [](SharedLimitOptions& o) { o.limits.tokens_per_minute = UINT64_MAX; },
      [](SharedLimitOptions& o) { o.name.clear(); },
      [](SharedLimitOptions& o) { o.name = "a}b"; },
      [](SharedLimitOptions& o) { o.share_percent = 0; },
      [](SharedLimitOptions& o) { o.share_percent = 101; },
      [](SharedLimitOptions& o) { o.ask_timeout = 0ms; },
      [](SharedLimitOptions& o) { o.lease = 1s; },
  };
  CHECK(redis_limits("redis://127.0.0.1:1", limits_of(1, 1, 1)));
  for (const auto edit : edits) {
    SharedLimitOptions options = limits_of(1, 1, 1);
    edit(options);
    const auto made = redis_limits("redis://127.0.0.1:1", options);
    REQUIRE_FALSE(made);
    CHECK(made.error().code() == ErrorCode::invalid_options);
  }
  CHECK_FALSE(redis_limits("http://127.0.0.1", limits_of(1, 1, 1)));
  CHECK_FALSE(redis_limits("redis://127.0.0.1:99999", limits_of(1, 1, 1)));
}

TEST_CASE("two clients share slots, requests and tokens", "[redis]") {
  if (!RealRedis::installed()) SKIP_TEST("redis-server is not installed");
  RealRedis redis;
  REQUIRE(redis.up());
  SECTION("slots") {
    Hand a(redis.address(), limits_of(0, 0, 3));
    Hand b(redis.address(), limits_of(0, 0, 3));
    const auto first = a.take();
    CHECK((first.granted && b.take().granted && b.take().granted));
    CHECK_FALSE(a.take().granted);
    CHECK_FALSE(b.take().granted);
    a.settle(first.lease, 0);
    a.settle(first.lease, 0);  // twice is once
    CHECK(a.take().granted);
    CHECK_FALSE(a.take().granted);
  }
  SECTION("requests") {
    Hand a(redis.address(), limits_of(60, 0, 0));
    Hand b(redis.address(), limits_of(60, 0, 0));
    for (int i = 0; i < 30; ++i) CHECK((a.take().granted && b.take().granted));
    const auto refused = a.take();
    CHECK_FALSE(refused.granted);
    CHECK(refused.wait > 0s);
    CHECK(refused.wait <= 1s);
  }
  SECTION("tokens, settled") {
    Hand a(redis.address(), limits_of(0, 60'000, 0));
    Hand b(redis.address(), limits_of(0, 60'000, 0));
    const auto big = a.take(60'000);
    CHECK(big.granted);
    const auto refused = b.take(30'000);
    CHECK_FALSE(refused.granted);
    CHECK(refused.wait > 20s);
    CHECK(refused.wait <= 30s);
    a.settle(big.lease, 20'000);
    a.take();  // its answer says that the settlement was carried out before
    CHECK(b.take(30'000).granted);
    CHECK_FALSE(b.take(30'000).granted);
    CHECK(a.take(60'001).never);
  }
  SECTION("each model for itself, and another name is another budget") {
    SharedLimitOptions options = limits_of(0, 0, 1);
    options.per_model = true;
    Hand a(redis.address(), options);
    CHECK(a.take(0, "flash").granted);
    CHECK(a.take(0, "pro").granted);
    CHECK_FALSE(a.take(0, "pro").granted);
    options.name = "other";
    CHECK(Hand(redis.address(), options).take(0, "pro").granted);
  }
  SECTION("each user for himself, whichever client asks; more than can be told apart share one") {
    SharedLimitOptions options = limits_of(0, 0, 1);
    options.per_user = true;
    Hand a(redis.address(), options);
    Hand b(redis.address(), options);
    CHECK(a.take(0, "flash", "ann").granted);
    CHECK(b.take(0, "pro", "bob").granted);
    CHECK_FALSE(b.take(0, "pro", "ann").granted);
    CHECK_FALSE(a.take(0, "flash", "bob").granted);
    CHECK(a.take().granted);
    CHECK_FALSE(b.take().granted);
    const RedisReply keys = say(redis, {"KEYS", "*"});
    for (const RedisReply& key : keys.elements) CHECK(key.text.find("ann") == std::string::npos);
    int granted = 0;
    for (int i = 0; i < 1100; ++i) granted += a.take(0, "flash", "user-" + std::to_string(i)).granted ? 1 : 0;
    CHECK(granted == 1024 - 3 + 1);
  }
}

TEST_CASE("16 threads with clients of their own exceed no shared budget", "[redis][concurrent]") {
  if (!RealRedis::installed()) SKIP_TEST("redis-server is not installed");
  RealRedis redis;
  REQUIRE(redis.up());
  SharedLimitOptions options = limits_of(60'000, 600'000, 5);
  options.limits.requests_burst = 50;
  options.limits.tokens_burst = 5'000;
  std::atomic<int> in_flight{0};
  std::atomic<int> sent{0};
  std::atomic<std::int64_t> used{0};
  std::atomic<int> exceeded{0};
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::unique_ptr<Hand>> hands;
  for (int i = 0; i < 16; ++i) hands.push_back(std::make_unique<Hand>(redis.address(), options));
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      std::minstd_rand random(i + 1);
      for (int round = 0; round < 60; ++round) {
        const auto grant = hands[i]->take(200);
        if (!grant.granted) continue;
        if (++in_flight > 5) ++exceeded;
        const std::uint64_t real = random() % 201;
        used += static_cast<std::int64_t>(real);
        ++sent;
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
        if (sent.load() > 50 + ms + 1) ++exceeded;
        if (used.load() > 5'000 + 10 * ms + 10) ++exceeded;
        --in_flight;
        hands[i]->settle(grant.lease, real);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(exceeded == 0);
  CHECK(sent > 20);
  for (const auto& hand : hands) CHECK_FALSE(hand->budget->degraded());
}

TEST_CASE("while Redis is away a client lives on its share, and comes back", "[redis]") {
  if (!RealRedis::installed()) SKIP_TEST("redis-server is not installed");
  RealRedis redis;
  REQUIRE(redis.up());
  SharedLimitOptions options = limits_of(0, 0, 8);
  options.share_percent = 25;
  Hand a(redis.address(), options);
  const auto before = a.take();
  REQUIRE(before.granted);
  CHECK_FALSE(a.budget->degraded());
  redis.kill();
  BudgetGrant away;
  for (int i = 0; i < 1'000 && !a.budget->degraded(); ++i) {
    away = a.take();
    if (a.budget->degraded()) break;
    if (away.granted) a.settle(away.lease, 0);
    a.turn();
  }
  CHECK(away.granted);  // two of eight slots are its share: one it had, this is the other
  CHECK_FALSE(a.take().granted);
  CHECK(a.take().wait <= 500ms);
  CHECK(a.said("keeps to 25 % of them"));
  CHECK_FALSE(a.said("is back"));
  REQUIRE(redis.start());
  const auto until = std::chrono::steady_clock::now() + 20s;
  std::vector<BudgetGrant> more;
  while (a.budget->degraded() && std::chrono::steady_clock::now() < until) {
    more.push_back(a.take());
    if (!more.back().granted) more.pop_back();
    a.turn();
  }
  CHECK_FALSE(a.budget->degraded());
  CHECK(a.said("Redis is back"));
  // It forgot everything; this client has told it what is under way.
  while (true) {
    const auto grant = a.take();
    if (!grant.granted) break;
    more.push_back(grant);
  }
  CHECK(more.size() == 6);
  Hand b(redis.address(), options);
  CHECK_FALSE(b.take().granted);
  a.settle(before.lease, 0);
  a.settle(away.lease, 0);
  a.becomes(false);
  CHECK(b.take().granted);
}

TEST_CASE("what was taken while Redis was away is told to it", "[redis]") {
  if (!RealRedis::installed()) SKIP_TEST("redis-server is not installed");
  RealRedis redis;
  REQUIRE(redis.up());
  SharedLimitOptions options = limits_of(0, 600, 0);
  options.share_percent = 50;
  Hand a(redis.address(), options);
  redis.freeze();
  SharedLimitOptions hasty = options;
  hasty.ask_timeout = 20ms;
  hasty.name = options.name;
  Hand b(redis.address(), hasty);
  const auto grant = b.take(300);
  CHECK(grant.granted);
  CHECK(b.budget->degraded());
  CHECK_FALSE(b.take(300).granted);
  redis.thaw();
  CHECK(b.becomes(false));
  CHECK_FALSE(a.take(400).granted);
  CHECK(b.said("keeps to 50 %"));
}

TEST_CASE("a client that is killed gives its slots back when its leases end", "[redis]") {
  if (!RealRedis::installed()) SKIP_TEST("redis-server is not installed");
  RealRedis redis;
  REQUIRE(redis.up());
  SharedLimitOptions options = limits_of(0, 0, 1);
  options.lease = 5s;
  Hand a(redis.address(), options);
  // As a process that ended without a word would have left it: a lease that nobody renews.
  say(redis, {"ZADD", "limits:{deepseek}::leases", "1", "somebody:1"});
  CHECK(a.take().granted);
  Hand b(redis.address(), options);
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(b.take().granted);
  // Renewed while it runs: longer than the lease, and still not to be had.
  a.loop.await([&] { return std::chrono::steady_clock::now() - begin > 6s; });
  CHECK_FALSE(b.take().granted);
}

TEST_CASE("Redis that refuses or answers nonsense is Redis that is away", "[redis]") {
  if (!RealRedis::installed()) SKIP_TEST("redis-server is not installed");
  SECTION("a key of another kind") {
    RealRedis redis;
    REQUIRE(redis.up());
    say(redis, {"SET", "limits:{deepseek}::leases", "mine"});
    Hand a(redis.address(), limits_of(0, 0, 20));
    CHECK(a.take().granted);
    CHECK(a.said("it refuses the script"));
    say(redis, {"DEL", "limits:{deepseek}::leases"});
    CHECK(a.becomes(false));
  }
  SECTION("a user that may not") {
    RealRedis redis(RealRedis::Kind::acl);
    REQUIRE(redis.up());
    const std::string as_blind = "redis://blind:pass@" + redis.address().substr(8);
    Hand refused(as_blind, limits_of(0, 0, 20));
    CHECK(refused.take().granted);
    CHECK(refused.budget->degraded());
    SharedLimitOptions options = limits_of(0, 0, 20);
    options.prefix = "none:";
    Hand allowed(as_blind, options);
    CHECK(allowed.take().granted);
    CHECK_FALSE(allowed.budget->degraded());
  }
  SECTION("a server that forgets the script") {
    RealRedis redis;
    REQUIRE(redis.up());
    Hand a(redis.address(), limits_of(0, 0, 2));
    CHECK(a.take().granted);
    say(redis, {"SCRIPT", "FLUSH"});
    CHECK(a.take().granted);
    CHECK_FALSE(a.take().granted);
    CHECK_FALSE(a.budget->degraded());
  }
  SECTION("nobody there") {
    SharedLimitOptions options = limits_of(600, 6'000, 20);
    options.ask_timeout = 200ms;
    Hand a("redis://127.0.0.1:" + std::to_string(free_loopback_port()), options);
    CHECK(a.take(100).granted);
    CHECK(a.budget->degraded());
  }
}

TEST_CASE("shared limits may be kept for longer than the client that used them", "[redis]") {
  RealRedis redis;
  REQUIRE(redis.up());
  const std::string address =
      GENERATE(true, false) ? redis.address() : "redis://127.0.0.1:" + std::to_string(free_loopback_port());
  const auto budget = redis_limits(address, limits_of(600, 1'000'000, 20)).value();
  test::Double server;
  {
    ClientOptions options = server.client_options();
    options.shared_budget = budget;
    const auto client = DeepSeekClient::create(std::move(options)).value();
    CHECK(client.chat("hello"));
  }
  CHECK(budget.use_count() == 1);
  CHECK(budget->degraded() == (address != redis.address()));
}
