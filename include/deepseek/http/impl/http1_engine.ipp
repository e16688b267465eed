#pragma once
#include <deepseek/http/detail/http1_engine.hpp>

#include <deepseek/core/detail/platform.hpp>

#include <algorithm>
#include <charconv>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// host[:port] of an http:// URL, and what follows it.
struct PlainUrl {
  std::string_view authority;
  std::string_view target;
};

DEEPSEEK_DECL PlainUrl split_plain_url(std::string_view url) noexcept {
  url.remove_prefix(std::string_view("http://").size());
  const std::size_t slash = std::min(url.find('/'), url.size());
  return {url.substr(0, slash), url.substr(slash)};
}

/// The port behind the colon; 80 if none is written, negative if what is written is none.
DEEPSEEK_DECL int port_of(std::string_view text) noexcept {
  if (text.empty()) return 80;
  std::uint16_t port = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && stop == text.data() + text.size() ? port : -1;
}

/// The address behind an authority whose host is a number; an empty one for a name, and for what is neither:
/// the connector refuses that.
DEEPSEEK_DECL SocketAddress address_of_authority(std::string_view authority) noexcept {
  SocketAddress address;
  const bool v6 = !authority.empty() && authority.front() == '[';
  const std::size_t host_end = v6 ? authority.find("]") + 1 : std::min(authority.find(':'), authority.size());
  std::string_view host = authority.substr(0, host_end);
  std::string_view port = authority.substr(host_end);
  if (!port.empty() && port.front() != ':') return address;
  port.remove_prefix(std::min<std::size_t>(port.size(), 1));
  if (v6) {
    if (host.size() < 3 || host.find(':') == host.npos) return address;
    host = host.substr(1, host.size() - 2);
  }
  if (const int number = port_of(port); number >= 0) numeric_address(host, number, address);
  return address;
}

DEEPSEEK_DECL bool Http1Engine::understands(std::string_view url) noexcept {
  constexpr std::string_view scheme = "http://";
  if (url.substr(0, scheme.size()) != scheme) return false;
  const PlainUrl parts = split_plain_url(url);
  // A byte that could end the line or the target, or the host in front of it.
  const auto plain = [](char c) { return c > ' ' && c < 0x7F && c != '#' && c != '@' && c != '\\'; };
  return !parts.authority.empty() && parts.authority.find_first_of("?%") == url.npos &&
         parts.target.find("/.") == url.npos && std::all_of(url.begin(), url.end(), plain);
}

/// One request and its response. The engine holds it while it is live.
class Http1Transfer final : public HttpTransfer, public std::enable_shared_from_this<Http1Transfer> {
 public:
  Http1Transfer(Http1Engine& engine, HttpRequest request, std::shared_ptr<HttpHandler> handler)
      : engine_(engine),
        request_(std::move(request)),
        handler_(std::move(handler)),
        reader_(request_.limits.header_bytes, request_.method == "HEAD"),
        started_(engine.loop_->now()) {}

  void cancel() override;
  void pause(bool paused) override;
  HttpTimings timings() const override;

  void begin();
  void on_io(bool readable, bool writable);

 private:
  friend class Http1Engine;
  void connect();
  void on_connected(int fd, const HttpEnd& end);
  void check_connection();
  void connection_made();
  void arm_connect_timer();
  void use(Http1Connection& connection);
  void send_request();
  void compose(std::string& text) const;
  bool send_rest();
  bool refill_body();
  void receive_some();
  void response_begins();
  void take(std::string_view bytes);
  void on_close(int error);
  bool try_again();
  void watch();
  void fail(ErrorCode code, std::string cause);
  void finish(HttpEnd end);
  void let_go(bool reusable);
  std::chrono::microseconds since_start() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(engine_.loop_->now() - started_);
  }

  Http1Engine& engine_;
  HttpRequest request_;                   // emptied when the response begins
  std::shared_ptr<HttpHandler> handler_;  // null: ended
  Http1Connection* connection_ = nullptr;
  std::shared_ptr<HttpTransfer> connecting_;  // the connector's
  Http1Reader reader_;
  std::string unsent_;  // of the head, or of a body that comes in pieces
  std::size_t unsent_at_ = 0;
  std::uint64_t body_at_ = 0;  // of the body: handed to the kernel or in unsent_
  TimePoint started_;
  HttpTimings timings_;
  Loop::TimerId connect_timer_ = 0;
  std::size_t live_index_ = 0;
  bool connected_ = false;
  bool sent_ = false;         // nothing more will be sent
  bool send_broken_ = false;  // because the server stopped reading
  bool paused_ = false;
};

