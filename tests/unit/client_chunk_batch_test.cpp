// Owned copies of chunks keep every member, whatever the source buffers do afterwards.
#include "support/catch.hpp"

#include <deepseek/detail/chunk_batch.hpp>
#include <deepseek/model/detail/chunk_access.hpp>
#include <deepseek/model/detail/codec.hpp>

using namespace deepseek;

namespace {

std::string event(const std::string& delta, const std::string& rest = "\"finish_reason\":null}],\"usage\":null") {
  return "{\"id\":\"id-1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"system_fingerprint\":"
         "\"fp\","
         "\"choices\":[{\"index\":0,\"delta\":{" +
         delta + "},\"logprobs\":null," + rest + "}";
}

}  // namespace

TEST_CASE("a batch hands out what was put in, across swaps and reuse", "[client][modes]") {
  std::vector<std::string> events{event("\"role\":\"assistant\",\"content\":\"\"")};
  for (int i = 0; i < 50; ++i) {
    events.push_back(event("\"content\":\"w" + std::to_string(i) + (i % 7 == 0 ? "\\n" : "") + "\""));
    if (i % 5 == 0) events.push_back(event("\"reasoning_content\":\"r" + std::to_string(i) + "\""));
    if (i % 9 == 0)
      events.push_back(event("\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"" +
                             std::to_string(i) + "\"}}]"));
  }
  events.push_back(event("\"content\":\"\"",
                         "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,"
                         "\"total_tokens\":7}"));
  for (const std::size_t batch_size : {std::size_t{1}, std::size_t{3}, std::size_t{1000}}) {
    const auto decoder = detail::make_reply_decoder(true);
    detail::ChunkBatch incoming, reading;
    std::vector<ChatChunk> expected;
    std::size_t seen = 0;
    const auto drain = [&] {
      reading.clear();
      reading.swap(incoming);
      while (const ChatChunk* chunk = reading.next()) {
        const ChatChunk& wanted = expected.at(seen++);
        REQUIRE(chunk->raw() == wanted.raw());
        REQUIRE(chunk->content() == wanted.content());
        REQUIRE(chunk->reasoning_content() == wanted.reasoning_content());
        REQUIRE(chunk->id() == wanted.id());
        REQUIRE(chunk->model() == wanted.model());
        REQUIRE(chunk->role() == wanted.role());
        REQUIRE(chunk->finish_reason() == wanted.finish_reason());
        REQUIRE(chunk->system_fingerprint() == wanted.system_fingerprint());
        REQUIRE(chunk->created() == wanted.created());
        REQUIRE(chunk->tool_calls().size() == wanted.tool_calls().size());
        for (std::size_t i = 0; i < wanted.tool_calls().size(); ++i) {
          REQUIRE(chunk->tool_calls()[i].arguments == wanted.tool_calls()[i].arguments);
          REQUIRE(chunk->tool_calls()[i].name == wanted.tool_calls()[i].name);
        }
        REQUIRE((chunk->usage() != nullptr) == (wanted.usage() != nullptr));
        if (wanted.usage()) REQUIRE(chunk->usage()->total_tokens == 7);
      }
    };
    for (std::size_t i = 0; i < events.size(); ++i) {
      std::string buffer = events[i];  // goes away, as a read buffer does
      decoder->inspect(buffer);
      for (std::size_t c = 0; c < decoder->chunk_count(); ++c) {
        expected.push_back(decoder->chunks()[c]);
        incoming.append(decoder->chunks()[c]);
      }
      buffer.assign(buffer.size(), '#');
      if (i % batch_size == batch_size - 1) drain();
    }
    drain();
    REQUIRE(seen == expected.size());
    REQUIRE(seen == events.size());
  }
}
