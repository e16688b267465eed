// From a body to bytes on the wire: HTTP framing, then the faults.
#include "plan.hpp"

#include "http.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 404:
      return "Not Found";
    case 408:
      return "Request Timeout";
    case 413:
      return "Payload Too Large";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

std::string hex(std::size_t number) {
  std::array<char, 20> text{};
  const int length = std::snprintf(text.data(), text.size(), "%zx", number);
  return {text.data(), static_cast<std::size_t>(length)};
}

std::string field(std::string_view name, std::string_view value) {
  std::string line(name);
  line.append(": ").append(value).append("\r\n");
  return line;
}

/// A recording is a file, and a file may hold anything: a line break would begin another header, or the body.
bool fits_on_a_line(const HttpHeader& header) {
  using namespace std::string_view_literals;
  return !header.name.empty() && header.name.find_first_of("\r\n\0: "sv) == std::string::npos &&
         header.value.find_first_of("\r\n\0"sv) == std::string::npos;
}

enum class Framing { length, chunked, until_close };

std::string head(const ReplySpec& spec, const Body& body, Framing framing, std::size_t length, bool close,
                 const std::string& trace_id) {
  std::string text = "HTTP/1.1 " + std::to_string(body.status) + ' ' + std::string(reason(body.status)) + "\r\n";
  text += field("Date", http_date(std::chrono::seconds(0)));
  text += field("Content-Type", spec.content_type.empty() ? body.content_type : spec.content_type);
  if (framing == Framing::chunked) text += field("Transfer-Encoding", "chunked");
  if (framing == Framing::length) text += field("Content-Length", std::to_string(length));
  text += field("Connection", close ? "close" : "keep-alive");
  if (body.sse) text += field("Cache-Control", "no-cache");
  text += field("Server", "elb");
  text += field("x-ds-trace-id", trace_id);
  for (const auto& header : spec.headers) text += field(header.name, header.value);
  if (spec.retry_after_date) text += field("Retry-After", http_date(*spec.retry_after_date));
  return text + "\r\n";
}

std::string with_line_ends(std::string_view text, const std::string& ending) {
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      out += ending;
    else
      out += c;
  }
  return out;
}

/// The faults that belong to the body: event ids, line ends, waiting and pace.
void dress_parts(const ReplySpec& spec, Body& body) {
  std::size_t number = 0;
  for (auto& part : body.parts) {
    if (body.sse && part.event && spec.event_ids) {
      const auto id = std::to_string(++number);
      part.bytes = "id: " + id + "\n" + part.bytes + ": ping\n\n";
    }
    if (body.sse && spec.line_end != "\n") part.bytes = with_line_ends(part.bytes, spec.line_end);
  }
  if (spec.pace.count() > 0) {
    for (std::size_t i = 1; i < body.parts.size(); ++i) body.parts[i].delay += spec.pace;
  }
  std::vector<Step> waiting;
  if (spec.keep_alive.every.count() > 0) {
    const auto count = spec.keep_alive.total / spec.keep_alive.every;
    for (std::int64_t i = 0; i < count; ++i) {
      add_step(waiting, {spec.keep_alive.every, body.sse ? ": keep-alive\n\n" : "\n", false});
    }
  }
  body.parts.insert(body.parts.begin(), waiting.begin(), waiting.end());
  if (!body.parts.empty()) body.parts.front().delay += spec.after_head;
}

/// The same bytes in parts of other sizes; a part keeps the delay of the part its first byte comes from.
std::vector<Step> resize_parts(const std::vector<Step>& parts, const std::vector<std::size_t>& sizes) {
  std::vector<Step> out;
  Step current;
  std::size_t which = 0;
  auto wanted = [&] { return std::max<std::size_t>(1, sizes[std::min(which, sizes.size() - 1)]); };
  for (const auto& part : parts) {
    current.delay += part.delay;
    for (std::string_view rest = part.bytes; !rest.empty();) {
      const auto taken = rest.substr(0, wanted() - current.bytes.size());
      current.bytes += taken;
      rest.remove_prefix(taken.size());
      if (current.bytes.size() < wanted()) break;
      current.event = true;
      add_step(out, std::exchange(current, {}));
      ++which;
    }
  }
  if (!current.bytes.empty()) out.push_back(std::move(current));
  return out;
}

