// The recording proxy. One upstream connection per request: simple, and each recording starts alike.
#include "recorder.hpp"

#include <algorithm>
#include <stdexcept>

#include <boost/asio/connect.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t answer_limit = 1024ull * 1024 * 1024;
constexpr std::size_t queue_limit = 1024 * 1024;  // unsent bytes at which reading the upstream waits
constexpr std::size_t read_bytes = 64 * 1024;

/// One request on its way through. Kept alive by its own pending operations and by the session.
class Forward : public std::enable_shared_from_this<Forward> {
 public:
  Forward(Recorder& recorder, std::shared_ptr<Session> session, ReceivedRequest request, bool keep)
      : recorder_(recorder),
        session_(session),
        keep_(keep),
        resolver_(recorder.io),
        socket_(recorder.io),
        reader_(HttpReader::Kind::response, answer_limit),
        buffer_(read_bytes) {
    call_.method = request.method;
    call_.path = without_base(request.path);
    call_.request = request.body;
    call_.response.clean_end = call_.response.head_complete = false;
    make_request(request);
    reader_.on_body = [this](std::string_view bytes) { on_body(bytes); };
  }

  void start() {
    resolver_.async_resolve(recorder_.upstream.host, recorder_.upstream.port,
                            [self = shared_from_this()](error_code error, const auto& found) {
                              if (error || self->closed_) return self->failed("cannot resolve the upstream");
                              self->connect(found);
                            });
  }

  void close() {
    closed_ = true;
    error_code ignored;
    resolver_.cancel();
    socket_.close(ignored);
    if (wire_) wire_->close();
  }

 private:
  void make_request(const ReceivedRequest& request) {
    const auto& to = recorder_.upstream;
    request_ = request.method + ' ' + to.base + request.path + (request.query.empty() ? "" : '?' + request.query) +
               " HTTP/1.1\r\nHost: " + to.authority + "\r\nConnection: close\r\n";
    for (const auto& header : request.headers) {
      if (is_framing_header(header.name) || same_name(header.name, "host")) continue;
      if (same_name(header.name, "accept-encoding")) continue;  // what is recorded must be readable
      request_ += header.name + ": " + header.value + "\r\n";
    }
    if (!request.body.empty() || request.method == "POST") {
      request_ += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
    }
    request_ += "Accept-Encoding: identity\r\n\r\n" + request.body;
  }

  template <class Endpoints>
  void connect(const Endpoints& endpoints) {
    asio::async_connect(socket_, endpoints, [self = shared_from_this()](error_code error, const auto&) {
      if (error || self->closed_) return self->failed("cannot connect to the upstream");
      auto& recorder = self->recorder_;
      self->wire_ = recorder.upstream.tls
                        ? tls_client_wire(std::move(self->socket_), recorder.tls, recorder.upstream.host)
                        : plain_wire(std::move(self->socket_));
      self->wire_->handshake(false, [self](error_code refused) {
        if (refused || self->closed_) return self->failed("the upstream's TLS handshake failed");
        self->send();
      });
    });
  }

  void send() {
    last_ = Clock::now();
    wire_->write(request_.data(), request_.size(), [self = shared_from_this()](error_code error) {
      if (error || self->closed_) return self->failed("the upstream closed the connection");
      self->read();
    });
  }

  void read() {
    wire_->read_some(buffer_.data(), buffer_.size(), [self = shared_from_this()](error_code error, std::size_t count) {
      if (self->closed_) return self->finish();
      if (!error) self->reader_.feed({self->buffer_.data(), count});
      self->send_head();
      if (error || self->reader_.state() == HttpReader::State::done ||
          self->reader_.state() == HttpReader::State::failed) {
        return self->finish();
      }
      self->read_on();
    });
  }

  void read_on() {
    const auto session = session_.lock();
    if (!session) return finish();
    if (session->queued_bytes() < queue_limit) return read();
    session->on_drained = [self = shared_from_this()] {
      const auto still = self->session_.lock();
      if (!still || still->queued_bytes() >= queue_limit) return;
      still->on_drained = nullptr;
      self->read();
    };
  }

  void send_head() {
    if (head_sent_ || reader_.state() == HttpReader::State::head) return;
    head_sent_ = true;
    const auto& head = reader_.head();
    auto& response = call_.response;
    response.head_complete = true;
    response.status = std::atoi(head.second.c_str());
    for (const auto& header : head.headers) {
      if (!is_framing_header(header.name)) response.headers.push_back(header);
    }
    auto plan = replay_plan(response, false, keep_);
    const auto session = session_.lock();
    if (session) session->push(std::move(plan.steps.front()));
    for (auto& part : waiting_) push_chunk(part);
    waiting_.clear();
  }

