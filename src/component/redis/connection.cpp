#include "component/redis/connection.hpp"

#include <deepseek/core/detail/platform.hpp>
#include <deepseek/core/detail/socket.hpp>

#include <openssl/crypto.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <thread>
#include <utility>

#include "component/redis/host_lookup.hpp"
#include "component/redis/reader.hpp"
#include "component/redis/stream.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds first_pause{100};
constexpr milliseconds longest_pause{5'000};
/// A command's reply that is this much too late: the connection is of no use any more.
constexpr milliseconds given_up_after{1'000};
/// A connection idle for longer may have been closed by the other side: looked at before it is used.
constexpr milliseconds idle_after{500};
/// About what it takes a thread to sleep and to wake.
constexpr std::chrono::microseconds look_out_time{50};
constexpr unsigned far_look_outs = 64;

void append_number(std::string& out, char mark, std::size_t number) {
  char text[24];
  char* const end = std::to_chars(text, text + sizeof text, number).ptr;
  out += mark;
  out.append(text, static_cast<std::size_t>(end - text));
  out += "\r\n";
}

template <class Words>
void append_command(std::string& out, const Words& words) {
  append_number(out, '*', words.size());
  for (const std::string_view word : words) {
    append_number(out, '$', word.size());
    out += word;
    out += "\r\n";
  }
}

/// The first word of an error reply. The rest may echo what was sent, a password among it.
std::string why_refused(const RedisReply& reply) {
  const std::string word = reply.text.substr(0, std::min<std::size_t>(reply.text.find(' '), 24));
  if (word == "WRONGPASS") return "user or password is wrong";
  if (word == "NOAUTH") return "it wants a password";
  const bool plain = std::all_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  return "it refuses the connection" + (plain ? " (" + word + ")" : std::string());
}

Error away(std::string_view what) {
  return Error(ErrorCode::connect_failed, "Redis cannot be reached").with([&](ErrorDetails& details) {
    details.cause = what;
  });
}

}  // namespace

RedisConnection::RedisConnection(RedisServer server, Loop& loop, Notice notice, Limits limits)
    : server_(std::move(server)), loop_(loop), notice_(std::move(notice)), limits_(limits) {}

RedisConnection::RedisConnection(RedisServer server, Loop& loop, Notice notice)
    : RedisConnection(std::move(server), loop, std::move(notice), Limits()) {}

RedisConnection::~RedisConnection() {
  *alive_ = false;
  drop_connection();
  loop_.unschedule(timer_);
  loop_.unschedule(connect_timer_);
  OPENSSL_cleanse(unsent_.data(), unsent_.size());
}

// --- commands ----------------------------------------------------------------------------------------

bool RedisConnection::hopeful() const noexcept {
  if (expired_ > 0) return false;
  return state_ == State::ready || (state_ != State::pausing && pause_.count() == 0);
}

template <class Words>
void RedisConnection::send_command(const Words& words, TimePoint deadline, Done done) {
  connect();
  check_idle();
  std::size_t size = 32;
  for (const std::string_view word : words) size += word.size() + 32;
  if (expired_ > 0) look_again();
  if (!hopeful() || unsent_bytes() + size > limits_.unsent_bytes || waiting_.size() >= limits_.waiting)
    return call_later(std::move(done), away("it is away or does not answer in time"));
  append_command(unsent_, words);
  waiting_.push_back({std::move(done), deadline, false, false});
  arm(deadline);
  if (state_ != State::ready) return;
  send_some();
  update_watch();
}

void RedisConnection::command(std::initializer_list<std::string_view> words, TimePoint deadline, Done done) {
  send_command(words, deadline, std::move(done));
}

void RedisConnection::command(const std::vector<std::string_view>& words, TimePoint deadline, Done done) {
  send_command(words, deadline, std::move(done));
}

// Nobody drives the loop between two waiting calls, so that the end of an idle connection may have gone unseen.
void RedisConnection::check_idle() {
  if (state_ != State::ready || !waiting_.empty() || loop_.now() - last_io_ < idle_after || !has_input(fd_)) return;
  drop_connection();
  state_ = State::idle;
  connect();
}

// A late reply may have come, but while every command fails at once the loop may never get to look for it.
void RedisConnection::look_again() {
  if (std::exchange(looking_, true)) return;
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    looking_ = false;
    if (state_ == State::ready) read_some();
    if (*alive) update_watch();
  });
}

void RedisConnection::look_out() {
  if (state_ != State::ready || waiting_.size() != 1 || expired_ > 0 || !loop_.waits_for_one()) return;
  if (far_ > 0) {
    --far_;
    return;
  }
  loop_.post([this, alive = alive_] {
    if (*alive) look_closely();
  });
}

