// The words of the script builder.
#include "reply.hpp"

#include <nlohmann/json.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test {

using detail::Break;
using detail::ReplySpec;

namespace {

Reply make(ReplySpec::Kind kind) {
  auto spec = std::make_shared<ReplySpec>();
  spec->kind = kind;
  return Reply(std::move(spec));
}

std::shared_ptr<ReplySpec> spec_of(ReplySpec::Kind kind) {
  auto spec = std::make_shared<ReplySpec>();
  spec->kind = kind;
  return spec;
}

}  // namespace

Reply::Reply() : spec_(std::make_shared<ReplySpec>()) {}
Reply::~Reply() = default;
Reply::Reply(const Reply&) = default;
Reply::Reply(Reply&&) noexcept = default;
Reply& Reply::operator=(const Reply&) = default;
Reply& Reply::operator=(Reply&&) noexcept = default;

ReplySpec& Reply::edit() {
  if (!spec_) spec_ = std::make_shared<ReplySpec>();
  if (spec_.use_count() > 1) spec_ = std::make_shared<ReplySpec>(*spec_);
  return *spec_;
}

Reply& Reply::think(std::string reasoning) {
  auto& spec = edit();
  spec.kind = ReplySpec::Kind::content;
  spec.reasoning = std::move(reasoning);
  return *this;
}
Reply& Reply::say(std::string text) {
  auto& spec = edit();
  spec.kind = ReplySpec::Kind::content;
  spec.text = std::move(text);
  return *this;
}
Reply& Reply::call_tool(std::string name, std::string arguments) {
  auto& spec = edit();
  spec.kind = ReplySpec::Kind::content;
  spec.calls.push_back({std::move(name), std::move(arguments)});
  return *this;
}
Reply& Reply::finish_reason(std::string word) { return edit().finish = std::move(word), *this; }
Reply& Reply::pieces(std::vector<std::string> texts) {
  auto& spec = edit();
  spec.kind = ReplySpec::Kind::content;
  std::string whole;
  for (const auto& text : texts) whole += text;
  spec.text = std::move(whole);
  spec.pieces = std::move(texts);
  return *this;
}
Reply& Reply::title(std::string text) { return edit().title = std::move(text), *this; }
Reply& Reply::leading_blanks(int count) { return edit().blanks = count, *this; }
Reply& Reply::model(std::string name) { return edit().model = std::move(name), *this; }
Reply& Reply::unchecked() { return edit().unchecked = true, *this; }

Reply& Reply::after(std::chrono::milliseconds delay) { return edit().after = delay, *this; }
Reply& Reply::after_head(std::chrono::milliseconds delay) { return edit().after_head = delay, *this; }
Reply& Reply::pace(std::chrono::milliseconds between) { return edit().pace = between, *this; }
Reply& Reply::keep_alive(std::chrono::milliseconds every, std::chrono::milliseconds total) {
  return edit().keep_alive = {every, total}, *this;
}
Reply& Reply::drip(std::size_t bytes, std::chrono::milliseconds every) {
  return edit().drip = {bytes == 0 ? 1 : bytes, every}, *this;
}

Reply& Reply::cut_after_bytes(std::uint64_t count) { return edit().broken = {Break::cut, false, count}, *this; }
Reply& Reply::reset_after_bytes(std::uint64_t count) { return edit().broken = {Break::reset, false, count}, *this; }
Reply& Reply::stall_after_bytes(std::uint64_t count) { return edit().broken = {Break::stall, false, count}, *this; }
Reply& Reply::cut_after_events(std::size_t count) { return edit().broken = {Break::cut, true, count}, *this; }
Reply& Reply::reset_after_events(std::size_t count) { return edit().broken = {Break::reset, true, count}, *this; }
Reply& Reply::stall_after_events(std::size_t count) { return edit().broken = {Break::stall, true, count}, *this; }
Reply& Reply::keep_alive_in_stall(std::chrono::milliseconds every) { return edit().keep_alive_in_stall = every, *this; }
Reply& Reply::end_without_done() { return edit().no_done = true, *this; }
Reply& Reply::end_without_finish() {
  auto& spec = edit();
  spec.no_finish = spec.no_done = true;
  return *this;
}
Reply& Reply::done_then_more() { return edit().more_after_done = true, *this; }
Reply& Reply::malformed_event(std::size_t index) { return edit().malformed = index, *this; }
Reply& Reply::error_in_band(std::size_t index, std::string message) {
  auto& spec = edit();
  spec.error_at = index;
  spec.error_message = std::move(message);
  return *this;
}
Reply& Reply::huge_event(std::size_t bytes) { return edit().huge_event = bytes, *this; }
Reply& Reply::close_connection() { return edit().close = true, *this; }

