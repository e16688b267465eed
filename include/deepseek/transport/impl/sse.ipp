#pragma once
#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include <deepseek/transport/detail/sse.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The first `wanted` in [at, end), or `end`.
inline const char* sse_find(const char* at, const char* end, char wanted) {
  if (at == end) return end;
  const void* found = std::memchr(at, wanted, static_cast<std::size_t>(end - at));
  return found != nullptr ? static_cast<const char*>(found) : end;
}

DEEPSEEK_DECL const char* SseParser::skip_bom(const char* at, const char* end) {
  static constexpr char mark[] = "\xEF\xBB\xBF";
  while (at != end && bom_ < 3) {
    if (*at != mark[bom_]) {
      carry_.assign(mark, static_cast<std::size_t>(bom_));  // no mark: its beginning belongs to the first line
      bom_ = 3;
      return at;
    }
    ++at;
    ++bom_;
  }
  return at;
}

DEEPSEEK_DECL SseStatus SseParser::feed(std::string_view& block, SseVisitor& visitor) {
  const char* at = block.data();
  const char* const end = at + block.size();
  if (bom_ < 3) at = skip_bom(at, end);
  const char* cr = nullptr;  // the first CR not before `at`; looked up once per CR, not once per line
  SseStatus status = SseStatus::more;
  while (at != end && status == SseStatus::more) {
    if (skip_lf_) {
      skip_lf_ = false;
      if (*at == '\n') {
        ++at;
        continue;
      }
    }
    if (cr == nullptr || cr < at) cr = sse_find(at, end, '\r');
    if (cr == end && !pending_ && carry_.empty()) {
      at = take_usual_events(at, end, visitor, status);
      if (at == end || status != SseStatus::more) break;
    }
    const char* const stop = sse_find(at, cr, '\n');
    const std::string_view piece(at, static_cast<std::size_t>(stop - at));
    if (carry_.size() + piece.size() > limits_.line_bytes) {
      status = SseStatus::line_too_long;
      break;
    }
    if (stop == end) {
      carry_.append(piece);
      at = end;
      break;
    }
    const bool whole = carry_.empty();
    if (!whole) carry_.append(piece);
    skip_lf_ = *stop == '\r';
    at = stop + 1;
    status = take_line(whole ? piece : std::string_view(carry_), whole, visitor);
    carry_.clear();
  }
  keep_view();
  block.remove_prefix(static_cast<std::size_t>(at - block.data()));
  return status;
}

// What nearly all of a stream is: events of one data line and comments, each with its empty line and whole inside a
// block without a CR.
DEEPSEEK_DECL const char* SseParser::take_usual_events(const char* at, const char* end, SseVisitor& visitor,
                                                       SseStatus& status) {
  SseEvent event{"message", {}, last_id_};
  while (end - at > 8) {
    const bool comment = *at == ':';
    if (!comment && std::memcmp(at, "data: ", 6) != 0) break;
    const char* const data = at + (comment ? 1 : 6);
    const char* const stop = sse_find(data, end, '\n');
    if (end - stop < 2 || stop[1] != '\n') break;
    if (comment) {
      if (static_cast<std::uint64_t>(stop - at) > limits_.line_bytes) break;
      visitor.on_comment({data, static_cast<std::size_t>(stop - data)});
      at = stop + 2;
      continue;
    }
    event.data = std::string_view(data, static_cast<std::size_t>(stop - data));
    if (event.data.empty() || event.data.size() > usual_bytes_) break;
    at = stop + 2;
    if (visitor.on_event(event)) continue;
    status = SseStatus::stopped;
    break;
  }
  return at;
}

DEEPSEEK_DECL SseParser::SseParser(SseLimits limits)
    : limits_(limits),
      usual_bytes_(std::min(limits.event_bytes, limits.line_bytes - std::min<std::uint64_t>(limits.line_bytes, 6))) {}

DEEPSEEK_DECL SseStatus SseParser::take_line(std::string_view line, bool in_block, SseVisitor& visitor) {
  if (line.empty()) return dispatch(visitor);
  if (line.front() == ':') {
    visitor.on_comment(line.substr(1));
    return SseStatus::more;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return take_field(line, {}, in_block);
  std::string_view value = line.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  return take_field(line.substr(0, colon), value, in_block);
}

DEEPSEEK_DECL SseStatus SseParser::take_field(std::string_view name, std::string_view value, bool in_block) {
  if (name == "data") return add_data(value, in_block);
  if (name == "event") {
    type_.assign(value);
    pending_ = true;
  } else if (name == "id" && value.find('\0') == std::string_view::npos) {
    id_.assign(value);
    id_changed_ = true;
    pending_ = true;
  } else if (name == "retry") {
    std::uint64_t milliseconds = 0;
    const char* const last = value.data() + value.size();
    const auto [stop, failure] = std::from_chars(value.data(), last, milliseconds);
    if (failure == std::errc() && stop == last) retry_ = milliseconds;
  }
  return SseStatus::more;
}

DEEPSEEK_DECL SseStatus SseParser::add_data(std::string_view value, bool in_block) {
  pending_ = true;
  if (!has_data_) {
    if (!fits(value)) return SseStatus::event_too_long;
    has_data_ = true;
    data_in_view_ = in_block;
    if (in_block)
      view_ = value;
    else
      data_.assign(value);
    return SseStatus::more;
  }
  keep_view();
  if (data_.size() + 1 + value.size() > limits_.event_bytes) return SseStatus::event_too_long;
  data_ += '\n';
  data_.append(value);
  return SseStatus::more;
}

DEEPSEEK_DECL void SseParser::keep_view() {
  if (!data_in_view_) return;
  data_.assign(view_);
  data_in_view_ = false;
}

DEEPSEEK_DECL SseStatus SseParser::dispatch(SseVisitor& visitor) {
  if (!pending_) return SseStatus::more;
  pending_ = false;
  // In force from here on, even if the event has no data.
  if (std::exchange(id_changed_, false)) last_id_ = id_;
  bool go_on = true;
  if (has_data_) {
    const std::string_view data = data_in_view_ ? view_ : std::string_view(data_);
    const std::string_view type = type_.empty() ? std::string_view("message") : std::string_view(type_);
    has_data_ = data_in_view_ = false;
    go_on = visitor.on_event({type, data, last_id_});
  }
  type_.clear();
  return go_on ? SseStatus::more : SseStatus::stopped;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
