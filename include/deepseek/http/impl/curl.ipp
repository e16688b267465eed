#pragma once
#include <deepseek/core/detail/platform.hpp>
#include <deepseek/http/detail/proxy_route.hpp>
#include <deepseek/http/impl/curl_options.ipp>
#include <deepseek/http/impl/curl_transfer.ipp>

#include <algorithm>
#include <climits>
#include <cstring>
#include <mutex>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

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
  auto& engine = *static_cast<CurlEngine*>(self);
  engine.socket_of(fd).closed();
  return fd == engine.kept_fd_ ? 0 : close_socket(fd);
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

DEEPSEEK_DECL void CurlEngine::detach() {
  cleartext_.reset();
  const auto live = std::exchange(live_, {});  // a receiver may cancel another transfer as it goes
  for (const auto& transfer : live) transfer->state_ = CurlTransfer::State::ended;
  for (const auto& transfer : live) {
    transfer->drop_receiver();  // which knows the transfer
    curl_multi_remove_handle(multi_, transfer->easy_);
    curl_easy_cleanup(transfer->easy_);
  }
  for (const Free& free : std::exchange(free_, {})) curl_easy_cleanup(free.easy);
  if (multi_) curl_multi_cleanup(std::exchange(multi_, nullptr));
  sockets_.clear();
  curl_slist_free_all(std::exchange(resolve_, nullptr));
  if (loop_) std::exchange(loop_, nullptr)->unschedule(timer_);
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

// The handle may have served another URL before.
DEEPSEEK_DECL void CurlEngine::set_route(CURL* easy, const std::string& url) {
  const ProxyOptions& proxy = options_.proxy;
  if (!is_proxy_elsewhere(proxy)) return;
  const char* const usual = proxy.from_environment ? nullptr : proxy.no_proxy.c_str();  // null: the environment's
  curl_easy_setopt(easy, CURLOPT_NOPROXY, is_kept_on_this_machine(url) ? "*" : usual);
}

/// True if the proxy is all that a request for `url` connects to. What `no_proxy` leaves out only libcurl knows.
DEEPSEEK_DECL bool CurlEngine::surely_by_proxy(const std::string& url) const {
  const ProxyOptions& proxy = options_.proxy;
  if (proxy.url.empty() || !proxy.no_proxy.empty() || !options_.unix_socket.empty()) return false;
  return !is_proxy_elsewhere(proxy) || !is_kept_on_this_machine(url);
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

DEEPSEEK_DECL void CurlEngine::attach(Loop& loop) {
  loop_ = &loop;
  if (!options_.read_cleartext) return;
  Http1Engine::Options plain;
  plain.unix_socket = options_.unix_socket;
  plain.max_idle_connections = options_.max_idle_connections;
  plain.max_idle_time = options_.max_idle_time;
  if (options_.read_buffer_bytes > 0) plain.read_buffer_bytes = options_.read_buffer_bytes;
  cleartext_ = std::make_unique<Http1Engine>(*this, std::move(plain));
  cleartext_->attach(loop);
}

/// What is libcurl's alone: TLS, HTTP/2, proxies, a limit on connections, URLs that are not plain.
DEEPSEEK_DECL bool CurlEngine::reads_itself(const HttpRequest& request) const noexcept {
  return cleartext_ && Http1Engine::understands(request.url) &&
         options_.version != HttpVersion::http2_prior_knowledge && options_.proxy.url.empty() &&
         !options_.proxy.from_environment && options_.max_connections == 0;
}

DEEPSEEK_DECL void CurlEngine::launch(const std::shared_ptr<CurlTransfer>& transfer) {
  if (inside_curl_)
    to_add_.push_back(transfer);
  else
    add(*transfer);
}

DEEPSEEK_DECL std::shared_ptr<HttpTransfer> CurlEngine::start(HttpRequest request,
                                                              std::shared_ptr<HttpHandler> handler) {
  if (reads_itself(request)) return cleartext_->start(std::move(request), std::move(handler));
  auto transfer = std::make_shared<CurlTransfer>(*this, std::move(request), std::move(handler));
  launch(transfer);
  return transfer;
}

DEEPSEEK_DECL std::shared_ptr<HttpTransfer> CurlEngine::connect(const std::string& url, const HttpTimeouts& timeouts,
                                                                Done done) {
  HttpRequest request;
  request.url = url;
  request.timeouts = timeouts;
  auto transfer = std::make_shared<CurlTransfer>(*this, std::move(request), std::move(done));
  launch(transfer);
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
  transfer.set_connection_options();
  set_route(transfer.easy_, transfer.request_.url);
  if (!transfer.on_connected_) transfer.set_request_options();
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
    transfer->drop_receiver();
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
  if (result == CURLE_OUT_OF_MEMORY && !transfer.head_complete_ && !transfer.own_failure_)
    transfer.fail(ErrorCode::limit_exceeded, "a line of the response head is longer than libcurl takes");
  HttpEnd end;
  end.head_complete = transfer.head_complete_;
  // An end within the head is no failure to libcurl.
  end.clean = result == CURLE_OK && (transfer.head_complete_ || transfer.on_connected_);
  if (!end.clean) {
    end.code = transfer.own_failure_.value_or(code_of(result));
    if (end.code == ErrorCode::connect_failed && surely_by_proxy(transfer.request_.url))
      end.code = ErrorCode::proxy_failed;
    if (transfer.head_begun_ && !transfer.head_complete_ && !transfer.own_failure_ &&
        end.code != ErrorCode::http_protocol)
      end.code = ErrorCode::truncated;
    end.cause = transfer.own_failure_     ? transfer.own_cause_
                : transfer.error_text_[0] ? transfer.error_text_
                : result == CURLE_OK      ? "the server closed the connection"
                                          : curl_easy_strerror(result);
  }
  end.timings = transfer.timings();
  if (transfer.on_connected_) return hand_over(transfer, end);
  remove(transfer);
  const auto handler = std::move(transfer.handler_);
  handler->on_end(end);
}

DEEPSEEK_DECL void CurlEngine::hand_over(CurlTransfer& transfer, const HttpEnd& end) {
  curl_socket_t fd = CURL_SOCKET_BAD;
  if (end.clean) curl_easy_getinfo(transfer.easy_, CURLINFO_ACTIVESOCKET, &fd);
  kept_fd_ = fd;
  remove(transfer);
  kept_fd_ = -1;
  const auto done = std::exchange(transfer.on_connected_, nullptr);
  done(fd, end);
}

}  // namespace detail

DEEPSEEK_DECL Result<std::unique_ptr<HttpEngine>> make_curl_engine(CurlOptions options) {
  if (auto error = detail::check_curl_options(options)) return *error;
  auto engine = std::make_unique<detail::CurlEngine>(std::move(options));
  if (!engine->open()) return Error(ErrorCode::internal, "libcurl could not be initialised");
  return std::unique_ptr<HttpEngine>(std::move(engine));
}

DEEPSEEK_END_NAMESPACE
