// The scenarios that every transport must play alike. Include once per test program and call run_suite().
#pragma once
#include <algorithm>

#include "support/catch.hpp"
#include "transport/stage.hpp"

namespace conformance {

struct Scenario {
  const char* name;
  void (*play)(Stage&);
};

/// Lets a call run to its end and checks what holds for every end.
inline void run_to_end(Stage& stage, const Play& play) {
  REQUIRE(stage.run_until([&] { return play.sink->ended(); }));
  stage.run_for(1ms);  // whatever wanted to come late, comes now
  CHECK(play.sink->ends == 1);
  CHECK(play.sink->frames_after_end == 0);
  CHECK(play.sink->ends_inside_frame == 0);
  CHECK(play.call->on_abort == nullptr);
  CHECK(play.call->on_pause == nullptr);
}

inline Play played(Stage& stage, FakeReply reply, bool stream = true, const std::function<void(Play&)>& prepare = {}) {
  Play play(stage, stream);
  if (prepare) prepare(play);
  stage.serve(std::move(reply));
  play.start(stage);
  CHECK_FALSE(play.sink->ended());  // never before start() returned
  CHECK(play.sink->frames.empty());
  run_to_end(stage, play);
  return play;
}

inline void check_failed(const Play& play, ErrorCode code, Outcome outcome) {
  REQUIRE(play.sink->outcome);
  CHECK(to_string(play.code()) == std::string(to_string(code)));
  CHECK(to_string(play.sink->outcome->outcome()) == std::string(to_string(outcome)));
  CHECK_FALSE(play.sink->outcome->message().empty());
}

// --- ends --------------------------------------------------------------------------------------------

inline void a_whole_stream_is_complete(Stage& stage) {
  const Play play = played(stage, stream_reply({token("Hel"), token("lo") + finish(), done()}));
  CHECK(play.sink->complete());
  CHECK(play.sink->kinds ==
        std::vector<FrameKind>{FrameKind::token, FrameKind::token, FrameKind::data, FrameKind::end});
  CHECK(play.sink->text == "Hello");
  CHECK(play.decoder->reply().content() == "Hello");
  CHECK(play.call->facts.http_status == 200);
  CHECK(play.call->facts.trace_id == "0f7c");
  CHECK(play.call->facts.bytes_received == (token("Hel") + token("lo") + finish() + done()).size());
}

inline void a_whole_body_is_complete(Stage& stage) {
  const Play play = played(stage, json_reply({whole_reply("Hello")}), false);
  CHECK(play.sink->complete());
  REQUIRE(play.sink->frames.size() == 1);
  CHECK(play.sink->frames[0] == whole_reply("Hello"));
  CHECK(play.decoder->reply().content() == "Hello");
}

inline void eof_without_finish_is_truncated(Stage& stage) {
  const Play play = played(stage, stream_reply({token("Hel")}));
  check_failed(play, ErrorCode::truncated, Outcome::truncated);
  CHECK(play.sink->text == "Hel");
  CHECK(play.sink->outcome->trace_id() == "0f7c");
  CHECK(play.sink->outcome->http_status() == 200);
}

inline void done_without_finish_is_truncated(Stage& stage) {
  check_failed(played(stage, stream_reply({token("Hel"), done()})), ErrorCode::truncated, Outcome::truncated);
}

inline void finish_without_done_is_complete(Stage& stage) {
  const Play play = played(stage, stream_reply({token("Hello"), finish()}));
  CHECK(play.sink->complete());
  CHECK(play.decoder->reply().info.end_mark_missing);
}

inline void a_broken_stream_is_truncated(Stage& stage) {
  check_failed(played(stage, ending(stream_reply({token("Hel")}), FakeReply::End::broken)), ErrorCode::truncated,
               Outcome::truncated);
  check_failed(played(stage, ending(stream_reply({token("Hel"), finish()}), FakeReply::End::broken)),
               ErrorCode::truncated, Outcome::truncated);
}

inline void a_break_behind_the_end_mark_is_harmless(Stage& stage) {
  CHECK(
      played(stage, ending(stream_reply({token("Hello"), finish(), done()}), FakeReply::End::broken)).sink->complete());
}

inline void a_broken_body_is_truncated(Stage& stage) {
  const std::string body = whole_reply("Hello");
  check_failed(played(stage, ending(json_reply({body.substr(0, body.size() / 2)}), FakeReply::End::broken), false),
               ErrorCode::truncated, Outcome::truncated);
}

inline void a_cut_head_is_truncated(Stage& stage) {
  const Play play = played(stage, ending(stream_reply({}), FakeReply::End::inside_head));
  check_failed(play, ErrorCode::truncated, Outcome::truncated);
  CHECK(play.sink->frames.empty());
}

inline void a_break_before_the_head_is_a_network_error(Stage& stage) {
  if (!stage.knows_before_head()) return;
  check_failed(played(stage, ending(stream_reply({}), FakeReply::End::before_head)), ErrorCode::connection_lost,
               Outcome::network_error);
}

inline void nothing_at_all_is_empty(Stage& stage) {
  check_failed(played(stage, json_reply({}), false), ErrorCode::empty_reply, Outcome::empty);
  check_failed(played(stage, json_reply({"\n", "\n \r\n"}), false), ErrorCode::empty_reply, Outcome::empty);
  check_failed(played(stage, stream_reply({finish(), done()})), ErrorCode::empty_reply, Outcome::empty);
  check_failed(played(stage, stream_reply({})), ErrorCode::truncated, Outcome::truncated);
}

inline void the_content_check_is_filtered(Stage& stage) {
  check_failed(played(stage, stream_reply({token("x"), finish("content_filter"), done()})), ErrorCode::filtered,
               Outcome::filtered);
}

inline void lack_of_capacity_is_told(Stage& stage) {
  for (const char* reason : {"insufficient_system_resource", "aborted"})
    check_failed(played(stage, stream_reply({token("x"), finish(reason), done()})), ErrorCode::no_capacity,
                 Outcome::no_capacity);
}

inline void an_unknown_finish_reason_is_complete(Stage& stage) {
  for (const char* reason : {"length", "tool_calls", "brand_new"})
    CHECK(played(stage, stream_reply({token("x"), finish(reason), done()})).sink->complete());
}

// --- errors inside and outside ------------------------------------------------------------------------

inline void an_error_inside_a_stream_ends_it(Stage& stage) {
  const Play play =
      played(stage, stream_reply({token("Hel"), event(error_json("too busy")) + token("never"), token("never")}));
  check_failed(play, ErrorCode::service_error, Outcome::service_error);
  CHECK(play.sink->text == "Hel");
  CHECK(play.sink->kinds == std::vector<FrameKind>{FrameKind::token, FrameKind::error});
  CHECK(play.sink->outcome->service().message == "too busy");
}

inline void an_event_named_error_is_an_error(Stage& stage) {
  for (const std::string& data : {error_json("boom"), std::string(R"({"message":"boom"})"), std::string("boom")}) {
    const Play play = played(stage, stream_reply({token("Hel"), "event: error\n" + event(data), token("never")}));
    check_failed(play, ErrorCode::service_error, Outcome::service_error);
    CHECK(play.sink->text == "Hel");
  }
}

inline void json_for_a_stream_is_read(Stage& stage) {
  for (const char* type : {"application/json", "application/json; charset=utf-8", "application/octet-stream",
                           "text/plain", "text/event-stream"}) {
    INFO(type);
    check_failed(played(stage, json_reply({"\n\n", error_json("too busy")}, 200, type)), ErrorCode::service_error,
                 Outcome::service_error);
    const Play whole = played(stage, json_reply({whole_reply("Hello")}, 200, type));
    CHECK(whole.sink->complete());
    CHECK(whole.decoder->reply().content() == "Hello");
  }
}

inline void a_stream_without_its_content_type_is_read(Stage& stage) {
  FakeReply reply = stream_reply({"\n", ": hi\n\n", token("Hello"), finish(), done()});
  reply.headers.clear();
  const Play play = played(stage, std::move(reply));
  CHECK(play.sink->complete());
  CHECK(play.sink->text == "Hello");
}

inline void what_is_not_the_protocol_is_malformed(Stage& stage) {
  check_failed(played(stage, json_reply({"<html>", "</html>"}, 200, "text/html"), false), ErrorCode::malformed_json,
               Outcome::malformed);
  CHECK(played(stage, json_reply({"<html>", "</html>"}, 200, "text/html")).sink->outcome->outcome() ==
        Outcome::malformed);
  const Play play = played(stage, stream_reply({token("Hel"), event("{broken"), token("never")}));
  check_failed(play, ErrorCode::malformed_stream, Outcome::malformed);
  CHECK(play.sink->text == "Hel");
}

inline void a_status_decides_whatever_the_body(Stage& stage) {
  const std::pair<int, ErrorCode> table[] = {
      {400, ErrorCode::bad_request},    {401, ErrorCode::authentication}, {402, ErrorCode::insufficient_balance},
      {403, ErrorCode::authentication}, {404, ErrorCode::not_found},      {413, ErrorCode::bad_request},
      {422, ErrorCode::bad_request},    {429, ErrorCode::rate_limited},   {500, ErrorCode::server_error},
      {502, ErrorCode::server_error},   {503, ErrorCode::overloaded},     {504, ErrorCode::server_error}};
  for (const auto& [status, code] : table) {
    for (const std::string& body : {error_json("why"), std::string("<html>why</html>"), std::string()}) {
      for (const bool stream : {true, false}) {
        INFO(status << " " << body);
        const Play play = played(stage, json_reply({body}, status, "application/octet-stream"), stream);
        check_failed(play, code, Outcome::http_error);
        CHECK(play.sink->frames.empty());
        CHECK(play.sink->outcome->http_status() == status);
        CHECK(play.sink->outcome->trace_id() == "0f7c");
      }
    }
  }
  CHECK(played(stage, json_reply({error_json("why")}, 400)).sink->outcome->service().message == "why");
}

inline void a_broken_error_body_is_still_that_status(Stage& stage) {
  const Play play = played(stage, ending(json_reply({error_json("why").substr(0, 20)}, 503), FakeReply::End::broken));
  check_failed(play, ErrorCode::overloaded, Outcome::http_error);
}

inline void a_redirect_is_not_followed(Stage& stage) {
  FakeReply reply = json_reply({"moved"}, 307);
  reply.headers.push_back({"Location", "https://user:secret@other.example/v1?token=secret"});
  const Play play = played(stage, std::move(reply));
  check_failed(play, ErrorCode::redirected, Outcome::http_error);
  CHECK(play.sink->outcome->message().find("other.example") != std::string::npos);
  CHECK(to_string(*play.sink->outcome).find("secret") == std::string::npos);
}

inline void a_compressed_reply_is_named_as_such(Stage& stage) {
  FakeReply reply = stream_reply({"\x1F\x8B\x08"});
  reply.headers.push_back({"Content-Encoding", "gzip"});
  check_failed(played(stage, std::move(reply)), ErrorCode::malformed_stream, Outcome::malformed);
}

inline void the_server_may_ask_to_wait(Stage& stage) {
  FakeReply reply = json_reply({error_json("slow down")}, 429);
  reply.headers.push_back({"Retry-After", "7"});
  const Play play = played(stage, std::move(reply));
  CHECK(play.sink->outcome->retry_after() == 7000ms);
  CHECK(play.call->facts.retry_after == 7000ms);
}

// --- keep-alives, cuts, limits -------------------------------------------------------------------------

inline void keep_alives_are_no_frames(Stage& stage) {
  const Play play = played(stage, stream_reply({": keep-alive\n\n", ":\n\n", token("Hel"), "id: 1\n: ping\n\n",
                                                "data:\n\n", token("lo"), finish(), done()}));
  CHECK(play.sink->complete());
  CHECK(play.sink->text == "Hello");
  CHECK(play.sink->kinds.size() == 4);
  CHECK(play.call->facts.keep_alives == 4);
}

inline void blank_lines_before_json_are_dropped(Stage& stage) {
  std::vector<std::string> chunks(500, "\n");
  chunks.push_back("\r\n  " + whole_reply("Hello"));
  const Play play = played(stage, json_reply(std::move(chunks)), false);
  CHECK(play.sink->complete());
  CHECK(play.decoder->reply().content() == "Hello");
  CHECK(play.call->facts.keep_alives == 501);
}

inline void the_cut_does_not_matter(Stage& stage) {
  const std::string wire = ": hi\r\n\r\n" + token("Gr\xC3\xBC\xC3\x9F") + token(" Gott") +
                           "data: " + chunk_json("{}", "\"stop\"") + "\r\n\r\n" + done();
  for (const std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{50}, wire.size()}) {
    std::vector<std::string> chunks;
    for (std::size_t at = 0; at < wire.size(); at += size) chunks.push_back(wire.substr(at, size));
    const Play play = played(stage, stream_reply(std::move(chunks)));
    CHECK(play.sink->complete());
    CHECK(play.sink->text == "Gr\xC3\xBC\xC3\x9F Gott");
    CHECK(play.call->facts.bytes_received == wire.size());
  }
}

