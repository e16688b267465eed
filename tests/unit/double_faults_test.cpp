// Every fault of a script really happens on the wire.
#include <deepseek/testing/double.hpp>

#include "../support/catch.hpp"
#include "double_socket.hpp"

using namespace double_tests;
using namespace deepseek::test;

namespace {

Seen streamed(Double& server, Reply reply, std::chrono::milliseconds silence = 5s) {
  server.script({std::move(reply)});
  Peer peer(server.port());
  peer.post("/chat/completions", ask(true, no_thinking));
  return peer.read(silence);
}

Seen whole(Double& server, Reply reply, std::chrono::milliseconds silence = 5s) {
  server.script({std::move(reply)});
  Peer peer(server.port());
  peer.post("/chat/completions", ask(false, no_thinking));
  return peer.read(silence);
}

}  // namespace

TEST_CASE("a cut ends the bytes where it says, with FIN, also inside the head") {
  Double server;
  for (const std::uint64_t count : {0u, 1u, 20u, 300u, 700u}) {
    const auto seen = streamed(server, say("Hello").cut_after_bytes(count));
    CHECK(seen.bytes.size() == count);
    CHECK(seen.end == End::fin);
  }
}

TEST_CASE("the example of the documentation: the first request is cut, the second is answered") {
  Double server;
  server.script({say("Hello").cut_after_bytes(20), say("Hello again")});
  CHECK(chat(server.port(), ask(false)).bytes.size() == 20);
  CHECK(chat(server.port(), ask(false)).json()["choices"][0]["message"]["content"] == "Hello again");
  REQUIRE(server.requests().size() == 2);
  CHECK(server.requests()[1].path == "/chat/completions");
  CHECK(server.requests()[1].method == "POST");
  CHECK(server.requests()[1].body == ask(false));
  CHECK(server.requests()[1].header("AUTHORIZATION") == "Bearer test-key");
  CHECK(server.script_left() == 0);
}

TEST_CASE("a reset is an RST") {
  Double server;
  const auto seen = streamed(server, say("Hello").reset_after_bytes(30));
  CHECK(seen.bytes.size() <= 30);  // an RST may overtake what was sent
  CHECK(seen.end == End::reset);
  CHECK(streamed(server, say("Hello there").pace(5ms).reset_after_events(2)).end == End::reset);
}

TEST_CASE("a stall leaves the connection open and silent, and counts as active until the client goes") {
  Double server;
  server.script({say("one two three").stall_after_events(3)});
  Peer peer(server.port());
  peer.post("/chat/completions", ask(true, no_thinking));
  const auto seen = peer.read(150ms);
  CHECK(seen.end == End::open);
  CHECK(seen.events().size() == 3);
  CHECK(server.active() == 1);
  peer.close();
  CHECK(server.wait_for_active(0));

  CHECK(streamed(server, say("x").stall_after_bytes(10), 100ms).bytes.size() == 10);
}

TEST_CASE("a stall can be filled with comments") {
  Double server;
  server.script({say("x").stall_after_events(1).keep_alive_in_stall(5ms)});
  Peer peer(server.port());
  peer.post("/chat/completions", ask(true, no_thinking));
  const auto seen = peer.read_until("e\r\n: keep-alive\n\n\r\ne\r\n: keep-alive\n\n");
  CHECK(seen.end == End::open);
  CHECK_FALSE(seen.has("[DONE]"));
}

TEST_CASE("keep-alives come before the answer: comments in streams, blank lines before JSON") {
  Double server;
  const auto began = Clock::now();
  const auto stream = streamed(server, say("Hi").keep_alive(10ms, 50ms));
  CHECK(Clock::now() - began >= 50ms);
  CHECK(stream.body().compare(0, 70,
                              ": keep-alive\n\n: keep-alive\n\n: keep-alive\n\n: keep-alive\n\n: keep-alive\n\n") == 0);
  CHECK(stream.deltas("content") == "Hi");

  const auto json = whole(server, say("Hi").keep_alive(10ms, 30ms));
  CHECK(json.body().compare(0, 4, "\n\n\n{") == 0);
  CHECK(json.json()["choices"][0]["message"]["content"] == "Hi");
}

TEST_CASE("delays and pace") {
  Double server;
  auto began = Clock::now();
  CHECK(whole(server, say("Hi").after(40ms)).status() == 200);
  CHECK(Clock::now() - began >= 40ms);
  began = Clock::now();
  CHECK(streamed(server, say("a b c").pace(10ms).after_head(20ms)).events().size() == 6);
  CHECK(Clock::now() - began >= 70ms);
  began = Clock::now();
  CHECK(whole(server, say("a b c").pace(10ms)).json()["choices"][0]["message"]["content"] == "a b c");
  CHECK(Clock::now() - began >= 50ms);  // as long as its stream of six events
}

