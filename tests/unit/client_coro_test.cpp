// coro::Stream: the pull stream of coroutines, on the I/O thread and on an executor, held back and dropped.
#include <deepseek/coro.hpp>

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include <deepseek/testing/double.hpp>

#include "support/catch.hpp"
#include "support/clients.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek::test::Double;
using deepseek::test::say;
using deepseek_tests::ask;
using deepseek_tests::client_of;

namespace {

/// Starts at once; what it returns comes by a future.
template <class T>
struct Run {
  struct promise_type {
    std::promise<T> end;
    Run get_return_object() { return {end.get_future()}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_value(T value) { end.set_value(std::move(value)); }
    void unhandled_exception() { end.set_exception(std::current_exception()); }
  };
  std::future<T> future;
  T get() {
    REQUIRE(future.wait_for(20s) == std::future_status::ready);
    return future.get();
  }
};

struct Told {
  std::string text;
  std::optional<Result<ChatReply>> result;
  int chunks = 0;
};

Run<Told> read_all(DeepSeekClient client, ChatRequest request, CallOptions options = {}) {
  Told told;
  coro::Stream stream = coro::stream(client, request, options);
  while (const ChatChunk* chunk = co_await stream.next()) {
    told.text += chunk->content();
    ++told.chunks;
  }
  told.result = co_await stream.result();
  co_return told;
}

/// A thread that runs tasks in order.
class Thread final : public Executor {
 public:
  Thread() : worker_([this] { run(); }) {}
  ~Thread() override {
    post(nullptr);
    worker_.join();
  }
  void post(Task task) override {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_all();
  }
  bool running_here() const override { return std::this_thread::get_id() == worker_.get_id(); }

 private:
  void run() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !tasks_.empty(); });
      const Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      if (!task) return;
      task();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  std::thread worker_;
};

/// A coroutine that its holder destroys.
struct Held {
  struct promise_type {
    Held get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

/// What a coroutine waits for that has nothing to do with the client.
struct Gate {
  std::coroutine_handle<> waiting;
  std::promise<void> reached;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiting = handle;
    reached.set_value();
  }
  void await_resume() const noexcept {}
};

}  // namespace

TEST_CASE("a coroutine pulls a stream to its end", "[concurrent]") {
  Double server;
  server.script({say("one two three four five")});
  const auto client = client_of(server);
  const Told told = read_all(client, ask("hi")).get();
  CHECK(told.text == "one two three four five");
  CHECK(told.chunks > 3);
  REQUIRE(told.result);
  REQUIRE(told.result->has_value());
  CHECK((*told.result)->content() == told.text);
  CHECK((*told.result)->finish_reason() == "stop");
  CHECK(server.requests().front().body.find("\"stream\":true") != std::string::npos);
}

TEST_CASE("a coroutine pulls on the client's executor", "[concurrent]") {
  Double server;
  server.script({say("one two three four five").pace(1ms)});
  auto options = server.client_options();
  const auto thread = std::make_shared<Thread>();
  options.executor = thread;
  const auto client = DeepSeekClient::create(options).value();
  const Told told = read_all(client, ask("hi")).get();
  CHECK(told.text == "one two three four five");
  CHECK(told.result->has_value());
}

TEST_CASE("what a pulled coroutine stream ends with is told like everywhere", "[concurrent]") {
  Double server;
  const auto client = client_of(server);
  server.script({say("one two three").end_without_finish()});
  const Told cut = read_all(client, ask("hi")).get();
  CHECK(cut.text == "one two three");
  REQUIRE_FALSE(*cut.result);
  CHECK(cut.result->error().outcome() == Outcome::truncated);
  CHECK(cut.result->error().partial()->content() == cut.text);
  // A refusal suspends nothing.
  const Told refused = read_all(client, ChatRequest()).get();
  CHECK(refused.chunks == 0);
  CHECK(refused.result->error().code() == ErrorCode::invalid_request);
  // Cancelled from another thread while it waits.
  server.script({say("one two three").stall_after_events(3)});
  CancelSource source;
  CallOptions options;
  options.cancel = source.token();
  auto stalled = read_all(client, ask("hi"), options);
  REQUIRE(server.wait_for_active(1));
  source.cancel();
  CHECK(stalled.get().result->error().code() == ErrorCode::cancelled);
}