std::vector<Step> dripped(const std::vector<Step>& steps, const Drip& drip) {
  std::vector<Step> out;
  for (const auto& step : steps) {
    for (std::size_t at = 0; at < step.bytes.size(); at += drip.bytes) {
      const bool last = at + drip.bytes >= step.bytes.size();
      add_step(out, {drip.every + (at == 0 ? step.delay : microseconds(0)), step.bytes.substr(at, drip.bytes),
                     step.event && last});
    }
  }
  return out;
}

/// Everything behind the place where the reply breaks is dropped.
void break_steps(Plan& plan, const BreakAt& broken) {
  std::uint64_t count = 0;
  auto step = plan.steps.begin();
  if (broken.events && broken.count == 0) {  // the head, nothing else
    step = std::find_if(step, plan.steps.end(), [](const Step& s) { return s.event; });
  } else {
    for (; step != plan.steps.end(); ++step) {
      if (broken.events) {
        if (step->event && ++count == broken.count) {
          ++step;
          break;
        }
        continue;
      }
      if (count + step->bytes.size() >= broken.count) {
        step->bytes.resize(static_cast<std::size_t>(broken.count - count));
        ++step;
        break;
      }
      count += step->bytes.size();
    }
  }
  plan.steps.erase(step, plan.steps.end());
  switch (broken.how) {
    case Break::none:
      break;
    case Break::cut:
      plan.end = Plan::End::cut;
      break;
    case Break::reset:
      plan.end = Plan::End::reset;
      break;
    case Break::stall:
      plan.end = Plan::End::hang;
      break;
  }
}

void apply_byte_faults(const ReplySpec& spec, Plan& plan, bool chunked, bool sse) {
  if (spec.drip.bytes > 0) plan.steps = dripped(plan.steps, spec.drip);
  if (spec.broken.how != Break::none) break_steps(plan, spec.broken);
  if (!plan.steps.empty()) plan.steps.front().delay += spec.after;
  if (spec.keep_alive_in_stall.count() > 0) {
    const std::string comment = sse ? ": keep-alive\n\n" : "\n";
    plan.repeat = {spec.keep_alive_in_stall, chunked ? http_chunk(comment) : comment, false};
  }
}

/// Where the event at the front ends: behind its blank line, or behind the text.
std::size_t event_end(std::string_view stream) {
  for (auto at = stream.find('\n'); at != stream.npos; at = stream.find('\n', at + 1)) {
    if (stream.substr(at + 1, 1) == "\n") return at + 2;
    if (stream.substr(at + 1, 2) == "\r\n") return at + 3;
  }
  return stream.size();
}

}  // namespace

void add_step(std::vector<Step>& to, Step step) {
  if (to.size() >= most_steps) throw TooManySteps();
  to.push_back(std::move(step));
}

std::string http_chunk(const std::string& data) { return hex(data.size()) + "\r\n" + data + "\r\n"; }

std::string http_date(std::chrono::seconds from_now) {
  static constexpr std::array<const char*, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto when = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now() + from_now);
  std::tm utc{};
  gmtime_r(&when, &utc);
  std::array<char, 64> text{};
  const int length = std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                   days.at(static_cast<std::size_t>(utc.tm_wday)), utc.tm_mday,
                                   months.at(static_cast<std::size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour,
                                   utc.tm_min, utc.tm_sec);
  return {text.data(), static_cast<std::size_t>(length)};
}

std::vector<Step> split_events(std::string_view stream) {
  std::vector<Step> parts;
  while (!stream.empty()) {
    const auto end = event_end(stream);
    const auto part = stream.substr(0, end);
    add_step(parts, {microseconds(0), std::string(part), part.find("data:") != part.npos});
    stream.remove_prefix(end);
  }
  return parts;
}