// --- connection --------------------------------------------------------------------------------------

DEEPSEEK_DECL void Http1Connection::want(bool read, bool write) {
  if (read == read_ && write == write_) return;
  read_ = read;
  write_ = write;
  if (read || write)
    engine_.loop_->watch(fd_, read, write, this);
  else
    engine_.loop_->forget(fd_, this);
}

DEEPSEEK_DECL void Http1Connection::on_io(bool readable, bool writable) {
  // An idle connection whose peer closes, or speaks out of turn, is of no use.
  if (!transfer_) return engine_.close(*this);
  const auto transfer = transfer_->shared_from_this();
  transfer->on_io(readable, writable);  // this may be gone afterwards
}

// --- engine ------------------------------------------------------------------------------------------

DEEPSEEK_DECL Http1Engine::~Http1Engine() {
  // Handler and transfer know each other. None goes before all are cut off: it may cancel another one.
  std::vector<std::shared_ptr<HttpHandler>> handlers;
  handlers.reserve(live_.size());
  for (const auto& transfer : live_) {
    handlers.push_back(std::move(transfer->handler_));
    transfer->connection_ = nullptr;
    loop_->unschedule(transfer->connect_timer_);
  }
  while (!connections_.empty()) close(*connections_.back());
}

DEEPSEEK_DECL char* Http1Engine::buffer() {
  if (!buffer_) buffer_.reset(new char[options_.read_buffer_bytes]);
  return buffer_.get();
}

DEEPSEEK_DECL const Http1Origin& Http1Engine::origin_of(std::string_view authority) {
  for (const auto& origin : origins_)
    if (origin->authority == authority) return *origin;
  auto origin = std::make_unique<Http1Origin>();
  origin->authority = authority;
  if (options_.unix_socket.empty())
    origin->address = address_of_authority(authority);
  else
    unix_address(options_.unix_socket, origin->address);
  return *origins_.emplace_back(std::move(origin));
}

DEEPSEEK_DECL Http1Connection& Http1Engine::adopt(int fd, const Http1Origin& origin) {
  auto& connection = *connections_.emplace_back(std::make_unique<Http1Connection>(*this, fd, origin));
  connection.index_ = connections_.size() - 1;
  return connection;
}

DEEPSEEK_DECL Http1Connection* Http1Engine::take_idle(const Http1Origin& origin) {
  for (std::size_t i = idle_.size(); i-- > 0;) {
    Http1Connection* const connection = idle_[i];
    if (&connection->origin_ != &origin) continue;
    // While nobody drove the loop, nobody saw it being closed, or used for something else than an answer.
    const std::chrono::duration<double> idle = loop_->now() - connection->idle_since_;  // its limit may be any number
    if (idle > options_.max_idle_time || has_input(connection->fd_)) {
      close(*connection);
      continue;
    }
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
    return connection;
  }
  return nullptr;
}

DEEPSEEK_DECL void Http1Engine::put_back(Http1Connection& connection) {
  connection.transfer_ = nullptr;
  if (options_.max_idle_connections == 0) return close(connection);
  if (idle_.size() >= options_.max_idle_connections) close(*idle_.front());
  connection.idle_since_ = loop_->now();
  connection.want(true, false);
  idle_.push_back(&connection);
}

