// One connection: requests in, planned bytes out.
#include "session.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

constexpr std::uint64_t body_limit = 48ull * 1024 * 1024;  // the service's
constexpr std::size_t read_bytes = 8 * 1024;
constexpr std::size_t pipelined_limit = 1024 * 1024;
constexpr std::size_t write_together = 16 * 1024;
constexpr auto linger_time = std::chrono::seconds(2);

ReceivedRequest received_request(const HttpHead& head, std::string body, std::uint64_t connection) {
  ReceivedRequest request;
  request.method = head.first;
  request.path = head.second;
  if (const auto mark = request.path.find('?'); mark != std::string::npos) {
    request.query = request.path.substr(mark + 1);
    request.path.resize(mark);
  }
  request.headers = head.headers;
  request.body = std::move(body);
  request.connection = connection;
  return request;
}

}  // namespace

Session::Session(std::unique_ptr<Wire> wire, SessionHost& host, std::uint64_t number)
    : wire_(std::move(wire)),
      host_(host),
      number_(number),
      timer_(wire_->socket().get_executor()),
      reader_(HttpReader::Kind::request, body_limit),
      buffer_(read_bytes) {}

void Session::start(bool tls) {
  error_code ignored;
  wire_->socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  if (!tls) return read();
  wire_->handshake(true, [self = shared_from_this()](error_code error) {
    if (!error) return self->read();
    self->host_.on_handshake_failed();
    self->gone();
  });
}

void Session::read() {
  wire_->read_some(buffer_.data(), buffer_.size(), [self = shared_from_this()](error_code error, std::size_t count) {
    if (self->state_ == State::gone) return;
    if (error) return self->gone();  // also a half-close: who stops listening to requests is gone
    self->received({self->buffer_.data(), count});
    if (self->state_ != State::gone) self->read();
  });
}

void Session::received(std::string_view bytes) {
  if (state_ == State::closing) return;
  if (state_ == State::answering) {
    pending_ += bytes;
    if (pending_.size() > pipelined_limit) kill(true);
    return;
  }
  const auto taken = reader_.feed(bytes);
  pending_ += bytes.substr(taken);
  if (reader_.state() == HttpReader::State::failed) return refuse(reader_.too_large() ? 413 : 400);
  if (reader_.state() == HttpReader::State::done) return dispatch();
  if (reader_.state() == HttpReader::State::body && reader_.head().expects_continue && !continued_) {
    continued_ = true;
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    busy_ = true;
    wire_->write(go_on.data(), go_on.size(), [self = shared_from_this()](error_code) {
      self->busy_ = false;
      self->pump();
    });
  }
}

void Session::dispatch() {
  state_ = State::answering;
  continued_ = false;
  const bool keep = reader_.head().keep_alive;
  auto request = received_request(reader_.head(), reader_.take_body(), number_);
  reader_.next();
  host_.on_request(*this, std::move(request), keep);
}

void Session::refuse(int status) {
  state_ = State::answering;
  Body body;
  body.status = status;
  body.parts.push_back({microseconds(0), error_body(status, known_message(status)), true});
  play(make_plan(ReplySpec(), std::move(body), false, std::string(32, '0')));
}

void Session::play(Plan plan) {
  steps_.assign(std::make_move_iterator(plan.steps.begin()), std::make_move_iterator(plan.steps.end()));
  plan.steps.clear();
  plan_ = std::move(plan);
  more_coming_ = false;
  queued_ = 0;
  for (const auto& step : steps_) queued_ += step.bytes.size();
  pump();
}

void Session::begin() {
  plan_ = {};
  steps_.clear();
  queued_ = 0;
  more_coming_ = true;
}

void Session::push(Step step) {
  if (state_ != State::answering) return;
  queued_ += step.bytes.size();
  steps_.push_back(std::move(step));
  pump();
}

void Session::end(Plan::End how) {
  if (state_ != State::answering) return;
  plan_.end = how;
  more_coming_ = false;
  pump();
}

void Session::pump() {
  if (busy_ || state_ != State::answering) return;
  if (steps_.empty()) {
    if (more_coming_) return;
    if (plan_.end != Plan::End::hang) return answer_over();
    if (plan_.repeat.bytes.empty()) return;  // silence until the client goes
    queued_ += plan_.repeat.bytes.size();
    steps_.push_back(plan_.repeat);
  }
  if (steps_.front().delay.count() <= 0) return write_next();
  busy_ = true;
  timer_.expires_after(steps_.front().delay);
  timer_.async_wait([self = shared_from_this()](error_code) {
    self->busy_ = false;
    if (self->state_ == State::answering) self->write_next();
  });
}

void Session::write_next() {
  writing_ = std::move(steps_.front().bytes);
  steps_.pop_front();
  while (!plan_.one_by_one && !steps_.empty() && steps_.front().delay.count() == 0 &&
         writing_.size() + steps_.front().bytes.size() <= write_together) {
    writing_ += steps_.front().bytes;
    steps_.pop_front();
  }
  queued_ -= writing_.size();
  if (writing_.empty()) return pump();
  busy_ = true;
  wire_->write(writing_.data(), writing_.size(), [self = shared_from_this()](error_code error) {
    self->busy_ = false;
    if (self->state_ != State::answering) return;
    if (error) return self->gone();
    if (self->on_drained) self->on_drained();
    self->pump();
  });
}

void Session::answer_over() {
  on_drained = nullptr;
  attachment.reset();
  host_.on_done(*this);
  switch (plan_.end) {
    case Plan::End::hang:
    case Plan::End::reuse:
      break;
    case Plan::End::reset:
      return kill(true);
    case Plan::End::cut:
      wire_->send_fin();
      return linger();
    case Plan::End::close:
      state_ = State::closing;
      wire_->close_notify([self = shared_from_this()](error_code) {
        if (self->state_ == State::gone) return;
        self->wire_->send_fin();
        self->linger();
      });
      return;
  }
  state_ = State::reading;
  const auto next = std::exchange(pending_, {});
  if (!next.empty()) received(next);
}

/// FIN is sent; what the client still sends is read and dropped, because closing over unread bytes would
/// turn the FIN into an RST.
void Session::linger() {
  state_ = State::closing;
  timer_.expires_after(linger_time);
  timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error) self->gone();
  });
}

void Session::kill(bool reset) {
  if (state_ == State::gone) return;
  if (reset) wire_->reset();
  gone();
}

void Session::gone() {
  if (state_ == State::gone) return;
  const auto keep_alive = shared_from_this();
  state_ = State::gone;
  wire_->close();
  timer_.cancel();
  on_drained = nullptr;
  attachment.reset();
  host_.on_gone(*this);
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
