#pragma once
#include <deepseek/http/impl/curl_types.ipp>

#include <deepseek/http/detail/header.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL void CurlTransfer::prepare_headers() {
  std::size_t bytes = sizeof "Expect:";
  for (const HttpHeader& header : request_.headers) bytes += header.name.size() + header.value.size() + 3;
  headers_.text.clear();
  headers_.nodes.clear();
  headers_.text.reserve(bytes);
  headers_.nodes.reserve(request_.headers.size() + 1);
  const auto finish_line = [&](std::size_t begin) {
    headers_.text += '\0';
    headers_.nodes.push_back({headers_.text.data() + begin, nullptr});  // stable: reserved above
  };
  for (const HttpHeader& header : request_.headers) {
    const std::size_t begin = headers_.text.size();
    headers_.text += header.name;
    // "Name:" would remove the header; "Name;" sends it empty.
    if (header.value.empty())
      headers_.text += ';';
    else
      headers_.text.append(": ").append(header.value);
    finish_line(begin);
  }
  const std::size_t begin = headers_.text.size();
  headers_.text += "Expect:";  // no 100-continue: it costs a round trip
  finish_line(begin);
  for (std::size_t i = 0; i + 1 < headers_.nodes.size(); ++i) headers_.nodes[i].next = &headers_.nodes[i + 1];
}

DEEPSEEK_DECL void CurlTransfer::set_connection_options() {
  curl_easy_setopt(easy_, CURLOPT_PRIVATE, this);
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_text_);
  curl_easy_setopt(easy_, CURLOPT_CONNECT_ONLY, on_connected_ ? 1L : 0L);
  if (headers_.url == request_.url) return;
  curl_easy_setopt(easy_, CURLOPT_URL, request_.url.c_str());
  headers_.url = request_.url;
}

DEEPSEEK_DECL void CurlTransfer::set_request_options() {
  prepare_headers();
  const bool https = request_.url.compare(0, 6, "https:") == 0;
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy_, CURLOPT_READDATA, this);
  curl_easy_setopt(easy_, CURLOPT_SEEKDATA, this);
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_.nodes.data());
  curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, static_cast<long>(engine_.buffer_bytes()));
  // PIPEWAIT lets streams share one HTTP/2 connection instead of racing to open their own; on cleartext
  // HTTP/1.1 it would hold every request back until the first stream ends.
  long version = https ? long{CURL_HTTP_VERSION_2TLS} : long{CURL_HTTP_VERSION_1_1};
  if (engine_.options_.version == HttpVersion::http1) version = CURL_HTTP_VERSION_1_1;
  if (engine_.options_.version == HttpVersion::http2_prior_knowledge) version = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
  curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, version);
  curl_easy_setopt(easy_, CURLOPT_PIPEWAIT, version == CURL_HTTP_VERSION_1_1 ? 0L : 1L);

  curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, nullptr);
  if (!request_.body) {
    curl_easy_setopt(easy_, CURLOPT_HTTPGET, 1L);
    if (request_.method != "GET") curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
    return;
  }
  curl_easy_setopt(easy_, CURLOPT_POST, 1L);
  if (request_.method != "POST") curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  const std::string_view whole = request_.body->contiguous();
  curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, whole.empty() ? nullptr : whole.data());
  curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body->size()));
}

DEEPSEEK_DECL std::size_t CurlTransfer::header_entry(char* data, std::size_t, std::size_t size, void* self) noexcept {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  return transfer.on_header({data, size}) ? size : 0;
}

/// Drops the line end.
DEEPSEEK_DECL std::string_view header_line(std::string_view line) noexcept {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  return line;
}

/// What says where the body ends. Where two servers would read it differently, one of them may be made to believe in a
/// response that nobody sent.
DEEPSEEK_DECL bool CurlTransfer::note_framing(std::string_view line) {
  const bool folded = line.front() == ' ' || line.front() == '\t';
  if (folded && !codings_.empty()) codings_ += "folded,";  // obsolete, and no coding that anybody knows
  const std::size_t colon = line.find(':');
  if (colon == line.npos) return true;
  const std::string_view name = line.substr(0, colon);
  if (same_header_name(name, "transfer-encoding")) codings_.append(line.substr(colon + 1)) += ',';
  if (!same_header_name(name, "content-length")) return true;
  const std::string_view value = without_header_blanks(line.substr(colon + 1));
  std::uint64_t length = 0;
  const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  const bool number = !value.empty() && error == std::errc() && stop == value.data() + value.size();
  if (!number) return fail(ErrorCode::http_protocol, "the response has a Content-Length that is no number"), false;
  if (length_.value_or(length) != length)
    return fail(ErrorCode::http_protocol, "the response names two lengths"), false;
  length_ = length;
  return true;
}