void RedisConnection::look_closely() {
  const auto alive = alive_;
  const std::uint64_t before = replies_;
  const auto until = std::chrono::steady_clock::now() + look_out_time;
  while (state_ == State::ready && loop_.waits_for_one()) {
    read_some();
    if (!*alive) return;
    update_watch();
    if (replies_ != before) return;
    // Judged after a look: the thread may have been away for long, because the server had the processor.
    if (std::chrono::steady_clock::now() > until) {
      far_ = far_look_outs;
      return;
    }
    std::this_thread::yield();
  }
}

void RedisConnection::call_later(Done done, const Error& error) {
  if (!done) return;
  loop_.post([done = std::move(done), error, alive = alive_] {
    if (*alive) done(error);
  });
}

void RedisConnection::end_waiting(const Error& error) {
  std::deque<Waiting> ended;
  ended.swap(waiting_);
  expired_ = 0;
  for (Waiting& waiting : ended)
    if (!waiting.expired) call_later(std::move(waiting.done), error);
}

// --- deadlines ---------------------------------------------------------------------------------------

void RedisConnection::arm(TimePoint when) {
  if (draining_ || (timer_ != 0 && timer_at_ <= when)) return;
  loop_.unschedule(timer_);
  timer_at_ = when;
  timer_ = loop_.schedule(when, [this] {
    timer_ = 0;
    check_deadlines();
  });
}

void RedisConnection::check_deadlines() {
  // The loop may have stood still: what lies in the socket came in time.
  const auto alive = alive_;
  if (state_ == State::ready && !waiting_.empty()) read_some();
  if (!*alive) return;
  const TimePoint now = loop_.now();
  TimePoint next = TimePoint::max();
  std::vector<Done> late;
  for (Waiting& waiting : waiting_) {
    if (!waiting.expired && waiting.deadline <= now) {
      waiting.expired = true;
      ++expired_;
      if (waiting.done) late.push_back(std::move(waiting.done));
    }
    next = std::min(next, waiting.expired ? waiting.deadline + given_up_after : waiting.deadline);
  }
  const bool lost = !waiting_.empty() && waiting_.front().expired && waiting_.front().deadline + given_up_after <= now;
  if (lost)
    fail("it does not answer");
  else if (next != TimePoint::max())
    arm(next);
  for (Done& done : late) {
    done(Error(ErrorCode::timeout_first_byte, "Redis did not answer in time"));
    if (!*alive) return;
  }
}

// --- connecting --------------------------------------------------------------------------------------

void RedisConnection::connect() {
  if (state_ == State::idle) begin_connect();
}

void RedisConnection::begin_connect() {
  connect_began_ = loop_.now();
  addresses_.clear();
  next_address_ = 0;
  if (server_.tls && server_.unix_socket.empty() && !tls_) {
    auto tls = RedisTls::make(server_.tls_options);
    if (!tls) return fail(tls.error().message());
    tls_ = *std::move(tls);
  }
  arm_connect(connect_began_ + server_.connect_timeout);
  SocketAddress address;
  if (!server_.unix_socket.empty()) {
    if (!unix_address(server_.unix_socket, address)) return fail("the path of the socket is too long");
    addresses_.push_back(address);
    return open_next_address();
  }
  if (numeric_address(server_.host, server_.port, address)) {
    addresses_.push_back(address);
    return open_next_address();
  }
  lookup_ = HostLookup::begin(server_.host, server_.port);
  if (!lookup_) return fail("no thread is left to look its name up");
  state_ = State::resolving;
  watch(lookup_->fd(), true, false);
}

void RedisConnection::on_resolved() {
  unwatch();
  addresses_ = lookup_->addresses();
  lookup_.reset();
  if (addresses_.empty()) return fail("its host name cannot be resolved");
  open_next_address();
}

void RedisConnection::open_next_address() {
  unwatch();
  if (fd_ >= 0) close_socket(std::exchange(fd_, -1));
  int error = 0;
  while (next_address_ < addresses_.size()) {
    const Connecting opened = connect_to(addresses_[next_address_++]);
    error = opened.error;
    if (opened.fd >= 0 && error == 0) {
      fd_ = opened.fd;
      state_ = State::connecting;
      return watch(fd_, false, true);
    }
    if (opened.fd >= 0) close_socket(opened.fd);
  }
  fail(system_error_text(error));
}

