// Limits and ceilings in real clients: many threads, two clients on one limiter, cancelled while waiting.
#include "support/catch.hpp"
#include "support/scripted_transport.hpp"

#include <deepseek/client.hpp>
#include <deepseek/policy/cost.hpp>
#include <deepseek/policy/limits.hpp>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

using namespace deepseek;
using namespace std::chrono_literals;

namespace {

/// What all transports of a test see.
struct Watch {
  std::atomic<int> in_flight{0};
  std::atomic<int> most{0};
  std::atomic<int> sent{0};
};

/// Answers every request after a moment.
class SlowTransport : public Transport {
 public:
  explicit SlowTransport(Watch& watch, std::chrono::microseconds takes = 500us) : watch_(watch), takes_(takes) {}
  void attach(Loop& loop) override { loop_ = &loop; }
  void start(CallPtr call, SinkPtr sink) override {
    ++watch_.sent;
    const int now = ++watch_.in_flight;
    for (int most = watch_.most; most < now && !watch_.most.compare_exchange_weak(most, now);) {
    }
    auto over = std::make_shared<bool>(false);
    call->on_abort = [this, call_ptr = call.get(), sink, over](Error error) {
      *over = true;
      --watch_.in_flight;
      const auto keep = sink;
      call_ptr->release_holds();
      keep->on_end(std::move(error));
    };
    loop_->schedule(loop_->now() + takes_, [this, call, sink, over] {
      if (*over) return;
      const std::string body = deepseek_tests::reply_body(R"({"role":"assistant","content":"hi"})");
      sink->on_frame({body, call->decoder->inspect(body), false});
      call->release_holds();
      --watch_.in_flight;
      sink->on_end(call->decoder->conclude(true));
    });
  }

 private:
  Watch& watch_;
  std::chrono::microseconds takes_;
  Loop* loop_ = nullptr;
};

ChatRequest hello() {
  ChatRequest request;
  request.messages = {Message::user("hello")};
  return request;
}

DeepSeekClient make_client(Watch& watch, ClientOptions options, std::chrono::microseconds takes = 500us) {
  options.endpoints = {{"https://api.deepseek.com", api_key(std::string("test-key"))}};
  options.transport = std::make_shared<SlowTransport>(watch, takes);
  return DeepSeekClient::create(std::move(options)).value();
}

}  // namespace

TEST_CASE("64 threads share a client and keep to its limits", "[policy][concurrent]") {
  Watch watch;
  ClientOptions options;
  options.limits.in_flight = 4;
  options.limits.requests_per_minute = 60'000;
  options.limits.requests_burst = 20;
  const DeepSeekClient client = make_client(watch, options);
  const auto began = std::chrono::steady_clock::now();
  std::atomic<int> answered{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 64; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 4; ++n)
        if (client.chat("hello")) ++answered;
    });
  }
  for (auto& thread : threads) thread.join();
  const auto took = std::chrono::steady_clock::now() - began;
  CHECK(answered == 256);
  CHECK(watch.most <= 4);
  CHECK(took >= 235ms);  // 20 at once, then one a millisecond
}

TEST_CASE("two clients share a limiter, one with callbacks, one with threads that wait", "[policy][concurrent]") {
  LimitOptions limits;
  limits.in_flight = 2;
  limits.requests_per_minute = 120'000;
  limits.requests_burst = 5;
  const Limiter limiter = Limiter::create(limits).value();
  Watch watch;
  ClientOptions options;
  options.limiter = limiter;
  const DeepSeekClient waiting = make_client(watch, options);
  const DeepSeekClient hosted = make_client(watch, options);
  std::vector<std::future<Result<ChatReply>>> futures;
  for (int i = 0; i < 100; ++i) futures.push_back(hosted.chat_future(hello()));
  std::atomic<int> answered{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 10; ++n)
        if (waiting.chat("hello")) ++answered;
    });
  }
  for (auto& thread : threads) thread.join();
  for (auto& future : futures)
    if (future.get()) ++answered;
  CHECK(answered == 180);
  CHECK(watch.most <= 2);
  CHECK(limiter.state().in_flight == 0);
}

TEST_CASE("a client that goes ends what waits for a turn", "[policy]") {
  Watch watch;
  std::vector<std::future<Result<ChatReply>>> futures;
  LimitOptions limits;
  limits.in_flight = 1;
  const Limiter limiter = Limiter::create(limits).value();
  {
    ClientOptions options;
    options.limiter = limiter;
    const DeepSeekClient client = make_client(watch, options, 1h);
    for (int i = 0; i < 10; ++i) futures.push_back(client.chat_future(hello()));
  }
  for (auto& future : futures) {
    const auto result = future.get();
    REQUIRE_FALSE(result);
    CHECK(result.error().outcome() == Outcome::cancelled);
  }
  CHECK(watch.sent <= 1);
  CHECK(limiter.state().in_flight == 0);
  CHECK(limiter.state().waiting == 0);
}

TEST_CASE("a call's deadline counts while it waits for a turn", "[policy]") {
  Watch watch;
  ClientOptions options;
  options.limits.in_flight = 1;
  const DeepSeekClient client = make_client(watch, options, 1h);
  auto first = client.chat_future(hello());
  CallOptions hasty;
  hasty.deadline = std::chrono::steady_clock::now() + 20ms;
  const auto late = client.chat("hello", hasty);
  REQUIRE_FALSE(late);
  CHECK(late.error().outcome() == Outcome::timed_out);
}

TEST_CASE("a ceiling refuses before anything is sent", "[policy]") {
  Watch watch;
  CostOptions cost;
  cost.budget.total = Money{1};
  ClientOptions options;
  options.cost = CostMeter::create(cost).value();
  const DeepSeekClient client = make_client(watch, options);
  const auto refused = client.chat("hello");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::budget_exceeded);
  CHECK(refused.error().outcome() == Outcome::refused);
  CHECK(watch.sent == 0);
}
