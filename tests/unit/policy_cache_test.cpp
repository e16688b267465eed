// The cache policy: what is kept, what answers, and how a kept stream is played.
#include "support/catch.hpp"

#include <set>
#include <stdexcept>

#include <deepseek/policy/detail/cache_entry.hpp>
#include <deepseek/policy/detail/cache_key.hpp>
#include <deepseek/policy/single_flight.hpp>

#include "unit/policy_cache_kit.hpp"

using namespace cache_kit;
using namespace std::chrono_literals;

namespace {

CacheOptions memory_options() {
  CacheOptions options;
  options.memory_bytes = 1024 * 1024;
  options.random = [] { return 0.5; };  // no jitter
  return options;
}

struct Fixture {
  explicit Fixture(CacheOptions options = memory_options())
      : policy(make_cache_policy(options, {"https://api.deepseek.com"}, clock)), pipeline({policy}, transport, loop) {}

  ~Fixture() { transport->end_all(); }

  One& start(One& one) {
    pipeline.start(one.call, one.sink);
    return one;
  }
  /// A call that the server answers with `frames`.
  void serve(One& one, const Strings& frames, std::optional<Error> error = {}) {
    start(one);
    REQUIRE(one.sink->ends == 0);
    const std::size_t index = transport->calls.size() - 1;
    for (const std::string& frame : frames) transport->frame(index, frame);
    transport->end(index, std::move(error));
    REQUIRE(one.sink->ends == 1);
  }
  bool hits(One one = One()) {
    const std::size_t before = transport->calls.size();
    start(one);
    loop.run();
    return transport->calls.size() == before && one.complete();
  }

  deepseek_tests::FakeLoop loop;
  std::shared_ptr<HandClock> clock = std::make_shared<HandClock>();
  std::shared_ptr<HandTransport> transport = std::make_shared<HandTransport>();
  std::shared_ptr<CachePolicy> policy;
  Pipeline pipeline;
};

/// A store that answers when the test says so.
struct SlowStore final : CacheStore {
  struct Session final : CacheSession {
    explicit Session(SlowStore& its_store) : store(its_store) {}
    bool immediate() const noexcept override { return false; }
    void find(std::string_view key, Function<void(CacheEntryPtr)> done) override {
      store.asked.push_back({std::string(key), std::move(done)});
    }
    void put(std::string_view key, CacheEntryPtr entry) override { store.kept.emplace_back(key, std::move(entry)); }
    void flush(std::chrono::milliseconds most) override { store.flushed = most; }
    SlowStore& store;
  };
  std::string_view level() const noexcept override { return "redis"; }
  std::unique_ptr<CacheSession> open(Loop&, const CacheNotice&) override { return std::make_unique<Session>(*this); }
  CacheStats stats() const override { return {}; }
  Result<std::uint64_t> clear() override { return std::uint64_t{0}; }

  std::vector<std::pair<std::string, Function<void(CacheEntryPtr)>>> asked;
  std::vector<std::pair<std::string, CacheEntryPtr>> kept;
  std::optional<std::chrono::milliseconds> flushed;
};

const Strings answer = {"d role", "t Hel", "t lo", "d finish", "e"};

}  // namespace

TEST_CASE("a complete stream answers the next call with its own frames", "[policy][cache]") {
  Fixture f;
  One first;
  f.serve(first, answer);
  REQUIRE(first.call->facts.cache_level == "miss");
  REQUIRE(first.call->facts.attempts == 1);

  One second;
  f.start(second);
  REQUIRE(second.complete());
  REQUIRE(second.sink->frames == answer);
  REQUIRE(second.decoder->seen == answer);
  REQUIRE(second.decoder->concluded == 1);
  REQUIRE(second.call->facts.cache_level == "memory");
  REQUIRE(second.call->facts.attempts == 0);
  REQUIRE_FALSE(second.call->facts.usage.told());
  REQUIRE(second.call->facts.first_token.count() > 0);
  REQUIRE_FALSE(second.call->on_abort);
  REQUIRE_FALSE(second.call->on_pause);
  REQUIRE(f.transport->calls.size() == 1);
  const auto stats = f.policy->stats();
  REQUIRE(stats.size() == 1);
  REQUIRE(stats[0].level == "memory");
  REQUIRE(stats[0].stats.hits == 1);
}