DEEPSEEK_DECL void Http1Engine::close(Http1Connection& connection) {
  if (!connection.transfer_) idle_.erase(std::remove(idle_.begin(), idle_.end(), &connection), idle_.end());
  connection.want(false, false);
  close_socket(connection.fd_);
  const std::size_t index = connection.index_;
  connections_.back()->index_ = index;
  connections_[index].swap(connections_.back());
  connections_.pop_back();
}

DEEPSEEK_DECL void Http1Engine::forget(Http1Transfer& transfer) {
  live_.back()->live_index_ = transfer.live_index_;
  live_[transfer.live_index_].swap(live_.back());
  live_.pop_back();
}

DEEPSEEK_DECL std::shared_ptr<HttpTransfer> Http1Engine::start(HttpRequest request,
                                                               std::shared_ptr<HttpHandler> handler) {
  auto transfer = std::make_shared<Http1Transfer>(*this, std::move(request), std::move(handler));
  transfer->live_index_ = live_.size();
  live_.push_back(transfer);
  transfer->begin();
  return transfer;
}

// --- connecting --------------------------------------------------------------------------------------

DEEPSEEK_DECL void Http1Transfer::begin() {
  const Http1Origin& origin = engine_.origin_of(split_plain_url(request_.url).authority);
  if (Http1Connection* const idle = engine_.take_idle(origin)) {
    timings_.reused_connection = true;
    connected_ = true;
    use(*idle);
    return send_request();
  }
  connect();
}

DEEPSEEK_DECL void Http1Transfer::use(Http1Connection& connection) {
  connection_ = &connection;
  connection.transfer_ = this;
}

DEEPSEEK_DECL void Http1Transfer::connect() {
  const Http1Origin& origin = engine_.origin_of(split_plain_url(request_.url).authority);
  if (origin.address.size == 0) {
    connecting_ = engine_.connector_.connect(
        request_.url, request_.timeouts,
        [self = shared_from_this()](int fd, const HttpEnd& end) { self->on_connected(fd, end); });
    return;
  }
  const Connecting begun = connect_to(origin.address);
  if (begun.fd < 0 || begun.error != 0) {
    if (begun.fd >= 0) close_socket(begun.fd);
    // on_end may not come before start() has returned.
    engine_.loop_->post([self = shared_from_this(), error = begun.error] {
      self->fail(ErrorCode::connect_failed, system_error_text(error));
    });
    return;
  }
  use(engine_.adopt(begun.fd, origin));
  connection_->want(false, true);
  arm_connect_timer();
}

DEEPSEEK_DECL void Http1Transfer::arm_connect_timer() {
  if (request_.timeouts.connect.count() <= 0) return;
  connect_timer_ = engine_.loop_->schedule(engine_.loop_->now() + request_.timeouts.connect, [this] {
    connect_timer_ = 0;
    fail(ErrorCode::timeout_connect, "no connection in time");
  });
}

DEEPSEEK_DECL void Http1Transfer::on_connected(int fd, const HttpEnd& end) {
  const auto self = shared_from_this();
  connecting_.reset();
  timings_ = end.timings;
  if (!handler_) {
    if (fd >= 0) close_socket(fd);
    return;
  }
  if (fd < 0) return finish(end.clean ? HttpEnd() : end);
  use(engine_.adopt(fd, engine_.origin_of(split_plain_url(request_.url).authority)));
  connection_made();
}

DEEPSEEK_DECL void Http1Transfer::check_connection() {
  if (const int error = socket_error(connection_->fd_); error != 0)
    return fail(ErrorCode::connect_failed, system_error_text(error));
  engine_.loop_->unschedule(std::exchange(connect_timer_, 0));
  timings_.connect = std::max(since_start(), std::chrono::microseconds(1));
  connection_made();
}

DEEPSEEK_DECL void Http1Transfer::connection_made() {
  connected_ = true;
  send_request();
}

// --- sending -----------------------------------------------------------------------------------------

