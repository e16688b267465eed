// The event queue: many calls, one descriptor, no waiting.
#include "support/catch.hpp"
#include "support/clients.hpp"

#include <deepseek/queue.hpp>

#include <poll.h>

#include <map>

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek::test::Double;
using deepseek::test::say;
using deepseek_tests::ask;
using deepseek_tests::client_of;

namespace {

bool readable(const EventQueue& queue, int timeout_ms) {
  pollfd descriptor{queue.fd(), POLLIN, 0};
  return poll(&descriptor, 1, timeout_ms) == 1;
}

/// The next event, awaited on the descriptor as a host's loop does; nothing after ten seconds.
std::optional<QueueEvent> await_event(EventQueue& queue) {
  for (;;) {
    if (auto event = queue.next()) return event;
    if (!readable(queue, 10'000)) return std::nullopt;
  }
}

}  // namespace

TEST_CASE("one queue carries many calls and ends each exactly once", "[integration][concurrent]") {
  Double server;
  EventQueue queue(client_of(server));
  for (std::uint64_t tag = 1; tag <= 60; ++tag) queue.submit(ask("hi"), tag);
  queue.submit(ChatRequest{}, 61);  // refused: an end event like any other
  std::map<std::uint64_t, std::string> texts;
  std::map<std::uint64_t, int> ends;
  while (queue.live() > 0) {
    const auto event = await_event(queue);
    REQUIRE(event.has_value());
    if (event->chunk) {
      REQUIRE(ends[event->tag] == 0);
      texts[event->tag] += event->chunk->content();
      continue;
    }
    ++ends[event->tag];
    if (event->tag == 61)
      REQUIRE(event->result->error().outcome() == Outcome::refused);
    else
      REQUIRE(event->result->value().content() == texts[event->tag]);
  }
  REQUIRE(ends.size() == 61);
  REQUIRE_FALSE(queue.next().has_value());
  REQUIRE_FALSE(readable(queue, 0));
}

TEST_CASE("the descriptor stays readable while events wait", "[integration][concurrent]") {
  Double server;
  server.script({say("a b c d")});
  EventQueue queue(client_of(server));
  queue.submit(ask("hi"), 1);
  REQUIRE(readable(queue, 10'000));
  REQUIRE(readable(queue, 0));
  REQUIRE(queue.next().has_value());
  while (queue.live() > 0) REQUIRE(await_event(queue).has_value());
  REQUIRE_FALSE(queue.next().has_value());
  REQUIRE_FALSE(readable(queue, 0));
}

TEST_CASE("cancelling one call of a queue leaves the others", "[integration][concurrent]") {
  Double server;
  server.script({say("a b c d").stall_after_events(3)});
  EventQueue queue(client_of(server));
  const CallHandle stalled = queue.submit(ask("hi"), 1);
  REQUIRE(await_event(queue).has_value());
  queue.submit(ask("hi"), 2);
  stalled.cancel();
  std::map<std::uint64_t, Outcome> outcomes;
  while (queue.live() > 0) {
    const auto event = await_event(queue);
    REQUIRE(event.has_value());
    if (event->result) outcomes[event->tag] = *event->result ? Outcome::complete : event->result->error().outcome();
  }
  REQUIRE(outcomes == std::map<std::uint64_t, Outcome>{{1, Outcome::cancelled}, {2, Outcome::complete}});
}

TEST_CASE("dropping a queue cancels its calls", "[integration][concurrent]") {
  Double server;
  server.script({say("a b c d").stall_after_events(3), say("a b c d").stall_after_events(3)});
  {
    EventQueue queue(client_of(server));
    queue.submit(ask("hi"), 1);
    queue.submit(ask("hi"), 2);
    REQUIRE(await_event(queue).has_value());
  }
  REQUIRE(server.wait_for_active(0));
}

TEST_CASE("a slow reader is held back without losing text, on all faces that buffer", "[integration][concurrent]") {
  std::string text;
  for (int i = 0; i < 4'000; ++i) text += "word" + std::to_string(i) + ' ';
  Double server;
  const auto options = [](ClientOptions& o) {
    o.stream_buffer_bytes = 16 * KiB;
    o.timeouts.idle = 20s;
    o.timeouts.between_tokens = 20s;
  };
  SECTION("queue") {
    server.script({say(text)});
    EventQueue queue(client_of(server, options));
    queue.submit(ask("hi"), 1);
    REQUIRE(await_event(queue).has_value());
    std::string got;
    while (queue.live() > 0) {
      const auto event = await_event(queue);
      REQUIRE(event.has_value());
      if (event->chunk)
        got += event->chunk->content();
      else
        REQUIRE(event->result->value().content() == text);
    }
    REQUIRE(text.compare(text.size() - got.size(), got.size(), got) == 0);
  }
  SECTION("pull, while the I/O thread reads for a hosted call") {
    server.script({say("hold").stall_after_events(1), say(text)});
    const auto client = client_of(server, options);
    ChatHandler idle;
    const CallHandle hosted = client.chat_async(ask("hi"), std::move(idle));
    REQUIRE(server.wait_for_active(1));
    auto stream = client.stream(ask("hi"));
    std::string got;
    for (const ChatChunk& chunk : stream) got += chunk.content();
    REQUIRE(got == text);
    REQUIRE(stream.result().has_value());
    hosted.cancel();
  }
}