inline void limits_end_a_call_and_keep_what_came(Stage& stage) {
  const auto over_limit = [&](FakeReply reply, bool stream, void (*set)(SizeLimits&)) {
    const Play play = played(stage, std::move(reply), stream, [&](Play& to) { set(to.call->limits); });
    check_failed(play, ErrorCode::limit_exceeded, Outcome::malformed);
    return play;
  };
  const std::string big(2000, 'x');
  CHECK(over_limit(stream_reply({token("Hel"), token(big)}), true, [](SizeLimits& limits) {
          limits.line_bytes = 500;
        }).sink->text == "Hel");
  CHECK(over_limit(stream_reply({token("Hel"), "data: x\n" + token(big)}), true, [](SizeLimits& limits) {
          limits.event_bytes = 500;
        }).sink->text == "Hel");
  CHECK(over_limit(stream_reply({token("Hel"), token("lo"), token(big)}), true, [](SizeLimits& limits) {
          limits.stream_bytes = 600;
        }).sink->text == "Hello");
  over_limit(json_reply({whole_reply(big)}), false, [](SizeLimits& limits) { limits.body_bytes = 500; });
  over_limit(json_reply({whole_reply(big)}), true, [](SizeLimits& limits) { limits.body_bytes = 500; });
  // A stream without a line end fills no memory either.
  over_limit(stream_reply({big, big, big}), true, [](SizeLimits& limits) { limits.line_bytes = 4000; });
}