TEST_CASE("what is not a whole answer is not kept", "[policy][cache]") {
  Fixture f;
  One one;
  SECTION("an error") { f.serve(one, answer, Error(ErrorCode::truncated, "cut")); }
  SECTION("filtered") { f.serve(one, answer, Error(ErrorCode::filtered, "no")); }
  SECTION("an error frame") { f.serve(one, {"t a", "x"}); }
  SECTION("a refusal, by default") { f.serve(one, {}, Error(ErrorCode::bad_request, "no")); }
  SECTION("a second attempt that said nothing") {
    f.start(one);
    f.transport->frame(0, "t first");
    f.transport->calls[0].call->decoder->reset();
    f.transport->end(0);
    REQUIRE(one.complete());
  }
  SECTION("put together of two replies") {
    f.start(one);
    f.transport->frame(0, "t first");
    one.call->decoder->go_on(16);
    one.call->facts.resumed = 1;
    f.transport->frame(0, "t second");
    f.transport->end(0);
    REQUIRE(one.complete());
  }
  SECTION("less than was asked for") {
    f.start(one);
    one.call->facts.degraded = "fallback_model";
    f.transport->frame(0, "t first");
    f.transport->end(0);
  }
  SECTION("no frame at all") { f.serve(one, {}); }
  REQUIRE_FALSE(f.hits());
}

TEST_CASE("of a repeated call the last attempt is kept, and nothing of those before", "[policy][cache]") {
  CacheOptions options = memory_options();
  options.max_entry_bytes = 4096;
  Fixture f(options);
  One one;
  f.start(one);
  f.transport->frame(0, "d role");
  if (GENERATE(false, true)) f.transport->frame(0, "d " + std::string(5000, 'x'));  // alone too long to be kept
  f.transport->frame(0, "e");
  f.transport->calls[0].call->decoder->reset();
  ++one.call->facts.attempts;
  for (const std::string& frame : answer) f.transport->frame(0, frame);
  f.transport->end(0);
  REQUIRE(one.complete());
  One again;
  f.start(again);
  REQUIRE(again.complete());
  REQUIRE(again.sink->frames == answer);
}

TEST_CASE("a shared reply is kept whole, whoever leaves meanwhile", "[policy][cache][single_flight]") {
  deepseek_tests::FakeLoop loop;
  const auto clock = std::make_shared<HandClock>();
  const auto transport = std::make_shared<HandTransport>();
  Pipeline pipeline({make_cache_policy(memory_options(), {}, clock), make_single_flight_policy({true, 65536}, {})},
                    transport, loop);
  One a, b, again;
  pipeline.start(a.call, a.sink);
  pipeline.start(b.call, b.sink);
  Call& request = *transport->calls.at(0).call;
  SECTION("between two attempts") {
    for (const char* frame : {"d role", "d finish", "e"}) transport->frame(0, frame);
    a.abort();
    request.decoder->reset();
    ++request.facts.attempts;
    for (const std::string& frame : answer) transport->frame(0, frame);
  }
  SECTION("before the second attempt says anything, of one who joined then") {
    for (const char* frame : {"d role", "d finish", "e"}) transport->frame(0, frame);
    One c;
    pipeline.start(c.call, c.sink);
    a.abort();
    b.abort();
    request.decoder->reset();
    ++request.facts.attempts;
    for (const std::string& frame : answer) transport->frame(0, frame);
    transport->end(0);
    REQUIRE(c.complete());
  }
  SECTION("within one attempt") {
    transport->frame(0, answer[0]);
    transport->frame(0, answer[1]);
    a.abort();
    for (std::size_t i = 2; i < answer.size(); ++i) transport->frame(0, answer[i]);
  }
  if (b.sink->ends == 0) {
    transport->end(0);
    REQUIRE(b.complete());
  }
  pipeline.start(again.call, again.sink);
  REQUIRE(again.complete());
  REQUIRE(again.sink->frames == answer);
  REQUIRE(transport->calls.size() == 1);
}

