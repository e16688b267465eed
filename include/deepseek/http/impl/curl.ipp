#pragma once
#include <deepseek/http/curl.hpp>

#include <deepseek/core/detail/platform.hpp>
#include <deepseek/http/detail/chunked.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <mutex>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class CurlEngine;

/// One descriptor of libcurl's. libcurl takes its interest back after every reply and gives it again with
/// the next request on that connection; the poller keeps it meanwhile, and only an event that nobody
/// wants makes it forget. That saves two system calls a request.
class CurlSocket final : public IoWatcher {
 public:
  CurlSocket(CurlEngine& engine, int fd) : engine_(engine), fd_(fd) {}
  void want(bool read, bool write);
  void idle() noexcept { wanted_ = false; }
  void closed();
  void on_io(bool readable, bool writable) override;

 private:
  CurlEngine& engine_;
  int fd_;
  bool watched_ = false;
  bool wanted_ = false;
  bool read_ = false;
  bool write_ = false;
};

/// Request headers in libcurl's form. Outlives the transfer in its handle's place, to be filled again.
struct CurlHeaders {
  std::string text;  // NUL-separated lines that nodes point into
  std::vector<curl_slist> nodes;
  std::string url;  // that the handle was given last: libcurl copies it each time
};

class CurlTransfer final : public HttpTransfer, public std::enable_shared_from_this<CurlTransfer> {
 public:
  enum class State { waiting, running, ended };

  CurlTransfer(CurlEngine& engine, HttpRequest request, std::shared_ptr<HttpHandler> handler)
      : engine_(engine), request_(std::move(request)), handler_(std::move(handler)) {}

  void cancel() override;
  void pause(bool paused) override;
  HttpTimings timings() const override;

 private:
  friend class CurlEngine;
  static std::size_t header_entry(char* data, std::size_t, std::size_t size, void* self) noexcept;
  static std::size_t write_entry(char* data, std::size_t, std::size_t size, void* self) noexcept;
  static std::size_t read_entry(char* into, std::size_t, std::size_t capacity, void* self) noexcept;
  static int seek_entry(void* self, curl_off_t offset, int origin) noexcept;

  bool on_header(std::string_view line);
  void note_coding(std::string_view line);
  void prepare_headers();
  void set_request_options();
  void check_phase();
  void arm_phase_timer(std::chrono::microseconds since_start, std::chrono::milliseconds limit);
  void fail(ErrorCode code, const char* cause);
  std::chrono::microseconds info_time(CURLINFO what) const;

  CurlEngine& engine_;
  HttpRequest request_;
  std::shared_ptr<HttpHandler> handler_;
  CURL* easy_ = nullptr;
  State state_ = State::waiting;
  std::size_t live_index_ = 0;
  bool paused_ = false;
  bool held_ = false;  // libcurl holds data back because write_entry() said so
  bool head_begun_ = false;
  bool head_complete_ = false;
  std::optional<ChunkedReader> chunks_;  // set for a chunked body
  std::string codings_;                  // values of all Transfer-Encoding lines, each with a comma behind it
  int status_ = 0;
  int version_ = 0;
  std::string block_;  // header lines of the response
  std::uint64_t header_bytes_ = 0;
  std::uint64_t body_offset_ = 0;
  std::optional<ErrorCode> own_failure_;
  const char* own_cause_ = "";
  TimePoint started_{};
  Loop::TimerId phase_timer_ = 0;
  CurlHeaders headers_;
  char error_text_[CURL_ERROR_SIZE] = {};
};

class CurlEngine final : public HttpEngine {
 public:
  explicit CurlEngine(CurlOptions options) : options_(std::move(options)) {}
  ~CurlEngine() override;
  bool open();

  void attach(Loop& loop) override { loop_ = &loop; }
  std::shared_ptr<HttpTransfer> start(HttpRequest request, std::shared_ptr<HttpHandler> handler) override;

 private:
  friend class CurlSocket;
  friend class CurlTransfer;
  static int socket_entry(CURL*, curl_socket_t fd, int what, void* self, void*) noexcept;
  static int timer_entry(CURLM*, long ms, void* self) noexcept;
  static int close_entry(void* self, curl_socket_t fd) noexcept;

  void take_easy(CurlTransfer& transfer);
  void set_common_options(CURL* easy);
  void set_tls_options(CURL* easy);
  void set_proxy_options(CURL* easy);
  void add(CurlTransfer& transfer);
  void remove(CurlTransfer& transfer);
  void renew(CURL* easy, CurlHeaders& memory);
  void act(curl_socket_t fd, int mask);
  void collect_finished();
  void settle();
  void finish(CurlTransfer& transfer, CURLcode result);
  void arm_timer();
  std::size_t buffer_bytes() const noexcept;
  CurlSocket& socket_of(int fd);