inline void a_long_error_body_is_cut_not_refused(Stage& stage) {
  const Play play = played(stage, json_reply({std::string(3000, '\n'), std::string(5000, 'x')}, 500), true,
                           [](Play& to) { to.call->limits.error_body_bytes = 1000; });
  check_failed(play, ErrorCode::server_error, Outcome::http_error);
}

// --- the end mark on an open connection, cancelling, pausing -------------------------------------------

inline void the_end_mark_ends_a_connection_held_open(Stage& stage) {
  if (!stage.can_hold()) return;
  const Play play = played(
      stage, ending(stream_reply({token("Hello"), finish(), done() + token("never"), "junk"}), FakeReply::End::hold));
  CHECK(play.sink->complete());
  CHECK(play.sink->text == "Hello");
}

inline void more_behind_the_end_mark_is_ignored(Stage& stage) {
  const Play play = played(stage, stream_reply({token("Hello"), finish(), done() + token("never"), event("{broken")}));
  CHECK(play.sink->complete());
  CHECK(play.sink->text == "Hello");
}

inline void an_abort_ends_the_call_once(Stage& stage) {
  if (!stage.can_hold()) return;
  Play play(stage);
  stage.serve(ending(stream_reply({token("Hel")}), FakeReply::End::hold));
  play.start(stage);
  REQUIRE(stage.run_until([&] { return !play.sink->frames.empty(); }));
  auto abort = play.call->on_abort;
  REQUIRE(abort);
  abort(Error(ErrorCode::cancelled, "by the caller"));
  run_to_end(stage, play);
  check_failed(play, ErrorCode::cancelled, Outcome::cancelled);
  CHECK(play.sink->outcome->trace_id() == "0f7c");
  CHECK(play.sink->text == "Hel");
}

