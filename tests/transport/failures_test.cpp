// The failures seen in the field: each scenario of the shared list has its server played and its outcome
// checked here, by its id. One that is added to the list and not played fails this test.
#include <map>
#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/shared_data.hpp"
#include "transport/fake_stages.hpp"
#include "transport/suite.hpp"

namespace {

using namespace conformance;

void silent_stall(Stage& stage) {
  // The default clocks: five minutes without data.
  FakeReply reply = stream_reply({event(chunk_json(R"({"content":null,"reasoning_content":"hm"})"))});
  reply.end = FakeReply::End::hold;
  const Play play = played(stage, std::move(reply));
  CHECK(play.sink->outcome->outcome() == Outcome::timed_out);
  CHECK(play.sink->text == "hm");
}

void keepalive_after_content_forever(Stage& stage) {
  FakeReply reply = stream_reply({token("all of it")});
  every_second(reply, ": keep-alive\n\n", 17 * 60);
  reply.end = FakeReply::End::hold;
  const TimePoint before = stage.loop().now();
  const Play play = played(stage, std::move(reply));
  check_failed(play, ErrorCode::timeout_between_tokens, Outcome::timed_out);
  CHECK(stage.loop().now() - before < 302s);
  CHECK(play.sink->text == "all of it");
}

void keepalive_comments(Stage& stage) {
  FakeReply reply = stream_reply({});
  every_second(reply, ": keep-alive\n\n", 540);
  reply.chunks.emplace_back(token("Hel"));
  every_second(reply, ": keep-alive\n\n", 200);
  reply.chunks.emplace_back(token("lo") + finish() + done());
  const Play play = played(stage, std::move(reply));
  CHECK(play.sink->complete());
  CHECK(play.sink->text == "Hello");
  CHECK(play.call->facts.keep_alives == 740);
}

void blank_lines_before_json(Stage& stage) {
  FakeReply reply = json_reply({});
  every_second(reply, "\n", 590);
  reply.chunks.emplace_back(whole_reply("Hello"));
  const Play play = played(stage, std::move(reply), false);
  CHECK(play.sink->complete());
  CHECK(play.decoder->reply().content() == "Hello");
}

void ten_minute_close(Stage& stage) {
  for (const bool stream : {true, false}) {
    FakeReply reply = stream ? stream_reply({}) : json_reply({});
    every_second(reply, stream ? ": keep-alive\n\n" : "\n", 600);
    const Play play = played(stage, reply, stream, [](Play& to) { to.call->timeouts.first_token = 0ms; });
    REQUIRE(play.sink->outcome);
    CHECK(play.sink->outcome->retryable());
    CHECK(play.sink->frames.empty());
  }
}

void closed_mid_stream(Stage& stage) { a_broken_stream_is_truncated(stage); }

void usage_chunks(Stage& stage) {
  const std::string usage = R"("usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3})";
  const std::string null_usage =
      R"(data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null})";
  const std::string last =
      R"(data: {"id":"c","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],)" + usage + "}\n\n";
  const std::string only = R"(data: {"id":"c","choices":[],)" + usage + "}\n\n";
  for (const std::string& tail : {last, finish() + only}) {
    const Play play = played(stage, stream_reply({null_usage + "\n\n", tail, done()}));
    CHECK(play.sink->complete());
    REQUIRE(play.decoder->reply().usage);
    CHECK(play.decoder->reply().content() == "x");
  }
}

void null_content_deltas(Stage& stage) {
  const Play play = played(
      stage, stream_reply({event(chunk_json(R"({"content":null,"reasoning_content":"think"})")),
                           event(chunk_json(R"({"content":"say","reasoning_content":null})")), finish(), done()}));
  CHECK(play.sink->complete());
  CHECK(play.decoder->reply().content() == "say");
  CHECK(play.decoder->reply().reasoning_content() == "think");
}

void tool_arguments_split(Stage& stage) {
  const auto piece = [](const std::string& text) {
    return event(chunk_json(R"({"tool_calls":[{"index":0,"function":{"arguments":")" + text + R"("}}]})"));
  };
  const Play play = played(
      stage,
      stream_reply(
          {event(chunk_json(
               R"({"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]})")),
           piece("{"), piece("}"), finish("tool_calls"), done()}));
  CHECK(play.sink->complete());
  REQUIRE(play.decoder->reply().tool_calls().size() == 1);
  CHECK(play.decoder->reply().tool_calls()[0].arguments == "{}");
}

void payment(Stage& stage) {
  const Play play = played(stage, json_reply({error_json("Insufficient Balance")}, 402));
  check_failed(play, ErrorCode::insufficient_balance, Outcome::http_error);
  CHECK_FALSE(play.sink->outcome->retryable());
}

const std::map<std::string, void (*)(Stage&)> played_here = {
    {"keepalive-comments", keepalive_comments},
    {"blank-lines-before-json", blank_lines_before_json},
    {"ten-minute-close", ten_minute_close},
    {"silent-stall", silent_stall},
    {"keepalive-after-content-forever", keepalive_after_content_forever},
    {"closed-mid-stream", closed_mid_stream},
    {"eof-without-done", eof_without_finish_is_truncated},
    {"finish-without-done", finish_without_done_is_complete},
    {"done-then-more", the_end_mark_ends_a_connection_held_open},
    {"usage-null-chunks", usage_chunks},
    {"usage-only-chunk", usage_chunks},
    {"null-content-deltas", null_content_deltas},
    {"tool-arguments-split", tool_arguments_split},
    {"comment-plus-blank-after-id", keep_alives_are_no_frames},
    {"gzip-batching", a_compressed_reply_is_named_as_such},
    {"error-inside-200-stream", an_error_inside_a_stream_ends_it},
    {"402", payment},
};

}  // namespace

TEST_CASE("failures: each one seen in the field ends as it should") {
  for (const auto& [id, scenario] : played_here) {
    DYNAMIC_SECTION(id) {
      FakeHttpStage stage;
      scenario(stage);
    }
  }
}

TEST_CASE("failures: the list is covered") {
  if (!deepseek_tests::has_shared("conformance/failures/failure_scenarios.json")) SKIP_TEST("no shared data");
  const auto list = nlohmann::json::parse(deepseek_tests::read_shared("conformance/failures/failure_scenarios.json"));
  for (const auto& scenario : list["scenarios"]) {
    INFO(scenario["id"].get<std::string>());
    CHECK(played_here.count(scenario["id"].get<std::string>()) == 1);
  }
}
