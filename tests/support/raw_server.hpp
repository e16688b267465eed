// A server made of system calls, which says exactly what a test tells it, and a loop that a test drives itself.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <deepseek/core/detail/reactor.hpp>
#include <deepseek/http/curl.hpp>

namespace deepseek_tests {

using namespace std::chrono_literals;

/// Everything waits this long at most.
inline constexpr std::chrono::milliseconds patience = 20s;

/// One accepted connection.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)), read_(std::move(other.read_)) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  /// Head and body of the next request; empty if the peer closed first.
  std::string request() {
    std::size_t head = std::string::npos;
    while ((head = read_.find("\r\n\r\n")) == std::string::npos)
      if (!more()) return {};
    std::size_t size = head + 4;
    if (const std::size_t at = read_.find("Content-Length: "); at < head) size += std::stoul(read_.substr(at + 16));
    while (read_.size() < size)
      if (!more()) return {};
    std::string result = read_.substr(0, size);
    read_.erase(0, size);
    return result;
  }
  /// Reads at least `count` bytes of a request and leaves the rest where it is.
  bool taste(std::size_t count) {
    while (read_.size() < count)
      if (!more()) return false;
    return true;
  }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }
  /// True once the peer has closed or reset; what it still sends is dropped.
  bool peer_gone(std::chrono::milliseconds wait = patience) {
    for (;;) {
      pollfd ready{fd_, POLLIN, 0};
      if (::poll(&ready, 1, static_cast<int>(wait.count())) <= 0) return false;
      char buffer[65536];
      const auto count = ::recv(fd_, buffer, sizeof buffer, 0);
      if (count == 0 || (count < 0 && errno != EINTR)) return true;
    }
  }
  int fd() const { return fd_; }

 private:
  bool more() {
    char buffer[65536];
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(patience.count())) <= 0) return false;
    const auto count = ::recv(fd_, buffer, sizeof buffer, 0);
    if (count <= 0) return false;
    read_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }

  int fd_;
  std::string read_;
};

/// Listens where the kernel chose.
class Listener {
 public:
  enum class Family { v4, v6 };
  explicit Listener(Family family = Family::v4, int backlog = 4096) : v6_(family == Family::v6) {
    fd_ = ::socket(v6_ ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_addr = in6addr_loopback;
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (v6_)
      open(six, backlog);
    else
      open(four, backlog);
  }
  explicit Listener(const std::string& path) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ok_ = ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && ::listen(fd_, 4096) == 0;
  }
  ~Listener() {
    if (fd_ >= 0) ::close(fd_);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  bool ok() const { return ok_; }
  int fd() const { return fd_; }
  int port() const { return port_; }
  std::string url() const { return (v6_ ? "http://[::1]:" : "http://127.0.0.1:") + std::to_string(port_); }

 private:
  template <class Address>
  void open(Address address, int backlog) {
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    ok_ = ::bind(fd_, plain, size) == 0 && ::listen(fd_, backlog) == 0 && ::getsockname(fd_, plain, &size) == 0;
    if constexpr (std::is_same_v<Address, sockaddr_in6>)
      port_ = ntohs(address.sin6_port);
    else
      port_ = ntohs(address.sin_port);
  }

  bool v6_ = false;
  bool ok_ = false;
  int fd_ = -1;
  int port_ = 0;
};

/// Accepts on a thread of its own and hands each connection, with its number from 1, to `talk` there.
class RawServer {
 public:
  using Talk = std::function<void(Socket&, int)>;
  explicit RawServer(Talk talk) : RawServer(std::make_unique<Listener>(), std::move(talk)) {}
  RawServer(std::unique_ptr<Listener> listener, Talk talk)
      : listener_(std::move(listener)), talk_(std::move(talk)), thread_([this] { run(); }) {}
  ~RawServer() {
    stopped_ = true;
    ::shutdown(listener_->fd(), SHUT_RDWR);
    thread_.join();
  }
  std::string url(const char* path = "/") const { return listener_->url() + path; }
  int port() const { return listener_->port(); }
  int accepted() const { return accepted_; }

