#pragma once
#include <algorithm>
#include <cstring>
#include <utility>

#include <deepseek/http/detail/header.hpp>
#include <deepseek/transport/detail/http_transport.hpp>
#include <deepseek/transport/detail/response_reader.hpp>
#include <deepseek/transport/detail/url.hpp>
#include <deepseek/transport/endpoint.hpp>
#include <deepseek/transport/http.hpp>
#include <deepseek/version.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- the request -------------------------------------------------------------------------------------

/// RFC 9110's token characters.
DEEPSEEK_DECL bool is_header_name(std::string_view name) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return plain || marks.find(c) != std::string_view::npos;
  });
}

DEEPSEEK_DECL bool is_header_value(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7F) || c == '\t';
  });
}

/// Headers that frame the message or choose its receiver: never a user's business.
DEEPSEEK_DECL bool is_framing_header(std::string_view name) {
  for (const char* ours : {"content-length", "transfer-encoding", "host", "connection", "upgrade", "te", "trailer"})
    if (same_header_name(name, ours)) return true;
  return false;
}

DEEPSEEK_DECL void set_header(std::vector<HttpHeader>& headers, const HttpHeader& header) {
  for (HttpHeader& present : headers) {
    if (!same_header_name(present.name, header.name)) continue;
    present.value = header.value;
    return;
  }
  headers.push_back(header);
}

DEEPSEEK_DECL std::optional<Error> check_user_header(const HttpHeader& header) {
  if (!is_header_name(header.name))
    return Error(ErrorCode::invalid_argument, "a header name is empty or has characters that HTTP does not allow");
  if (!is_header_value(header.value))
    return Error(ErrorCode::invalid_argument, "the value of header " + header.name + " has control characters");
  if (is_framing_header(header.name))
    return Error(ErrorCode::invalid_argument, "header " + header.name + " is set by the library alone");
  return std::nullopt;
}

DEEPSEEK_DECL Result<void> add_user_headers(std::vector<HttpHeader>& headers, const std::vector<HttpHeader>& extra) {
  for (const HttpHeader& header : extra) {
    if (auto error = check_user_header(header)) return *std::move(error);
    set_header(headers, header);
  }
  return {};
}

DEEPSEEK_DECL Result<std::vector<HttpHeader>> request_headers(const Call& call) {
  std::vector<HttpHeader> headers;
  headers.reserve(5 + call.headers.size());
  const auto add = [&headers](const char* name, std::string_view value) {
    headers.push_back(HttpHeader{name, std::string(value)});
  };
  if (!call.body.empty()) add("Content-Type", "application/json");
  // Short words: libcurl spends a hundred instructions on each byte of a header.
  add("Accept", call.operation.stream ? "text/event-stream" : "*/*");
  // Whoever compresses a stream also holds it back.
  if (call.operation.stream) add("Accept-Encoding", "identity");
  add("User-Agent", std::string("deepseek/") + version);
  if (!call.authorization.empty()) {
    const std::string_view value = call.authorization.reveal();
    if (!is_header_value(value))
      return Error(ErrorCode::invalid_argument, "the credential has control characters",
                   "check the key's last line end");
    add("Authorization", value);
  }
  if (Result<void> added = add_user_headers(headers, call.headers); !added) return added.error();
  return headers;
}

DEEPSEEK_DECL Result<std::string> address_at_endpoint(const Call& call) {
  if (!call.endpoint) return Error(ErrorCode::internal, "the call has no endpoint");
  return compose_url(call.endpoint->base_url, call.endpoint->deepseek, call.operation);
}

// --- one exchange ------------------------------------------------------------------------------------

DEEPSEEK_DECL const char* timeout_text(ErrorCode code) {
  switch (code) {
    case ErrorCode::timeout_first_byte:
      return "no response came within the first_byte limit";
    case ErrorCode::timeout_first_token:
      return "no token came within the first_token limit";
    case ErrorCode::timeout_between_tokens:
      return "the stream stalled: no data within the between_tokens limit";
    default:
      return "the connection went silent: no byte within the idle limit";
  }
}

