// Cancellation, deadlines, lifetimes: what ends a call from outside.
#include "support/catch.hpp"
#include "support/clients.hpp"

#include <deepseek/coro.hpp>

#include <dlfcn.h>
#include <netdb.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek::test::Double;
using deepseek::test::faithful;
using deepseek::test::say;
using deepseek_tests::ask;
using deepseek_tests::client_of;
using deepseek_tests::Collector;

namespace {

/// Holds every look-up of slow.test until it is opened. libcurl's resolver threads call the getaddrinfo()
/// below, because a program's symbols come before the C library's.
struct DnsGate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  int waiting = 0;
} dns_gate;

}  // namespace

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  if (node && std::strcmp(node, "slow.test") == 0) {
    std::unique_lock<std::mutex> lock(dns_gate.mutex);
    ++dns_gate.waiting;
    dns_gate.changed.notify_all();
    dns_gate.changed.wait(lock, [] { return dns_gate.open; });
    --dns_gate.waiting;
    dns_gate.changed.notify_all();
    return EAI_AGAIN;
  }
  return real(node, service, hints, result);
}

TEST_CASE("cancel from another thread ends each face with the text so far", "[integration][concurrent]") {
  Double server;
  const auto client = client_of(server);
  const auto stalled = say("some text that never ends").stall_after_events(4);

  SECTION("callback") {
    server.script({stalled});
    Collector collector;
    const CallHandle call = client.chat_async(ask("hi"), collector.handler());
    REQUIRE(collector.await_chunks(3));
    REQUIRE_FALSE(call.finished());
    call.cancel();
    call.cancel();
    REQUIRE(collector.await_ends(1));
    const Error error = collector.results().front().error();
    REQUIRE(error.outcome() == Outcome::cancelled);
    REQUIRE(error.partial() != nullptr);
    REQUIRE(error.partial()->content() == collector.text());
    REQUIRE(error.bytes_delivered() == collector.text().size());
  }
  SECTION("pull") {
    server.script({stalled});
    auto stream = client.stream(ask("hi"));
    REQUIRE(stream.next() != nullptr);
    std::thread canceller([&] {
      server.wait_for_active(1);
      stream.cancel();
    });
    while (stream.next()) {
    }
    canceller.join();
    REQUIRE(stream.result().error().outcome() == Outcome::cancelled);
  }
  SECTION("token, waiting call") {
    server.script({say("x").after(60s)});
    const CancelSource source;
    CallOptions options;
    options.cancel = source.token();
    std::thread canceller([&] {
      server.wait_for_requests(1);
      source.cancel();
    });
    REQUIRE(client.chat(ask("hi"), options).error().outcome() == Outcome::cancelled);
    canceller.join();
  }
  SECTION("stop_token") {
    server.script({say("x").after(60s)});
    std::stop_source source;
    const StopTokenAdapter adapter(source.get_token());
    CallOptions options;
    options.cancel = adapter.token();
    auto later = client.chat_future(ask("hi"), options);
    REQUIRE(server.wait_for_requests(1));
    source.request_stop();
    REQUIRE(later.get().error().outcome() == Outcome::cancelled);
  }
  SECTION("a token that was cancelled before") {
    const CancelSource source;
    source.cancel();
    CallOptions options;
    options.cancel = source.token();
    REQUIRE(client.chat(ask("hi"), options).error().outcome() == Outcome::cancelled);
    REQUIRE(client.stream(ask("hi"), options).result().error().outcome() == Outcome::cancelled);
  }
  REQUIRE(server.wait_for_active(0));  // the connection was really closed
}

TEST_CASE("dropping a stream closes its connection, dropping a handle does not", "[integration][concurrent]") {
  Double server;
  server.script({say("a b c").stall_after_events(2), say("kept")});
  const auto client = client_of(server);
  {
    auto stream = client.stream(ask("hi"));
    REQUIRE(stream.next() != nullptr);
  }
  REQUIRE(server.wait_for_active(0));
  Collector collector;
  {
    const CallHandle dropped = client.chat_async(ask("hi"), collector.handler());
  }
  REQUIRE(collector.await_ends(1));
  REQUIRE(collector.results().front().has_value());
}