 private:
  void run() {
    while (!stopped_) {
      const int fd = ::accept4(listener_->fd(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EINTR) continue;
        return;
      }
      Socket socket(fd);
      talk_(socket, ++accepted_);
    }
  }

  std::unique_ptr<Listener> listener_;
  Talk talk_;
  std::atomic<int> accepted_{0};
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

/// An engine on a loop of its own that turns only while the test waits for something, on the test's thread.
class EngineRig final : private deepseek::Loop {
 public:
  explicit EngineRig(deepseek::CurlOptions options) : engine(*deepseek::make_curl_engine(std::move(options))) {
    engine->attach(*this);
  }
  ~EngineRig() override { drop_engine(); }

  template <class F>
  void on_loop(F&& action) {
    now_ = std::chrono::steady_clock::now();
    action();
  }
  /// Turns the loop until `done()`; false if that takes too long.
  template <class F>
  bool until(F&& done, std::chrono::milliseconds limit = patience) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      turn(20ms);
    }
    return true;
  }
  /// Turns the loop for that long; returns how often it turned.
  long turns_during(std::chrono::milliseconds time) {
    const long before = turns;
    const auto end = std::chrono::steady_clock::now() + time;
    for (auto left = time; left.count() > 0;
         left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()))
      turn(left);
    return turns - before;
  }
  void drop_engine() { engine.reset(); }

  std::atomic<long> turns{0};
  std::unique_ptr<deepseek::HttpEngine> engine;

 private:
  void post(deepseek::Task task) override { tasks_.push_back(std::move(task)); }
  TimerId schedule(deepseek::TimePoint when, deepseek::Task task) override {
    return timers_.add(when, std::move(task));
  }
  void unschedule(TimerId id) override { timers_.remove(id); }
  void watch(int fd, bool read, bool write, deepseek::IoWatcher* watcher) override {
    poller_.watch(fd, read, write, watcher);
  }
  void forget(int fd, deepseek::IoWatcher* watcher) override { poller_.forget(fd, watcher); }
  deepseek::TimePoint now() const override { return now_; }

  void turn(std::chrono::milliseconds longest) {
    ++turns;
    if (!tasks_.empty()) longest = 0ms;
    if (!timers_.empty())
      longest = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(timers_.earliest() - now_), 0ms, longest);
    poller_.wait(static_cast<int>(longest.count()));
    now_ = std::chrono::steady_clock::now();
    poller_.dispatch();
    for (const deepseek::Task& task : std::exchange(tasks_, {})) task();
    deepseek::Task due;
    // Some only, as the reactor does: libcurl asks to be called back at once while a server floods it.
    for (int i = 0; i < 16 && !timers_.empty() && timers_.take_due(now_, due); ++i) due();
  }

  deepseek::detail::Poller poller_;
  deepseek::detail::TimerHeap timers_;
  std::vector<deepseek::Task> tasks_;
  deepseek::TimePoint now_ = std::chrono::steady_clock::now();
};

/// Remembers one response; the hooks run after that.
struct Recorder final : deepseek::HttpHandler {
  void on_head(const deepseek::HttpHead& head) override {
    late = late || end;
    ++heads;
    status = head.status;
    block = head.block;
    if (at_head) at_head();
  }
  void on_data(std::string_view data) override {
    late = late || end || heads == 0;
    body += data;
    if (at_data) at_data();
  }
  void on_end(const deepseek::HttpEnd& the_end) override {
    late = late || end;
    end = the_end;
    if (at_end) at_end();
  }
  /// All that two engines have to agree on.
  std::string outcome() const {
    if (!end) return "no end";
    std::string text = std::to_string(status) + '|' + body + '|' + (end->head_complete ? "head|" : "no head|");
    return text + (end->clean ? "clean" : std::string(to_string(end->code)));
  }

  int heads = 0;
  int status = 0;
  bool late = false;  // something out of order
  std::string block, body;
  std::optional<deepseek::HttpEnd> end;
  std::function<void()> at_head, at_data, at_end;
  std::shared_ptr<deepseek::HttpTransfer> transfer;
};

}  // namespace deepseek_tests
