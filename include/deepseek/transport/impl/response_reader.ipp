#pragma once
#include <algorithm>
#include <charconv>
#include <utility>

#include <deepseek/core/detail/redact.hpp>
#include <deepseek/http/detail/header.hpp>
#include <deepseek/transport/detail/response_reader.hpp>
#include <deepseek/transport/detail/retry_after.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

inline bool is_json_blank(char c) { return c == '\n' || c == '\r' || c == ' ' || c == '\t'; }

/// True if `type` (a content type) is `wanted`, whatever its parameters.
DEEPSEEK_DECL bool is_content_type(std::string_view type, std::string_view wanted) {
  type = type.substr(0, type.find(';'));
  return same_header_name(without_header_blanks(type), wanted);
}

/// The headers that matter here, found in one pass. Of equal names the first counts. Empty: absent.
struct ResponseHeaders {
  std::string_view content_type = {};
  std::string_view content_encoding = {};
  std::string_view content_length = {};
  std::string_view location = {};
  std::string_view trace_ids[3] = {};  // in the order in which they are believed
  RetryAfterHeaders retry = {};

  explicit ResponseHeaders(std::string_view block);

 private:
  std::string_view* place_of(std::string_view name);
};

DEEPSEEK_DECL std::string_view* ResponseHeaders::place_of(std::string_view name) {
  const auto is = [name](std::string_view wanted) { return name == wanted || same_header_name(name, wanted); };
  switch (name.size()) {  // nearly every header of a response is ruled out by this alone
    case 4:
      return is("date") ? &retry.date : nullptr;
    case 8:
      return is("location") ? &location : nullptr;
    case 11:
      return is("retry-after") ? &retry.text : nullptr;
    case 12:
      return is("content-type") ? &content_type : is("x-request-id") ? &trace_ids[1] : nullptr;
    case 13:
      return is("x-ds-trace-id") ? &trace_ids[0] : nullptr;
    case 14:
      return is("content-length") ? &content_length : is("retry-after-ms") ? &retry.milliseconds : nullptr;
    case 16:
      return is("content-encoding") ? &content_encoding : nullptr;
    case 21:
      return is("x-deepseek-request-id") ? &trace_ids[2] : nullptr;
    default:
      return nullptr;
  }
}

DEEPSEEK_DECL ResponseHeaders::ResponseHeaders(std::string_view block) {
  while (!block.empty()) {
    const std::size_t end = std::min(block.find('\n'), block.size());
    const std::string_view line = block.substr(0, end);
    block.remove_prefix(std::min(end + 1, block.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view* const place = place_of(line.substr(0, colon));
    if (place && place->data() == nullptr) *place = without_header_blanks(line.substr(colon + 1));
  }
}

/// The id by which the service finds a request in its logs. What is not plain text is dropped: it ends
/// up in other people's terminals.
DEEPSEEK_DECL std::string trace_id_of(const ResponseHeaders& headers) {
  for (std::string_view id : headers.trace_ids) {
    id = id.substr(0, 128);
    const bool plain = std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 0x7F; });
    if (!id.empty() && plain) return std::string(id);
  }
  return {};
}

/// The host that a Location header names; empty if it names none, that is the same one.
DEEPSEEK_DECL std::string location_host(std::string_view location) {
  const std::size_t slashes = location.find("//");
  if (slashes == std::string_view::npos || location.substr(0, slashes).find('/') != std::string_view::npos) return {};
  std::string_view host = location.substr(slashes + 2);
  host = host.substr(0, host.find_first_of("/?#\\"));
  if (const std::size_t user = host.rfind('@'); user != std::string_view::npos) host.remove_prefix(user + 1);
  std::string clean;
  for (const char c : host.substr(0, 255))
    if (c > ' ' && c < 0x7F) clean += c;
  return clean;
}

DEEPSEEK_DECL const char* network_failure_text(ErrorCode code) {
  switch (code) {
    case ErrorCode::dns_failed:
      return "the host name could not be resolved";
    case ErrorCode::connect_failed:
      return "no connection to the server";
    case ErrorCode::tls_failed:
      return "no secure connection to the server";
    case ErrorCode::proxy_failed:
      return "the proxy refused or failed";
    case ErrorCode::http_protocol:
      return "the peer does not speak HTTP as it should";
    case ErrorCode::limit_exceeded:
      return "the response head is larger than the limits allow";
    case ErrorCode::timeout_dns:
      return "the host name was not resolved in time";
    case ErrorCode::timeout_connect:
      return "the connection was not made in time";
    case ErrorCode::timeout_tls:
      return "the TLS handshake was not done in time";
    default:
      return "the connection broke before a response came";
  }
}