  static constexpr std::size_t max_free_handles = 256;

  CurlOptions options_;
  Loop* loop_ = nullptr;
  CURLM* multi_ = nullptr;
  curl_slist* resolve_ = nullptr;
  std::string ca_file_, ca_path_;
  std::vector<std::unique_ptr<CurlSocket>> sockets_;  // by descriptor
  struct Free {
    CURL* easy;
    CurlHeaders headers;
  };
  std::vector<Free> free_;
  std::string spare_block_;  // of a head that was handed out; a head that comes alone needs no other
  std::vector<std::shared_ptr<CurlTransfer>> live_;
  std::vector<std::shared_ptr<CurlTransfer>> to_add_;     // started inside a callback of libcurl
  std::vector<std::shared_ptr<CurlTransfer>> to_remove_;  // cancelled inside a callback of libcurl
  std::size_t connection_room_ = 0;
  bool inside_curl_ = false;
  int running_ = 0;
  std::string scratch_;                 // payload of the read being handed out
  std::optional<TimePoint> timer_due_;  // what libcurl asked for
  TimePoint timer_armed_{};
  Loop::TimerId timer_ = 0;
};

// --- sockets -----------------------------------------------------------------------------------------

DEEPSEEK_DECL void CurlSocket::want(bool read, bool write) {
  wanted_ = true;
  if (watched_ && read == read_ && write == write_) return;
  watched_ = true;
  read_ = read;
  write_ = write;
  engine_.loop_->watch(fd_, read, write, this);
}

// Before close(): a descriptor that a forked child shares would stay in the poller for ever.
DEEPSEEK_DECL void CurlSocket::closed() {
  wanted_ = false;
  if (std::exchange(watched_, false)) engine_.loop_->forget(fd_, this);
}

DEEPSEEK_DECL void CurlSocket::on_io(bool readable, bool writable) {
  if (!wanted_) return closed();
  engine_.act(fd_, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
}

DEEPSEEK_DECL CurlSocket& CurlEngine::socket_of(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(index + 16);
  if (!sockets_[index]) sockets_[index] = std::make_unique<CurlSocket>(*this, fd);
  return *sockets_[index];
}

DEEPSEEK_DECL int CurlEngine::socket_entry(CURL*, curl_socket_t fd, int what, void* self, void*) noexcept {
  CurlSocket& socket = static_cast<CurlEngine*>(self)->socket_of(fd);
  if (what == CURL_POLL_REMOVE) return socket.idle(), 0;
  socket.want((what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0);
  return 0;
}

DEEPSEEK_DECL int CurlEngine::close_entry(void* self, curl_socket_t fd) noexcept {
  static_cast<CurlEngine*>(self)->socket_of(fd).closed();
  return close_socket(fd);
}

// --- timer -------------------------------------------------------------------------------------------

DEEPSEEK_DECL int CurlEngine::timer_entry(CURLM*, long ms, void* self) noexcept {
  auto& engine = *static_cast<CurlEngine*>(self);
  if (ms < 0) return engine.timer_due_.reset(), 0;
  engine.timer_due_ = engine.loop_->now() + std::chrono::milliseconds(ms);
  engine.arm_timer();
  return 0;
}

// libcurl moves its deadline often, mostly later: the loop's timer is left where it is and looks again.
DEEPSEEK_DECL void CurlEngine::arm_timer() {
  if (!timer_due_ || (timer_ != 0 && timer_armed_ <= *timer_due_)) return;
  loop_->unschedule(timer_);
  timer_armed_ = *timer_due_;
  timer_ = loop_->schedule(timer_armed_, [this] {
    timer_ = 0;
    if (!timer_due_) return;
    if (*timer_due_ > loop_->now()) return arm_timer();
    timer_due_.reset();
    act(CURL_SOCKET_TIMEOUT, 0);
  });
}

// --- engine ------------------------------------------------------------------------------------------

DEEPSEEK_DECL bool CurlEngine::open() {
  // Never cleaned up: the host may use libcurl too. libcurl's own initialisation is thread-safe.
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  multi_ = curl_multi_init();
  if (!multi_) return false;
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlEngine::socket_entry);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlEngine::timer_entry);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  if (options_.max_connections > 0)
    curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(options_.max_connections));
  for (const std::string& entry : options_.resolve) resolve_ = curl_slist_append(resolve_, entry.c_str());

  ca_file_ = options_.tls.ca_file;
  ca_path_ = options_.tls.ca_path;
  // OpenSSL looks a hashed folder up lazily (0.1 ms) but reads a bundle whole (20 ms a process).
  constexpr const char* system_folder = "/etc/ssl/certs";
  if (ca_file_.empty() && ca_path_.empty() && is_hashed_ca_folder(system_folder)) ca_path_ = system_folder;
  return true;
}