inline void an_abort_before_anything_came(Stage& stage) {
  Play play(stage);
  stage.serve(stream_reply({token("Hel"), finish(), done()}));
  play.start(stage);
  play.call->on_abort(Error(ErrorCode::cancelled, "by the caller"));
  run_to_end(stage, play);
  check_failed(play, ErrorCode::cancelled, Outcome::cancelled);
  CHECK(play.sink->frames.empty());
}

inline void an_abort_from_inside_a_frame(Stage& stage) {
  const Play play = played(stage, stream_reply({token("a") + token("b") + token("c"), token("d"), finish(), done()}),
                           true, [](Play& to) {
                             to.sink->on_each = [&call = *to.call](std::size_t count) {
                               if (count != 2) return;
                               auto abort = call.on_abort;
                               abort(Error(ErrorCode::cancelled, "by the caller"));
                               abort(Error(ErrorCode::cancelled, "twice"));
                             };
                           });
  check_failed(play, ErrorCode::cancelled, Outcome::cancelled);
  CHECK(play.sink->text == "ab");
  CHECK(play.sink->outcome->message() == "by the caller");
}

inline void an_abort_from_inside_the_only_frame(Stage& stage) {
  const Play play = played(stage, json_reply({whole_reply("Hello")}), false, [](Play& to) {
    to.sink->on_each = [&call = *to.call](std::size_t) { call.on_abort(Error(ErrorCode::cancelled, "by the caller")); };
  });
  check_failed(play, ErrorCode::cancelled, Outcome::cancelled);
}