/// How long a response whose outcome stands may take to end: within it the connection can be used again.
inline constexpr std::chrono::milliseconds end_grace{100};

/// One call over one transfer. Also the request's body, which stays in the call. Kept alive by the
/// engine until the transfer ends.
class HttpExchange final : public HttpHandler,
                           public HttpBody,
                           private FrameTarget,
                           public std::enable_shared_from_this<HttpExchange> {
 public:
  HttpExchange(Loop& loop, CallPtr call, SinkPtr sink);
  ~HttpExchange() override;

  void begin(HttpEngine& engine, Result<std::string> address);
  void pause(bool paused);

  void on_head(const HttpHead& head) override;
  void on_data(std::string_view data) override;
  void on_end(const HttpEnd& end) override;

  std::uint64_t size() const override { return call_->body.size(); }
  Result<std::size_t> read(std::uint64_t offset, char* into, std::size_t capacity) override;
  std::string_view contiguous() const override { return call_->body; }

 private:
  /// The next clock to strike, and when. No code: none is set.
  struct Strike {
    TimePoint when = TimePoint::max();
    ErrorCode code = ErrorCode::internal;
  };

  bool take_frame(const Frame& frame) override;
  Result<HttpRequest> make_request(Result<std::string> address);
  void fail_later(Error error);
  void abort(Error error);
  std::size_t deliver(std::string_view data);
  void deliver_end(const HttpEnd& end);
  void go_on();
  void settle();
  void finish(std::optional<Error> error);

  Strike next_strike() const;
  std::chrono::milliseconds shortest_limit() const;
  void arm(TimePoint when);
  void arm_clocks();
  void arm_for(const Strike& next);
  void check_clocks();

  Loop& loop_;
  CallPtr call_;
  SinkPtr sink_;
  ResponseReader reader_;
  std::shared_ptr<HttpTransfer> transfer_;
  std::string held_;  // bytes that came before the reader was paused, not read yet from held_at_
  std::size_t held_at_ = 0;
  std::optional<HttpEnd> end_;                // the end came while the reader was paused
  std::shared_ptr<HttpExchange> until_read_;  // set with end_
  std::optional<Error> aborted_;              // the sink gave up from inside on_frame()
  TimePoint started_;                         // this and the next two move on by the length of each pause
  TimePoint last_byte_;
  TimePoint last_progress_;
  TimePoint paused_at_;
  Loop::TimerId timer_ = 0;
  bool stream_;
  bool token_seen_ = false;
  bool paused_ = false;
  bool transfer_paused_ = false;
  bool going_on_ = false;  // go_on() is posted
  bool delivering_ = false;
  bool lingering_ = false;  // the outcome stands, the transfer may still end well
  bool transfer_ended_ = false;
  bool ended_ = false;
};

DEEPSEEK_DECL HttpExchange::HttpExchange(Loop& loop, CallPtr call, SinkPtr sink)
    : loop_(loop),
      call_(std::move(call)),
      sink_(std::move(sink)),
      reader_(*call_, *this),
      started_(loop.now()),
      last_byte_(started_),
      last_progress_(started_),
      stream_(call_->operation.stream) {}

DEEPSEEK_DECL HttpExchange::~HttpExchange() {
  if (ended_) return;  // else the engine dropped it without an end: nothing may point here any more
  if (timer_ != 0) loop_.unschedule(timer_);
  call_->release_holds();
}

DEEPSEEK_DECL void HttpExchange::begin(HttpEngine& engine, Result<std::string> address) {
  call_->on_abort = [this](Error error) { abort(std::move(error)); };
  call_->on_pause = [this](bool paused) { pause(paused); };
  Result<HttpRequest> request = make_request(std::move(address));
  if (!request) return fail_later(request.error());
  transfer_ = engine.start(*std::move(request), shared_from_this());
  if (!transfer_) return fail_later(Error(ErrorCode::internal, "the HTTP engine started no transfer"));
  arm_clocks();
  if (call_->paused) pause(true);
}

