// What the bodies of the libcurl engine share: only they may know libcurl's types.
#pragma once
#include <deepseek/http/curl.hpp>

#include <deepseek/http/detail/chunked.hpp>
#include <deepseek/http/detail/http1_engine.hpp>

#include <curl/curl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
  /// A connection alone, for somebody else's use.
  CurlTransfer(CurlEngine& engine, HttpRequest request, Connector::Done on_connected)
      : engine_(engine), request_(std::move(request)), on_connected_(std::move(on_connected)) {}

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
  bool note_framing(std::string_view line);
  void prepare_headers();
  void set_request_options();
  void set_connection_options();
  void drop_receiver() {
    handler_.reset();
    on_connected_ = nullptr;
  }
  void check_phase();
  void arm_phase_timer(std::chrono::microseconds since_start, std::chrono::milliseconds limit);
  void fail(ErrorCode code, const char* cause);
  std::chrono::microseconds info_time(CURLINFO what) const;

  CurlEngine& engine_;
  HttpRequest request_;
  std::shared_ptr<HttpHandler> handler_;
  Connector::Done on_connected_;  // instead of a handler
  CURL* easy_ = nullptr;
  State state_ = State::waiting;
  std::size_t live_index_ = 0;
  bool paused_ = false;
  bool held_ = false;  // libcurl holds data back because write_entry() said so
  bool head_begun_ = false;
  bool head_complete_ = false;
  std::optional<ChunkedReader> chunks_;  // set for a chunked body
  std::string codings_;                  // values of all Transfer-Encoding lines, each with a comma behind it
  std::optional<std::uint64_t> length_;  // what Content-Length says
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

/// Also the connector of the engine for cleartext: names, families and their races are libcurl's business.
class CurlEngine final : public HttpEngine, public Connector {
 public:
  explicit CurlEngine(CurlOptions options) : options_(std::move(options)) {}
  ~CurlEngine() override { CurlEngine::detach(); }
  bool open();

  void attach(Loop& loop) override;
  void detach() override;
  std::shared_ptr<HttpTransfer> start(HttpRequest request, std::shared_ptr<HttpHandler> handler) override;

 private:
  std::shared_ptr<HttpTransfer> connect(const std::string& url, const HttpTimeouts& timeouts, Done done) override;
  friend class CurlSocket;
  friend class CurlTransfer;
  static int socket_entry(CURL*, curl_socket_t fd, int what, void* self, void*) noexcept;
  static int timer_entry(CURLM*, long ms, void* self) noexcept;
  static int close_entry(void* self, curl_socket_t fd) noexcept;

  bool reads_itself(const HttpRequest& request) const noexcept;
  void launch(const std::shared_ptr<CurlTransfer>& transfer);
  void take_easy(CurlTransfer& transfer);
  void set_common_options(CURL* easy);
  void set_tls_options(CURL* easy);
  void set_proxy_options(CURL* easy);
  void set_route(CURL* easy, const std::string& url);
  bool surely_by_proxy(const std::string& url) const;
  void add(CurlTransfer& transfer);
  void remove(CurlTransfer& transfer);
  void renew(CURL* easy, CurlHeaders& memory);
  void act(curl_socket_t fd, int mask);
  void collect_finished();
  void settle();
  void finish(CurlTransfer& transfer, CURLcode result);
  void hand_over(CurlTransfer& transfer, const HttpEnd& end);
  void arm_timer();
  std::size_t buffer_bytes() const noexcept;
  CurlSocket& socket_of(int fd);

  static constexpr std::size_t max_free_handles = 256;

  CurlOptions options_;
  Loop* loop_ = nullptr;
  std::unique_ptr<Http1Engine> cleartext_;
  int kept_fd_ = -1;  // of a connection that is being handed over: libcurl lets go of it, and it stays open
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

}  // namespace detail
DEEPSEEK_END_NAMESPACE