Plan make_plan(const ReplySpec& spec, Body body, bool keep, const std::string& trace_id) {
  dress_parts(spec, body);
  if (!spec.chunk_sizes.empty()) body.parts = resize_parts(body.parts, spec.chunk_sizes);

  const bool waits =
      std::any_of(body.parts.begin(), body.parts.end(), [](const Step& s) { return s.delay.count() > 0; });
  const bool chunked = body.sse || waits || body.parts.size() > 1;
  const auto framing = spec.close_delimited ? Framing::until_close : chunked ? Framing::chunked : Framing::length;
  const bool close = !keep || spec.close || spec.close_delimited;

  std::size_t length = 0;
  for (const auto& part : body.parts) length += part.bytes.size();
  Plan plan;
  plan.end = close ? Plan::End::close : Plan::End::reuse;
  plan.steps.push_back({microseconds(0), head(spec, body, framing, length, close, trace_id), false});
  for (auto& part : body.parts) {
    if (part.bytes.empty()) continue;  // an empty chunk would end the body
    plan.steps.push_back(
        {part.delay, framing == Framing::chunked ? http_chunk(part.bytes) : std::move(part.bytes), part.event});
  }
  if (framing == Framing::chunked && !spec.more_after_done) plan.steps.push_back({microseconds(0), "0\r\n\r\n", false});
  if (spec.more_after_done) plan.end = Plan::End::hang;
  plan.one_by_one = !spec.chunk_sizes.empty() || spec.drip.bytes > 0;
  apply_byte_faults(spec, plan, framing == Framing::chunked, body.sse);
  return plan;
}

Plan raw_plan(const ReplySpec& spec, bool keep) {
  Plan plan;
  plan.end = Plan::End::cut;
  if (spec.kind == ReplySpec::Kind::recorded) plan = replay_plan(spec.recording, spec.timing, keep);
  if (spec.kind == ReplySpec::Kind::garbage) plan.steps.push_back({microseconds(0), spec.bytes, true});
  if (spec.kind == ReplySpec::Kind::endless_headers) {
    plan.steps.push_back({microseconds(0), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n", false});
    std::string lines;
    for (int i = 0; i < 64; ++i) lines += field("x-padding", std::string(48, 'x'));
    plan.repeat = {microseconds(0), std::move(lines), false};
    plan.end = Plan::End::hang;
  }
  const auto repeat = plan.repeat;
  apply_byte_faults(spec, plan, false, false);
  if (spec.keep_alive_in_stall.count() == 0) plan.repeat = repeat;
  return plan;
}

Plan replay_plan(const RecordedResponse& response, bool timing, bool keep) {
  Plan plan;
  plan.one_by_one = true;
  std::string text =
      "HTTP/1.1 " + std::to_string(response.status) + ' ' + std::string(reason(response.status)) + "\r\n";
  // The recording holds the decoded body: its framing is made anew, and each recorded chunk is one chunk.
  for (const auto& header : response.headers) {
    if (!is_framing_header(header.name) && fits_on_a_line(header)) text += field(header.name, header.value);
  }
  text += field("Transfer-Encoding", "chunked");
  text += field("Connection", keep && response.clean_end ? "keep-alive" : "close");
  if (!response.head_complete) {
    const auto wait = timing && !response.chunks.empty() ? response.chunks.front().after : microseconds(0);
    plan.steps.push_back({wait, std::move(text), false});
    plan.end = Plan::End::cut;
    return plan;
  }
  plan.steps.push_back({microseconds(0), text + "\r\n", false});
  for (const auto& part : response.chunks) {
    if (part.data.empty()) continue;
    plan.steps.push_back({timing ? part.after : microseconds(0), http_chunk(part.data), true});
  }
  if (!response.clean_end) {
    plan.end = Plan::End::cut;
    return plan;
  }
  plan.steps.push_back({microseconds(0), "0\r\n\r\n", false});
  plan.end = keep ? Plan::End::reuse : Plan::End::close;
  return plan;
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