DEEPSEEK_DECL Result<HttpRequest> HttpExchange::make_request(Result<std::string> address) {
  if (!address) return address.error();
  Result<std::vector<HttpHeader>> headers = request_headers(*call_);
  if (!headers) return headers.error();
  HttpRequest request;
  request.method = call_->operation.method;
  request.url = *std::move(address);
  request.headers = *std::move(headers);
  if (!call_->body.empty()) request.body = shared_from_this();
  request.timeouts = {call_->timeouts.dns, call_->timeouts.connect, call_->timeouts.tls};
  request.limits.header_bytes = call_->limits.header_bytes;
  return request;
}

DEEPSEEK_DECL Result<std::size_t> HttpExchange::read(std::uint64_t offset, char* into, std::size_t capacity) {
  const std::string& body = call_->body;
  if (offset >= body.size()) return std::size_t{0};
  const std::size_t count = std::min(capacity, body.size() - static_cast<std::size_t>(offset));
  std::memcpy(into, body.data() + offset, count);
  return count;
}

DEEPSEEK_DECL void HttpExchange::fail_later(Error error) {
  loop_.post([self = shared_from_this(), error = std::move(error)] { self->finish(error); });
}

DEEPSEEK_DECL void HttpExchange::on_head(const HttpHead& head) {
  const auto self = shared_from_this();
  last_byte_ = loop_.now();
  reader_.head(head);
  if (reader_.settled()) settle();
}

DEEPSEEK_DECL void HttpExchange::on_data(std::string_view data) {
  last_byte_ = loop_.now();
  const auto self = shared_from_this();
  const std::size_t taken = paused_ ? 0 : deliver(data);
  if (!ended_) held_.append(data.substr(taken));
}

/// Hands bytes to the reader; returns how many it took.
DEEPSEEK_DECL std::size_t HttpExchange::deliver(std::string_view data) {
  delivering_ = true;
  const std::size_t taken = reader_.data(data);
  delivering_ = false;
  if (aborted_) {
    finish(std::move(aborted_));
  } else if (reader_.settled()) {
    settle();
  }
  return taken;
}

DEEPSEEK_DECL bool HttpExchange::take_frame(const Frame& frame) {
  last_progress_ = last_byte_;
  if (frame.kind == FrameKind::token && !token_seen_) {
    token_seen_ = true;
    const auto since = std::chrono::duration_cast<std::chrono::microseconds>(loop_.now() - call_->started);
    call_->facts.first_token = std::max(since, std::chrono::microseconds(1));  // zero would say that none came
  }
  sink_->on_frame(frame);
  return !paused_ && !aborted_;
}

DEEPSEEK_DECL void HttpExchange::on_end(const HttpEnd& end) {
  const auto self = shared_from_this();
  transfer_ended_ = true;
  if (paused_ || held_at_ < held_.size()) {
    end_ = end;
    until_read_ = self;  // the engine lets go of this now, and the reader comes back for the rest
    return;
  }
  deliver_end(end);
}

DEEPSEEK_DECL void HttpExchange::deliver_end(const HttpEnd& end) {
  delivering_ = true;
  std::optional<Error> error = reader_.end(end);
  delivering_ = false;
  finish(aborted_ ? std::move(aborted_) : std::move(error));
}

// A connection whose response ends within a moment can be used again; one that does not is closed.
DEEPSEEK_DECL void HttpExchange::settle() {
  if (ended_ || lingering_) return;
  if (reader_.beyond_repair()) return finish(reader_.outcome());
  if (transfer_ended_) return;  // go_on() hands the end over
  lingering_ = true;
  arm(loop_.now() + end_grace);
}