inline void a_paused_call_hands_out_nothing(Stage& stage) {
  Play play(stage);
  play.sink->on_each = [&](std::size_t) { play.call->pause(true); };
  stage.serve(
      stream_reply({token("a") + token("b") + token("c").substr(0, 9), token("c").substr(9), finish() + done()}));
  play.start(stage);
  for (std::size_t count = 1; count <= 5; ++count) {
    REQUIRE(stage.run_until([&] { return play.sink->frames.size() == count; }));
    stage.run_for(20ms);
    CHECK(play.sink->frames.size() == count);
    CHECK_FALSE(play.sink->ended());
    play.call->pause(false);
    CHECK(play.sink->frames.size() == count);  // not before pause() returned
  }
  run_to_end(stage, play);
  CHECK(play.sink->complete());
  CHECK(play.sink->text == "abc");
}

inline void a_paused_call_can_be_aborted(Stage& stage) {
  Play play(stage);
  play.sink->on_each = [&](std::size_t) { play.call->pause(true); };
  stage.serve(stream_reply({token("a") + token("b"), finish(), done()}));
  play.start(stage);
  REQUIRE(stage.run_until([&] { return play.sink->frames.size() == 1; }));
  play.call->on_abort(Error(ErrorCode::cancelled, "by the caller"));
  run_to_end(stage, play);
  check_failed(play, ErrorCode::cancelled, Outcome::cancelled);
  CHECK(play.sink->text == "a");
}

inline void calls_run_side_by_side(Stage& stage) {
  std::vector<Play> plays;
  for (int i = 0; i < 20; ++i) {
    stage.serve(stream_reply({token("a"), token("b"), finish(), done()}));
    plays.emplace_back(stage).start(stage);
  }
  for (const Play& play : plays) {
    run_to_end(stage, play);
    CHECK(play.sink->complete());
    CHECK(play.sink->text == "ab");
  }
}