TEST_CASE("a reply that many share is kept once", "[policy][cache][single_flight]") {
  const auto store = std::make_shared<SlowStore>();
  CacheOptions options = memory_options();
  options.memory_bytes = 0;
  options.redis = store;
  deepseek_tests::FakeLoop loop;
  const auto clock = std::make_shared<HandClock>();
  const auto transport = std::make_shared<HandTransport>();
  Pipeline pipeline({make_cache_policy(options, {}, clock), make_single_flight_policy({true, 65536}, {})}, transport,
                    loop);
  const auto share = [&](const Strings& frames) {
    One a, b, c;
    const std::size_t index = transport->calls.size();
    for (One* one : {&a, &b, &c}) {
      pipeline.start(one->call, one->sink);
      store->asked.back().second(nullptr);
    }
    for (const std::string& frame : frames) transport->frame(index, frame);
    transport->end(index);
    REQUIRE(c.complete());
  };
  share(answer);
  REQUIRE(store->kept.size() == 1);
  share({"t other", "e"});
  REQUIRE(store->kept.size() == 2);
  clock->now += 24h;
  share({"t other", "e"});
  REQUIRE(store->kept.size() == 3);  // the one before is old
}

TEST_CASE("a call says what it wants of the cache", "[policy][cache]") {
  Fixture f;
  const auto with = [](CacheUse use) {
    One one;
    one.call->cache = use;
    return one;
  };
  SECTION("off") {
    One one = with(CacheUse::off);
    f.serve(one, answer);
    REQUIRE(one.call->facts.cache_level.empty());
    REQUIRE_FALSE(f.hits());
  }
  SECTION("off does not read") {
    One one;
    f.serve(one, answer);
    REQUIRE_FALSE(f.hits(with(CacheUse::off)));
  }
  SECTION("read_only") {
    One one = with(CacheUse::read_only);
    f.serve(one, answer);
    REQUIRE(one.call->facts.cache_level == "miss");
    One other;
    f.serve(other, answer);
    REQUIRE(f.hits(with(CacheUse::read_only)));
  }
  SECTION("write_only") {
    One one = with(CacheUse::write_only);
    f.serve(one, answer);
    REQUIRE(one.call->facts.cache_level.empty());
    One again = with(CacheUse::write_only);
    f.serve(again, {"t new", "e"});
    One reader;
    f.start(reader);
    REQUIRE(reader.sink->frames == Strings{"t new", "e"});
  }
  SECTION("no codec") {
    One one;
    one.call->codec = nullptr;
    f.serve(one, answer);
    REQUIRE(one.call->facts.cache_level.empty());
  }
}

TEST_CASE("without a level nothing is touched", "[policy][cache]") {
  Fixture f((CacheOptions()));
  One one;
  f.serve(one, answer);
  REQUIRE(one.call->facts.cache_level.empty());
}

TEST_CASE("the key holds all that changes the answer, and nothing else", "[policy][cache]") {
  const auto key = [](const One& one, const Strings& urls = {"https://b", "https://a"}, std::string_view scope = "",
                      CacheDigest digest = CacheDigest::sha256) {
    return detail::CacheKeys(digest, urls, scope).key_of(*one.call);
  };
  const std::string plain = key(One());
  INFO(plain);
  REQUIRE(plain.rfind("model:deepseek-flash:query:", 0) == 0);
  REQUIRE(plain.size() == 27 + 64 + 2);
  REQUIRE(plain.substr(27 + 64) == ":7");
  REQUIRE(key(One(), {"https://a/", "https://b", "https://a"}) == plain);
  REQUIRE(key(One(), {}, "", CacheDigest::md5).size() == 27 + 32 + 2);

  std::set<std::string> others = {plain};
  const auto differs = [&](const std::string& other) { return others.insert(other).second; };
  const auto changed = [&](auto change) {
    One one;
    change(*one.call);
    return key(one);
  };
  REQUIRE(differs(key(One(), {"https://a"})));
  REQUIRE(differs(key(One(), {"https://b", "https://a"}, "tenant")));
  REQUIRE(differs(key(One("{\"q\":2}"))));
  REQUIRE(differs(changed([](Call& call) { call.user_id = "someone"; })));
  REQUIRE(differs(changed([](Call& call) { call.operation.stream = false; })));
  REQUIRE(differs(changed([](Call& call) { call.operation.path = "/completions"; })));
  REQUIRE(differs(changed([](Call& call) { call.headers.push_back({"X-Tenant", "a"}); })));
  REQUIRE(differs(changed([](Call& call) { call.headers.push_back({"X-Tenant", "b"}); })));
  REQUIRE_FALSE(differs(changed([](Call& call) { call.headers.push_back({"TraceParent", "00-1"}); })));
  REQUIRE_FALSE(differs(changed([](Call& call) { call.weight = 7; })));

  One odd;
  odd.call->model = "a b:c\n" + std::string(200, 'x');
  REQUIRE(key(odd).find_first_of(" \n") == std::string::npos);
  REQUIRE(key(odd).size() < 200);
}

