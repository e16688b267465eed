// Single-flight: one request for calls that ask the same, each at its own pace.
#include "support/catch.hpp"

#include <deepseek/policy/single_flight.hpp>

#include "unit/policy_cache_kit.hpp"

using namespace cache_kit;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  explicit Fixture(std::uint64_t max_bytes = 1024 * 1024)
      : pipeline({make_single_flight_policy({true, max_bytes}, {"https://api.deepseek.com"})}, transport, loop) {}
  ~Fixture() { transport->end_all(); }
  void start(One& one) { pipeline.start(one.call, one.sink); }
  Call& request(std::size_t index = 0) { return *transport->calls.at(index).call; }

  deepseek_tests::FakeLoop loop;
  std::shared_ptr<HandTransport> transport = std::make_shared<HandTransport>();
  Pipeline pipeline;
};

}  // namespace

TEST_CASE("calls that ask the same share one request", "[policy][single_flight]") {
  Fixture f;
  One a, b, c;
  f.start(a);
  f.start(b);
  REQUIRE(f.transport->calls.size() == 1);
  f.transport->frame(0, "t 1");
  f.transport->frame(0, "t 2");
  f.start(c);  // late: from the start
  REQUIRE(c.sink->frames == Strings{"t 1", "t 2"});
  f.transport->frame(0, "e");
  f.request().facts.http_status = 200;
  f.transport->end(0);
  for (One* one : {&a, &b, &c}) {
    REQUIRE(one->complete());
    REQUIRE(one->sink->frames == Strings{"t 1", "t 2", "e"});
    REQUIRE(one->decoder->seen == one->sink->frames);
    REQUIRE(one->decoder->concluded == 1);
    REQUIRE_FALSE(one->call->on_abort);
    REQUIRE_FALSE(one->call->on_pause);
    REQUIRE(one->call->facts.http_status == 200);
    REQUIRE(one->call->facts.first_token.count() > 0);
  }
  REQUIRE(a.call->facts.attempts + b.call->facts.attempts + c.call->facts.attempts == 1);
  REQUIRE(static_cast<int>(a.call->facts.usage.told()) + b.call->facts.usage.told() + c.call->facts.usage.told() == 1);

  One d;
  f.start(d);
  REQUIRE(f.transport->calls.size() == 2);
}

TEST_CASE("what a shared request cost is told once, and what its members were before stays",
          "[policy][single_flight]") {
  Fixture f;
  One a, b;
  b.call->facts.resumed = 1;
  b.call->facts.degraded = "fallback_model";
  f.start(a);
  f.start(b);
  f.request().facts.cost = 0.5;
  f.request().facts.currency = "usd";
  f.request().facts.waited = 3ms;
  f.transport->frame(0, "t 1");
  f.transport->frame(0, "e");
  f.transport->end(0);
  REQUIRE(a.complete());
  REQUIRE(b.complete());
  CHECK(a.call->facts.cost + b.call->facts.cost == 0.5);
  CHECK(a.call->facts.waited + b.call->facts.waited == 3ms);
  CHECK((a.call->facts.currency.empty() != b.call->facts.currency.empty()));
  CHECK(b.call->facts.resumed == 1);
  CHECK(b.call->facts.degraded == "fallback_model");
}

TEST_CASE("calls that ask something else go alone", "[policy][single_flight]") {
  Fixture f;
  One a, other("{\"q\":2}"), batch, off, no_codec, hasty;
  batch.call->priority = Priority::batch;
  hasty.call->timeouts.first_token = 200ms;
  off.call->cache = CacheUse::off;
  no_codec.call->codec = nullptr;
  for (One* one : {&a, &other, &batch, &off, &no_codec, &hasty}) f.start(*one);
  REQUIRE(f.transport->calls.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) f.transport->end(i);
}

TEST_CASE("each clock of a call parts it from others, its own deadline does not", "[policy][single_flight]") {
  Fixture f;
  One a, in_time;
  f.start(a);
  in_time.call->timeouts.total = 5s;
  in_time.call->deadline = f.loop.now() + 5s;
  f.start(in_time);
  REQUIRE(f.transport->calls.size() == 1);
  std::size_t requests = 1;
  for (const auto clock : {&Timeouts::dns, &Timeouts::connect, &Timeouts::tls, &Timeouts::first_byte,
                           &Timeouts::first_token, &Timeouts::between_tokens, &Timeouts::idle}) {
    One other;
    other.call->timeouts.*clock = 1234ms;
    f.start(other);
    REQUIRE(f.transport->calls.size() == ++requests);
  }
}

