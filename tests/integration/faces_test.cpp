// One call in its four faces, over a real socket.
#include "support/catch.hpp"
#include "support/clients.hpp"

#include <deepseek/coro.hpp>
#include <deepseek/http/curl.hpp>
#include <deepseek/http/fake.hpp>
#include <deepseek/transport/http.hpp>

#include <atomic>
#include <set>
#include <thread>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek::test::Double;
using deepseek::test::say;
using deepseek::test::think;
using deepseek_tests::ask;
using deepseek_tests::client_of;
using deepseek_tests::Collector;

namespace {

/// The smallest coroutine that can be awaited by a test.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

Detached ask_by_coroutine(DeepSeekClient client, ChatRequest request, std::promise<Result<ChatReply>>& done) {
  Result<ChatReply> reply = co_await coro::chat(client, request);
  done.set_value(std::move(reply));
}

}  // namespace

TEST_CASE("every face gives the same reply", "[integration][concurrent]") {
  Double server;
  server.script({say("Hello again"), say("Hello again"), say("Hello again"), say("Hello again"), say("Hello again")});
  const auto client = client_of(server);
  std::vector<Result<ChatReply>> replies;
  replies.push_back(client.chat(ask("hi")));
  replies.push_back(client.stream(ask("hi")).result());
  replies.push_back(client.chat_future(ask("hi")).get());
  Collector collector;
  client.chat_async(ask("hi"), collector.handler());
  REQUIRE(collector.await_ends(1));
  replies.push_back(collector.results().front());
  std::promise<Result<ChatReply>> done;
  ask_by_coroutine(client, ask("hi"), done);
  replies.push_back(done.get_future().get());
  for (const auto& reply : replies) {
    REQUIRE(reply.has_value());
    CHECK(reply->content() == "Hello again");
    CHECK(reply->finish_reason() == "stop");
    CHECK(reply->usage.has_value());
    CHECK(reply->info.attempts == 1);
    CHECK(reply->info.http_status == 200);
    CHECK_FALSE(reply->info.trace_id.empty());
    CHECK(reply->info.timings.total.count() > 0);
  }
  REQUIRE(collector.text() == "Hello again");
  REQUIRE(server.connections_accepted() == 1);  // one kept-alive connection for all of them
  // The verb decides `stream`.
  std::vector<bool> streamed;
  for (const auto& request : server.requests())
    streamed.push_back(request.body.find("\"stream\":true") != std::string::npos);
  REQUIRE(streamed == std::vector<bool>{false, true, false, true, false});
}

TEST_CASE("the ten lines", "[integration]") {
  Double server;
  server.script({say("one two three")});
  const auto client = client_of(server);
  std::string text;
  auto stream = client.stream("Count.");
  for (const ChatChunk& chunk : stream) text += chunk.content();
  REQUIRE(stream.result().value().content() == text);
  REQUIRE(text == "one two three");
  REQUIRE(stream.next() == nullptr);
  REQUIRE(stream.result().has_value());  // may be asked again
}

TEST_CASE("a copied chunk outlives the stream, a borrowed one the next step does not need to", "[integration]") {
  Double server;
  server.script({say("alpha beta gamma delta")});
  std::vector<ChatChunk> kept;
  {
    const auto client = client_of(server);
    auto stream = client.stream("hi");
    for (const ChatChunk& chunk : stream) kept.push_back(chunk);
  }
  std::string text;
  for (const ChatChunk& chunk : kept) text += chunk.content();
  REQUIRE(text == "alpha beta gamma delta");
  REQUIRE(kept.back().finish_reason() == "stop");
  REQUIRE(kept.back().usage() != nullptr);
  REQUIRE_FALSE(kept.front().model().empty());
}