// --- clocks ------------------------------------------------------------------------------------------

inline Play struck(Stage& stage, FakeReply reply, void (*set)(Timeouts&), ErrorCode code, bool stream = true) {
  const TimePoint before = stage.loop().now();
  Play play = played(stage, ending(std::move(reply), FakeReply::End::hold), stream, [&](Play& to) {
    to.call->timeouts = Timeouts{};
    set(to.call->timeouts);
  });
  check_failed(play, code, Outcome::timed_out);
  CHECK(stage.loop().now() - before < 3600s);
  return play;
}

inline void each_clock_strikes_with_its_own_name(Stage& stage) {
  if (!stage.can_hold()) return;
  FakeReply late = stream_reply({token("never")});
  late.head_after = 1h;
  struck(stage, late, [](Timeouts& t) { t.first_byte = 50ms; }, ErrorCode::timeout_first_byte);
  struck(
      stage, stream_reply({": keep-alive\n\n"}), [](Timeouts& t) { t.first_token = 50ms; },
      ErrorCode::timeout_first_token);
  CHECK(struck(
            stage, stream_reply({token("Hel")}), [](Timeouts& t) { t.between_tokens = 50ms; },
            ErrorCode::timeout_between_tokens)
            .sink->text == "Hel");
  struck(stage, stream_reply({token("Hel")}), [](Timeouts& t) { t.idle = 50ms; }, ErrorCode::timeout_idle);
  struck(stage, json_reply({"\n"}), [](Timeouts& t) { t.idle = 50ms; }, ErrorCode::timeout_idle, false);
}

/// `count` pieces, one a second.
inline void every_second(FakeReply& reply, const std::string& text, int count) {
  for (int i = 0; i < count; ++i) reply.chunks.emplace_back(text, 1s);
}

inline void liveness_and_progress_are_two_clocks(Stage& stage) {
  if (!stage.time_is_free() || !stage.can_hold()) return;
  FakeReply chatter = stream_reply({token("Hel")});
  every_second(chatter, ": keep-alive\n\n", 600);
  const TimePoint before = stage.loop().now();
  struck(
      stage, chatter,
      [](Timeouts& t) {
        t.between_tokens = 60s;
        t.idle = 10s;
      },
      ErrorCode::timeout_between_tokens);
  const auto took = stage.loop().now() - before;
  CHECK(took >= 60s);
  CHECK(took < 62s);
  // Before the first token only first_token counts.
  FakeReply waiting = stream_reply({});
  every_second(waiting, ": keep-alive\n\n", 200);
  waiting.chunks.emplace_back(token("Hello") + finish() + done());
  const Play play = played(stage, waiting, true, [](Play& to) {
    to.call->timeouts.between_tokens = 5s;
    to.call->timeouts.idle = 2s;
  });
  CHECK(play.sink->complete());
  CHECK(play.call->facts.first_token >= 200s);
}

inline void a_slow_reader_is_no_silent_server(Stage& stage) {
  if (!stage.time_is_free()) return;
  Play play(stage);
  play.call->timeouts.idle = play.call->timeouts.between_tokens = 5s;
  play.sink->on_each = [&](std::size_t count) {
    if (count == 1) play.call->pause(true);
  };
  FakeReply reply = stream_reply({token("a"), token("b")});
  reply.chunks.emplace_back(finish() + done(), 4s);
  stage.serve(reply);
  play.start(stage);
  REQUIRE(stage.run_until([&] { return play.sink->frames.size() == 1; }));
  stage.run_for(600s);
  CHECK_FALSE(play.sink->ended());
  play.call->pause(false);
  run_to_end(stage, play);
  CHECK(play.sink->complete());
}