  void on_body(std::string_view bytes) {
    const auto now = Clock::now();
    const auto since = std::chrono::duration_cast<microseconds>(now - last_);
    last_ = now;
    call_.response.chunks.push_back({since, std::string(bytes)});
    if (head_sent_)
      push_chunk(std::string(bytes));
    else
      waiting_.emplace_back(bytes);
  }

  void push_chunk(const std::string& bytes) {
    if (const auto session = session_.lock()) session->push({microseconds(0), http_chunk(bytes), true});
  }

  void failed(const std::string& why) {
    if (finished_) return;
    finished_ = true;
    call_.response.clean_end = false;
    const auto session = session_.lock();
    if (!session || closed_) return;
    auto body = json_error(502, why);
    session->play(std::move(body));
  }

  Plan json_error(int status, const std::string& why) const {
    Body body;
    body.status = status;
    body.parts.push_back({microseconds(0), error_body(status, why), true});
    return make_plan(ReplySpec(), std::move(body), keep_, std::string(32, '0'));
  }

  void finish() {
    if (finished_) return;
    finished_ = true;
    const bool whole = !closed_ && reader_.finish();
    call_.response.clean_end = whole;
    recorder_.write_down(call_);
    if (wire_) wire_->close();
    const auto session = session_.lock();
    if (!session || closed_) return;
    if (whole) session->push({microseconds(0), "0\r\n\r\n", false});
    session->end(!whole ? Plan::End::cut : keep_ ? Plan::End::reuse : Plan::End::close);
  }

  Recorder& recorder_;
  std::weak_ptr<Session> session_;
  bool keep_;
  asio::ip::tcp::resolver resolver_;
  asio::ip::tcp::socket socket_;
  std::unique_ptr<Wire> wire_;
  std::string request_;
  HttpReader reader_;
  std::vector<char> buffer_;
  RecordedCall call_;
  std::vector<std::string> waiting_;  ///< body bytes that came with the head
  Clock::time_point last_;
  bool head_sent_ = false;
  bool finished_ = false;
  bool closed_ = false;
};

/// Ends the forward when the session drops its attachment.
struct ForwardGuard {
  explicit ForwardGuard(std::shared_ptr<Forward> held) : forward(std::move(held)) {}
  ~ForwardGuard() { forward->close(); }
  ForwardGuard(const ForwardGuard&) = delete;
  ForwardGuard& operator=(const ForwardGuard&) = delete;
  std::shared_ptr<Forward> forward;
};

}  // namespace

std::optional<Upstream> parse_upstream(std::string_view url) {
  // It becomes lines of each request: a blank or a line break in it would write others.
  if (std::any_of(url.begin(), url.end(), [](unsigned char c) { return c <= ' ' || c == 0x7F; })) return std::nullopt;
  Upstream found;
  if (url.substr(0, 8) == "https://") {
    found.tls = true;
    found.port = "443";
    url.remove_prefix(8);
  } else if (url.substr(0, 7) == "http://") {
    found.port = "80";
    url.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  while (!url.empty() && url.back() == '/') url.remove_suffix(1);
  const auto slash = std::min(url.find('/'), url.size());
  found.base = url.substr(slash);
  auto place = url.substr(0, slash);
  found.authority = place;
  const auto bracket = place.find(']');
  const auto colon = place.find(':', bracket == place.npos ? 0 : bracket);
  if (colon != place.npos) found.port = place.substr(colon + 1);
  place = place.substr(0, colon);
  if (place.size() > 2 && place.front() == '[') place = place.substr(1, place.size() - 2);
  found.host = place;
  if (found.host.empty() || found.port.empty() || found.authority.find('@') != std::string::npos) return std::nullopt;
  return found;
}

Recorder::Recorder(asio::io_context& context, const DoubleOptions& options)
    : io(context), tls(asio::ssl::context::tls_client) {
  const auto parsed = parse_upstream(options.record_upstream);
  if (!parsed) throw std::runtime_error("record_upstream: not an http or https URL");
  upstream = *parsed;
  if (options.upstream_ca_file.empty())
    tls.set_default_verify_paths();
  else
    tls.load_verify_file(options.upstream_ca_file);
  SSL_CTX_set_min_proto_version(tls.native_handle(), TLS1_2_VERSION);
  file_ = std::fopen(options.record_file.c_str(), "a");
  if (file_ == nullptr) throw std::runtime_error("record_file: cannot be written");
}

Recorder::~Recorder() {
  if (file_ != nullptr) std::fclose(file_);
}

void Recorder::forward(Session& session, ReceivedRequest request, bool keep) {
  const auto forward = std::make_shared<Forward>(*this, session.shared_from_this(), std::move(request), keep);
  session.begin();
  session.attachment = std::make_shared<ForwardGuard>(forward);
  forward->start();
}

void Recorder::write_down(const RecordedCall& call) {
  const auto text = dump_recording({call});
  std::fwrite(text.data(), 1, text.size(), file_);
  if (text.empty() || text.back() != '\n') std::fputc('\n', file_);
  std::fflush(file_);
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