DEEPSEEK_DECL CurlEngine::~CurlEngine() {
  for (auto& transfer : live_) {
    transfer->state_ = CurlTransfer::State::ended;
    transfer->handler_.reset();  // handler and transfer know each other
    curl_multi_remove_handle(multi_, transfer->easy_);
    curl_easy_cleanup(transfer->easy_);
  }
  for (const Free& free : free_) curl_easy_cleanup(free.easy);
  if (multi_) curl_multi_cleanup(multi_);
  curl_slist_free_all(resolve_);
  if (loop_) loop_->unschedule(timer_);
}

DEEPSEEK_DECL void CurlEngine::set_common_options(CURL* easy) {
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);  // or removing a handle that still resolves joins its thread
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_TRANSFER_DECODING, 0L);  // see ChunkedReader
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(INT_MAX));  // phases have clocks of their own
  curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, static_cast<long>(options_.max_idle_time.count()));
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &CurlTransfer::header_entry);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &CurlTransfer::write_entry);
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, &CurlTransfer::read_entry);
  curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &CurlTransfer::seek_entry);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &CurlEngine::close_entry);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
  if (resolve_) curl_easy_setopt(easy, CURLOPT_RESOLVE, resolve_);
  if (!options_.unix_socket.empty()) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, options_.unix_socket.c_str());
  set_tls_options(easy);
  set_proxy_options(easy);
}

DEEPSEEK_DECL void CurlEngine::set_tls_options(CURL* easy) {
  const TlsOptions& tls = options_.tls;
  curl_easy_setopt(easy, CURLOPT_SSLVERSION,
                   static_cast<long>(tls.require_tls13 ? CURL_SSLVERSION_TLSv1_3 : CURL_SSLVERSION_TLSv1_2));
  const auto set = [easy](CURLoption option, const std::string& value) {
    if (!value.empty()) curl_easy_setopt(easy, option, value.c_str());
  };
  // Both are named, one of them as null: libcurl's own default would add the other, and any CAPATH
  // switches its cache of parsed bundles off.
  if (!ca_file_.empty() || !ca_path_.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file_.empty() ? nullptr : ca_file_.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, ca_path_.empty() ? nullptr : ca_path_.c_str());
  } else {
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  set(CURLOPT_SSLCERT, tls.client_cert_file);
  set(CURLOPT_SSLKEY, tls.client_key_file);
  set(CURLOPT_PINNEDPUBLICKEY, tls.pinned_public_key);
  if (!tls.client_key_password.empty())
    curl_easy_setopt(easy, CURLOPT_KEYPASSWD, std::string(tls.client_key_password.reveal()).c_str());
}

DEEPSEEK_DECL void CurlEngine::set_proxy_options(CURL* easy) {
  const ProxyOptions& proxy = options_.proxy;
  if (proxy.from_environment) return;
  curl_easy_setopt(easy, CURLOPT_PROXY, proxy.url.c_str());  // "" keeps the environment out
  curl_easy_setopt(easy, CURLOPT_NOPROXY, proxy.no_proxy.c_str());
  if (!proxy.user.empty()) curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, proxy.user.c_str());
  if (!proxy.password.empty())
    curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, std::string(proxy.password.reveal()).c_str());
}

// A large buffer halves the cost of a lone fast stream; thousands of streams would each hold one.
DEEPSEEK_DECL std::size_t CurlEngine::buffer_bytes() const noexcept {
  if (options_.read_buffer_bytes > 0) return options_.read_buffer_bytes;
  if (live_.size() <= 8) return 64 * 1024;
  return live_.size() <= 64 ? 16 * 1024 : 2 * 1024;
}

DEEPSEEK_DECL void CurlEngine::take_easy(CurlTransfer& transfer) {
  if (!free_.empty()) {
    transfer.easy_ = free_.back().easy;
    transfer.headers_ = std::move(free_.back().headers);
    free_.pop_back();
    return;
  }
  transfer.easy_ = curl_easy_init();
  if (transfer.easy_) set_common_options(transfer.easy_);
}

DEEPSEEK_DECL std::shared_ptr<HttpTransfer> CurlEngine::start(HttpRequest request,
                                                              std::shared_ptr<HttpHandler> handler) {
  auto transfer = std::make_shared<CurlTransfer>(*this, std::move(request), std::move(handler));
  if (inside_curl_)
    to_add_.push_back(transfer);
  else
    add(*transfer);
  return transfer;
}