/// By the usual names: Authorization, api-key, x-auth-token, Cookie.
inline bool may_carry_credential(const std::vector<HttpHeader>& headers) {
  return std::any_of(headers.begin(), headers.end(), [](const HttpHeader& header) {
    std::string name = header.name;
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    const auto has = [&name](const char* part) { return name.find(part) != std::string::npos; };
    return has("auth") || has("key") || has("token") || has("cookie");
  });
}

DEEPSEEK_DECL const char* network_failure_advice(ErrorCode code) {
  switch (code) {
    case ErrorCode::dns_failed:
      return "check the spelling of the base URL, and whether this machine has a name server";
    case ErrorCode::connect_failed:
      return "check host and port, and whether the server runs; a firewall may be in the way, or a proxy be needed";
    case ErrorCode::tls_failed:
      return "check TlsOptions, this machine's clock, and whether the server speaks TLS on this port";
    case ErrorCode::proxy_failed:
      return "check ProxyOptions";
    case ErrorCode::http_protocol:
    case ErrorCode::limit_exceeded:
      return "check the base URL: this may not be an HTTP API";
    case ErrorCode::timeout_dns:
    case ErrorCode::timeout_connect:
    case ErrorCode::timeout_tls:
      return "a firewall may be in the way, or a proxy be needed";
    default:
      return "";
  }
}

DEEPSEEK_DECL ResponseReader::ResponseReader(Call& call, FrameTarget& target)
    : call_(call),
      target_(target),
      parser_({call.limits.line_bytes, call.limits.event_bytes}),
      asked_for_stream_(call.operation.stream) {}

DEEPSEEK_DECL void ResponseReader::head(const HttpHead& head) {
  status_ = head.status;
  CallFacts& facts = call_.facts;
  facts.http_status = head.status;
  facts.http_version = head.version;
  const ResponseHeaders headers(head.block);
  facts.trace_id = trace_id_of(headers);
  if (tells_credential(facts.trace_id, call_.authorization)) facts.trace_id.clear();
  const RetryAfter asked = parse_retry_after(headers.retry);
  facts.retry_after = asked.delay;
  facts.retry_at = asked.date.value_or(WallTime());
  if (status_ < 200) return refuse_interim();
  choose_mode(headers);
  if (mode_ != Mode::body) return;
  // Room for the whole body at once, if its length is told and modest.
  constexpr std::size_t at_once = 1024 * 1024;
  const std::string_view length = headers.content_length;
  std::size_t bytes = 0;
  std::from_chars(length.data(), length.data() + length.size(), bytes);
  body_.reserve(std::min(bytes, at_once));
}

DEEPSEEK_DECL void ResponseReader::choose_mode(const ResponseHeaders& headers) {
  const std::string_view encoding = headers.content_encoding;
  const bool encoded = !encoding.empty() && !same_header_name(encoding, "identity");
  if (status_ >= 400) {
    mode_ = encoded ? Mode::ignored : Mode::error_body;
  } else if (status_ >= 300) {
    refuse_redirect(headers.location);
  } else if (encoded) {
    mode_ = Mode::ignored;
    fail(Error(ErrorCode::malformed_stream, "the response is compressed although that was not asked for",
               "let no proxy on the way compress, and do not ask for it by a header"));
  } else if (!asked_for_stream_) {
    mode_ = Mode::body;
  } else {
    const std::string_view type = headers.content_type;
    mode_ = is_content_type(type, "application/json") ? Mode::body : Mode::undecided;
    says_stream_ = is_content_type(type, "text/event-stream");
  }
}

DEEPSEEK_DECL void ResponseReader::refuse_redirect(std::string_view location) {
  mode_ = Mode::ignored;
  const std::string host = location_host(location);
  fail(Error(ErrorCode::redirected,
             "the server redirects to " + (host.empty() ? std::string("another address") : "host " + host),
             "redirects are never followed: set the base URL to the right address"));
}

