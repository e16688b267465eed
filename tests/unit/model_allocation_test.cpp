// The steady state of a stream touches no heap.
#include <deepseek/model/detail/codec.hpp>

#include <atomic>
#include <cstdlib>
#include <new>

#include "support/catch.hpp"

namespace {
std::atomic<std::uint64_t> allocations{0};
}

void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size == 0 ? 1 : size);
}
void* operator new(std::size_t size) {
  if (void* p = operator new(size, std::nothrow)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

using namespace deepseek;

namespace {

std::string event(const std::string& members) {
  return R"({"id":"8d8b7c6e-3f1a-4c5e-9b7a-2f6f0c1d2e3f","object":"chat.completion.chunk","created":1795392000,)"
         R"("model":"deepseek-flash",)"
         R"("system_fingerprint":"fp_1","choices":[{"index":0,"delta":{)" +
         members + R"(},"logprobs":null,"finish_reason":null}],"usage":null})";
}

/// Allocations of 1000 rounds over `events` after a warm-up that also makes room for the text.
std::uint64_t counted(const std::vector<std::string>& events) {
  auto decoder = detail::make_reply_decoder(true);
  for (const std::string& each : events) decoder->inspect(each);
  Message& message = decoder->reply().choices.at(0).message;
  message.content.reserve(100000);
  if (message.reasoning_content) message.reasoning_content->reserve(100000);
  for (ToolCall& call : message.tool_calls) call.arguments.reserve(100000);
  for (const std::string& each : events) decoder->inspect(each);
  const std::uint64_t before = allocations.load();
  for (int i = 0; i < 1000; ++i)
    for (const std::string& each : events) decoder->inspect(each);
  return allocations.load() - before;
}

}  // namespace

TEST_CASE("no allocation per event") {
  CHECK(counted({event(R"("content":"word","reasoning_content":null)")}) == 0);
  CHECK(counted({event(R"("content":"a","reasoning_content":null)"),
                 event(R"("content":"a\n\"b\u00fc","reasoning_content":null)"),
                 event("\"content\":\"\xE4\xBD\xA0\",\"reasoning_content\":null")}) == 0);
  CHECK(counted({event(R"("content":null,"reasoning_content":"think")"),
                 event(R"("content":"say","reasoning_content":null)")}) == 0);
  CHECK(
      counted({event(R"("tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}])"),
               event(R"("tool_calls":[{"index":0,"function":{"arguments":"{\"x"}}])")}) == 0);
  // Read in full each time: buffers are kept.
  CHECK(counted({event(R"("content":"a","reasoning_content":"b")")}) == 0);
}