TEST_CASE("a handler that cancels from inside gets its one end", "[integration][concurrent]") {
  Double server;
  server.script({say("one two three four five six").pace(1ms)});
  const auto client = client_of(server);
  Collector collector;
  auto handler = collector.handler();
  CallHandle call;
  std::mutex mutex;
  handler.on_chunk = [&, inner = handler.on_chunk](const ChatChunk& chunk) {
    inner(chunk);
    const std::lock_guard<std::mutex> lock(mutex);
    call.cancel();
  };
  {
    const std::lock_guard<std::mutex> lock(mutex);
    call = client.chat_async(ask("hi"), std::move(handler));
  }
  REQUIRE(collector.await_ends(1));
  REQUIRE(collector.results().size() == 1);
  REQUIRE(collector.results().front().error().outcome() == Outcome::cancelled);
}

TEST_CASE("every clock names itself", "[integration][concurrent]") {
  Double server;
  struct Row {
    test::Reply reply;
    std::function<void(Timeouts&)> set;
    std::string clock;
  };
  std::vector<Row> rows;
  rows.push_back({say("x").after(60s), [](Timeouts& t) { t.first_byte = 50ms; }, "first_byte"});
  rows.push_back({say("x").after_head(60s), [](Timeouts& t) { t.first_token = 50ms; }, "first_token"});
  rows.push_back({say("x").keep_alive(5ms, 60s), [](Timeouts& t) { t.first_token = 80ms; }, "first_token"});
  rows.push_back(
      {say("a b c d e").stall_after_events(3), [](Timeouts& t) { t.between_tokens = 50ms; }, "between_tokens"});
  rows.push_back({say("a b c d e").stall_after_events(3).keep_alive_in_stall(5ms),
                  [](Timeouts& t) { t.between_tokens = 80ms; }, "between_tokens"});
  rows.push_back({say("a b c d e").stall_after_events(3), [](Timeouts& t) { t.idle = 50ms; }, "idle"});
  rows.push_back({say("a b c d e f g h").pace(20ms), [](Timeouts& t) { t.total = 60ms; }, "total"});
  const auto client = client_of(server);
  for (const Row& row : rows) {
    INFO(row.clock);
    CallOptions options;
    options.timeouts = server.client_options().timeouts;
    row.set(*options.timeouts);
    server.script({row.reply});
    const auto result = client.stream(ask("hi"), options).result();
    REQUIRE(result.error().outcome() == Outcome::timed_out);
    CHECK(result.error().clock() == row.clock);
  }
}

TEST_CASE("time the consumer spends between two steps counts for no clock", "[integration]") {
  Double server;
  server.script({say("one two three four five six seven eight").pace(1ms)});
  const auto client = client_of(server, [](ClientOptions& options) {
    options.timeouts.idle = 30ms;
    options.timeouts.between_tokens = 30ms;
  });
  auto stream = client.stream(ask("hi"));
  REQUIRE(stream.next() != nullptr);
  REQUIRE(server.wait_for_active(0));  // everything was sent
  // Busy for longer than both clocks allow, while nobody drives the loop.
  const auto until = std::chrono::steady_clock::now() + 100ms;
  while (std::chrono::steady_clock::now() < until) {
  }
  while (stream.next()) {
  }
  REQUIRE(stream.result().value().content() == "one two three four five six seven eight");
}

TEST_CASE("a deadline in the past sends nothing", "[integration]") {
  Double server;
  const auto client = client_of(server);
  CallOptions options;
  options.deadline = std::chrono::steady_clock::now() - 1s;
  REQUIRE(client.chat(ask("hi"), options).error().code() == ErrorCode::timeout_total);
  REQUIRE(server.requests().empty());
}