/// From an engine that hands up what is no answer.
DEEPSEEK_DECL void ResponseReader::refuse_interim() {
  mode_ = Mode::ignored;
  fail(Error(ErrorCode::http_protocol, "the server sent no final response head"));
}

DEEPSEEK_DECL std::size_t ResponseReader::data(std::string_view bytes) {
  if (status_ == 0 && !settled_) refuse_interim();
  std::size_t taken = bytes.size();
  if (!settled_) {
    switch (mode_) {
      case Mode::undecided:
        taken = read_undecided(bytes);
        break;
      case Mode::stream:
        taken = read_stream(bytes);
        break;
      case Mode::body:
        read_body(bytes);
        break;
      case Mode::error_body:
        read_error_body(bytes);
        break;
      case Mode::ignored:
        break;
    }
  }
  received_ += taken;
  call_.facts.bytes_received += taken;
  return taken;
}

DEEPSEEK_DECL std::string_view ResponseReader::skip_blanks(std::string_view bytes) {
  while (!bytes.empty() && is_json_blank(bytes.front())) {
    if (bytes.front() == '\n') ++call_.facts.keep_alives;
    bytes.remove_prefix(1);
  }
  return bytes;
}

// A stream was asked for, but errors and whole replies come as plain JSON, whatever the header says: the
// first byte tells. Where the header says nothing either, only a line that an event stream knows makes one.
DEEPSEEK_DECL std::size_t ResponseReader::read_undecided(std::string_view bytes) {
  const std::string_view rest = skip_blanks(bytes);
  const std::size_t skipped = bytes.size() - rest.size();
  if (rest.empty()) return skipped;
  const auto begins_with = [&rest](std::string_view any) { return any.find(rest.front()) != std::string_view::npos; };
  const bool stream = says_stream_ ? !begins_with("{<") : begins_with(":deir\xEF");
  mode_ = stream ? Mode::stream : Mode::body;
  if (mode_ == Mode::stream) return skipped + read_stream(rest);
  read_body(rest);
  return bytes.size();
}

DEEPSEEK_DECL std::size_t ResponseReader::read_stream(std::string_view bytes) {
  const std::uint64_t room = call_.limits.stream_bytes - std::min(received_, call_.limits.stream_bytes);
  const bool over = bytes.size() > room;
  std::string_view rest = over ? bytes.substr(0, static_cast<std::size_t>(room)) : bytes;
  const std::size_t fed = rest.size();
  switch (parser_.feed(rest, *this)) {
    case SseStatus::more:
      if (over) exceed("the stream is longer than SizeLimits::stream_bytes");
      return bytes.size();
    case SseStatus::stopped:
      return settled_ ? bytes.size() : fed - rest.size();
    case SseStatus::line_too_long:
      exceed("a line of the stream is longer than SizeLimits::line_bytes");
      break;
    case SseStatus::event_too_long:
      exceed("an event of the stream is longer than SizeLimits::event_bytes");
      break;
  }
  return bytes.size();
}

DEEPSEEK_DECL void ResponseReader::on_comment(std::string_view) { ++call_.facts.keep_alives; }

DEEPSEEK_DECL bool ResponseReader::on_event(const SseEvent& event) {
  if (event.data.empty()) {  // nothing to decode: some servers keep alive like this
    ++call_.facts.keep_alives;
    return true;
  }
  FrameKind kind = call_.decoder->inspect(event.data);
  if (event.type == "error" && kind != FrameKind::error) {  // named an error, but not shaped like one
    failure_ = call_.decoder->error_from_body(status_, event.data);
    kind = FrameKind::error;
  }
  last_ = kind;
  settled_ = kind != FrameKind::data && kind != FrameKind::token;
  const bool go_on = target_.take_frame({event.data, kind, false});
  return go_on && !settled_;
}

DEEPSEEK_DECL void ResponseReader::read_body(std::string_view bytes) {
  if (body_.empty()) bytes = skip_blanks(bytes);
  if (bytes.size() > call_.limits.body_bytes - std::min<std::uint64_t>(body_.size(), call_.limits.body_bytes))
    return exceed("the body is longer than SizeLimits::body_bytes");
  body_.append(bytes);
}