void RedisConnection::arm_connect(TimePoint when) {
  if (draining_) return;
  loop_.unschedule(connect_timer_);
  connect_timer_ = loop_.schedule(when, [this] {
    connect_timer_ = 0;
    on_connect_timer();
  });
}

void RedisConnection::on_connect_timer() {
  if (state_ == State::pausing) return begin_connect();
  if (state_ == State::idle || state_ == State::ready) return;
  const TimePoint since = std::max(connect_began_, loop_.driven_since());
  if (loop_.now() - since < server_.connect_timeout) return arm_connect(since + server_.connect_timeout);
  fail("no connection was made in time");
}

void RedisConnection::greet() {
  state_ = State::greeting;
  std::string greeting;
  std::size_t count = 1;
  if (!server_.password.empty() || !server_.user.empty()) {
    const std::string_view password = server_.password.reveal();
    using Words = std::vector<std::string_view>;
    append_command(greeting, server_.user.empty() ? Words{"AUTH", password} : Words{"AUTH", server_.user, password});
    ++count;
  }
  if (server_.database != 0) {
    append_command(greeting, std::vector<std::string_view>{"SELECT", std::to_string(server_.database)});
    ++count;
  }
  append_command(greeting, std::vector<std::string_view>{"PING"});
  // Before the commands that wait for the connection; those go when the server has answered all of these.
  unsent_.insert(0, greeting);
  greeting_bytes_ = greeting.size();
  OPENSSL_cleanse(greeting.data(), greeting.size());
  greetings_ = count;
  for (; count > 0; --count) waiting_.push_front({Done(), TimePoint::max(), true, false});
  reader_ = std::make_unique<RedisReader>(limits_.reply_bytes);
  send_some();
}

bool RedisConnection::refuses_greeting(const RedisReply& reply) {
  if (!reply.is_error()) return false;
  // A user that may not PING is as good as another.
  return reply.text.rfind("NOPERM", 0) != 0 || greetings_ > 1;
}

void RedisConnection::greeted() {
  state_ = State::ready;
  const bool was_away = std::exchange(pause_, milliseconds(0)).count() > 0;
  loop_.unschedule(std::exchange(connect_timer_, 0));
  if (was_away && notice_) notice_("Redis is back");
  send_some();
}

// --- bytes -------------------------------------------------------------------------------------------

void RedisConnection::watch(int fd, bool read, bool write) {
  if (watched_ != fd) unwatch();
  watched_ = fd;
  watch_write_ = write;
  loop_.watch(fd, read, write, this);
}

void RedisConnection::unwatch() {
  if (watched_ >= 0) loop_.forget(std::exchange(watched_, -1), this);
}

void RedisConnection::update_watch() {
  if (fd_ < 0 || state_ == State::connecting || state_ == State::resolving) return;
  const bool write = stream_ && (stream_->wants_write() || blocked_);
  if (watched_ == fd_ && write == watch_write_) return;
  watch(fd_, true, write);
}

void RedisConnection::on_io(bool readable, bool writable) {
  const auto alive = alive_;
  last_io_ = loop_.now();
  if (state_ == State::resolving) {
    if (lookup_->done()) on_resolved();
    return;
  }
  if (state_ == State::connecting) {
    if (const int error = socket_error(fd_); error != 0) {
      if (next_address_ < addresses_.size()) return open_next_address();
      return fail(system_error_text(error));
    }
    if (!writable) return;
    stream_ = std::make_unique<RedisStream>(fd_, tls_, server_.host);
    state_ = State::handshake;
  }
  if (state_ == State::handshake) {
    switch (stream_->handshake()) {
      case RedisStream::Status::done:
        greet();
        break;
      case RedisStream::Status::blocked:
        break;
      default:
        return fail(stream_->failure());
    }
    return update_watch();
  }
  if (writable) send_some();
  if (readable && stream_) read_some();
  if (*alive) update_watch();
}

void RedisConnection::send_some() {
  const std::size_t end = state_ == State::greeting ? greeting_bytes_ : unsent_.size();
  std::size_t taken = 0;
  const auto status = stream_->write(std::string_view(unsent_).substr(sent_, end - sent_), taken);
  sent_ += taken;
  blocked_ = status == RedisStream::Status::blocked;
  if (status == RedisStream::Status::failed || status == RedisStream::Status::closed) return fail(stream_->failure());
  if (state_ == State::greeting && sent_ == end) {
    OPENSSL_cleanse(unsent_.data(), sent_);
    unsent_.erase(0, sent_);
    sent_ = greeting_bytes_ = 0;
  } else if (sent_ == unsent_.size()) {
    unsent_.clear();
    sent_ = 0;
    if (unsent_.capacity() > 256 * 1024) unsent_.shrink_to_fit();
  } else if (state_ == State::ready && sent_ > 256 * 1024) {
    unsent_.erase(0, sent_);
    sent_ = 0;
  }
}