TEST_CASE("cancelling or timing out during DNS stalls nobody", "[integration][concurrent]") {
  Double server;
  ClientOptions slow;
  slow.endpoints = {{"http://slow.test", Credential()}};
  slow.timeouts.dns = 100ms;
  slow.retry.max_attempts = 1;
  const auto stuck = DeepSeekClient::create(slow).value();
  REQUIRE(stuck.chat(ask("hi")).error().clock() == "dns");

  slow.timeouts.dns = 0ms;
  const auto cancelled = DeepSeekClient::create(slow).value();
  Collector collector;
  const CallHandle call = cancelled.chat_async(ask("hi"), collector.handler());
  {
    std::unique_lock<std::mutex> lock(dns_gate.mutex);
    REQUIRE(dns_gate.changed.wait_for(lock, 10s, [] { return dns_gate.waiting >= 2; }));
  }
  const auto before = std::chrono::steady_clock::now();
  call.cancel();
  REQUIRE(collector.await_ends(1));
  REQUIRE(std::chrono::steady_clock::now() - before < 1s);  // the look-up itself would last for ever
  REQUIRE(client_of(server).chat(ask("hi")).has_value());
  {
    std::unique_lock<std::mutex> lock(dns_gate.mutex);
    dns_gate.open = true;
    dns_gate.changed.notify_all();
    REQUIRE(dns_gate.changed.wait_for(lock, 10s, [] { return dns_gate.waiting == 0; }));
  }
}

TEST_CASE("the last client handle cancels what lives and waits for its end", "[integration][concurrent]") {
  Double server;
  server.script(
      {say("a b c").stall_after_events(2), say("a b c").stall_after_events(2), say("a b c").stall_after_events(2)});
  Collector collector;
  auto client = std::optional(client_of(server));
  client->chat_async(ask("hi"), collector.handler());
  auto later = client->chat_future(ask("hi"));
  auto stream = client->stream(ask("hi"));
  REQUIRE(server.wait_for_active(3));
  client.reset();
  REQUIRE(collector.results().size() == 1);
  REQUIRE(collector.results().front().error().outcome() == Outcome::cancelled);
  REQUIRE(later.wait_for(0s) == std::future_status::ready);
  REQUIRE(stream.result().error().outcome() == Outcome::cancelled);
  REQUIRE(server.wait_for_active(0));
}

TEST_CASE("clients come and go by the hundred", "[integration][concurrent]") {
  Double server;
  for (int i = 0; i < 100; ++i) {
    Collector collector;
    {
      const auto client = client_of(server);
      for (int call = 0; call < 3; ++call) client.chat_async(ask("hi"), collector.handler());
    }
    REQUIRE(collector.results().size() == 3);
  }
}

TEST_CASE("in a forked child old handles answer `forked` and a new client works", "[integration][fork]") {
  Double server;
  auto client = std::optional(client_of(server));
  REQUIRE(client->chat(ask("hi")).has_value());
  Collector collector;
  server.script({say("a b c").stall_after_events(2)});
  auto call = client->chat_async(ask("hi"), collector.handler());
  auto stream = std::optional(client->stream(ask("hi")));
  REQUIRE(collector.await_chunks(1));
  server.script({});
  const auto options = server.client_options();
  const pid_t child = fork();
  if (child == 0) {
    int wrong = 0;
    wrong |= client->chat(ask("hi")).error().code() == ErrorCode::forked ? 0 : 1;
    wrong |= stream->next() == nullptr && stream->result().error().code() == ErrorCode::forked ? 0 : 2;
    wrong |= client->chat_future(ask("hi")).get().error().code() == ErrorCode::forked ? 0 : 4;
    call.cancel();
    stream.reset();
    client.reset();
    const auto fresh = DeepSeekClient::create(options);
    wrong |= fresh && fresh->chat(ask("hi")).has_value() ? 0 : 8;
    _exit(wrong);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  call.cancel();
  REQUIRE(collector.await_ends(1));
  REQUIRE(client->chat(ask("hi")).has_value());  // the parent's client was not disturbed
}
