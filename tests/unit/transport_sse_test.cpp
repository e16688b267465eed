// The event-stream parser against the public cases, in every cut.
#include <deepseek/transport/detail/sse.hpp>

#include <nlohmann/json.hpp>
#include <random>

#include "support/catch.hpp"
#include "support/shared_data.hpp"

namespace {

using deepseek::detail::SseEvent;
using deepseek::detail::SseLimits;
using deepseek::detail::SseParser;
using deepseek::detail::SseStatus;
using deepseek::detail::SseVisitor;
using Json = nlohmann::json;

struct Event {
  std::string type, data, id;
  bool operator==(const Event& other) const { return type == other.type && data == other.data && id == other.id; }
};

struct Gathered : SseVisitor {
  bool on_event(const SseEvent& event) override {
    events.push_back({std::string(event.type), std::string(event.data), std::string(event.last_event_id)});
    return events.size() != stop_after;
  }
  void on_comment(std::string_view text) override { comments.emplace_back(text); }
  std::vector<Event> events;
  std::vector<std::string> comments;
  std::size_t stop_after = 0;
};

/// What a parse came to, in one comparable value.
struct Result {
  std::vector<Event> events;
  std::vector<std::string> comments;
  std::optional<std::uint64_t> retry;
  std::string last_id;
  SseStatus status = SseStatus::more;
  bool operator==(const Result& other) const {
    return events == other.events && comments == other.comments && retry == other.retry && last_id == other.last_id &&
           status == other.status;
  }
};

/// Each piece lies in memory of its own size, so that a sanitizer sees a read beyond it.
template <class NextSize>
Result parse(std::string_view bytes, NextSize next_size, SseLimits limits = {}) {
  SseParser parser(limits);
  Gathered seen;
  Result result;
  while (!bytes.empty() && result.status == SseStatus::more) {
    const std::string piece(bytes.substr(0, std::max<std::size_t>(1, next_size())));
    bytes.remove_prefix(piece.size());
    std::string_view block = piece;
    result.status = parser.feed(block, seen);
    if (result.status == SseStatus::more) CHECK(block.empty());
  }
  result.events = std::move(seen.events);
  result.comments = std::move(seen.comments);
  result.retry = parser.retry();
  result.last_id = parser.last_event_id();
  return result;
}

Result parse_whole(std::string_view bytes, SseLimits limits = {}) {
  return parse(bytes, [&] { return bytes.size(); }, limits);
}

std::string from_base64(const std::string& text) {
  static const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned group = 0;
  int bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    group = (group << 6 | static_cast<unsigned>(letters.find(c))) & 0xFFFFFF;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(group >> bits & 0xFF);
  }
  return bytes;
}

std::vector<std::string> chunks_of(const Json& test) {
  std::vector<std::string> chunks;
  for (const Json& chunk : test["chunks"])
    for (int i = chunk.value("repeat", 1); i > 0; --i) chunks.push_back(from_base64(chunk["b64"]));
  return chunks;
}

std::string joined(const std::vector<std::string>& chunks) {
  std::string all;
  for (const auto& chunk : chunks) all += chunk;
  return all;
}

/// One blank behind the colon of a comment is either kept or not: both count as the same here.
std::string comment_text(const std::string& text) { return text.substr(0, 1) == " " ? text.substr(1) : text; }

void check_against(const Json& expected, const Result& result) {
  REQUIRE(result.events.size() == expected["events"].size());
  for (std::size_t i = 0; i < result.events.size(); ++i) {
    const Json& event = expected["events"][i];
    CHECK(result.events[i].type == event["event"].get<std::string>());
    CHECK(result.events[i].id == event["id"].get<std::string>());
    if (event.contains("data"))
      CHECK(result.events[i].data == event["data"].get<std::string>());
    else
      CHECK(result.events[i].data.size() == event["data_len"].get<std::size_t>());
  }
  if (expected["comments"].is_array()) {
    REQUIRE(result.comments.size() == expected["comments"].size());
    for (std::size_t i = 0; i < result.comments.size(); ++i)
      CHECK(comment_text(result.comments[i]) == comment_text(expected["comments"][i].get<std::string>()));
  }
  if (expected["retry"].is_null())
    CHECK_FALSE(result.retry);
  else
    CHECK(result.retry == expected["retry"].get<std::uint64_t>());
  CHECK(result.last_id == expected["last_event_id"].get<std::string>());
}

