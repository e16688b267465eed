// Recordings: the file format, and which call answers what.
#include <deepseek/transport/replay.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include <unistd.h>

#include "support/catch.hpp"
#include "support/fake_loop.hpp"

namespace {

using namespace deepseek;
using namespace std::chrono_literals;

RecordedCall recorded(const std::string& path, const std::string& body) {
  RecordedCall call;
  call.method = "POST";
  call.path = path;
  call.response.headers = {{"content-type", "application/json"}};
  call.response.chunks = {{0us, body}};
  return call;
}

/// Takes any body.
struct AnyDecoder : Decoder {
  FrameKind inspect(std::string_view) override { return FrameKind::data; }
  std::optional<Error> conclude(bool) override { return std::nullopt; }
  Error error_from_body(int, std::string_view) override { return Error(ErrorCode::http_error, "status"); }
  void reset() override {}
};

struct Sink : CallSink {
  void on_frame(const Frame& frame) override { text += frame.data; }
  void on_end(std::optional<Error> error) override {
    if (error) text += to_string(error->code());
  }
  std::string text;
};

struct Scene {
  explicit Scene(std::vector<RecordedCall> calls, ReplayOptions options = {})
      : transport(make_replay_transport(std::move(calls), options)) {
    transport->attach(loop);
  }
  std::string ask(std::string_view path, const std::string& body = "{}") {
    auto call = std::make_shared<Call>();
    call->operation.method = "POST";
    call->operation.path = path;
    call->body = body;
    call->decoder = std::make_shared<AnyDecoder>();
    auto sink = std::make_shared<Sink>();
    transport->start(call, sink);
    loop.run_all();
    return sink->text;
  }
  deepseek_tests::FakeLoop loop;
  std::shared_ptr<Transport> transport;
};

bool same(const RecordedCall& a, const RecordedCall& b) {
  const RecordedResponse& x = a.response;
  const RecordedResponse& y = b.response;
  const auto same_header = [](const HttpHeader& l, const HttpHeader& r) {
    return l.name == r.name && l.value == r.value;
  };
  const auto same_chunk = [](const RecordedChunk& l, const RecordedChunk& r) {
    return l.after == r.after && l.data == r.data;
  };
  return a.method == b.method && a.path == b.path && a.request == b.request && x.status == y.status &&
         x.head_complete == y.head_complete && x.clean_end == y.clean_end &&
         std::equal(x.headers.begin(), x.headers.end(), y.headers.begin(), y.headers.end(), same_header) &&
         std::equal(x.chunks.begin(), x.chunks.end(), y.chunks.begin(), y.chunks.end(), same_chunk);
}

}  // namespace