DEEPSEEK_DECL void ResponseReader::read_error_body(std::string_view bytes) {
  const std::uint64_t room =
      call_.limits.error_body_bytes - std::min<std::uint64_t>(body_.size(), call_.limits.error_body_bytes);
  settled_ = bytes.size() > room;
  body_.append(bytes.substr(0, settled_ ? static_cast<std::size_t>(room) : bytes.size()));
}

DEEPSEEK_DECL void ResponseReader::fail(Error error) {
  failure_ = std::move(error);
  settled_ = true;
}

DEEPSEEK_DECL void ResponseReader::exceed(const char* what) {
  fail(Error(ErrorCode::limit_exceeded, what, "raise the limit if the server is right to send this much"));
}

DEEPSEEK_DECL Error ResponseReader::with_facts(const Error& error) const {
  return error.with([this](ErrorDetails& details) {
    if (details.http_status == 0) details.http_status = status_;
    if (details.trace_id.empty() && status_ != 0) details.trace_id = call_.facts.trace_id;
    if (!details.retry_after && status_ != 0) details.retry_after = call_.facts.retry_after;
    if (status_ == 401 && call_.authorization.empty() && !may_carry_credential(call_.headers))
      details.advice = "no key was sent: set Endpoint::credential";
    ServiceError& service = details.service;
    for (std::string* const text :
         {&details.message, &details.cause, &service.message, &service.type, &service.code, &service.param})
      hide_credential(*text, call_.authorization);
  });
}

DEEPSEEK_DECL Error ResponseReader::no_head(const HttpEnd& end) const {
  // Clean, but without a whole head: the header block simply stopped.
  const bool begun = end.clean || end.code == ErrorCode::truncated;
  const ErrorCode code = begun                             ? ErrorCode::truncated
                         : end.code == ErrorCode::internal ? ErrorCode::connection_lost
                                                           : end.code;
  const char* text = begun ? "the response ended inside its header block" : network_failure_text(code);
  return Error(code, text, network_failure_advice(code)).with([&](ErrorDetails& details) {
    details.cause = end.cause;
  });
}

DEEPSEEK_DECL std::optional<Error> ResponseReader::end(const HttpEnd& end) {
  call_.facts.http = end.timings;
  if (settled_) return outcome();
  if (status_ == 0) return no_head(end);
  std::optional<Error> error;
  if (!end.head_complete) {
    error = Error(ErrorCode::truncated, "the response ended inside its header block");
  } else if (mode_ == Mode::body) {
    error = end_of_body(end.clean);
  } else if (mode_ == Mode::undecided || mode_ == Mode::stream) {
    error = conclude(end.clean);
  } else {
    return outcome();
  }
  if (!error || end.clean) return error;
  return error->with([&](ErrorDetails& details) {
    if (details.cause.empty()) details.cause = end.cause;
  });
}

DEEPSEEK_DECL std::optional<Error> ResponseReader::outcome() {
  if (failure_) return with_facts(*failure_);
  if (status_ >= 400) {
    hide_credential(body_, call_.authorization);  // before a quotation of it is cut in its middle
    return with_facts(call_.decoder->error_from_body(status_, body_));
  }
  return conclude(true);  // the end mark came: what happens to the connection then does not matter
}

DEEPSEEK_DECL std::optional<Error> ResponseReader::end_of_body(bool clean) {
  if (!clean) return conclude(false);
  if (body_.empty()) return with_facts(Error(ErrorCode::empty_reply, "the server answered without a body"));
  last_ = call_.decoder->inspect(body_);
  target_.take_frame({body_, last_, false});
  return conclude(true);
}

DEEPSEEK_DECL std::optional<Error> ResponseReader::conclude(bool clean) {
  std::optional<Error> error = call_.decoder->conclude(clean);
  if (const TokenUsage usage = call_.decoder->usage(); usage.told()) call_.facts.usage = usage;
  // A decoder that saw an error must say so in the end; if it does not, it is not taken for complete.
  if (!error && last_ == FrameKind::error) error = Error(ErrorCode::service_error, "the service sent an error");
  if (!error && last_ == FrameKind::malformed) error = Error(ErrorCode::malformed_stream, "a frame cannot be decoded");
  if (!error && !clean) error = Error(ErrorCode::truncated, "the connection broke before the reply was whole");
  if (error) error = with_facts(*error);
  return error;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