Reply& Reply::usage_chunk_separate() { return edit().separate_usage = true, *this; }
Reply& Reply::without_usage() { return edit().no_usage = true, *this; }
Reply& Reply::octet_stream() { return edit().content_type = "application/octet-stream", *this; }
Reply& Reply::content_type(std::string type) { return edit().content_type = std::move(type), *this; }
Reply& Reply::header(std::string name, std::string value) {
  return edit().headers.push_back({std::move(name), std::move(value)}), *this;
}
Reply& Reply::retry_after(std::chrono::seconds delay) { return header("Retry-After", std::to_string(delay.count())); }
Reply& Reply::retry_after_date(std::chrono::seconds from_now) { return edit().retry_after_date = from_now, *this; }
Reply& Reply::retry_after_ms(std::chrono::milliseconds delay) {
  return header("retry-after-ms", std::to_string(delay.count()));
}
Reply& Reply::chunk_sizes(std::vector<std::size_t> sizes) { return edit().chunk_sizes = std::move(sizes), *this; }
Reply& Reply::close_delimited() { return edit().close_delimited = true, *this; }
Reply& Reply::line_ends(std::string ending) { return edit().line_end = std::move(ending), *this; }
Reply& Reply::event_ids() { return edit().event_ids = true, *this; }

Reply say(std::string text) { return Reply().say(std::move(text)); }
Reply think(std::string reasoning, std::string text) {
  return Reply().think(std::move(reasoning)).say(std::move(text));
}
Reply call_tool(std::string name, std::string arguments) {
  return Reply().call_tool(std::move(name), std::move(arguments));
}
Reply faithful() { return make(ReplySpec::Kind::faithful); }

Reply status(int code, std::string message) {
  if (message.empty()) message = detail::known_message(code);
  return raw_body(code, "application/json", detail::error_body(code, message));
}
Reply raw_body(int status, std::string content_type, std::string bytes) {
  auto spec = spec_of(ReplySpec::Kind::body);
  spec->status = status;
  spec->content_type = std::move(content_type);
  spec->bytes = std::move(bytes);
  return Reply(std::move(spec));
}
Reply raw_stream(std::string bytes) {
  auto spec = spec_of(ReplySpec::Kind::stream);
  spec->bytes = std::move(bytes);
  return Reply(std::move(spec));
}
Reply garbage(std::string bytes) {
  auto spec = spec_of(ReplySpec::Kind::garbage);
  spec->bytes = std::move(bytes);
  return Reply(std::move(spec));
}
Reply drop() { return make(ReplySpec::Kind::drop); }
Reply endless_headers() { return make(ReplySpec::Kind::endless_headers); }
Reply recorded(RecordedResponse response, bool timing) {
  auto spec = spec_of(ReplySpec::Kind::recorded);
  spec->recording = std::move(response);
  spec->timing = timing;
  return Reply(std::move(spec));
}

namespace detail {

std::string known_message(int status) {
  switch (status) {
    case 400:
      return "Failed to deserialize the JSON body into the target type";
    case 401:
      return "Authentication Fails, Your api key: ****-key is invalid";
    case 402:
      return "Insufficient Balance";
    case 404:
      return "Not Found";
    case 408:
      return "Request Timeout";
    case 413:
      return "Request body too large";
    case 422:
      return "Invalid Parameters";
    case 429:
      return "Rate limit reached: too many concurrent requests";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.";
    case 504:
      return "Gateway Timeout";
    default:
      return "HTTP status " + std::to_string(status);
  }
}

std::string error_body(int status, const std::string& message) {
  // The words differ by status; type and code are as poor guides as the service's own.
  std::string type = "invalid_request_error";
  std::string code = "invalid_request_error";
  if (status == 401) type = "authentication_error";
  if (status == 402) type = "unknown_error";
  if (status == 429) type = code = "rate_limit_error";
  if (status == 500 || status == 504) type = code = "internal_error";
  if (status == 503) type = code = "service_unavailable_error";
  nlohmann::ordered_json body;
  body["error"] = {{"message", message}, {"type", type}, {"param", nullptr}, {"code", code}};
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace detail
}  // namespace test
DEEPSEEK_END_NAMESPACE
