// Replies as the service really sent them: cut off at every byte, and cut into pieces everywhere.
#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/shared_data.hpp"
#include "transport/fake_stages.hpp"

namespace {

using namespace conformance;
using Json = nlohmann::json;

struct Fixture {
  std::string id;
  std::string body;
  std::string type;
  int status = 200;
  bool stream = false;
};

/// Chat and FIM replies: what a reply decoder knows.
std::vector<Fixture> fixtures() {
  std::vector<Fixture> found;
  const Json manifest = Json::parse(deepseek_tests::read_shared("fixtures/manifest.json"));
  for (const Json& entry : manifest["fixtures"]) {
    const std::string path = entry.value("path", "");
    if (path.find("/completions") == std::string::npos) continue;
    Fixture fixture;
    fixture.id = entry["id"];
    fixture.status = entry["status"];
    fixture.type = entry["content_type"];
    fixture.body = deepseek_tests::read_shared("fixtures/" + entry["response"].get<std::string>());
    fixture.stream = entry["response"].get<std::string>().find(".sse") != std::string::npos;
    found.push_back(std::move(fixture));
  }
  return found;
}

FakeReply reply_of(const Fixture& fixture, std::vector<std::string> chunks) {
  FakeReply reply;
  reply.status = fixture.status;
  reply.headers = {{"Content-Type", fixture.type}};
  for (auto& chunk : chunks) reply.chunks.emplace_back(std::move(chunk));
  return reply;
}

Play play(const Fixture& fixture, FakeReply reply) {
  FakeHttpStage stage;
  Play play(stage, fixture.stream);
  stage.serve(std::move(reply));
  play.start(stage);
  REQUIRE(stage.run_until([&] { return play.sink->ended(); }));
  REQUIRE(play.sink->ends == 1);
  return play;
}

/// Everything a caller sees of a reply.
std::string seen(const Play& play) {
  const ChatReply& reply = play.decoder->reply();
  std::string all =
      play.sink->text + '|' + reply.content() + '|' + reply.reasoning_content() + '|' + reply.finish_reason();
  for (const ToolCall& call : reply.tool_calls()) all += '|' + call.name + call.arguments;
  for (const FrameKind kind : play.sink->kinds) all += static_cast<char>('0' + static_cast<int>(kind));
  return all + (play.sink->outcome ? to_string(*play.sink->outcome) : "complete");
}

std::vector<std::string> pieces_of(const std::string& body, std::size_t size) {
  std::vector<std::string> pieces;
  for (std::size_t at = 0; at < body.size(); at += size) pieces.push_back(body.substr(at, size));
  return pieces;
}

/// Where to cut: everywhere in a short reply; in a long one everywhere near its ends, and every 7th byte.
std::vector<std::size_t> cuts(std::size_t size) {
  std::vector<std::size_t> all;
  for (std::size_t at = 0; at < size; ++at)
    if (size < 6'000 || at < 600 || at + 1'200 > size || at % 97 == 0) all.push_back(at);
  return all;
}

}  // namespace

TEST_CASE("fixtures: whole replies end as recorded") {
  if (!deepseek_tests::has_shared("fixtures/manifest.json")) SKIP_TEST("no shared data");
  const auto all = fixtures();
  CHECK(all.size() >= 40);
  for (const Fixture& fixture : all) {
    INFO(fixture.id);
    const Play result = play(fixture, reply_of(fixture, {fixture.body}));
    if (fixture.status >= 400)
      CHECK(result.sink->outcome->outcome() == Outcome::http_error);
    else
      CHECK(result.sink->complete());
  }
}

TEST_CASE("fixtures: cut off anywhere, a reply is never complete by mistake") {
  if (!deepseek_tests::has_shared("fixtures/manifest.json")) SKIP_TEST("no shared data");
  for (const Fixture& fixture : fixtures()) {
    if (fixture.status >= 400) continue;
    INFO(fixture.id);
    const Play whole = play(fixture, reply_of(fixture, {fixture.body}));
    const std::size_t end_of_finish = fixture.stream ? fixture.body.rfind("data: [DONE]") : fixture.body.rfind('}');
    for (const std::size_t at : cuts(fixture.body.size())) {
      for (const bool clean : {true, false}) {
        FakeReply reply = reply_of(fixture, {fixture.body.substr(0, at)});
        if (!clean) reply.end = FakeReply::End::broken;
        const Play cut = play(fixture, std::move(reply));
        // Complete needs the finish_reason and either a clean end or the end mark.
        const bool may_be_complete =
            fixture.stream ? at >= end_of_finish + (clean ? 0 : 14) : at > end_of_finish && clean;
        if (cut.sink->complete() && !may_be_complete) FAIL("complete though cut at " << at);
        if (whole.sink->text.compare(0, cut.sink->text.size(), cut.sink->text) != 0) FAIL("no prefix, cut at " << at);
        if (cut.decoder->reply().content().size() > whole.decoder->reply().content().size())
          FAIL("too much, cut at " << at);
      }
    }
  }
}

TEST_CASE("fixtures: in pieces of any size the result is the same") {
  if (!deepseek_tests::has_shared("fixtures/manifest.json")) SKIP_TEST("no shared data");
  for (const Fixture& fixture : fixtures()) {
    INFO(fixture.id);
    const std::string whole = seen(play(fixture, reply_of(fixture, {fixture.body})));
    for (const std::size_t size : {1, 2, 3, 7, 64, 1000})
      if (size > 3 || fixture.body.size() < 40'000)
        CHECK(seen(play(fixture, reply_of(fixture, pieces_of(fixture.body, size)))) == whole);
  }
}

TEST_CASE("fixtures: cut in two at every position the result is the same") {
  if (!deepseek_tests::has_shared("fixtures/manifest.json")) SKIP_TEST("no shared data");
  std::size_t tried = 0;
  for (const Fixture& fixture : fixtures()) {
    if (fixture.body.size() > 4'000) continue;
    INFO(fixture.id);
    const std::string whole = seen(play(fixture, reply_of(fixture, {fixture.body})));
    for (std::size_t at = 1; at < fixture.body.size(); ++at)
      if (seen(play(fixture, reply_of(fixture, {fixture.body.substr(0, at), fixture.body.substr(at)}))) != whole)
        FAIL("differs when cut at " << at);
    ++tried;
  }
  CHECK(tried > 5);
}