TEST_CASE("all know the credential their request was sent with", "[policy][single_flight]") {
  Fixture f;
  One a, b, leaver;
  for (One* one : {&a, &b, &leaver}) f.start(*one);
  f.request().authorization = Secret("Bearer of the request");
  f.request().facts.trace_id = "an id";
  leaver.abort();
  f.transport->frame(0, "e");
  f.transport->end(0);
  for (One* one : {&a, &b, &leaver}) {
    REQUIRE(one->call->facts.trace_id == "an id");
    REQUIRE(one->call->authorization == f.request().authorization);
  }
}

TEST_CASE("one who leaves stops nobody, whoever began", "[policy][single_flight]") {
  Fixture f;
  One a, b, c;
  for (One* one : {&a, &b, &c}) f.start(*one);
  f.transport->frame(0, "t 1");
  One& leaver = GENERATE(0, 1, 2) == 0 ? a : b;
  leaver.abort();
  REQUIRE(leaver.sink->ends == 1);
  REQUIRE(leaver.sink->error->code() == ErrorCode::cancelled);
  REQUIRE(f.transport->aborted == 0);
  f.transport->frame(0, "t 2");
  One& other = &leaver == &a ? b : a;
  REQUIRE(other.sink->frames.size() == 2);
  REQUIRE(leaver.sink->frames.size() == 1);
  other.abort();
  REQUIRE(f.transport->aborted == 0);
  f.transport->frame(0, "e");
  f.transport->end(0);
  REQUIRE(c.complete());
  REQUIRE(c.sink->frames == Strings{"t 1", "t 2", "e"});
  REQUIRE(leaver.sink->ends == 1);
  REQUIRE(a.call->facts.attempts + b.call->facts.attempts + c.call->facts.attempts == 1);
}

TEST_CASE("the request ends with the last who waited for it", "[policy][single_flight]") {
  Fixture f;
  One a, b;
  f.start(a);
  f.start(b);
  a.abort();
  REQUIRE(f.transport->aborted == 0);
  b.abort();
  REQUIRE(f.transport->aborted == 1);
  REQUIRE(a.sink->ends == 1);
  REQUIRE(b.sink->ends == 1);
  One c;
  f.start(c);
  REQUIRE(f.transport->calls.size() == 2);  // nobody joins what is being given up
}

TEST_CASE("leaving from inside a frame", "[policy][single_flight]") {
  Fixture f;
  One a, b;
  f.start(a);
  f.start(b);
  One& leaver = GENERATE(true, false) ? a : b;
  One& other = &leaver == &a ? b : a;
  leaver.sink->during = [&leaver] { leaver.abort(); };
  f.transport->frame(0, "t 1");
  f.transport->frame(0, "e");
  f.transport->end(0);
  REQUIRE(leaver.sink->ends == 1);
  REQUIRE(leaver.sink->error->code() == ErrorCode::cancelled);
  REQUIRE(leaver.sink->frames.size() == 1);
  REQUIRE(other.complete());
  REQUIRE(other.sink->frames == Strings{"t 1", "e"});
}

TEST_CASE("each goes at its own pace", "[policy][single_flight]") {
  Fixture f;
  One slow, fast;
  f.start(slow);
  f.start(fast);
  f.transport->frame(0, "t 1");
  slow.call->pause(true);
  REQUIRE_FALSE(f.request().paused);
  f.transport->frame(0, "t 2");
  f.transport->frame(0, "t 3");
  REQUIRE(slow.sink->frames.size() == 1);
  REQUIRE(fast.sink->frames.size() == 3);

  SECTION("all paused: the request too") {
    fast.call->pause(true);
    REQUIRE(f.request().paused);
    slow.call->pause(false);
    REQUIRE_FALSE(f.request().paused);
    f.loop.run();
    REQUIRE(slow.sink->frames.size() == 3);
    f.transport->frame(0, "e");
    f.transport->end(0);
    REQUIRE(slow.complete());
    REQUIRE(fast.sink->frames.size() == 3);
    fast.call->pause(false);
    f.loop.run();
    REQUIRE(fast.complete());
  }
  SECTION("the end waits for the slow one") {
    f.transport->frame(0, "e");
    f.transport->end(0);
    REQUIRE(fast.complete());
    REQUIRE(slow.sink->ends == 0);
    slow.call->pause(false);
    f.loop.run();
    REQUIRE(slow.complete());
    REQUIRE(slow.sink->frames == fast.sink->frames);
    REQUIRE(slow.decoder->concluded == 1);
  }
  SECTION("the fast one leaves: the request waits for the slow one") {
    fast.abort();
    REQUIRE(f.request().paused);
    slow.call->pause(false);
    REQUIRE_FALSE(f.request().paused);
    f.loop.run();
    f.transport->frame(0, "e");
    f.transport->end(0);
    REQUIRE(slow.sink->frames == Strings{"t 1", "t 2", "t 3", "e"});
    REQUIRE(slow.complete());
  }
  SECTION("a frame comes although all are paused") {
    fast.call->pause(true);
    f.transport->frame(0, "e");
    f.transport->end(0);
    slow.call->pause(false);
    fast.call->pause(false);
    f.loop.run();
    REQUIRE(slow.complete());
    REQUIRE(fast.complete());
    REQUIRE(slow.sink->frames == fast.sink->frames);
  }
  SECTION("given up while it is behind") {
    slow.abort();
    f.transport->frame(0, "e");
    f.transport->end(0);
    f.loop.run();
    REQUIRE(slow.sink->ends == 1);
    REQUIRE(slow.sink->frames.size() == 1);
    REQUIRE(fast.complete());
  }
}