TEST_CASE("callbacks come on one thread, never inside chat_async, chunks before the one end",
          "[integration][concurrent]") {
  Double server;
  const auto client = client_of(server);
  const auto caller = std::this_thread::get_id();
  std::atomic<int> inside{0};
  std::atomic<int> wrong{0};
  std::set<std::thread::id> threads;
  std::mutex mutex;
  Collector collector;
  for (int i = 0; i < 50; ++i) {
    auto handler = collector.handler();
    auto ended = std::make_shared<bool>(false);
    handler.on_chunk = [&, ended, inner = handler.on_chunk](const ChatChunk& chunk) {
      if (*ended || inside != 0 || std::this_thread::get_id() == caller) ++wrong;
      inner(chunk);
    };
    handler.on_end = [&, ended, inner = handler.on_end](Result<ChatReply> result) {
      if (std::exchange(*ended, true)) ++wrong;
      {
        const std::lock_guard<std::mutex> lock(mutex);
        threads.insert(std::this_thread::get_id());
      }
      inner(std::move(result));
    };
    client.chat_async(ask("hi"), std::move(handler));
  }
  REQUIRE(collector.await_ends(50));
  REQUIRE(wrong == 0);
  REQUIRE(threads.size() == 1);
}

TEST_CASE("a refusal reaches the handler like any other end", "[integration][concurrent]") {
  Double server;
  const auto client = client_of(server);
  Collector collector;
  client.chat_async(ChatRequest{}, collector.handler());
  REQUIRE(collector.await_ends(1));
  REQUIRE(collector.results().front().error().outcome() == Outcome::refused);
  REQUIRE(client.stream(ChatRequest{}).result().error().code() == ErrorCode::invalid_request);
  REQUIRE(client.chat_future(ChatRequest{}).get().error().code() == ErrorCode::invalid_request);
  REQUIRE(server.requests().empty());
}

TEST_CASE("a waiting call on the I/O thread is refused instead of hanging", "[integration][concurrent]") {
  Double server;
  const auto client = client_of(server);
  std::promise<std::vector<ErrorCode>> codes;
  ChatHandler handler;
  handler.on_end = [&](Result<ChatReply>) {
    auto stream = client.stream("hi");
    const bool none = stream.next() == nullptr;
    codes.set_value({client.chat("hi").error().code(), client.models().error().code(), stream.result().error().code(),
                     none ? ErrorCode::wrong_thread : ErrorCode::internal});
  };
  client.chat_async(ask("hi"), std::move(handler));
  REQUIRE(codes.get_future().get() == std::vector<ErrorCode>(4, ErrorCode::wrong_thread));
}

TEST_CASE("an exception of a handler cancels its call and nothing else", "[integration][concurrent]") {
  Double server;
  server.script({say("a b c d e f g h").pace(1ms), say("fine")});
  const auto client = client_of(server);
  Collector collector;
  auto handler = collector.handler();
  handler.on_chunk = [](const ChatChunk&) { throw 42; };
  client.chat_async(ask("hi"), std::move(handler));
  REQUIRE(collector.await_ends(1));
  REQUIRE(collector.results().front().error().outcome() == Outcome::cancelled);
  REQUIRE(client.chat(ask("hi")).has_value());
}

TEST_CASE("handlers may start calls and drop the last client", "[integration][concurrent]") {
  Double server;
  std::promise<void> done;
  auto client = std::make_shared<DeepSeekClient>(client_of(server));
  ChatHandler second;
  second.on_end = [&done, client](Result<ChatReply>) mutable {
    client.reset();  // the last handle, on the I/O thread
    done.set_value();
  };
  ChatHandler first;
  first.on_end = [client, second](Result<ChatReply> reply) mutable {
    if (reply) client->chat_async(ask("again"), std::move(second));
  };
  client->chat_async(ask("hi"), std::move(first));
  second = {};
  client.reset();
  REQUIRE(done.get_future().wait_for(10s) == std::future_status::ready);
}

