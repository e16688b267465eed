// HttpEngine: bytes over HTTP. libcurl by default (curl.hpp), one supplied by the host, or a fake.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/core/loop.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct HttpHeader {
  std::string name{};
  std::string value{};
};

/// A request body. Rewindable: read() may be called again from any offset (a new attempt, a lost
/// connection). Called on the loop only.
class HttpBody {
 public:
  virtual ~HttpBody() = default;
  virtual std::uint64_t size() const = 0;
  /// Fills up to `capacity` bytes from `offset`; returns how many (0 only at the end), or an error.
  virtual Result<std::size_t> read(std::uint64_t offset, char* into, std::size_t capacity) = 0;
  /// The whole body if it lies in memory in one piece; else an empty view. Stable while the body lives.
  virtual std::string_view contiguous() const { return {}; }
};

/// A body that lies in memory.
std::shared_ptr<HttpBody> make_body(std::string text);

/// SizeLimits on what a server may send. All sizes in bytes.
struct HttpLimits {
  std::uint64_t header_bytes = 256 * 1024;  ///< the whole response head
};

/// Timeouts of the phases that only an engine can see. Zero: none.
struct HttpTimeouts {
  std::chrono::milliseconds dns{0};
  std::chrono::milliseconds connect{0};  ///< TCP (and proxy), after the name is resolved
  std::chrono::milliseconds tls{0};
};

struct HttpRequest {
  std::string method = "POST";
  std::string url{};                  ///< absolute, http or https
  std::vector<HttpHeader> headers{};  ///< checked: no CR, LF or NUL
  std::shared_ptr<HttpBody> body{};   ///< null: none
  HttpTimeouts timeouts{};
  HttpLimits limits{};
};

/// The response head. Borrowed: valid during on_head() only.
struct HttpHead {
  int status = 0;
  int version = 0;           ///< 10, 11, 20
  std::string_view block{};  ///< header lines as received, CR LF between them, without the status line

  /// The value of the first header of that name (any case), without surrounding blanks; empty if none.
  std::string_view header(std::string_view name) const noexcept;
};

/// dns, connect and tls are durations of their own, the others count from the start of the request. Zero:
/// that phase did not happen (a reused connection) or is not over.
struct HttpTimings {
  std::chrono::microseconds dns{0};
  std::chrono::microseconds connect{0};
  std::chrono::microseconds tls{0};
  std::chrono::microseconds first_byte{0};
  std::chrono::microseconds total{0};
  bool reused_connection = false;
};

/// How a transfer ended. `clean` means that the framing of HTTP says the body is whole.
struct HttpEnd {
  bool clean = false;
  bool head_complete = false;            ///< the empty line after the headers came
  ErrorCode code = ErrorCode::internal;  ///< why, if not clean
  std::string cause{};                   ///< the engine's own words, one line
  HttpTimings timings{};
};

/// Receives one response, on the loop: on_head at most once, on_data any number of times, then on_end
/// exactly once and nothing after it. Data is borrowed until the call returns. May cancel from inside.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  virtual void on_head(const HttpHead& head) = 0;
  virtual void on_data(std::string_view data) = 0;
  virtual void on_end(const HttpEnd& end) = 0;
};

/// One transfer under way. On the loop only.
class HttpTransfer {
 public:
  virtual ~HttpTransfer() = default;
  /// Ends it at once, down to the socket or RST_STREAM. on_end is not called after this returns.
  virtual void cancel() = 0;
  /// Stops (true) or goes on (false) reading from the network.
  virtual void pause(bool paused) = 0;
  /// Phases so far, for an error that the caller makes itself (a timeout, a cancellation).
  virtual HttpTimings timings() const = 0;
};

/// Performs HTTP. An engine is owned by one client and used on its loop only. Redirects are never
/// followed: a 3xx is handed up. A host engine that works on threads of its own hands results over
/// through Loop::post.
class HttpEngine {
 public:
  virtual ~HttpEngine() = default;
  /// Called once, before the first request; `loop` lives until detach().
  virtual void attach(Loop& loop) = 0;
  /// Called when the client goes, perhaps on another thread than the loop's but never beside it: transfers are dropped
  /// without a word, and the loop must not be used any more. A host may keep the engine for longer than its client.
  virtual void detach() {}
  /// Begins a request. Never calls the handler before it returns.
  virtual std::shared_ptr<HttpTransfer> start(HttpRequest request, std::shared_ptr<HttpHandler> handler) = 0;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/engine.ipp>
#endif
