// Http1Engine: HTTP/1.1 over cleartext sockets, read by the library itself. Private.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/core/detail/socket.hpp>
#include <deepseek/core/function.hpp>
#include <deepseek/http/detail/http1_reader.hpp>
#include <deepseek/http/engine.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Makes a connection to the server of a URL and hands its descriptor over.
class Connector {
 public:
  virtual ~Connector() = default;
  /// `done` runs once, on the loop, never before this returns: with a connected descriptor that is the caller's
  /// from then on, or a negative one and the reason. cancel() of the returned transfer prevents it.
  using Done = Function<void(int fd, const HttpEnd& end)>;
  virtual std::shared_ptr<HttpTransfer> connect(const std::string& url, const HttpTimeouts& timeouts, Done done) = 0;
};

class Http1Engine;
class Http1Transfer;

/// Where connections lead: they are pooled by it.
struct Http1Origin {
  std::string authority;  // host[:port], as in the URL: also the Host header
  SocketAddress address;  // empty: a name, which the connector resolves
};

/// One connection, with or without a transfer on it. Owned by the engine.
class Http1Connection final : public IoWatcher {
 public:
  Http1Connection(Http1Engine& engine, int fd, const Http1Origin& origin) : engine_(engine), origin_(origin), fd_(fd) {}
  void on_io(bool readable, bool writable) override;
  /// Changes what the poller looks for; nothing: it forgets the descriptor, or a peer that has closed would
  /// be reported again and again.
  void want(bool read, bool write);

 private:
  friend class Http1Engine;
  friend class Http1Transfer;
  Http1Engine& engine_;
  const Http1Origin& origin_;
  Http1Transfer* transfer_ = nullptr;  // null: idle
  TimePoint idle_since_{};
  std::size_t index_ = 0;  // in Http1Engine::connections_
  int fd_;
  bool read_ = false;
  bool write_ = false;
};

/// Requests in cleartext HTTP/1.1. libcurl asks the kernel twice about each event and keeps 20 KB for each stream;
/// here a stream that waits is a descriptor and some hundred bytes, and all of them share one read buffer.
class Http1Engine final : public HttpEngine {
 public:
  struct Options {
    std::string unix_socket{};
    std::size_t max_idle_connections = 64;
    std::chrono::seconds max_idle_time{60};
    std::size_t read_buffer_bytes = 64 * 1024;
  };
  Http1Engine(Connector& connector, Options options) : connector_(connector), options_(std::move(options)) {}
  ~Http1Engine() override;

  /// An http:// URL with nothing in it that has to be decoded, left out or refused first.
  static bool understands(std::string_view url) noexcept;

  void attach(Loop& loop) override { loop_ = &loop; }
  std::shared_ptr<HttpTransfer> start(HttpRequest request, std::shared_ptr<HttpHandler> handler) override;

 private:
  friend class Http1Connection;
  friend class Http1Transfer;
  const Http1Origin& origin_of(std::string_view authority);
  Http1Connection& adopt(int fd, const Http1Origin& origin);
  Http1Connection* take_idle(const Http1Origin& origin);
  void put_back(Http1Connection& connection);
  void close(Http1Connection& connection);
  void forget(Http1Transfer& transfer);
  char* buffer();

  Connector& connector_;
  Options options_;
  Loop* loop_ = nullptr;
  std::vector<std::unique_ptr<Http1Origin>> origins_;
  std::vector<std::unique_ptr<Http1Connection>> connections_;
  std::vector<Http1Connection*> idle_;  // the most recently used last
  std::vector<std::shared_ptr<Http1Transfer>> live_;
  std::unique_ptr<char[]> buffer_;  // of the read being handed out: nothing of it outlives the callback
  std::string scratch_;             // payload joined from the chunks of a read
  std::string request_text_;        // the head of the request being sent
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/http1_engine.ipp>
#endif
