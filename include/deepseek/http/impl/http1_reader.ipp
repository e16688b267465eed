#pragma once
#include <deepseek/http/detail/http1_reader.hpp>

#include <deepseek/http/detail/header.hpp>

#include <algorithm>
#include <charconv>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What the fields of a head say about its framing.
struct Http1Reader::Fields {
  std::string codings = {};  // values of all Transfer-Encoding lines, each with a comma behind it
  bool has_length = false;
  std::uint64_t length = 0;
  bool close = false;
  bool keep_alive = false;
};

DEEPSEEK_DECL bool Http1Reader::fail(const char* text, ErrorCode code) {
  fault_text_ = text;
  fault_code_ = code;
  return false;
}

DEEPSEEK_DECL Http1Reader::Part Http1Reader::next(std::string_view& bytes, std::string& scratch) {
  if (state_ != State::head && !partial_.empty()) std::string().swap(partial_);  // the head was handed out
  switch (state_) {
    case State::head:
      return read_head(bytes);
    case State::chunked:
      return read_chunked(bytes, scratch);
    case State::counted:
      return read_counted(bytes);
    case State::until_close:
      data_ = std::exchange(bytes, {});
      return data_.empty() ? Part::none : Part::data;
    case State::done:
      return Part::end;
  }
  return Part::end;
}

// --- the head ----------------------------------------------------------------------------------------

/// Where the head ends: behind its empty line. npos: not yet.
DEEPSEEK_DECL std::size_t end_of_head(std::string_view text, std::size_t from) noexcept {
  for (std::size_t at = text.find('\n', from); at != text.npos; at = text.find('\n', at + 1)) {
    if (at + 1 < text.size() && text[at + 1] == '\n') return at + 2;
    if (at + 2 < text.size() && text[at + 1] == '\r' && text[at + 2] == '\n') return at + 3;
  }
  return text.npos;
}

DEEPSEEK_DECL Http1Reader::Part Http1Reader::read_head(std::string_view& bytes) {
  static constexpr std::string_view magic = "HTTP/1.";
  while (!bytes.empty()) {
    begun_ = true;
    const std::size_t known = partial_.size();
    const std::size_t room = static_cast<std::size_t>(std::min<std::uint64_t>(header_room_, std::string::npos / 2));
    const std::string_view fresh = bytes.substr(0, room - std::min(room, known) + 1);
    if (known > 0) partial_.append(fresh);
    const std::string_view text = known > 0 ? std::string_view(partial_) : fresh;
    // At once: what does not begin like HTTP may never send an empty line.
    if (text.substr(0, magic.size()) != magic.substr(0, text.size())) {
      fail("the peer does not answer in HTTP/1.1");
      return Part::fault;
    }
    const std::size_t end = end_of_head(text, known > 2 ? known - 2 : 0);
    if (end == text.npos && text.size() <= room) {
      if (known == 0) partial_.assign(text);
      bytes = {};
      return Part::none;
    }
    if (end == text.npos || end > room) {
      fail("the response head is larger than SizeLimits::header_bytes", ErrorCode::limit_exceeded);
      return Part::fault;
    }
    bytes.remove_prefix(end - known);
    header_room_ -= end;
    if (!take_head(text.substr(0, end))) return Part::fault;
    if (status_ >= 200) return Part::head;
    partial_.clear();  // an interim response: the real head follows
  }
  return Part::none;
}

DEEPSEEK_DECL bool Http1Reader::take_status_line(std::string_view line) {
  // HTTP/1.x SSS reason; the reason may be missing together with its blank.
  const auto digit = [line](std::size_t at) { return at < line.size() && line[at] >= '0' && line[at] <= '9'; };
  const bool shaped = digit(7) && line.size() >= 12 && line[8] == ' ' && digit(9) && digit(10) && digit(11) &&
                      (line.size() == 12 || line[12] == ' ');
  if (!shaped) return fail("the response has a broken status line");
  version_ = 10 + (line[7] - '0');
  status_ = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (status_ < 100) return fail("the response has a status below 100");
  if (status_ == 101) return fail("the server changed the protocol, which nobody asked for");
  return true;
}