DEEPSEEK_DECL void CurlEngine::add(CurlTransfer& transfer) {
  if (transfer.state_ != CurlTransfer::State::waiting) return;
  transfer.state_ = CurlTransfer::State::running;
  take_easy(transfer);
  transfer.started_ = loop_->now();
  transfer.live_index_ = live_.size();
  live_.push_back(transfer.shared_from_this());
  if (!transfer.easy_) {
    // on_end may not come before start() has returned.
    auto self = transfer.shared_from_this();
    loop_->post([self] { self->engine_.finish(*self, CURLE_OUT_OF_MEMORY); });
    return;
  }
  transfer.set_request_options();
  // The limit counts connections in use as well: leave room, or every finished one would be closed.
  if (live_.size() + options_.max_idle_connections > connection_room_) {
    connection_room_ = 2 * live_.size() + options_.max_idle_connections;
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(connection_room_));
  }
  transfer.arm_phase_timer(std::chrono::microseconds(0), transfer.request_.timeouts.dns);
  curl_multi_add_handle(multi_, transfer.easy_);
}

// libcurl replaces a reused connection that turns out dead, and counts that on the handle for as long as
// the handle lives: the sixth time it fails. Only a reset sets the count to zero.
DEEPSEEK_DECL void CurlEngine::renew(CURL* easy, CurlHeaders& memory) {
  long connects = 0;
  curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
  if (connects == 0) return;
  curl_easy_reset(easy);
  memory.url.clear();
  set_common_options(easy);
}

DEEPSEEK_DECL void CurlEngine::remove(CurlTransfer& transfer) {
  loop_->unschedule(std::exchange(transfer.phase_timer_, 0));
  if (CURL* easy = std::exchange(transfer.easy_, nullptr)) {
    curl_multi_remove_handle(multi_, easy);
    renew(easy, transfer.headers_);
    if (free_.size() < max_free_handles)
      free_.push_back({easy, std::move(transfer.headers_)});
    else
      curl_easy_cleanup(easy);
  }
  if (transfer.live_index_ >= live_.size() || live_[transfer.live_index_].get() != &transfer) return;
  live_.back()->live_index_ = transfer.live_index_;
  live_[transfer.live_index_].swap(live_.back());
  live_.pop_back();
}

DEEPSEEK_DECL void CurlEngine::act(curl_socket_t fd, int mask) {
  inside_curl_ = true;
  curl_multi_socket_action(multi_, fd, mask, &running_);
  inside_curl_ = false;
  settle();
}

DEEPSEEK_DECL void CurlEngine::settle() {
  if (static_cast<std::size_t>(running_) != live_.size()) collect_finished();
  while (!to_remove_.empty()) {
    const auto transfer = std::move(to_remove_.back());
    to_remove_.pop_back();
    remove(*transfer);
    transfer->handler_.reset();
  }
  while (!to_add_.empty()) {
    const auto transfer = std::move(to_add_.back());
    to_add_.pop_back();
    add(*transfer);
  }
}

DEEPSEEK_DECL void CurlEngine::collect_finished() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;
    void* self = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &self);
    finish(*static_cast<CurlTransfer*>(self), result);
  }
}

DEEPSEEK_DECL ErrorCode code_of(CURLcode result) noexcept {
  switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return ErrorCode::dns_failed;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
      return ErrorCode::proxy_failed;
    case CURLE_COULDNT_CONNECT:
      return ErrorCode::connect_failed;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
      return ErrorCode::tls_failed;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
      return ErrorCode::http_protocol;
    case CURLE_OUT_OF_MEMORY:
      return ErrorCode::internal;
    default:
      return ErrorCode::connection_lost;
  }
}

DEEPSEEK_DECL void CurlEngine::finish(CurlTransfer& transfer, CURLcode result) {
  if (transfer.state_ == CurlTransfer::State::ended) return;
  const auto keep = transfer.shared_from_this();
  transfer.state_ = CurlTransfer::State::ended;
  HttpEnd end;
  end.head_complete = transfer.head_complete_;
  end.clean = result == CURLE_OK;
  if (!end.clean) {
    end.code = transfer.own_failure_.value_or(code_of(result));
    if (transfer.head_begun_ && !transfer.head_complete_ && !transfer.own_failure_ &&
        end.code != ErrorCode::http_protocol)
      end.code = ErrorCode::truncated;
    end.cause = transfer.own_failure_     ? transfer.own_cause_
                : transfer.error_text_[0] ? transfer.error_text_
                                          : curl_easy_strerror(result);
  }
  end.timings = transfer.timings();
  remove(transfer);
  const auto handler = std::move(transfer.handler_);
  handler->on_end(end);
}