inline void no_limit_means_no_limit(Stage& stage) {
  if (!stage.time_is_free()) return;
  FakeReply reply = stream_reply({token("a")});
  reply.chunks.emplace_back(token("b") + finish() + done(), std::chrono::hours(5));
  const Play play =
      played(stage, reply, true, [](Play& to) { to.call->timeouts = {0ms, 0ms, 0ms, 0ms, 0ms, 0ms, 0ms, 0ms}; });
  CHECK(play.sink->complete());
}

inline constexpr Scenario scenarios[] = {
    {"a whole stream is complete", a_whole_stream_is_complete},
    {"a whole body is complete", a_whole_body_is_complete},
    {"eof without finish_reason is truncated", eof_without_finish_is_truncated},
    {"[DONE] without finish_reason is truncated", done_without_finish_is_truncated},
    {"finish_reason without [DONE] is complete", finish_without_done_is_complete},
    {"a broken stream is truncated", a_broken_stream_is_truncated},
    {"a break behind the end mark is harmless", a_break_behind_the_end_mark_is_harmless},
    {"a broken body is truncated", a_broken_body_is_truncated},
    {"a cut head is truncated", a_cut_head_is_truncated},
    {"a break before the head is a network error", a_break_before_the_head_is_a_network_error},
    {"nothing at all is empty", nothing_at_all_is_empty},
    {"the content check is filtered", the_content_check_is_filtered},
    {"lack of capacity is told", lack_of_capacity_is_told},
    {"an unknown finish_reason is complete", an_unknown_finish_reason_is_complete},
    {"an error inside a stream ends it", an_error_inside_a_stream_ends_it},
    {"an event named error is an error", an_event_named_error_is_an_error},
    {"JSON in answer to a stream request is read", json_for_a_stream_is_read},
    {"a stream without its content type is read", a_stream_without_its_content_type_is_read},
    {"what is not the protocol is malformed", what_is_not_the_protocol_is_malformed},
    {"a status decides whatever the body", a_status_decides_whatever_the_body},
    {"a broken error body is still that status", a_broken_error_body_is_still_that_status},
    {"a redirect is not followed", a_redirect_is_not_followed},
    {"a compressed reply is named as such", a_compressed_reply_is_named_as_such},
    {"the server may ask to wait", the_server_may_ask_to_wait},
    {"keep-alives are no frames", keep_alives_are_no_frames},
    {"blank lines before JSON are dropped", blank_lines_before_json_are_dropped},
    {"the cut does not matter", the_cut_does_not_matter},
    {"limits end a call and keep what came", limits_end_a_call_and_keep_what_came},
    {"a long error body is cut, not refused", a_long_error_body_is_cut_not_refused},
    {"the end mark ends a connection held open", the_end_mark_ends_a_connection_held_open},
    {"more behind the end mark is ignored", more_behind_the_end_mark_is_ignored},
    {"an abort ends the call once", an_abort_ends_the_call_once},
    {"an abort before anything came", an_abort_before_anything_came},
    {"an abort from inside a frame", an_abort_from_inside_a_frame},
    {"an abort from inside the only frame", an_abort_from_inside_the_only_frame},
    {"a paused call hands out nothing", a_paused_call_hands_out_nothing},
    {"a paused call can be aborted", a_paused_call_can_be_aborted},
    {"calls run side by side", calls_run_side_by_side},
    {"each clock strikes with its own name", each_clock_strikes_with_its_own_name},
    {"liveness and progress are two clocks", liveness_and_progress_are_two_clocks},
    {"a slow reader is no silent server", a_slow_reader_is_no_silent_server},
    {"no limit means no limit", no_limit_means_no_limit},
};

/// Plays every scenario on a stage of its own. Call it from a TEST_CASE.
inline void run_suite(const MakeStage& make_stage) {
  for (const Scenario& scenario : scenarios) {
    DYNAMIC_SECTION(scenario.name) {
      const std::unique_ptr<Stage> stage = make_stage();
      scenario.play(*stage);
    }
  }
}

}  // namespace conformance