DEEPSEEK_DECL void HttpExchange::abort(Error error) {
  if (ended_ || aborted_) return;
  if (!delivering_) {
    const auto self = shared_from_this();
    return finish(reader_.with_facts(error));
  }
  // From inside on_frame(): the end waits until that has returned, the connection does not.
  aborted_ = reader_.with_facts(error);
  if (!std::exchange(transfer_ended_, true)) {
    call_->facts.http = transfer_->timings();
    transfer_->cancel();
  }
}

DEEPSEEK_DECL void HttpExchange::finish(std::optional<Error> error) {
  if (std::exchange(ended_, true)) return;
  if (timer_ != 0) loop_.unschedule(std::exchange(timer_, 0));
  if (transfer_ && !std::exchange(transfer_ended_, true)) {
    call_->facts.http = transfer_->timings();
    transfer_->cancel();
  }
  transfer_.reset();
  const auto self = std::move(until_read_);
  call_->release_holds();
  std::exchange(sink_, nullptr)->on_end(std::move(error));
}

// --- pausing -----------------------------------------------------------------------------------------

DEEPSEEK_DECL void HttpExchange::pause(bool paused) {
  if (ended_ || paused == paused_) return;
  const auto self = shared_from_this();
  paused_ = paused;
  if (paused) {
    paused_at_ = loop_.now();
    if (timer_ != 0) loop_.unschedule(std::exchange(timer_, 0));
    if (!transfer_ended_ && transfer_ && !std::exchange(transfer_paused_, true)) transfer_->pause(true);
    return;
  }
  const auto pause = loop_.now() - paused_at_;
  started_ += pause;
  last_byte_ += pause;
  last_progress_ += pause;
  if (lingering_)
    arm(loop_.now() + end_grace);
  else
    arm_for(next_strike());
  // Not at once: whoever lets go on does not expect frames before it returns.
  if (std::exchange(going_on_, true)) return;
  loop_.post([self = shared_from_this()] {
    self->going_on_ = false;
    self->go_on();
  });
}

DEEPSEEK_DECL void HttpExchange::go_on() {
  if (ended_ || paused_) return;
  if (held_at_ < held_.size()) {
    held_at_ += deliver(std::string_view(held_).substr(held_at_));
    if (ended_ || paused_) return;
    held_.clear();
    held_at_ = 0;
  }
  if (end_) return deliver_end(*end_);
  if (!transfer_ended_ && transfer_ && std::exchange(transfer_paused_, false)) transfer_->pause(false);
}

// --- clocks ------------------------------------------------------------------------------------------

DEEPSEEK_DECL HttpExchange::Strike HttpExchange::next_strike() const {
  Strike next;
  // A pull stream's consumer may be busy elsewhere for longer than any limit: that is not the server's fault.
  const auto consider = [&next, driven = loop_.driven_since()](TimePoint since, std::chrono::milliseconds limit,
                                                               ErrorCode code) {
    since = std::max(since, driven);
    if (limit.count() > 0 && since + limit < next.when) next = {since + limit, code};
  };
  const Timeouts& limits = call_->timeouts;
  const HttpTimings phases = transfer_ && !transfer_ended_ ? transfer_->timings() : HttpTimings();
  const TimePoint sent = started_ + phases.dns + phases.connect + phases.tls;
  if (!reader_.head_seen())
    consider(sent, limits.first_byte, ErrorCode::timeout_first_byte);
  else
    consider(last_byte_, limits.idle, ErrorCode::timeout_idle);
  if (!stream_) return next;
  if (!token_seen_)
    consider(sent, limits.first_token, ErrorCode::timeout_first_token);
  else
    consider(last_progress_, limits.between_tokens, ErrorCode::timeout_between_tokens);
  return next;
}