DEEPSEEK_DECL void Http1Transfer::compose(std::string& text) const {
  const PlainUrl url = split_plain_url(request_.url);
  const auto add_line = [&text](std::string_view name, std::string_view value) {
    text.append(name).append(": ").append(value).append("\r\n");
  };
  text.append(request_.method).append(" ");
  if (url.target.empty() || url.target.front() != '/') text += '/';
  text.append(url.target).append(" HTTP/1.1\r\n");
  add_line("Host", url.authority);
  for (const HttpHeader& header : request_.headers) add_line(header.name, header.value);
  if (request_.body || request_.method == "POST" || request_.method == "PUT") {
    char digits[24];
    const auto size = request_.body ? request_.body->size() : 0;
    const auto stop = std::to_chars(digits, digits + sizeof digits, size).ptr;
    add_line("Content-Length", {digits, static_cast<std::size_t>(stop - digits)});
  }
  text.append("\r\n");
}

// Head and body leave in one system call where the body lies in memory, as it nearly always does.
DEEPSEEK_DECL void Http1Transfer::send_request() {
  std::string& head = engine_.request_text_;
  head.clear();
  compose(head);
  const std::string_view body = request_.body ? request_.body->contiguous() : std::string_view();
  const SocketResult result = send_pieces(connection_->fd_, head, body);
  // An error shows again when the poller calls. Not from here: start() may be the caller.
  const std::size_t of_head = std::min(result.bytes, head.size());
  body_at_ = result.bytes - of_head;
  sent_ = of_head == head.size() && body_at_ == (request_.body ? request_.body->size() : 0);
  if (!sent_) unsent_.assign(head, of_head);
  watch();
}

/// The next piece of a body into unsent_; false if the call has ended over it.
DEEPSEEK_DECL bool Http1Transfer::refill_body() {
  constexpr std::size_t piece = 64 * 1024;
  const std::uint64_t left = request_.body->size() - body_at_;
  unsent_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(left, piece)));
  unsent_at_ = 0;
  const Result<std::size_t> got = request_.body->read(body_at_, unsent_.data(), unsent_.size());
  if (!got || *got == 0) {
    fail(got ? ErrorCode::io_error : got.error().code(), "the request body could not be read");
    return false;
  }
  unsent_.resize(*got);
  body_at_ += *got;
  return true;
}

/// False if the call has ended. A few pieces at a time: others wait, and a refusal may have come meanwhile.
DEEPSEEK_DECL bool Http1Transfer::send_rest() {
  for (int pieces = 0; !sent_; ++pieces) {
    if (pieces == 4) return true;
    if (unsent_at_ == unsent_.size()) {
      sent_ = !request_.body || body_at_ == request_.body->size();
      if (sent_) break;
      if (!refill_body()) return false;
    }
    const SocketResult result = send_pieces(connection_->fd_, std::string_view(unsent_).substr(unsent_at_), {});
    if (result.would_block) return true;
    if (result.error != 0) {
      // The answer may have come before the break: a server need not read all of what it refuses.
      if (reader_.begun() || has_input(connection_->fd_)) {
        sent_ = send_broken_ = true;
        break;
      }
      on_close(result.error);
      return false;
    }
    unsent_at_ += result.bytes;
  }
  std::string().swap(unsent_);
  watch();
  return true;
}

DEEPSEEK_DECL void Http1Transfer::watch() { connection_->want(!paused_, !sent_); }

// --- receiving ---------------------------------------------------------------------------------------

DEEPSEEK_DECL void Http1Transfer::on_io(bool readable, bool writable) {
  if (!connected_) return check_connection();
  if (writable && !sent_ && !send_rest()) return;
  if (readable && !paused_) receive_some();
}

// Once, not until nothing is left: another look costs a system call, and the poller looks anyway.
DEEPSEEK_DECL void Http1Transfer::receive_some() {
  char* const into = engine_.buffer();
  const SocketResult result = receive(connection_->fd_, into, engine_.options_.read_buffer_bytes);
  if (result.would_block) return;
  if (result.bytes == 0) return on_close(result.error);
  take({into, result.bytes});
}