DEEPSEEK_DECL bool CurlTransfer::on_header(std::string_view line) {
  if (state_ == State::ended) return false;
  header_bytes_ += line.size();
  if (header_bytes_ > request_.limits.header_bytes) {
    fail(ErrorCode::limit_exceeded, "the response head is larger than SizeLimits::header_bytes");
    return false;
  }
  if (head_complete_) return true;  // trailers
  line = header_line(line);
  if (line.compare(0, 5, "HTTP/") == 0) {
    long status = 0;
    long version = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy_, CURLINFO_HTTP_VERSION, &version);
    const std::size_t blank = line.find(' ');
    if (blank != line.npos && blank + 4 <= line.size())
      status = (line[blank + 1] - '0') * 100 + (line[blank + 2] - '0') * 10 + (line[blank + 3] - '0');
    status_ = static_cast<int>(status);
    version_ = line.compare(0, 7, "HTTP/1.") == 0 ? 10 + (line.size() > 7 ? line[7] - '0' : 1) : 20;
    head_begun_ = true;
    codings_.clear();
    length_.reset();
    if (block_.capacity() < engine_.spare_block_.capacity()) block_.swap(engine_.spare_block_);
    block_.clear();
    return true;
  }
  if (!line.empty()) {
    block_.append(line).append("\r\n");
    return note_framing(line);
  }
  if (status_ == 101)
    return fail(ErrorCode::http_protocol, "the server changed the protocol, which nobody asked for"), false;
  if (status_ < 200) return true;  // an interim response: the real head follows
  // libcurl takes the text of the line for it, on any connection.
  if (version_ >= 20 && !codings_.empty())
    return fail(ErrorCode::http_protocol, "the response calls itself HTTP/2 and has a Transfer-Encoding"), false;
  // libcurl follows the framing but hands it up as it is: what is not understood here would be read as text.
  const Framing framing = version_ < 20 ? framing_of(codings_) : Framing::plain;
  if (framing == Framing::unknown) {
    fail(ErrorCode::http_protocol, "the response has a Transfer-Encoding that is not understood");
    return false;
  }
  if (framing == Framing::chunked) chunks_.emplace();
  head_complete_ = true;
  engine_.loop_->unschedule(std::exchange(phase_timer_, 0));
  HttpHead head;
  head.status = status_;
  head.version = version_;
  head.block = block_;
  const auto keep = handler_;  // the handler may cancel, which drops it
  keep->on_head(head);
  block_.swap(engine_.spare_block_);
  return state_ != State::ended;
}

