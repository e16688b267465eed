// Recording through a double and replaying the file gives the same bytes in the same chunks.
#include <deepseek/testing/double.hpp>

#include <cstdio>
#include <cstdlib>

#include "../support/catch.hpp"
#include "../support/shared_data.hpp"
#include "double_socket.hpp"

using namespace double_tests;
using namespace deepseek::test;

namespace {

struct TemporaryFile {
  TemporaryFile() {
    char text[] = P_tmpdir "/double-record-XXXXXX";
    ::close(::mkstemp(text));
    name = text;
  }
  ~TemporaryFile() { std::remove(name.c_str()); }
  std::string name;
};

DoubleOptions recording(const Double& upstream, const TemporaryFile& file) {
  DoubleOptions options;
  options.record_upstream = upstream.base_url() + "/";
  options.record_file = file.name;
  options.upstream_ca_file = upstream.ca_file();
  return options;
}

}  // namespace

TEST_CASE("what was recorded is replayed, chunk by chunk") {
  Double upstream;
  upstream.script({think("Let me see", "Hello there").chunk_sizes({30, 7, 200}), status(402),
                   say("broken off").cut_after_events(2)});
  const TemporaryFile file;
  std::vector<Seen> live;
  {
    Double recorder(recording(upstream, file));
    for (int i = 0; i < 3; ++i) {
      Peer peer(recorder.port());
      peer.post("/chat/completions", ask(true), "Authorization: Bearer sk-secret\r\nX-Mine: 1\r\n");
      live.push_back(peer.read());
    }
    Peer peer(recorder.port());
    peer.get("/models");
    live.push_back(peer.read());
  }
  CHECK(live[0].deltas("content") == "Hello there");
  CHECK(live[1].status() == 402);
  CHECK(live[2].end == End::fin);
  CHECK(live[2].events().size() == 2);
  CHECK(live[3].json()["object"] == "list");
  CHECK(upstream.requests().at(0).header("authorization") == "Bearer sk-secret");
  CHECK(upstream.requests().at(0).header("x-mine") == "1");
  CHECK(upstream.requests().at(0).body == ask(true));

  const auto text = deepseek_tests::read_file(file.name);
  CHECK(text.find("sk-secret") == std::string::npos);
  auto calls = deepseek::load_recording(file.name);
  REQUIRE(calls.has_value());
  REQUIRE(calls->size() == 4);
  CHECK((*calls)[0].path == "/chat/completions");
  CHECK_FALSE((*calls)[2].response.clean_end);

  DoubleOptions options;
  options.replay = *std::move(calls);
  options.replay_timing = false;
  Double replay(options);
  for (int i = 0; i < 3; ++i) {
    const auto again = chat(replay.port(), ask(true));
    CHECK(again.status() == live[static_cast<std::size_t>(i)].status());
    CHECK(again.chunks() == live[static_cast<std::size_t>(i)].chunks());
    CHECK(again.end == live[static_cast<std::size_t>(i)].end);
    CHECK(again.header("x-ds-trace-id") == live[static_cast<std::size_t>(i)].header("x-ds-trace-id"));
  }
  Peer peer(replay.port());
  peer.get("/v1/models");
  CHECK(peer.read().body() == live[3].body());
  CHECK(chat(replay.port(), ask(false)).status() == 404);
}

TEST_CASE("the recorded pace is kept") {
  Double upstream;
  upstream.script({say("a b c").pace(30ms)});
  const TemporaryFile file;
  {
    Double recorder(recording(upstream, file));
    CHECK(chat(recorder.port(), ask(true, no_thinking)).deltas("content") == "a b c");
  }
  DoubleOptions options;
  options.replay = deepseek::load_recording(file.name).value();
  Double replay(options);
  const auto began = Clock::now();
  CHECK(chat(replay.port(), ask(true, no_thinking)).deltas("content") == "a b c");
  CHECK(Clock::now() - began >= 100ms);
}

TEST_CASE("an upstream over TLS is verified") {
  const TemporaryFile file;
  DoubleOptions tls;
  tls.certificate = Certificate::good;
  Double good(tls);
  {
    Double recorder(recording(good, file));
    CHECK(chat(recorder.port(), ask(true)).events().back() == "[DONE]");
  }
  tls.certificate = Certificate::wrong_host;
  Double bad(tls);
  Double recorder(recording(bad, file));
  const auto seen = chat(recorder.port(), ask(true));
  CHECK(seen.status() == 502);
  CHECK_THAT(seen.error(), Catch::Contains("TLS"));
}

TEST_CASE("an upstream that is not there is a 502, and a client that goes ends the forward") {
  const TemporaryFile file;
  Double upstream;
  upstream.script({say("x").stall_after_events(1)});
  Double recorder(recording(upstream, file));
  Peer peer(recorder.port());
  peer.post("/chat/completions", ask(true));
  REQUIRE(upstream.wait_for_active(1));
  peer.close();
  CHECK(upstream.wait_for_active(0));
  upstream.refuse_connections(true);
  CHECK(chat(recorder.port(), ask(true)).status() == 502);
}

TEST_CASE("recorded streams of the service are replayed byte for byte") {
  if (!deepseek_tests::has_shared("fixtures/text-stream-original-bytes.resp.sse")) SKIP_TEST("no shared recordings");
  const auto text = deepseek_tests::read_shared("fixtures/text-stream-original-bytes.resp.sse");
  Double server;
  server.script({raw_stream(text)});
  const auto seen = chat(server.port(), ask(true));
  CHECK(seen.body() == text);
  CHECK(seen.chunks().size() == seen.events().size());
}

TEST_CASE("bad record options are refused at start") {
  DoubleOptions options;
  options.record_file = P_tmpdir "/unused";
  for (const std::string& upstream :
       {std::string("ftp://example.com"), std::string("http://x\r\n"), std::string("http://x\n"),
        std::string("http://x y"), std::string("http://x:80 "), std::string("http://x/a b"),
        std::string("http://x/\tb"), std::string("https://x\x7f"), std::string("http://x\0y", 10)}) {
    INFO(upstream);
    options.record_upstream = upstream;
    CHECK_THROWS_AS(Double(options), deepseek::Exception);
  }
}

TEST_CASE("a recording that would break the head of a response cannot") {
  DoubleOptions options;
  options.replay_timing = false;
  deepseek::RecordedCall call;
  call.response.headers = {{"x-good", "1"}, {"x-bad\r\nInjected", "1"},      {"x-worse", "1\r\n\r\nbody"},
                           {"", "x"},       {"x nul", std::string("\0", 1)}, {"Content-Length", "7"}};
  call.response.chunks = {{std::chrono::microseconds(0), ""}, {std::chrono::microseconds(0), "whole"}};
  options.replay = {call};
  Double server(options);
  const auto seen = chat(server.port(), ask(false));
  CHECK(seen.status() == 200);
  CHECK(seen.body() == "whole");
  CHECK(seen.bytes.find("x-good: 1\r\n") != std::string::npos);
  for (const char* wrong : {"Injected", "x-worse", "x nul", "Content-Length"})
    CHECK(seen.bytes.find(wrong) == std::string::npos);
}