DEEPSEEK_DECL bool Http1Reader::take_head(std::string_view head) {
  if (head.find('\0') != head.npos) return fail("the response head holds a NUL byte");
  const std::size_t end = head.find('\n');
  if (!take_status_line(without_header_blanks(head.substr(0, end)))) return false;
  block_ = head.substr(end + 1);
  block_.remove_suffix(block_.size() >= 2 && block_[block_.size() - 2] == '\r' ? 2 : 1);  // the empty line
  if (status_ < 200) return true;
  Fields fields;
  return take_fields(block_, fields) && choose_framing(fields);
}

DEEPSEEK_DECL bool Http1Reader::take_fields(std::string_view block, Fields& fields) {
  bool framing = false;  // the line before says where the body ends
  while (!block.empty()) {
    const std::size_t end = std::min(block.find('\n'), block.size() - 1);
    std::string_view line = block.substr(0, end);
    block.remove_prefix(end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty() && (line.front() == ' ' || line.front() == '\t')) {
      if (framing) return fail("a header that frames the response is folded over lines");
      continue;
    }
    const std::size_t colon = line.find(':');
    if (colon == 0 || colon == line.npos) return fail("the response has a header without a name");
    const std::string_view name = line.substr(0, colon);
    if (name.back() == ' ' || name.back() == '\t') return fail("a header of the response has a blank before its colon");
    framing = name.size() == 14 || name.size() == 17;  // as long as the two names below
    if (!framing && name.size() != 10) continue;
    // Some take a lone CR for a line end, and then read another value.
    if (framing && line.find('\r', colon) != line.npos) return fail("a header of the response holds a lone CR");
    if (!take_field(name, without_header_blanks(line.substr(colon + 1)), fields)) return false;
  }
  return true;
}

DEEPSEEK_DECL bool Http1Reader::take_field(std::string_view name, std::string_view value, Fields& fields) {
  if (same_header_name(name, "transfer-encoding")) {
    fields.codings.append(value) += ',';
  } else if (same_header_name(name, "content-length")) {
    std::uint64_t length = 0;
    const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (value.empty() || error != std::errc() || stop != value.data() + value.size())
      return fail("the response has a Content-Length that is no number");
    if (fields.has_length && fields.length != length) return fail("the response names two lengths");
    fields.has_length = true;
    fields.length = length;
  } else if (same_header_name(name, "connection")) {
    const auto names = [value](std::string_view word) {
      return std::search(value.begin(), value.end(), word.begin(), word.end(),
                         [](char a, char b) { return (a | 0x20) == b; }) != value.end();
    };
    fields.close = fields.close || names("close");
    fields.keep_alive = fields.keep_alive || names("keep-alive");
  }
  return true;
}

DEEPSEEK_DECL bool Http1Reader::choose_framing(const Fields& fields) {
  keep_alive_ = !fields.close && (version_ >= 11 || fields.keep_alive);
  const Framing framing = framing_of(fields.codings);
  if (framing == Framing::unknown) return fail("the response has a Transfer-Encoding that is not understood");
  if (head_only_ || status_ == 204 || status_ == 304) {
    state_ = State::done;
  } else if (framing == Framing::chunked) {
    state_ = State::chunked;
    // Both, or chunks in HTTP/1.0: readers along the way may disagree about the end. Read, but not used again.
    if (fields.has_length || version_ < 11) keep_alive_ = false;
  } else if (fields.has_length) {
    state_ = fields.length > 0 ? State::counted : State::done;
    left_ = fields.length;
  } else {
    state_ = State::until_close;
  }
  return true;
}

// --- the body ----------------------------------------------------------------------------------------

DEEPSEEK_DECL Http1Reader::Part Http1Reader::read_chunked(std::string_view& bytes, std::string& scratch) {
  data_ = chunks_.feed(bytes, scratch);
  if (chunks_.done()) state_ = State::done;
  if (!data_.empty()) return Part::data;
  if (chunks_.done()) return Part::end;
  if (!chunks_.fault()) return Part::none;
  fail("the chunks of the response are broken");
  return Part::fault;
}

DEEPSEEK_DECL Http1Reader::Part Http1Reader::read_counted(std::string_view& bytes) {
  data_ = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
  bytes.remove_prefix(data_.size());
  left_ -= data_.size();
  if (left_ == 0) state_ = State::done;
  return data_.empty() ? Part::none : Part::data;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