/// No clock that is still to come can strike sooner than this from now. Zero: none is set.
DEEPSEEK_DECL std::chrono::milliseconds HttpExchange::shortest_limit() const {
  const Timeouts& limits = call_->timeouts;
  std::chrono::milliseconds shortest{0};
  const auto consider = [&shortest](std::chrono::milliseconds limit) {
    if (limit.count() > 0 && (shortest.count() == 0 || limit < shortest)) shortest = limit;
  };
  if (!reader_.head_seen()) consider(limits.first_byte);
  consider(limits.idle);
  if (!stream_) return shortest;
  if (!token_seen_) consider(limits.first_token);
  consider(limits.between_tokens);
  return shortest;
}

DEEPSEEK_DECL void HttpExchange::arm(TimePoint when) {
  if (timer_ != 0) loop_.unschedule(timer_);
  timer_ = loop_.schedule(when, [this] {
    timer_ = 0;
    const auto self = shared_from_this();
    check_clocks();
  });
}

// One timer per call, never moved by an event: it looks at what happened since and sleeps on.
DEEPSEEK_DECL void HttpExchange::arm_clocks() {
  const std::chrono::milliseconds shortest = shortest_limit();
  if (shortest.count() > 0) arm(loop_.now() + shortest);
}

DEEPSEEK_DECL void HttpExchange::check_clocks() {
  if (lingering_) return finish(reader_.outcome());
  const TimePoint now = loop_.now();
  const Strike next = next_strike();
  if (next.when <= now)
    return finish(
        reader_.with_facts(Error(next.code, timeout_text(next.code), "raise the limit in Timeouts, or retry")));
  arm_for(next);
}

DEEPSEEK_DECL void HttpExchange::arm_for(const Strike& next) {
  const std::chrono::milliseconds shortest = shortest_limit();
  if (shortest.count() > 0) arm(std::min(next.when, loop_.now() + shortest));
}

// --- the transport -----------------------------------------------------------------------------------

/// The addresses of the operations at the endpoints: few, and the same for call after call.
class AddressBook {
 public:
  explicit AddressBook(AddressOf address_of) : address_of_(address_of) {}

  Result<std::string> find(const Call& call) {
    const Operation& operation = call.operation;
    for (const Entry& entry : entries_)
      if (entry.endpoint == call.endpoint && entry.base == operation.base && entry.path == operation.path)
        return entry.address;
    Result<std::string> address = address_of_(call);
    if (!address) return address;                   // not kept: it ends its call
    if (entries_.size() >= most) entries_.clear();  // a route policy that makes endpoints up as it goes
    entries_.push_back({call.endpoint, std::string(operation.path), operation.base, *address});
    return address;
  }

 private:
  struct Entry {
    std::shared_ptr<const Endpoint> endpoint;  // kept: its address in memory is not another one's meanwhile
    std::string path;
    Operation::Base base;
    std::string address;
  };
  static constexpr std::size_t most = 64;
  AddressOf address_of_;
  std::vector<Entry> entries_;
};

class HttpTransport final : public Transport {
 public:
  HttpTransport(std::shared_ptr<HttpEngine> engine, AddressOf address_of)
      : engine_(std::move(engine)), addresses_(address_of) {}

  void attach(Loop& loop) override {
    loop_ = &loop;
    engine_->attach(loop);
  }
  void detach() override { engine_->detach(); }
  void start(CallPtr call, SinkPtr sink) override {
    Result<std::string> address = addresses_.find(*call);
    std::make_shared<HttpExchange>(*loop_, std::move(call), std::move(sink))->begin(*engine_, std::move(address));
  }

 private:
  Loop* loop_ = nullptr;
  std::shared_ptr<HttpEngine> engine_;
  AddressBook addresses_;
};

DEEPSEEK_DECL std::shared_ptr<Transport> make_transport_over(std::shared_ptr<HttpEngine> engine, AddressOf address_of) {
  return std::make_shared<HttpTransport>(std::move(engine), address_of);
}

}  // namespace detail

DEEPSEEK_DECL std::shared_ptr<Transport> make_http_transport(std::shared_ptr<HttpEngine> engine) {
  return detail::make_transport_over(std::move(engine), detail::address_at_endpoint);
}

DEEPSEEK_END_NAMESPACE
