// The first events of a stream, recognised by those of an earlier one: as if they had been read.
#include <deepseek/model/detail/codec.hpp>

#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace deepseek;
using detail::make_reply_decoder;

namespace {

std::string event(const std::string& id, const std::string& created, const std::string& delta,
                  const std::string& rest = "") {
  return "{\"id\":\"" + id + "\",\"object\":\"chat.completion.chunk\",\"created\":" + created +
         ",\"model\":\"m\",\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,\"delta\":{" + delta +
         "},\"logprobs\":null,\"finish_reason\":null" + rest + "}],\"usage\":null}";
}

/// All that an event tells, of its chunk and of the reply it begins.
std::string told(const std::string& text) {
  auto decoder = make_reply_decoder(true);
  const std::vector<char> exact(text.begin(), text.end());
  std::string told = std::to_string(static_cast<int>(decoder->inspect({exact.data(), exact.size()})));
  const auto add = [&told](std::string_view part) { told.append(part).append("|"); };
  for (std::size_t i = 0; i != decoder->chunk_count(); ++i) {
    const ChatChunk& chunk = decoder->chunks()[i];
    for (const std::string_view part : {chunk.content(), chunk.reasoning_content(), chunk.finish_reason(), chunk.id(),
                                        chunk.model(), chunk.system_fingerprint(), chunk.role(), chunk.raw()})
      add(part);
    add(std::to_string(chunk.created()) + "," + std::to_string(chunk.choice()) + "," +
        std::to_string(chunk.tool_calls().size()));
  }
  const ChatReply& reply = decoder->reply();
  for (const std::string& part : {reply.id, reply.object, reply.model, reply.system_fingerprint, reply.content(),
                                  reply.reasoning_content(), reply.message().role, reply.extra.text()})
    add(part);
  add(std::to_string(reply.created) + "," + std::to_string(reply.message().reasoning_content.has_value()) + "," +
      std::to_string(decoder->answer_bytes()) + "," + std::to_string(reply.choices.size()));
  return told;
}

/// The same on a thread that has not met any shape.
std::string told_afresh(const std::string& text) {
  std::string result;
  std::thread([&] { result = told(text); }).join();
  return result;
}

const char* const opening = R"("role":"assistant","content":"")";
const char* const content = R"("content":" word","reasoning_content":null)";
const char* const reasoning = R"("content":null,"reasoning_content":"so")";

/// Whether this thread, which has met the usual shapes just now, learns the same from `text` as one that has not.
bool same_with_shapes(const std::string& text) {
  for (const char* delta : {opening, content, reasoning}) told(event("first", "1", delta));
  return told(text) == told_afresh(text);
}

}  // namespace

TEST_CASE("a shape gives what reading gives") {
  for (const char* delta :
       {opening, content, reasoning, R"("content":"","reasoning_content":null)",
        R"("content":null,"reasoning_content":"")", R"("content":"a\n\"b","reasoning_content":null)",
        "\"content\":\"\xE4\xBD\xA0\",\"reasoning_content\":null", "\"content\":\"\xFF\",\"reasoning_content\":null",
        "\"content\":\"\n\",\"reasoning_content\":null", R"("content":"a","content":"b","reasoning_content":null)",
        R"("content":"a","reasoning_content":"b")", R"("content":"a","reasoning_content":null,"new":1)",
        R"("role":"tool","content":"")"})
    for (const char* id : {"first", "second, which is longer", "", "a\\u0062", "\xC3\xA4", "a\"b", "\x01"})
      for (const char* created : {"1", "0", "1795392000", "012", "-1", "1e3", "1.5", "", "null", "999999999999999999",
                                  "9999999999999999999"}) {
        const std::string text = event(id, created, delta);
        INFO(text);
        CHECK(same_with_shapes(text));
      }
  for (const char* rest : {",\"x\":1", "}", ",\"index\":1", " "}) {
    const std::string text = event("second", "2", content, rest);
    CHECK(same_with_shapes(text));
  }
  const std::string whole = event("second", "2", content);
  for (std::size_t size = 0; size <= whole.size(); ++size) CHECK(same_with_shapes(whole.substr(0, size)));
}

TEST_CASE("streams of one shape keep their own ids, and each its own text") {
  for (const char* const id : {"one", "another"}) {
    auto decoder = make_reply_decoder(true);
    for (const char* delta : {opening, reasoning, content, content}) decoder->inspect(event(id, "5", delta));
    CHECK(decoder->chunks()[0].id() == id);
    CHECK(decoder->reply().id == id);
    CHECK(decoder->reply().content() == " word word");
    CHECK(decoder->reply().reasoning_content() == "so");
  }
}