TEST_CASE("recording: what is written is read again, whatever the bytes") {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const auto bytes = [&] {
      std::string text(random() % 12, '\0');
      for (char& c : text) c = static_cast<char>(random() % (round % 2 ? 256 : 128));
      return text;
    };
    RecordedCall call = recorded(bytes(), bytes());
    call.request = bytes();
    call.response.status = 200 + static_cast<int>(random() % 400);
    call.response.headers.push_back({bytes(), bytes()});
    call.response.chunks.push_back({std::chrono::microseconds(random() % 100'000), bytes()});
    call.response.head_complete = random() % 2 != 0;
    call.response.clean_end = random() % 2 != 0;
    const std::string text = dump_recording({call, call});
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
    const auto read = parse_recording(text);
    REQUIRE(read);
    REQUIRE(read->size() == 2);
    CHECK(same((*read)[0], call));
    CHECK(same((*read)[1], call));
  }
}

TEST_CASE("recording: what is missing has its default, what is unknown is ignored") {
  const auto read = parse_recording("\n# a remark\r\n{\"path\":\"/p\",\"later\":[1]}\r\n\n{}");
  REQUIRE(read);
  REQUIRE(read->size() == 2);
  CHECK((*read)[0].path == "/p");
  CHECK((*read)[1].response.status == 200);
  CHECK((*read)[1].response.clean_end);
}

TEST_CASE("recording: what is no recording is refused with its line") {
  for (const char* line : {"x",
                           "[]",
                           "1",
                           "{",
                           R"({"path":1})",
                           R"({"status":"200"})",
                           R"({"status":-1})",
                           R"({"status":1000})",
                           R"({"chunks":{}})",
                           R"({"chunks":[[1]]})",
                           R"({"chunks":[[-1,"x"]]})",
                           R"({"chunks":[["x",1]]})",
                           R"({"chunks":[[99999999999999,"x"]]})",
                           R"({"chunks":[[86400000001,"x"]]})",
                           R"({"status":0})",
                           R"({"status":99})",
                           R"({"status":100})",
                           R"({"status":101})",
                           R"({"status":199})",
                           R"({"status":600})",
                           R"({"status":999,"head_complete":true})",
                           R"({"status":1000,"head_complete":false})",
                           R"({"chunks":[[1,{"base64":"x"}]]})",
                           R"({"chunks":[[1,{"base64":"=AAA"}]]})",
                           R"({"chunks":[[1,{"base64":"A==="}]]})",
                           R"({"headers":[["a"]]})",
                           R"({"clean_end":1})"}) {
    INFO(line);
    const auto read = parse_recording("{}\n" + std::string(line) + "\n");
    REQUIRE_FALSE(read);
    CHECK(read.error().code() == ErrorCode::malformed_json);
    CHECK(read.error().message().find("line 2") != std::string::npos);
  }
}

TEST_CASE("recording: what has no place in one is written as what comes next to it") {
  RecordedCall call = recorded("/p", "x");
  call.response.chunks = {{48h, "late"}, {-5us, "early"}, {24h, "in a day"}};
  auto read = parse_recording(dump_recording({call}));
  REQUIRE(read);
  const auto& chunks = (*read)[0].response.chunks;
  REQUIRE(chunks.size() == 3);
  CHECK(chunks[0].after == 24h);
  CHECK(chunks[1].after == 0us);
  CHECK(chunks[2].after == 24h);
  CHECK((*read)[0].response.head_complete);
  for (const int status : {std::numeric_limits<int>::min(), -7, 0, 99, 100, 101, 199, 600, 999, 1000}) {
    INFO(status);
    call.response.status = status;
    read = parse_recording(dump_recording({call}));
    REQUIRE(read);
    CHECK_FALSE((*read)[0].response.head_complete);
    CHECK(Scene(*read).ask("/p") != "lateearlyin a day");
  }
  for (const int status : {200, 204, 418, 599}) {
    call.response.status = status;
    read = parse_recording(dump_recording({call}));
    REQUIRE(read);
    CHECK((*read)[0].response.status == status);
    CHECK((*read)[0].response.head_complete);
  }
}

TEST_CASE("recording: a file without end is refused") {
  const auto read = load_recording("/dev/zero");
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == ErrorCode::limit_exceeded);
}

TEST_CASE("recording: files") {
  const auto file = std::filesystem::temp_directory_path() / ("recording-" + std::to_string(::getpid()) + ".jsonl");
  std::ofstream(file, std::ios::binary) << dump_recording({recorded("/p", std::string(200'000, 'x'))});
  const auto read = load_recording(file.string());
  std::filesystem::remove(file);
  REQUIRE(read);
  REQUIRE(read->size() == 1);
  CHECK((*read)[0].response.chunks[0].data.size() == 200'000);
  CHECK(load_recording(file.string()).error().code() == ErrorCode::io_error);
  CHECK(load_recording(std::filesystem::temp_directory_path().string()).error().code() == ErrorCode::io_error);
}

TEST_CASE("replay: calls of one kind take turns") {
  Scene scene({recorded("/a", "a1"), recorded("/b", "b1"), recorded("/a", "a2")});
  CHECK(scene.ask("/a") == "a1");
  CHECK(scene.ask("/a") == "a2");
  CHECK(scene.ask("/b") == "b1");
  CHECK(scene.ask("/a") == "a1");
  CHECK(scene.ask("/b") == "b1");
  CHECK(scene.ask("/a") == "a2");
  CHECK(scene.ask("/c") == "connect_failed");
}

TEST_CASE("replay: once means once") {
  ReplayOptions once;
  once.repeat = false;
  Scene scene({recorded("/a", "a1"), recorded("/a", "a2")}, once);
  CHECK(scene.ask("/a") == "a1");
  CHECK(scene.ask("/a") == "a2");
  CHECK(scene.ask("/a") == "connect_failed");
}

TEST_CASE("replay: an empty member matches anything, a request is compared byte for byte") {
  RecordedCall exact = recorded("/a", "exact");
  exact.request = "{\"x\":1}";
  RecordedCall any = recorded("", "any");
  any.method.clear();
  Scene scene({exact, any});
  CHECK(scene.ask("/a", "{\"x\": 1}") == "any");
  CHECK(scene.ask("/a", "{\"x\":1}") == "exact");
  CHECK(scene.ask("/z") == "any");
}

TEST_CASE("replay: the original pace is kept if asked for") {
  RecordedCall call = recorded("/a", "a");
  call.response.chunks = {{1s, "a"}, {2s, "b"}};
  ReplayOptions options;
  for (const bool original : {false, true}) {
    options.original_timing = original;
    Scene scene({call}, options);
    const TimePoint before = scene.loop.now();
    CHECK(scene.ask("/a") == "ab");
    CHECK((scene.loop.now() - before >= 3s) == original);
  }
}