DEEPSEEK_DECL std::size_t CurlTransfer::write_entry(char* data, std::size_t, std::size_t size, void* self) noexcept {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  if (transfer.state_ == State::ended) return 0;
  if (transfer.paused_) {
    transfer.held_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  if (!transfer.head_complete_) {
    transfer.fail(ErrorCode::http_protocol, "a body came before the head of the response");
    return 0;
  }
  std::string_view body(data, size);
  // libcurl follows the chunks too, to find the end of the body, and refuses broken ones.
  if (transfer.chunks_) body = transfer.chunks_->feed(body, transfer.engine_.scratch_);
  if (body.empty()) return size;
  HttpHandler* const handler = transfer.handler_.get();  // kept by to_remove_ until libcurl has returned
  handler->on_data(body);
  return transfer.state_ == State::ended ? 0 : size;
}

DEEPSEEK_DECL std::size_t CurlTransfer::read_entry(char* into, std::size_t, std::size_t capacity, void* self) noexcept {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  if (transfer.state_ == State::ended || !transfer.request_.body) return CURL_READFUNC_ABORT;
  auto got = transfer.request_.body->read(transfer.body_offset_, into, capacity);
  if (!got) {
    transfer.fail(got.error().code(), "the request body could not be read");
    return CURL_READFUNC_ABORT;
  }
  transfer.body_offset_ += *got;
  return *got;
}

DEEPSEEK_DECL int CurlTransfer::seek_entry(void* self, curl_off_t offset, int origin) noexcept {
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_FAIL;
  static_cast<CurlTransfer*>(self)->body_offset_ = static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

// The transfer then ends through libcurl's own error path, with this reason instead of libcurl's.
DEEPSEEK_DECL void CurlTransfer::fail(ErrorCode code, const char* cause) {
  own_failure_ = code;
  own_cause_ = cause;
}

DEEPSEEK_DECL void CurlTransfer::cancel() {
  if (state_ == State::ended) return;
  const bool was_running = state_ == State::running;
  state_ = State::ended;
  if (!was_running) return drop_receiver();
  if (engine_.inside_curl_) return engine_.to_remove_.push_back(shared_from_this());
  const auto keep = shared_from_this();
  engine_.remove(*this);
  drop_receiver();
}

DEEPSEEK_DECL void CurlTransfer::pause(bool paused) {
  if (paused_ == paused || state_ == State::ended) return;
  paused_ = paused;
  if (paused || !std::exchange(held_, false)) return;  // write_entry() holds the next data back
  const auto resume = [](CurlTransfer& transfer) {
    if (transfer.state_ != State::running) return;
    if (transfer.paused_) {
      transfer.held_ = true;  // libcurl still holds data: the next pause(false) has to ask again
      return;
    }
    CurlEngine& engine = transfer.engine_;
    engine.inside_curl_ = true;
    curl_easy_pause(transfer.easy_, CURLPAUSE_CONT);  // hands the held data to write_entry() at once
    engine.inside_curl_ = false;
    engine.settle();
  };
  // Always later: whoever resumes may be inside a callback of this transfer.
  engine_.loop_->post([self = shared_from_this(), resume] { resume(*self); });
}

DEEPSEEK_DECL std::chrono::microseconds CurlTransfer::info_time(CURLINFO what) const {
  curl_off_t value = 0;
  if (easy_) curl_easy_getinfo(easy_, what, &value);
  return std::chrono::microseconds(value);
}

DEEPSEEK_DECL HttpTimings CurlTransfer::timings() const {
  HttpTimings timings;
  long connects = 0;
  if (easy_) curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &connects);
  timings.reused_connection = head_begun_ && connects == 0;
  timings.first_byte = info_time(CURLINFO_STARTTRANSFER_TIME_T);
  timings.total = info_time(CURLINFO_TOTAL_TIME_T);
  if (timings.reused_connection) return timings;
  const auto dns = info_time(CURLINFO_NAMELOOKUP_TIME_T);
  const auto connect = info_time(CURLINFO_CONNECT_TIME_T);
  const auto tls = info_time(CURLINFO_APPCONNECT_TIME_T);
  timings.dns = dns;
  if (connect > dns) timings.connect = connect - dns;
  if (tls > connect) timings.tls = tls - connect;
  return timings;
}

DEEPSEEK_DECL void CurlTransfer::arm_phase_timer(std::chrono::microseconds since_start,
                                                 std::chrono::milliseconds limit) {
  if (limit.count() <= 0) {
    // No limit on this phase: look again when the next one could be over.
    const HttpTimeouts& t = request_.timeouts;
    limit = std::max({t.dns, t.connect, t.tls});
    if (limit.count() <= 0) return;
  }
  phase_timer_ = engine_.loop_->schedule(started_ + since_start + limit, [this] {
    phase_timer_ = 0;
    check_phase();
  });
}

// One timer walks through the phases: each look either finds the phase overdue or moves on to the next.
DEEPSEEK_DECL void CurlTransfer::check_phase() {
  const HttpTimeouts& limits = request_.timeouts;
  const bool https = request_.url.compare(0, 6, "https:") == 0;
  const auto dns = info_time(CURLINFO_NAMELOOKUP_TIME_T);
  const auto connect = info_time(CURLINFO_CONNECT_TIME_T);
  const auto tls = info_time(CURLINFO_APPCONNECT_TIME_T);
  if (info_time(CURLINFO_PRETRANSFER_TIME_T).count() > 0) return;  // the request is on its way
  const auto spent = std::chrono::duration_cast<std::chrono::microseconds>(engine_.loop_->now() - started_);
  const auto overdue = [&](std::chrono::microseconds since, std::chrono::milliseconds limit) {
    return limit.count() > 0 && spent - since >= limit;
  };
  const auto strike = [&](ErrorCode code, const char* cause) {
    fail(code, cause);
    engine_.finish(*this, CURLE_OPERATION_TIMEDOUT);
  };
  if (dns.count() == 0 && connect.count() == 0) {
    if (overdue(dns, limits.dns)) return strike(ErrorCode::timeout_dns, "the name was not resolved in time");
    return arm_phase_timer(spent, limits.dns);
  }
  if (connect.count() == 0) {
    if (overdue(dns, limits.connect)) return strike(ErrorCode::timeout_connect, "no connection in time");
    return arm_phase_timer(std::max(dns, limits.connect.count() > 0 ? dns : spent), limits.connect);
  }
  if (https && tls.count() == 0) {
    if (overdue(connect, limits.tls)) return strike(ErrorCode::timeout_tls, "no TLS session in time");
    return arm_phase_timer(limits.tls.count() > 0 ? connect : spent, limits.tls);
  }
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