TEST_CASE("one who joins paused gets nothing yet", "[policy][single_flight]") {
  Fixture f;
  One a, b;
  f.start(a);
  f.transport->frame(0, "t 1");
  b.call->paused = true;
  f.start(b);
  REQUIRE(b.sink->frames.empty());
  f.transport->end(0);
  REQUIRE(a.complete());
  REQUIRE(b.sink->ends == 0);
  b.call->pause(false);
  f.loop.run();
  REQUIRE(b.complete());
  REQUIRE(b.sink->frames == Strings{"t 1"});
}

namespace {

/// More than a Fixture(4096) holds.
void long_reply(Fixture& f) {
  for (int i = 0; i < 5; ++i) f.transport->frame(0, "t " + std::string(1000, 'x'));
}

}  // namespace

TEST_CASE("a long reply can no longer be joined", "[policy][single_flight]") {
  Fixture f(4096);
  One a, b, late;
  f.start(a);
  f.start(b);
  long_reply(f);
  REQUIRE_FALSE(f.request().paused);
  f.start(late);
  REQUIRE(f.transport->calls.size() == 2);
  f.transport->frame(0, "e");
  f.transport->end(0);
  REQUIRE(a.complete());
  REQUIRE(b.complete());
  REQUIRE(b.sink->frames == a.sink->frames);
  REQUIRE(b.sink->frames.size() == 6);
  f.transport->end(1);
}

TEST_CASE("one that is too far behind is ended, so that nobody waits for it", "[policy][single_flight]") {
  Fixture f(4096);
  One a, b, c;
  for (One* one : {&a, &b, &c}) f.start(*one);
  One& slow = GENERATE(true, false) ? a : b;
  One& fast = &slow == &a ? b : a;
  slow.call->pause(true);
  std::size_t frames = 6;
  const auto went_on = [&] {
    REQUIRE(slow.sink->ends == 1);
    REQUIRE(slow.sink->error->code() == ErrorCode::limit_exceeded);
    REQUIRE_FALSE(slow.call->on_abort);
    REQUIRE_FALSE(f.request().paused);
    f.transport->frame(0, "e");
    f.transport->end(0);
    REQUIRE(fast.complete());
    REQUIRE(fast.sink->frames.size() == frames);
    REQUIRE(slow.sink->ends == 1);
    REQUIRE(a.call->facts.attempts + b.call->facts.attempts + c.call->facts.attempts == 1);
  };

  SECTION("by the frame that is too much") {
    long_reply(f);
    went_on();
    REQUIRE(c.complete());
  }
  SECTION("two of them") {
    c.call->pause(true);
    long_reply(f);
    REQUIRE(c.sink->error->code() == ErrorCode::limit_exceeded);
    went_on();
  }
  SECTION("not while nobody waits for more, but when one does") {
    f.transport->frame(0, "t " + std::string(1000, 'x'));
    fast.call->pause(true);
    c.call->pause(true);
    for (int i = 0; i < 4; ++i) f.transport->frame(0, "t " + std::string(1000, 'x'));
    REQUIRE(f.request().paused);
    REQUIRE(slow.sink->ends == 0);
    fast.call->pause(false);
    f.loop.run();
    went_on();
  }
  SECTION("from inside a frame") {
    slow.sink->during = [&slow] { slow.call->pause(true); };
    slow.call->pause(false);
    f.transport->frame(0, "t 1");
    REQUIRE(slow.call->paused);
    long_reply(f);
    frames = 7;
    went_on();
    REQUIRE(slow.sink->frames == Strings{"t 1"});
  }
  if (c.sink->ends == 0) c.abort();  // it never read: a call that is held is a circle
}

TEST_CASE("one that catches up is waited for", "[policy][single_flight]") {
  Fixture f(4096);
  One slow, fast;
  f.start(slow);
  f.start(fast);
  slow.call->pause(true);
  for (int i = 0; i < 3; ++i) f.transport->frame(0, "t " + std::string(1000, 'x'));
  for (int i = 0; i < 400; ++i) f.transport->frame(0, "d");
  slow.call->pause(false);
  REQUIRE(f.loop.run_one());  // some frames, not all
  REQUIRE(slow.sink->frames.size() == 256);
  SECTION("to its end") {
    f.loop.run();
    f.transport->frame(0, "e");
    f.transport->end(0);
    REQUIRE(slow.complete());
    REQUIRE(fast.complete());
    REQUIRE(slow.sink->frames == fast.sink->frames);
  }
  SECTION("until it pauses again") {
    slow.call->pause(true);
    f.transport->frame(0, "t " + std::string(5000, 'x'));
    f.loop.run();
    REQUIRE(slow.sink->error->code() == ErrorCode::limit_exceeded);
    REQUIRE_FALSE(f.request().paused);
    f.transport->end(0);
    REQUIRE(fast.complete());
  }
}