TEST_CASE("a drip comes byte by byte and is the same answer") {
  Double server;
  const auto seen = streamed(server, say("Hej").drip(40, 1ms));
  CHECK(seen.reads.size() > 10);
  CHECK(seen.deltas("content") == "Hej");
}

TEST_CASE("chunk sizes are honoured, whatever they split") {
  Double server;
  const auto seen = streamed(server, say("æøå").chunk_sizes({1, 2, 7}));
  const auto chunks = seen.chunks();
  REQUIRE(chunks.size() > 10);
  CHECK(chunks[0].size() == 1);
  CHECK(chunks[1].size() == 2);
  CHECK(chunks[2].size() == 7);
  CHECK(chunks[3].size() == 7);
  CHECK(seen.deltas("content") == "æøå");
}

TEST_CASE("a reply in a million pieces is refused in words, and the double goes on") {
  Double server;
  std::string events;
  for (int i = 0; i <= 1'000'000; ++i) events += "data:\n\n";
  for (const auto& reply :
       {say("x").huge_event(2'000'000).drip(1, 1ms), say("x").huge_event(2'000'000).chunk_sizes({1}),
        raw_stream(events), say("x").keep_alive(1ms, 10min * 1000)}) {
    const auto seen = streamed(server, reply);
    REQUIRE(seen.status() == 500);
    CHECK(seen.error() == "the scripted reply has more than 1000000 pieces");
    CHECK(streamed(server, say("Hello")).deltas("content") == "Hello");
  }
  CHECK(whole(server, say("x").huge_event(2'000'000).drip(1, 1ms)).status() == 500);
  CHECK(whole(server, say("Hello")).status() == 200);
}

TEST_CASE("ends of a stream that are not whole") {
  Double server;
  CHECK(streamed(server, say("Hi")).events().back() == "[DONE]");

  const auto no_done = streamed(server, say("Hi").end_without_done());
  CHECK_FALSE(no_done.has("[DONE]"));
  CHECK(no_done.has("\"finish_reason\":\"stop\""));

  const auto no_finish = streamed(server, say("Hi").end_without_finish());
  CHECK_FALSE(no_finish.has("[DONE]"));
  CHECK_FALSE(no_finish.has("\"finish_reason\":\"stop\""));
  CHECK(no_finish.bytes.substr(no_finish.bytes.size() - 5) == "0\r\n\r\n");

  const auto more = streamed(server, say("Hi").done_then_more(), 100ms);
  CHECK(more.end == End::open);
  CHECK(more.bytes.find("[DONE]") < more.bytes.rfind(" more"));
}