TEST_CASE("an answer is fresh for its time, longer or shorter by the jitter", "[policy][cache]") {
  CacheOptions options = memory_options();
  double random = 0.5;
  options.random = [&random] { return random; };
  SECTION("by complexity") {
    Fixture f(options);
    One one;
    f.serve(one, answer);
    f.clock->now += 59min;
    REQUIRE(f.hits());
    f.clock->now += 1min;
    REQUIRE_FALSE(f.hits());
  }
  SECTION("own function, jitter") {
    std::vector<std::uint64_t> asked;
    options.ttl = [&](const CacheQuery& query) {
      asked.push_back(query.tokens);
      return std::chrono::milliseconds(1000);
    };
    random = 0.0;
    Fixture f(options);
    One one;
    f.serve(one, answer);
    REQUIRE(asked == std::vector<std::uint64_t>{100});
    f.clock->now += 899ms;
    REQUIRE(f.hits());
    f.clock->now += 1ms;
    REQUIRE_FALSE(f.hits());
  }
  SECTION("zero: not kept") {
    options.ttl = [](const CacheQuery&) { return 0ms; };
    Fixture f(options);
    One one;
    f.serve(one, answer);
    REQUIRE_FALSE(f.hits());
  }
  SECTION("a time beyond all clocks") {
    options.ttl = [](const CacheQuery&) { return std::chrono::milliseconds::max(); };
    Fixture f(options);
    One one;
    f.serve(one, answer);
    f.clock->now += 24h * 365;
    REQUIRE(f.hits());
  }
  SECTION("a time beyond all clocks in a longer unit") {
    const bool hours = GENERATE(true, false);
    if (hours)
      options.ttl = [](const CacheQuery&) { return std::chrono::hours::max(); };
    else
      options.ttl = [](const CacheQuery&) { return std::chrono::seconds::max(); };
    Fixture f(options);
    One one;
    f.serve(one, answer);
    f.clock->now += 24h * 365;
    REQUIRE(f.hits());
  }
  SECTION("a time before all clocks: not kept") {
    options.ttl = [](const CacheQuery&) { return std::chrono::hours::min(); };
    Fixture f(options);
    One one;
    f.serve(one, answer);
    REQUIRE_FALSE(f.hits());
  }
  SECTION("a function that throws: as without it") {
    options.ttl = [](const CacheQuery&) -> std::chrono::milliseconds { throw std::runtime_error("x"); };
    Fixture f(options);
    One one;
    f.serve(one, answer);
    f.clock->now += 53min;
    REQUIRE(f.hits());
    f.clock->now += 14min;
    REQUIRE_FALSE(f.hits());
  }
  SECTION("the clock jumps back") {
    Fixture f(options);
    One one;
    f.serve(one, answer);
    f.clock->now -= 1h;
    REQUIRE_FALSE(f.hits());
  }
  REQUIRE(cache_ttl_by_complexity({"chat", "m", 10, 10, true}) <
          cache_ttl_by_complexity({"chat", "m", 100'000, 10, true}));
}

TEST_CASE("an old answer can still be had by who asks for it", "[policy][cache]") {
  CacheOptions options = memory_options();
  options.keep_stale = 24h;
  Fixture f(options);
  One one;
  f.serve(one, answer);
  f.clock->now += 2h;
  REQUIRE_FALSE(f.hits());

  One stale;
  bool none = false;
  f.policy->play_kept(stale.call, stale.sink, [&] { none = true; });
  REQUIRE_FALSE(none);
  REQUIRE(stale.sink->frames == answer);
  REQUIRE(stale.call->facts.cache_level == "memory");

  f.clock->now += 24h;
  One gone;
  f.policy->play_kept(gone.call, gone.sink, [&] { none = true; });
  REQUIRE(none);
  REQUIRE(gone.sink->ends == 0);
}

TEST_CASE("a refusal is kept if that is wanted", "[policy][cache]") {
  CacheOptions options = memory_options();
  options.negative_ttl = 1min;
  Fixture f(options);
  One one;
  f.serve(one, {}, Error(ErrorCode::bad_request, "too long").with([](ErrorDetails& d) { d.http_status = 400; }));
  One again;
  f.start(again);
  REQUIRE(again.sink->ends == 1);
  REQUIRE(again.sink->error->code() == ErrorCode::bad_request);
  REQUIRE(again.sink->error->http_status() == 400);
  REQUIRE(f.transport->calls.size() == 1);
  f.clock->now += 1min;
  One later("{\"q\":1}");
  f.serve(later, {}, Error(ErrorCode::rate_limited, "slow down"));
  One last;
  f.serve(last, answer);  // a 429 is no answer
}

TEST_CASE("a kept stream obeys a consumer that holds it back", "[policy][cache]") {
  Fixture f;
  One first;
  f.serve(first, answer);

  One one;
  SECTION("paused before it begins") {
    one.call->paused = true;
    f.start(one);
    f.loop.run();
    REQUIRE(one.sink->frames.empty());
    one.call->pause(false);
    REQUIRE(one.sink->frames.empty());  // not from inside pause()
    f.loop.run();
    REQUIRE(one.complete());
    REQUIRE(one.sink->frames == answer);
  }
  SECTION("paused at every frame") {
    one.sink->during = [&one] { one.call->pause(true); };
    f.start(one);
    for (std::size_t n = 1; n < answer.size(); ++n) {
      REQUIRE(one.sink->frames.size() == n);
      REQUIRE(one.sink->ends == 0);
      one.call->pause(false);
      f.loop.run();
    }
    REQUIRE(one.sink->frames == answer);
    REQUIRE(one.complete());
  }
  SECTION("given up while paused") {
    one.sink->during = [&one] { one.call->pause(true); };
    f.start(one);
    one.abort();
    REQUIRE(one.sink->ends == 1);
    REQUIRE(one.sink->error->code() == ErrorCode::cancelled);
    f.loop.run();
    REQUIRE(one.sink->ends == 1);
    REQUIRE(one.sink->frames.size() == 1);
  }
  SECTION("given up from inside a frame") {
    one.sink->during = [&one] {
      if (one.sink->frames.size() == 2) one.abort();
    };
    f.start(one);
    REQUIRE(one.sink->ends == 1);
    REQUIRE(one.sink->error->code() == ErrorCode::cancelled);
    REQUIRE(one.sink->frames.size() == 2);
  }
  SECTION("let go and given up at once") {
    one.call->paused = true;
    f.start(one);
    one.call->pause(false);
    one.abort();
    f.loop.run();
    REQUIRE(one.sink->ends == 1);
    REQUIRE(one.sink->frames.empty());
  }
}

TEST_CASE("a long kept stream leaves the loop to others in between", "[policy][cache]") {
  Fixture f;
  Strings frames(1000, "t more");
  frames.push_back("e");
  One first;
  f.serve(first, frames);
  One one;
  f.start(one);
  REQUIRE(one.sink->frames.size() < 1000);
  REQUIRE(f.loop.run_one());
  REQUIRE(one.sink->frames.size() < 1000);
  f.loop.run();
  REQUIRE(one.sink->frames == frames);
  REQUIRE(one.complete());
}

TEST_CASE("an answer longer than allowed is not kept, and not gathered", "[policy][cache]") {
  CacheOptions options = memory_options();
  options.max_entry_bytes = 2000;
  Fixture f(options);
  One one;
  f.serve(one, {"t " + std::string(1500, 'x'), "t " + std::string(1500, 'y'), "e"});
  REQUIRE_FALSE(f.hits());
}

TEST_CASE("levels are asked from the nearest on, and a hit moves nearer", "[policy][cache]") {
  CacheOptions options = memory_options();
  const auto slow = std::make_shared<SlowStore>();
  const auto far = memory_store(1024 * 1024);
  options.redis = slow;
  options.disk = far;
  {
    Fixture f(options);
    One one;
    f.start(one);
    REQUIRE(f.transport->calls.empty());
    REQUIRE(slow->asked.size() == 1);
    slow->asked[0].second(nullptr);
    REQUIRE(f.transport->calls.size() == 1);
    for (const std::string& frame : answer) f.transport->frame(0, frame);
    f.transport->end(0);
    REQUIRE(slow->kept.size() == 1);
    REQUIRE(slow->kept[0].first == slow->asked[0].first);

    REQUIRE(f.hits());  // memory
    REQUIRE(slow->asked.size() == 1);
    REQUIRE(far->stats().writes == 1);
    REQUIRE(far->stats().hits == 0);

    REQUIRE(f.policy->stats().size() == 3);
  }
  REQUIRE(slow->flushed);
  REQUIRE(*slow->flushed <= 2s);

  const CacheEntryPtr entry = slow->kept[0].second;
  Fixture other(options);
  SECTION("a hit in the middle") {
    One one;
    other.start(one);
    REQUIRE(one.call->on_abort);
    slow->asked.back().second(entry);
    REQUIRE(one.complete());
    REQUIRE(one.call->facts.cache_level == "redis");
    REQUIRE(slow->kept.size() == 1);
    REQUIRE(other.hits());  // from memory now
    REQUIRE(slow->asked.size() == 2);
  }
  SECTION("a hit at the end") {
    One one;
    other.start(one);
    slow->asked.back().second(nullptr);
    REQUIRE(one.complete());
    REQUIRE(slow->kept.size() == 2);
    REQUIRE(other.hits());
  }
  SECTION("an entry that is too old at one level may be new at the next") {
    CacheEntryWriter writer;
    writer.add("t old");
    One one;
    other.start(one);
    const WallTime now = other.clock->now;
    slow->asked.back().second(writer.finish(slow->asked.back().first, {now - 2h, now - 1h, now + 1h}));
    REQUIRE(one.complete());
    REQUIRE(one.sink->frames == answer);
  }
  SECTION("given up while the store is asked") {
    One one;
    other.start(one);
    one.abort();
    REQUIRE(one.sink->ends == 1);
    REQUIRE(one.sink->error->code() == ErrorCode::cancelled);
    slow->asked.back().second(entry);
    REQUIRE(one.sink->ends == 1);
    REQUIRE(one.sink->frames.empty());
    REQUIRE(other.transport->calls.empty());
  }
  SECTION("a read-only call moves nothing") {
    One one;
    one.call->cache = CacheUse::read_only;
    other.start(one);
    slow->asked.back().second(entry);
    REQUIRE(one.complete());
    One again;
    other.start(again);
    REQUIRE(slow->asked.size() == 3);
    slow->asked.back().second(entry);
  }
}

TEST_CASE("one memory level may serve several clients", "[policy][cache]") {
  CacheOptions options;
  options.memory = memory_store(1024 * 1024);
  Fixture one(options);
  Fixture other(options);
  One call;
  one.serve(call, answer);
  REQUIRE(other.hits());
  options.scope = "another tenant";
  Fixture stranger(options);
  REQUIRE_FALSE(stranger.hits());
}

TEST_CASE("cache options that make no sense are named", "[policy][cache]") {
  const auto refused = [](auto change) {
    CacheOptions options = memory_options();
    change(options);
    const auto error = check(options);
    return error && error->code() == ErrorCode::invalid_options;
  };
  REQUIRE_FALSE(check(CacheOptions()));
  REQUIRE_FALSE(check(memory_options()));
  REQUIRE(refused([](CacheOptions& o) { o.memory_bytes = 5; }));
  REQUIRE(refused([](CacheOptions& o) { o.memory = memory_store(1024 * 1024); }));
  REQUIRE(refused([](CacheOptions& o) { o.ttl_jitter = 1.0; }));
  REQUIRE(refused([](CacheOptions& o) { o.ttl_jitter = -0.1; }));
  REQUIRE(refused([](CacheOptions& o) { o.keep_stale = -1ms; }));
  REQUIRE(refused([](CacheOptions& o) { o.negative_ttl = -1ms; }));
  REQUIRE(refused([](CacheOptions& o) { o.max_entry_bytes = 0; }));
  REQUIRE(refused([](CacheOptions& o) { o.disk = memory_store(0); }));
}
