// Reading HTTP/1.1: strict in framing, bounded in size.
#include "http.hpp"

#include <algorithm>
#include <charconv>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

constexpr std::size_t head_limit = 256 * 1024;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

template <class Number>
bool parse_number(std::string_view text, Number& value, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

bool is_framing_header(std::string_view name) {
  for (const auto* hop : {"content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade",
                          "proxy-connection", "expect"}) {
    if (same_name(name, hop)) return true;
  }
  return false;
}

std::string_view without_base(std::string_view path) {
  for (const std::string_view base : {"/v1", "/beta"}) {
    if (path.substr(0, base.size()) == base && path.substr(base.size(), 1) == "/") return path.substr(base.size());
  }
  return path;
}

std::string_view find_header(const std::vector<HttpHeader>& headers, std::string_view name) {
  for (const auto& header : headers) {
    if (same_name(header.name, name)) return header.value;
  }
  return {};
}

void HttpReader::next() {
  state_ = State::head;
  part_ = Part::counted;
  head_ = {};
  line_.clear();
  body_.clear();
  lines_ = head_bytes_ = 0;
  left_ = body_bytes_ = 0;
  too_large_ = no_body_ = false;
}

std::size_t HttpReader::feed(std::string_view bytes) {
  const auto given = bytes.size();
  while (!bytes.empty() && (state_ == State::head || state_ == State::body)) {
    const bool by_line =
        state_ == State::head || part_ == Part::chunk_size || part_ == Part::chunk_end || part_ == Part::trailer;
    if (!by_line) {
      const auto size = part_ == Part::until_close ? bytes.size() : std::min<std::uint64_t>(bytes.size(), left_);
      const auto count = static_cast<std::size_t>(size);
      take_body_bytes(bytes.substr(0, count));
      bytes.remove_prefix(count);
      continue;
    }
    const auto end = bytes.find('\n');
    const auto count = end == bytes.npos ? bytes.size() : end + 1;
    line_.append(bytes.substr(0, count));
    bytes.remove_prefix(count);
    head_bytes_ += count;
    if (line_.size() > head_limit || (state_ == State::head && head_bytes_ > head_limit)) return fail(), given;
    if (end == std::string_view::npos) break;
    line_.pop_back();
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    const auto line = std::exchange(line_, {});
    take_line(line);
  }
  return given - bytes.size();
}

bool HttpReader::finish() {
  if (state_ == State::body && part_ == Part::until_close) state_ = State::done;
  return state_ == State::done;
}

void HttpReader::take_line(std::string_view line) {
  if (state_ == State::body) {
    if (part_ == Part::chunk_size) return take_chunk_size(line);
    if (part_ == Part::chunk_end) {
      if (!line.empty()) return fail();
      part_ = Part::chunk_size;
      return;
    }
    if (line.empty()) state_ = State::done;  // the trailer's end
    return;
  }
  if (lines_ == 0) {
    if (line.empty()) return;  // blank lines before a message are allowed
    ++lines_;
    const auto first = line.find(' ');
    if (first == line.npos) return fail();
    const auto second = line.find(' ', first + 1);
    head_.first = line.substr(0, first);
    head_.second = line.substr(first + 1, second == line.npos ? line.npos : second - first - 1);
    const auto version = kind_ == Kind::response ? std::string_view(head_.first)
                         : second == line.npos   ? std::string_view()
                                                 : line.substr(second + 1);
    if (version.substr(0, 7) != "HTTP/1.") return fail();
    head_.keep_alive = version != "HTTP/1.0";
    return;
  }
  ++lines_;
  if (line.empty()) return head_done();
  const auto colon = line.find(':');
  if (colon == line.npos || colon == 0) return fail();
  head_.headers.push_back({std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1)))});
}

void HttpReader::head_done() {
  if (same_name(find_header(head_.headers, "connection"), "close")) head_.keep_alive = false;
  if (same_name(find_header(head_.headers, "connection"), "keep-alive")) head_.keep_alive = true;
  head_.expects_continue = same_name(find_header(head_.headers, "expect"), "100-continue");
  state_ = State::body;
  if (kind_ == Kind::response && head_.second.size() == 3 && head_.second[0] == '1') return next();  // 100 Continue
  const auto coding = find_header(head_.headers, "transfer-encoding");
  const auto length = find_header(head_.headers, "content-length");
  if (no_body_ || head_.second == "204" || head_.second == "304") {
    state_ = State::done;
  } else if (!coding.empty()) {
    if (!same_name(coding, "chunked")) return fail();
    part_ = Part::chunk_size;
  } else if (!length.empty()) {
    if (!parse_number(length, left_, 10)) return fail();
    part_ = Part::counted;
    if (left_ == 0) state_ = State::done;
    if (left_ > body_limit_) too_large_ = true, state_ = State::failed;
  } else if (kind_ == Kind::request) {
    state_ = State::done;
  } else {
    part_ = Part::until_close;
    head_.keep_alive = false;
  }
}

void HttpReader::take_chunk_size(std::string_view line) {
  line = trim(line.substr(0, line.find(';')));
  if (!parse_number(line, left_, 16)) return fail();
  part_ = left_ == 0 ? Part::trailer : Part::chunk_data;
}

void HttpReader::take_body_bytes(std::string_view bytes) {
  body_bytes_ += bytes.size();
  if (body_bytes_ > body_limit_) {
    too_large_ = true;
    return fail();
  }
  if (on_body)
    on_body(bytes);
  else
    body_.append(bytes);
  if (part_ == Part::until_close) return;
  left_ -= bytes.size();
  if (left_ > 0) return;
  if (part_ == Part::chunk_data)
    part_ = Part::chunk_end;
  else
    state_ = State::done;
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