void RedisConnection::read_some() {
  const auto alive = alive_;
  char buffer[16 * 1024];
  // Bounded: a server that floods must not hold the loop.
  for (int turns = 0; turns < 64; ++turns) {
    std::size_t got = 0;
    switch (stream_->read(buffer, sizeof buffer, got)) {
      case RedisStream::Status::blocked:
        return;
      case RedisStream::Status::closed:
        return fail("it closed the connection");
      case RedisStream::Status::failed:
        return fail(stream_->failure());
      case RedisStream::Status::done:
        break;
    }
    last_io_ = loop_.now();
    if (!reader_->feed({buffer, got})) return fail("its reply is too long");
    take_replies();
    if (!*alive || !stream_) return;
    if (got < sizeof buffer && !server_.tls) return;  // the socket is empty: one system call less
  }
}

void RedisConnection::take_replies() {
  const auto alive = alive_;
  RedisReply reply;
  while (true) {
    switch (reader_->next(reply)) {
      case RedisReader::Status::more:
        return;
      case RedisReader::Status::broken:
        return fail("it does not speak the protocol of Redis");
      case RedisReader::Status::reply:
        break;
    }
    take_reply(std::move(reply));
    if (!*alive || !reader_) return;
    reply = RedisReply();
  }
}

void RedisConnection::take_reply(RedisReply reply) {
  if (waiting_.empty()) return fail("it answers what was not asked");
  Waiting waiting = std::move(waiting_.front());
  waiting_.pop_front();
  ++replies_;
  if (waiting.greets) {
    if (refuses_greeting(reply)) return fail(why_refused(reply));
    if (--greetings_ == 0) greeted();
    return;
  }
  if (waiting.expired) {
    --expired_;
    return;
  }
  if (waiting.done) waiting.done(std::move(reply));
}

// --- the end of a connection -------------------------------------------------------------------------

void RedisConnection::drop_connection() {
  unwatch();
  lookup_.reset();
  stream_.reset();
  reader_.reset();
  if (fd_ >= 0) close_socket(std::exchange(fd_, -1));
  // A password may be among it.
  OPENSSL_cleanse(unsent_.data(), unsent_.size());
  unsent_.clear();
  sent_ = greeting_bytes_ = greetings_ = 0;
  blocked_ = false;
}

void RedisConnection::fail(std::string_view what) {
  const std::string why(what);  // the stream's own words go with it
  const bool was_well = pause_.count() == 0;
  // An idle connection that ends is no failure: it is made again when it is needed.
  const bool was_idle = state_ == State::ready && waiting_.empty();
  drop_connection();
  end_waiting(away(why));
  if (draining_ || was_idle) {
    state_ = State::idle;
    return;
  }
  state_ = State::pausing;
  pause_ = was_well ? first_pause : std::min(pause_ * 2, longest_pause);
  // Many clients lose one server at the same moment; they shall not come back at the same moment too.
  jitter_ = jitter_ * 1664525u + 1013904223u + static_cast<unsigned>(loop_.now().time_since_epoch().count());
  const auto wait = pause_ * (50 + jitter_ % 51) / 100;
  arm_connect(loop_.now() + wait);
  if (was_well && notice_) notice_("Redis is away: " + why);
}

std::size_t RedisConnection::drain(milliseconds most) {
  draining_ = true;
  loop_.unschedule(std::exchange(timer_, 0));
  loop_.unschedule(std::exchange(connect_timer_, 0));
  const auto until = std::chrono::steady_clock::now() + most;
  while (!waiting_.empty()) {
    const auto left = std::chrono::ceil<milliseconds>(until - std::chrono::steady_clock::now()).count();
    if (left <= 0 || state_ == State::idle || state_ == State::pausing) break;
    const bool to_connect = state_ == State::connecting;
    const bool write = to_connect || (stream_ && (stream_->wants_write() || blocked_));
    pollfd at{state_ == State::resolving ? lookup_->fd() : fd_, static_cast<short>(to_connect ? 0 : POLLIN), 0};
    if (write) at.events = static_cast<short>(at.events | POLLOUT);
    if (::poll(&at, 1, static_cast<int>(std::min<long long>(left, 60'000))) <= 0) continue;
    on_io((at.revents & (POLLIN | POLLHUP | POLLERR)) != 0, (at.revents & POLLOUT) != 0);
  }
  return waiting_.size();
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