TEST_CASE("broken and error events") {
  Double server;
  const auto broken = streamed(server, say("one two").malformed_event(1));
  CHECK(Json::parse(broken.events().at(1), nullptr, false).is_discarded());
  CHECK_FALSE(Json::parse(broken.events().at(2), nullptr, false).is_discarded());
  CHECK(Json::parse(whole(server, say("one").malformed_event(0)).body(), nullptr, false).is_discarded());

  const auto error = streamed(server, say("one two three").error_in_band(2, "overloaded"));
  REQUIRE(error.events().size() == 3);
  CHECK(Json::parse(error.events()[2])["error"]["message"] == "overloaded");
  const auto in_body = whole(server, say("one").error_in_band(0, "overloaded"));
  CHECK(in_body.status() == 200);
  CHECK(in_body.error() == "overloaded");

  const auto huge = streamed(server, say("Hi").huge_event(300'000));
  CHECK(huge.events().at(0).size() > 300'000);
  CHECK(huge.deltas("content") == "Hi");
}

TEST_CASE("errors with every form of Retry-After, and under the wrong content type") {
  Double server;
  auto seen = whole(server, status(429).retry_after(7s));
  CHECK(seen.status() == 429);
  CHECK(seen.header("Retry-After") == "7");
  CHECK(whole(server, status(503).retry_after_ms(250ms)).header("retry-after-ms") == "250");
  CHECK_THAT(whole(server, status(503).retry_after_date(60s)).header("Retry-After"), Catch::EndsWith(" GMT"));
  seen = whole(server, status(400, "Content Exists Risk").octet_stream());
  CHECK(seen.header("Content-Type") == "application/octet-stream");
  CHECK(seen.error() == "Content Exists Risk");
  seen = whole(server, status(402));
  CHECK(seen.json()["error"]["type"] == "unknown_error");
  CHECK(seen.error() == "Insufficient Balance");
  CHECK_THAT(whole(server, status(503)).error(), Catch::StartsWith("Service is too busy."));
  CHECK(whole(server, status(500)).header("Retry-After").empty());
}

TEST_CASE("answers that are no HTTP, or never end") {
  Double server;
  server.script({garbage("SSH-2.0-OpenSSH\r\n"), drop(), endless_headers()});
  Peer first(server.port());
  first.post("/chat/completions", ask(true));
  auto seen = first.read();
  CHECK(seen.bytes == "SSH-2.0-OpenSSH\r\n");
  CHECK(seen.end == End::fin);
  seen = chat(server.port(), ask(true));
  CHECK(seen.bytes.empty());
  CHECK(seen.end == End::fin);

  Peer third(server.port());
  third.post("/chat/completions", ask(true));
  std::string bytes;
  char buffer[65536];
  while (bytes.size() < 2'000'000) {
    const auto count = ::recv(third.fd(), buffer, sizeof buffer, 0);
    REQUIRE(count > 0);
    bytes.append(buffer, static_cast<std::size_t>(count));
  }
  CHECK(bytes.find("\r\n\r\n") == std::string::npos);
  third.close();
  CHECK(server.wait_for_active(0));
}

TEST_CASE("raw bodies and streams pass unchanged, one chunk per event") {
  Double server;
  const auto html = whole(server, raw_body(502, "text/html", "<h1>Bad gateway</h1>"));
  CHECK(html.status() == 502);
  CHECK(html.body() == "<h1>Bad gateway</h1>");
  const std::string text = "data: {\"a\":1}\r\n\r\n: hello\n\ndata: [DONE]\n\n";
  const auto stream = streamed(server, raw_stream(text));
  CHECK(stream.body() == text);
  CHECK(stream.chunks().size() == 3);
}

TEST_CASE("connection endings and framings") {
  Double server;
  server.script({say("Hi").close_connection(), say("Hi").close_delimited()});
  for (int i = 0; i < 2; ++i) {
    Peer peer(server.port());
    peer.post("/chat/completions", ask(true, no_thinking));
    const auto seen = peer.read_to_end();
    CHECK(seen.header("Connection") == "close");
    CHECK(seen.end == End::fin);
    CHECK(seen.deltas("content") == "Hi");
    CHECK(seen.header("Transfer-Encoding").empty() == (i == 1));
  }
  const auto crlf = streamed(server, say("Hi").line_ends("\r\n").event_ids());
  CHECK(crlf.has("id: 1\r\ndata: {"));
  CHECK(crlf.has(": ping\r\n\r\n"));
}

TEST_CASE("a connection serves many requests, pipelined ones too") {
  Double server;
  Peer peer(server.port());
  for (int i = 0; i < 3; ++i) {
    peer.post("/chat/completions", ask(true));
    CHECK(peer.read().events().back() == "[DONE]");
  }
  peer.send(
      "GET /user/balance HTTP/1.1\r\nAuthorization: Bearer k\r\n\r\nGET /models HTTP/1.1\r\nAuthorization: Bearer k\r\n"
      "Connection: close\r\n\r\n");
  const auto both = peer.read_to_end();
  CHECK(both.has("balance_infos"));
  CHECK(both.has("deepseek-v4-pro"));
  CHECK(server.connections_accepted() == 1);
  CHECK(server.requests().size() == 5);
}

TEST_CASE("the concurrency cap answers 429 beyond it") {
  DoubleOptions options;
  options.max_concurrent = 2;
  Double server(options);
  server.script({say("x").stall_after_events(1), say("x").stall_after_events(1)});
  Peer first(server.port());
  first.post("/chat/completions", ask(true));
  Peer second(server.port());
  second.post("/chat/completions", ask(true));
  REQUIRE(server.wait_for_active(2));
  CHECK(chat(server.port(), ask(true)).status() == 429);
  first.close();
  REQUIRE(server.wait_for_active(1));
  CHECK(chat(server.port(), ask(true)).status() == 200);
}

TEST_CASE("connections can be refused and reset") {
  Double server;
  server.script({say("x").stall_after_events(1)});
  Peer open(server.port());
  open.post("/chat/completions", ask(true));
  REQUIRE(server.wait_for_active(1));
  server.reset_connections();
  CHECK(open.read().end == End::reset);
  server.refuse_connections(true);
  CHECK_FALSE(Peer(server.port()).connected());
  server.refuse_connections(false);
  CHECK(chat(server.port(), ask(false)).status() == 200);
}

TEST_CASE("the destructor ends every connection") {
  auto server = std::make_unique<Double>();
  server->script({say("x").stall_after_events(1)});
  Peer stalled(server->port());
  stalled.post("/chat/completions", ask(true));
  Peer idle(server->port());
  REQUIRE(server->wait_for_active(1));
  server.reset();
  CHECK(stalled.read().end != End::open);
  CHECK(idle.read().end != End::open);
}
