// What a server says before its body: header lookup, dates, waits, redirects and the choice of how the
// body is read. The input is a header block, an empty line, and a body.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include <deepseek/transport/detail/response_reader.hpp>
#include <deepseek/transport/detail/retry_after.hpp>
#include <deepseek/transport/detail/url.hpp>

namespace {

using namespace deepseek;

void require(bool holds) {
  if (!holds) std::abort();
}

struct AnyDecoder final : Decoder {
  FrameKind inspect(std::string_view data) override {
    return data == "[DONE]" ? FrameKind::end : data.front() == '!' ? FrameKind::error : FrameKind::token;
  }
  std::optional<Error> conclude(bool clean) override {
    if (clean) return std::nullopt;
    return Error(ErrorCode::truncated, "cut");
  }
  Error error_from_body(int, std::string_view) override { return Error(ErrorCode::http_error, "status"); }
  void reset() override {}
};

struct Target final : detail::FrameTarget {
  bool take_frame(const Frame& frame) override {
    require(!frame.data.empty());
    bytes += frame.data.size();
    return (bytes & 1) == 0;
  }
  std::size_t bytes = 0;
};

void check_texts(const HttpHead& head, std::string_view block) {
  for (const char* name : {"date", "retry-after", "location", "", "x", "content-type"}) {
    const std::string_view value = head.header(name);
    require(value.empty() ||
            (value.data() >= block.data() && value.data() + value.size() <= block.data() + block.size()));
    require(value.find('\n') == std::string_view::npos);
  }
  const detail::RetryAfter asked = detail::parse_retry_after(head);
  if (asked.delay) require(asked.delay->count() >= 0);
  (void)detail::parse_http_date(block);
  if (const auto base = detail::parse_base_url(block)) {
    require(!base->host.empty() && base->port >= 0 && base->port < 65536);
    Operation operation;
    operation.path = "/p";
    operation.base = Operation::Base::beta_if_deepseek;
    const auto url = detail::compose_url(block, std::nullopt, operation);
    require(url.has_value() && url->find_first_of(" \r\n") == std::string::npos);
  }
}

void read_reply(const HttpHead& head, std::string_view body, bool stream, bool clean) {
  Call call;
  call.operation.stream = stream;
  call.decoder = std::make_shared<AnyDecoder>();
  call.limits.body_bytes = call.limits.error_body_bytes = 64;
  call.limits.line_bytes = call.limits.event_bytes = 48;
  call.limits.stream_bytes = 256;
  Target target;
  detail::ResponseReader reader(call, target);
  reader.head(head);
  const std::size_t size = body.size();
  while (!body.empty()) {
    const std::size_t taken = reader.data(body);
    require(taken > 0 && taken <= body.size());
    body.remove_prefix(taken);
  }
  require(call.facts.bytes_received == size);
  HttpEnd end;
  end.clean = clean;
  end.head_complete = true;
  const auto error = reader.end(end);
  if (head.status >= 300 || (!clean && !reader.settled())) require(error.has_value());
  if (error) require(error->trace_id().size() <= 128);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t gap = text.find("\n\n");
  const std::string block = text.substr(0, gap);
  const std::string body = gap == std::string::npos ? std::string() : text.substr(gap + 2);
  constexpr int statuses[] = {200, 201, 204, 301, 307, 400, 429, 503};
  const HttpHead head{statuses[data[0] & 7], 11, block};
  check_texts(head, block);
  for (const bool stream : {true, false})
    for (const bool clean : {true, false}) read_reply(head, body, stream, clean);
  return 0;
}