TEST_CASE("what one who leaves had not had yet holds nobody up", "[policy][single_flight]") {
  Fixture f(4096);
  One slow, other;
  f.start(slow);
  f.start(other);
  slow.call->pause(true);
  other.call->pause(true);
  f.transport->frame(0, "t 1");  // comes although all are paused
  long_reply(f);
  One& first = slow.sink->frames.size() < other.sink->frames.size() ? slow : other;
  One& second = &first == &slow ? other : slow;
  REQUIRE(f.request().paused);
  first.abort();
  REQUIRE(f.request().paused);
  second.call->pause(false);
  f.loop.run();
  REQUIRE_FALSE(f.request().paused);
  f.transport->frame(0, "e");
  f.transport->end(0);
  REQUIRE(second.complete());
  REQUIRE(second.sink->frames.size() == 7);
}

TEST_CASE("all share the outcome", "[policy][single_flight]") {
  Fixture f;
  One a, b;
  f.start(a);
  f.start(b);
  f.transport->frame(0, "t 1");
  f.transport->end(0, Error(ErrorCode::rate_limited, "slow down"));
  for (One* one : {&a, &b}) {
    REQUIRE(one->sink->ends == 1);
    REQUIRE(one->sink->error->code() == ErrorCode::rate_limited);
  }
}

TEST_CASE("a repeated attempt begins from the start for all", "[policy][single_flight]") {
  Fixture f;
  One a, b;
  f.start(a);
  f.start(b);
  f.transport->frame(0, "d role");
  f.request().decoder->reset();
  f.transport->frame(0, "t 1");
  f.transport->end(0);
  One c;
  for (One* one : {&a, &b}) {
    REQUIRE(one->complete());
    REQUIRE(one->decoder->seen == Strings{"t 1"});
  }
}

TEST_CASE("the longest deadline of all holds for the request", "[policy][single_flight]") {
  Fixture f;
  One a, b, c;
  a.call->deadline = f.loop.now() + 1s;
  b.call->deadline = f.loop.now() + 3s;
  f.start(a);
  f.start(b);
  REQUIRE(f.request().deadline == b.call->deadline);
  f.start(c);
  REQUIRE_FALSE(f.request().deadline);
  f.transport->end(0);
}

TEST_CASE("an answer that comes at once is shared too", "[policy][single_flight]") {
  struct AtOnce final : Policy {
    Phase phase() const override { return Phase::retry; }
    void start(CallPtr, SinkPtr sink, Next) override { sink->on_end(Error(ErrorCode::circuit_open, "open")); }
  };
  deepseek_tests::FakeLoop loop;
  const auto transport = std::make_shared<HandTransport>();
  Pipeline pipeline({make_single_flight_policy({true, 4096}, {}), std::make_shared<AtOnce>()}, transport, loop);
  for (int i = 0; i < 2; ++i) {
    One one;
    pipeline.start(one.call, one.sink);
    REQUIRE(one.sink->ends == 1);
    REQUIRE(one.sink->error->code() == ErrorCode::circuit_open);
  }
}

TEST_CASE("nothing is left behind", "[policy][single_flight]") {
  std::weak_ptr<Call> a_left, b_left, request_left;
  {
    Fixture f;
    One a, b;
    f.start(a);
    f.start(b);
    a_left = a.call;
    b_left = b.call;
    request_left = f.transport->calls[0].call;
    f.transport->frame(0, "t 1");
    b.abort();
    f.transport->end(0);
    f.transport->calls.clear();
  }
  REQUIRE(a_left.expired());
  REQUIRE(b_left.expired());
  REQUIRE(request_left.expired());
}

TEST_CASE("off by default", "[policy][single_flight]") {
  deepseek_tests::FakeLoop loop;
  const auto transport = std::make_shared<HandTransport>();
  Pipeline pipeline({make_single_flight_policy({}, {})}, transport, loop);
  One a, b;
  pipeline.start(a.call, a.sink);
  pipeline.start(b.call, b.sink);
  REQUIRE(transport->calls.size() == 2);
  transport->end_all();
  REQUIRE(check(SingleFlightOptions{true, 10})->code() == ErrorCode::invalid_options);
  REQUIRE_FALSE(check(SingleFlightOptions{}));
}