void check_events_after_chunk(const Json& test, const std::vector<std::string>& chunks) {
  if (!test.contains("events_after_chunk")) return;
  SseParser parser;
  Gathered seen;
  for (std::size_t i = 0; i < chunks.size() && i < test["events_after_chunk"].size(); ++i) {
    std::string_view block = chunks[i];
    parser.feed(block, seen);
    CHECK(seen.events.size() == test["events_after_chunk"][i].get<std::size_t>());
  }
}

}  // namespace

// All 123 cases without a limit of ours, the "limits" and the "divergent" ones too: without a limit they
// must give the WHATWG answer. okhttp/idIgnoredFromEmptyEvent: an id in a block without data counts, as in
// WHATWG and unlike okhttp.
TEST_CASE("sse: the public conformance cases pass in every cut") {
  if (!deepseek_tests::has_shared("conformance/sse/cases.json")) SKIP_TEST("no shared data");
  const Json suite = Json::parse(deepseek_tests::read_shared("conformance/sse/cases.json"));
  REQUIRE(suite["cases"].size() >= 123);
  std::mt19937 random(20261123);
  for (const Json& test : suite["cases"]) {
    INFO(test["id"].get<std::string>());
    const std::vector<std::string> chunks = chunks_of(test);
    const std::string bytes = joined(chunks);
    std::size_t next = 0;
    const Result whole = parse_whole(bytes);
    check_against(test["expected"], whole);
    check_events_after_chunk(test, chunks);
    CHECK(parse(bytes, [&] { return chunks[next++].size(); }) == whole);
    if (bytes.size() > 1'000'000) {  // the huge one: only large odd pieces
      CHECK(parse(bytes, [] { return 65'537; }) == whole);
      continue;
    }
    for (const std::size_t size : {1, 2, 3}) CHECK(parse(bytes, [size] { return size; }) == whole);
    for (int round = 0; round < 8; ++round) CHECK(parse(bytes, [&] { return random() % 9 + 1; }) == whole);
  }
}

// How ours reads the cases of the class "limits": their max_buffer_bytes set as line and event limit. The
// limit counts every kind of line, comments and unknown fields too, because one rule is easier to trust
// than five; it does not count what was dispatched already.
TEST_CASE("sse: the cases about limits, read our way") {
  if (!deepseek_tests::has_shared("conformance/sse/cases.json")) SKIP_TEST("no shared data");
  const Json suite = Json::parse(deepseek_tests::read_shared("conformance/sse/cases.json"));
  const std::map<std::string, SseStatus> ours = {
      {"maxbuffersize-discards-unterminated-unknown-fields-without-buffering", SseStatus::line_too_long},
      {"maxbuffersize-discards-invalid-lines-as-soon-as-their-field-name-cannot-become-v", SseStatus::line_too_long},
      {"maxbuffersize-preserves-split-valid-fields-while-discarding-invalid-lines", SseStatus::more},
      {"maxbuffersize-triggers-on-pending-fragment-overflow-no-terminator", SseStatus::line_too_long},
      {"maxbuffersize-discards-unterminated-comments-when-no-oncomment-callback-exists", SseStatus::line_too_long},
      {"discarded-unterminated-comments-consume-crlf-as-one-line-terminator", SseStatus::more},
      {"maxbuffersize-preserves-unterminated-comments-when-oncomment-callback-exists", SseStatus::more},
      {"maxbuffersize-triggers-on-data-buffer-overflow-no-blank-line", SseStatus::event_too_long},
      {"maxbuffersize-not-triggered-when-events-dispatch-within-the-limit", SseStatus::more},
  };
  std::size_t run = 0;
  for (const Json& test : suite["cases"]) {
    if (test["class"] != "limits") continue;
    const std::string id = test["id"].get<std::string>();
    INFO(id);
    const auto found = ours.find(id.substr(id.find('/') + 1));
    REQUIRE(found != ours.end());
    const auto bytes = joined(chunks_of(test));
    const std::uint64_t most = test["limits"]["max_buffer_bytes"].get<std::uint64_t>();
    const SseLimits limits{most, most};
    const Result whole = parse_whole(bytes, limits);
    CHECK(whole.status == found->second);
    for (const std::size_t size : {1, 2, 3, 5}) CHECK(parse(bytes, [size] { return size; }, limits) == whole);
    if (whole.status == SseStatus::more) check_against(test["expected"], whole);
    ++run;
  }
  CHECK(run == ours.size());
}

TEST_CASE("sse: a usual event is a view into the block, in one piece and without a copy") {
  struct Where : SseVisitor {
    bool on_event(const SseEvent& event) override {
      inside.push_back(event.data.data() >= begin && event.data.data() + event.data.size() <= end);
      return true;
    }
    void on_comment(std::string_view) override {}
    const char *begin = nullptr, *end = nullptr;
    std::vector<bool> inside;
  };
  const std::string text = "data: one\n\ndata: two\r\n\r\nid: 7\ndata:three\n\ndata: a\ndata: b\n\ndata: cut";
  Where where;
  where.begin = text.data();
  where.end = text.data() + text.size();
  SseParser parser;
  std::string_view block = text;
  CHECK(parser.feed(block, where) == SseStatus::more);
  CHECK(where.inside == std::vector<bool>{true, true, true, false});
}

TEST_CASE("sse: a visitor that stops leaves the rest of the block, and nothing is lost") {
  const std::string text = "data: 1\n\ndata: 2\r\n\r\n: note\ndata: 3\r\rdata: 4\n\n";
  SseParser parser;
  Gathered seen;
  std::string_view block = text;
  for (std::size_t i = 1; i <= 4; ++i) {
    seen.stop_after = i;
    CHECK(parser.feed(block, seen) == SseStatus::stopped);
    CHECK(seen.events.size() == i);
    CHECK(seen.events.back().data == std::to_string(i));
  }
  CHECK(block.empty());
  CHECK(seen.comments == std::vector<std::string>{" note"});
}

TEST_CASE("sse: limits count to the byte, in every cut, and what came before is delivered") {
  const std::string line = "data: 0123456789";  // 16 bytes, data of 10
  for (const std::size_t size : {1, 2, 7, 1000}) {
    INFO("pieces of " << size);
    const auto cut = [size] { return size; };
    const std::string text = "data: x\n\n" + line + "\n\ndata: y\n\n";
    CHECK(parse(text, cut, {16, 10}).events.size() == 3);
    const Result line_over = parse(text, cut, {15, 10});
    CHECK(line_over.status == SseStatus::line_too_long);
    CHECK(line_over.events.size() == 1);
    const Result event_over = parse(text, cut, {16, 9});
    CHECK(event_over.status == SseStatus::event_too_long);
    CHECK(event_over.events.size() == 1);
    // two data lines and the LF between them
    CHECK(parse("data:abc\ndata:def\n\n", cut, {16, 7}).events.size() == 1);
    CHECK(parse("data:abc\ndata:def\n\n", cut, {16, 6}).status == SseStatus::event_too_long);
  }
}

TEST_CASE("sse: whatever the bytes are, the cut does not matter") {
  const std::string alphabet[] = {"\n",
                                  "\r",
                                  "\r\n",
                                  "data",
                                  ":",
                                  " ",
                                  "data: ",
                                  "id",
                                  "event",
                                  "retry: 7",
                                  "\xEF\xBB\xBF",
                                  "x",
                                  std::string(1, '\0'),
                                  "\xEF",
                                  "\xBB",
                                  "data: [DONE]\n\n",
                                  "\n\n",
                                  "\r\r"};
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (auto i = random() % 24; i > 0; --i) text += alphabet[random() % std::size(alphabet)];
    const SseLimits limits = round % 3 == 0 ? SseLimits{12, 8} : SseLimits{};
    const Result whole = parse_whole(text, limits);
    INFO("round " << round);
    CHECK(parse(text, [] { return 1; }, limits) == whole);
    CHECK(parse(text, [&] { return random() % 5 + 1; }, limits) == whole);
  }
}