DEEPSEEK_DECL void Http1Transfer::response_begins() {
  timings_.first_byte = std::max(since_start(), std::chrono::microseconds(1));
  if (!sent_) return;
  std::vector<HttpHeader>().swap(request_.headers);  // it is not sent again
  std::string().swap(request_.url);
  request_.body.reset();
}

DEEPSEEK_DECL void Http1Transfer::take(std::string_view bytes) {
  if (!reader_.begun()) response_begins();
  const auto handler = handler_;  // which may cancel, and so be dropped here
  for (;;) {
    switch (reader_.next(bytes, engine_.scratch_)) {
      case Http1Reader::Part::none:
        return;
      case Http1Reader::Part::head:
        handler->on_head(reader_.head());
        break;
      case Http1Reader::Part::data:
        handler->on_data(reader_.data());
        break;
      case Http1Reader::Part::end: {
        HttpEnd end;
        end.clean = true;
        let_go(reader_.reusable() && sent_ && !send_broken_ && bytes.empty());
        return finish(std::move(end));
      }
      case Http1Reader::Part::fault:
        return fail(reader_.fault_code(), reader_.fault_text());
    }
    if (!handler_) return;  // cancelled from inside
  }
}

DEEPSEEK_DECL void Http1Transfer::on_close(int error) {
  if (!reader_.begun() && try_again()) return;
  HttpEnd end;
  // After a broken send the kernel has told its error, and a reset looks like an orderly close.
  end.clean = error == 0 && !send_broken_ && reader_.whole_at_close();
  if (!end.clean) {
    end.code = reader_.begun() && !reader_.head_complete() ? ErrorCode::truncated : ErrorCode::connection_lost;
    end.cause = error != 0 ? system_error_text(error) : "the server closed the connection";
  }
  finish(std::move(end));
}

// A server may close an idle connection while a request is on its way to it. Nothing was answered on this
// one; a fresh connection gets the same request, once.
DEEPSEEK_DECL bool Http1Transfer::try_again() {
  if (!timings_.reused_connection) return false;
  timings_ = HttpTimings();
  let_go(false);
  connected_ = sent_ = send_broken_ = false;
  std::string().swap(unsent_);
  unsent_at_ = 0;
  body_at_ = 0;
  connect();
  return true;
}

// --- the end -----------------------------------------------------------------------------------------

DEEPSEEK_DECL void Http1Transfer::let_go(bool reusable) {
  Http1Connection* const connection = std::exchange(connection_, nullptr);
  if (!connection) return;
  if (reusable)
    engine_.put_back(*connection);
  else
    engine_.close(*connection);
}

DEEPSEEK_DECL void Http1Transfer::fail(ErrorCode code, std::string cause) {
  HttpEnd end;
  end.code = code;
  end.cause = std::move(cause);
  finish(std::move(end));
}

DEEPSEEK_DECL void Http1Transfer::finish(HttpEnd end) {
  if (!handler_) return;
  const auto self = shared_from_this();
  end.timings = timings_ = timings();
  const auto handler = std::exchange(handler_, nullptr);
  let_go(false);
  engine_.loop_->unschedule(std::exchange(connect_timer_, 0));
  engine_.forget(*this);
  end.head_complete = reader_.head_complete();
  handler->on_end(end);
}

DEEPSEEK_DECL void Http1Transfer::cancel() {
  if (!handler_) return;
  const auto self = shared_from_this();
  timings_ = timings();
  const auto handler = std::exchange(handler_, nullptr);  // gone last: it may come back here
  if (connecting_) std::exchange(connecting_, nullptr)->cancel();
  let_go(false);
  engine_.loop_->unschedule(std::exchange(connect_timer_, 0));
  engine_.forget(*this);
}

DEEPSEEK_DECL void Http1Transfer::pause(bool paused) {
  paused_ = paused;
  if (connection_ && connected_) watch();
}

DEEPSEEK_DECL HttpTimings Http1Transfer::timings() const {
  HttpTimings timings = timings_;
  if (handler_) timings.total = since_start();  // afterwards the engine may be gone
  return timings;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