TEST_CASE("result() of a coroutine stream waits for the rest and may be awaited again", "[concurrent]") {
  Double server;
  server.script({say("one two three").pace(2ms)});
  const auto client = client_of(server);
  const auto skip = [](DeepSeekClient handle, ChatRequest request) -> Run<Told> {
    Told told;
    coro::Stream stream = coro::stream(handle, request);
    co_await stream.next();
    told.result = co_await stream.result();
    if (co_await stream.next()) told.chunks = 1;
    const auto again = co_await stream.result();
    told.text = again ? again->content() : "none";
    coro::Stream moved = std::move(stream);
    const auto closed = co_await stream.result();
    if (closed || closed.error().code() != ErrorCode::closed) told.text = "not closed";
    co_return told;
  };
  const Told told = skip(client, ask("hi")).get();
  REQUIRE(told.result->has_value());
  CHECK((*told.result)->content() == "one two three");
  CHECK(told.text == "one two three");
  CHECK(told.chunks == 0);
}

TEST_CASE("a coroutine that is busy elsewhere holds the stream back, and loses nothing", "[concurrent]") {
  constexpr std::size_t events = 40'000;
  std::string body;
  for (std::size_t i = 0; i < events; ++i)
    body += "data: {\"id\":\"i\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + std::string(500, 'x') +
            "\"}}]}\n\n";
  body +=
      "data: {\"id\":\"i\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
  Double server;
  server.script({test::raw_stream(body)});
  auto options = server.client_options();
  options.stream_buffer_bytes = 16 * KiB;
  const auto client = DeepSeekClient::create(options).value();
  Gate gate;
  const auto slow = [](DeepSeekClient handle, ChatRequest request, Gate& busy) -> Run<std::size_t> {
    coro::Stream stream = coro::stream(handle, request);
    std::size_t bytes = 0;
    const ChatChunk* chunk = co_await stream.next();
    bytes += chunk->content().size();
    co_await busy;
    while ((chunk = co_await stream.next())) bytes += chunk->content().size();
    co_return (co_await stream.result()) ? bytes : 0;
  };
  auto run = slow(client, ask("hi"), gate);
  REQUIRE(gate.reached.get_future().wait_for(20s) == std::future_status::ready);
  // The answer is larger than every buffer on the way: while nobody takes chunks it cannot be over, however much
  // the I/O thread does meanwhile.
  for (int i = 0; i < 100; ++i) REQUIRE(client.models());
  CHECK(server.wait_for_active(1));
  gate.waiting.resume();
  CHECK(run.get() == events * 500);
}

TEST_CASE("dropping a coroutine stream cancels its call", "[concurrent]") {
  Double server;
  const auto client = client_of(server);
  server.script({say("one two three").stall_after_events(2), say("one two three").stall_after_events(2)});
  const auto first_only = [](DeepSeekClient handle, ChatRequest request) -> Run<std::string> {
    coro::Stream stream = coro::stream(handle, request);
    const ChatChunk* chunk = co_await stream.next();
    co_return std::string(chunk ? "chunk" : "none");
  };
  CHECK(first_only(client, ask("hi")).get() == "chunk");
  CHECK(server.wait_for_active(0));
}

TEST_CASE("a coroutine may be destroyed while it waits for a chunk", "[concurrent]") {
  Double server;
  server.script({say("one two three").stall_after_events(2)});
  auto options = server.client_options();
  const auto thread = std::make_shared<Thread>();
  options.executor = thread;
  const auto client = DeepSeekClient::create(options).value();
  std::promise<void> seen, gone;
  const auto wait_for_ever = [](DeepSeekClient handle, ChatRequest request, std::promise<void>& first) -> Held {
    coro::Stream stream = coro::stream(handle, request);
    co_await stream.next();
    first.set_value();
    while (co_await stream.next()) {
    }
  };
  const Held held = wait_for_ever(client, ask("hi"), seen);
  REQUIRE(seen.get_future().wait_for(20s) == std::future_status::ready);
  thread->post([&] {
    held.handle.destroy();
    gone.set_value();
  });
  REQUIRE(gone.get_future().wait_for(20s) == std::future_status::ready);
  CHECK(server.wait_for_active(0));
}

TEST_CASE("FIM has a coroutine stream too, and a prompt may be text", "[concurrent]") {
  Double server;
  server.script({say("return 1"), say("Hello")});
  auto options = server.client_options();
  const auto client = DeepSeekClient::create(options).value();
  const auto both = [](DeepSeekClient handle) -> Run<std::string> {
    CompletionRequest fim;
    fim.prompt = "def f():";
    coro::Stream stream = coro::complete_stream(handle, fim);
    const auto inserted = co_await stream.result();
    coro::Stream talk = coro::stream(handle, "Say hello.");
    const auto said = co_await talk.result();
    co_return (inserted ? inserted->content() : "-") + '|' + (said ? said->content() : "-");
  };
  CHECK(both(client).get() == "return 1|Hello");
}
