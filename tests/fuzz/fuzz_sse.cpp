// Event streams: the first two bytes choose limits and a cut, the rest is parsed whole, in pieces, and
// with a reader that stops behind each event. All must agree.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/transport/detail/sse.hpp>

namespace {

using namespace deepseek::detail;

struct Log final : SseVisitor {
  bool on_event(const SseEvent& event) override {
    text.append(event.type)
        .append(1, '\1')
        .append(event.data)
        .append(1, '\1')
        .append(event.last_event_id)
        .append(1, '\2');
    ++events;
    bytes += event.data.size();
    return !stops;
  }
  void on_comment(std::string_view comment) override { text.append(1, ':').append(comment).append(1, '\2'); }
  std::string text;
  std::size_t events = 0;
  std::size_t bytes = 0;
  bool stops = false;
};

struct Run {
  std::string text;
  SseStatus status = SseStatus::more;
  std::string id;
  std::optional<std::uint64_t> retry;
  bool operator==(const Run& other) const {
    return text == other.text && status == other.status && id == other.id && retry == other.retry;
  }
};

void require(bool holds) {
  if (!holds) std::abort();
}

Run run(std::string_view bytes, std::size_t piece, bool stops, SseLimits limits) {
  SseParser parser(limits);
  Log log;
  log.stops = stops;
  Run result;
  const std::size_t size = bytes.size();
  while (!bytes.empty() && result.status == SseStatus::more) {
    // A copy of its own size, so that a sanitizer sees a read beyond it.
    const std::vector<char> block(bytes.begin(),
                                  bytes.begin() + static_cast<std::ptrdiff_t>(std::min(piece, bytes.size())));
    bytes.remove_prefix(block.size());
    std::string_view rest(block.data(), block.size());
    do {
      const std::size_t before = rest.size();
      result.status = parser.feed(rest, log);
      require(rest.size() < before || before == 0 || result.status != SseStatus::stopped);
    } while (result.status == SseStatus::stopped && !rest.empty());
    if (result.status == SseStatus::stopped) result.status = SseStatus::more;
    if (result.status == SseStatus::more) require(rest.empty());
  }
  require(log.bytes <= size);
  result.text = std::move(log.text);
  result.id = parser.last_event_id();
  result.retry = parser.retry();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  SseLimits limits;
  if ((data[0] & 1) != 0) limits = {data[0], static_cast<std::uint64_t>(data[0] / 2)};
  const Run whole = run(bytes, bytes.size() + 1, false, limits);
  require(run(bytes, 1, false, limits) == whole);
  require(run(bytes, data[1] % 64u + 1, false, limits) == whole);
  require(run(bytes, bytes.size() + 1, true, limits) == whole);
  require(run(bytes, data[1] % 64u + 1, true, limits) == whole);
  return 0;
}