TEST_CASE("an executor receives the callbacks in order", "[integration][concurrent]") {
  struct Pool : Executor {
    Pool() : thread([this] { run(); }) {}
    ~Pool() override {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        stop = true;
      }
      wake.notify_all();
      thread.join();
    }
    void post(Task task) override {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        tasks.push_back(std::move(task));
      }
      wake.notify_all();
    }
    void run() {
      std::unique_lock<std::mutex> lock(mutex);
      for (;;) {
        wake.wait(lock, [&] { return stop || !tasks.empty(); });
        if (tasks.empty()) return;
        Task task = std::move(tasks.front());
        tasks.erase(tasks.begin());
        lock.unlock();
        task();
        task = nullptr;
        lock.lock();
      }
    }
    std::mutex mutex;
    std::condition_variable wake;
    std::vector<Task> tasks;
    bool stop = false;
    std::thread thread;
  };
  Double server;
  server.script({say("in order one two three four five six seven eight nine ten")});
  const auto pool = std::make_shared<Pool>();
  auto client = std::optional(client_of(server, [&](ClientOptions& options) { options.executor = pool; }));
  std::atomic<int> wrong{0};
  Collector collector;
  auto handler = collector.handler();
  handler.on_chunk = [&, inner = handler.on_chunk](const ChatChunk& chunk) {
    if (std::this_thread::get_id() != pool->thread.get_id()) ++wrong;
    inner(chunk);
  };
  client->chat_async(ask("hi"), std::move(handler));
  REQUIRE(client->chat_future(ask("hi")).get().has_value());
  REQUIRE(collector.await_ends(1));
  REQUIRE(wrong == 0);
  REQUIRE(collector.text() == "in order one two three four five six seven eight nine ten");
  client.reset();
}

TEST_CASE("many threads share one client in all faces", "[integration][concurrent]") {
  Double server;
  const auto client = client_of(server);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 25; ++round) {
        switch ((i + round) % 4) {
          case 0:
            good += client.chat(ask("hi")).has_value();
            break;
          case 1:
            good += client.stream(ask("hi")).result().has_value();
            break;
          case 2:
            good += client.chat_future(ask("hi")).get().has_value();
            break;
          default: {
            auto stream = client.stream(ask("hi"));
            std::string text;
            for (const auto& chunk : stream) text += chunk.content();
            auto reply = stream.result();
            good += reply && reply->content() == text;
          }
        }
      }
    });
  for (auto& thread : threads) thread.join();
  REQUIRE(good == 200);
}

TEST_CASE("thinking, models, balance and FIM", "[integration]") {
  Double server;
  server.script({think("Let me see.", "Yes.")});
  const auto client = client_of(server);
  ChatRequest request = ask("hi");
  request.thinking = thinking::enabled;
  auto reply = client.chat(request);
  REQUIRE(reply.value().reasoning_content() == "Let me see.");
  REQUIRE(reply->content() == "Yes.");
  REQUIRE_FALSE(client.models().value().data.empty());
  REQUIRE_FALSE(client.balance().value().balance_infos.empty());
  CompletionRequest fim;
  fim.prompt = "int add(int a, int b) {";
  fim.suffix = "}";
  REQUIRE_FALSE(client.complete(fim).value().content().empty());
  REQUIRE_FALSE(client.complete_stream(fim).result().value().content().empty());
  REQUIRE(server.requests().back().path == "/beta/completions");
}

TEST_CASE("an engine or a transport that the host keeps may outlive its client", "[integration]") {
  test::Double server;
  ClientOptions options = server.client_options();
  const std::string kind = GENERATE("libcurl", "own", "fake");
  const bool as_transport = GENERATE(true, false);
  CAPTURE(kind, as_transport);
  std::shared_ptr<HttpEngine> engine;
  if (kind == "fake") {
    const auto fake = std::make_shared<FakeHttpEngine>();
    FakeReply reply;
    reply.chunks.emplace_back(R"({"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]})");
    fake->reply(reply);
    engine = fake;
  } else {
    CurlOptions curl;
    curl.read_cleartext = kind == "own";
    engine = make_curl_engine(curl).value();
  }
  if (as_transport)
    options.transport = make_http_transport(std::move(engine));
  else
    options.http_engine = std::move(engine);
  {
    const auto client = DeepSeekClient::create(options).value();
    CHECK(client.chat("hello"));  // leaves an idle connection behind
  }
  CHECK(options.transport.use_count() + options.http_engine.use_count() == 1);  // and goes when `options` does
}