// --- transfer ----------------------------------------------------------------------------------------

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

DEEPSEEK_DECL void CurlTransfer::set_request_options() {
  prepare_headers();
  const bool https = request_.url.compare(0, 6, "https:") == 0;
  curl_easy_setopt(easy_, CURLOPT_PRIVATE, this);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy_, CURLOPT_READDATA, this);
  curl_easy_setopt(easy_, CURLOPT_SEEKDATA, this);
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_text_);
  if (headers_.url != request_.url) {
    curl_easy_setopt(easy_, CURLOPT_URL, request_.url.c_str());
    headers_.url = request_.url;
  }
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

DEEPSEEK_DECL void CurlTransfer::note_coding(std::string_view line) {
  static constexpr std::string_view name = "transfer-encoding:";
  const bool folded = line.front() == ' ' || line.front() == '\t';
  if (folded && !codings_.empty()) codings_ += "folded,";  // obsolete, and no coding that anybody knows
  if (line.size() >= name.size() && is_coding(line.substr(0, name.size()), name))
    codings_.append(line.substr(name.size())) += ',';
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
    if (block_.capacity() < engine_.spare_block_.capacity()) block_.swap(engine_.spare_block_);
    block_.clear();
    return true;
  }
  if (!line.empty()) {
    block_.append(line).append("\r\n");
    note_coding(line);
    return true;
  }
  if (status_ < 200) return true;  // an interim response: the real head follows
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
  std::string_view body(data, size);
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
  if (!was_running) return handler_.reset();
  if (engine_.inside_curl_) return engine_.to_remove_.push_back(shared_from_this());
  const auto keep = shared_from_this();
  engine_.remove(*this);
  handler_.reset();
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

DEEPSEEK_DECL std::optional<Error> check_curl_options(const CurlOptions& options) {
  const auto missing = [](const std::string& file, const char* name) -> std::optional<Error> {
    if (file.empty() || is_readable_file(file.c_str())) return std::nullopt;
    return Error(ErrorCode::invalid_options, std::string(name) + " cannot be read",
                 "check the path and its permissions");
  };
  if (auto error = missing(options.tls.ca_file, "TlsOptions::ca_file")) return error;
  if (auto error = missing(options.tls.client_cert_file, "TlsOptions::client_cert_file")) return error;
  if (auto error = missing(options.tls.client_key_file, "TlsOptions::client_key_file")) return error;
  if (options.tls.client_cert_file.empty() != options.tls.client_key_file.empty())
    return Error(ErrorCode::invalid_options, "a client certificate needs its key, and a key its certificate",
                 "set both TlsOptions::client_cert_file and client_key_file");
  if (!options.proxy.url.empty() && options.proxy.from_environment)
    return Error(ErrorCode::invalid_options, "ProxyOptions::url and from_environment contradict each other", "set one");
  if (options.proxy.url.empty() && !options.proxy.from_environment && !options.proxy.user.empty())
    return Error(ErrorCode::invalid_options, "ProxyOptions::user is set without a proxy", "set ProxyOptions::url");
  const auto has_scheme = [&](const char* scheme) {
    return options.proxy.url.compare(0, std::strlen(scheme), scheme) == 0;
  };
  if (!options.proxy.url.empty() && !has_scheme("http://") && !has_scheme("https://") && !has_scheme("socks5://") &&
      !has_scheme("socks5h://"))
    return Error(ErrorCode::invalid_options, "ProxyOptions::url has a scheme this engine does not know",
                 "use http://, https://, socks5:// or socks5h://");
  if (options.read_buffer_bytes != 0 && (options.read_buffer_bytes < 1024 || options.read_buffer_bytes > 524288))
    return Error(ErrorCode::invalid_options, "CurlOptions::read_buffer_bytes is outside 1024 ... 524288",
                 "use 0 for automatic");
  return std::nullopt;
}

}  // namespace detail

DEEPSEEK_DECL Result<std::unique_ptr<HttpEngine>> make_curl_engine(CurlOptions options) {
  if (auto error = detail::check_curl_options(options)) return *error;
  auto engine = std::make_unique<detail::CurlEngine>(std::move(options));
  if (!engine->open()) return Error(ErrorCode::internal, "libcurl could not be initialised");
  return std::unique_ptr<HttpEngine>(std::move(engine));
}

DEEPSEEK_END_NAMESPACE
