// A client made of system calls: sees every byte that a double writes, and how the connection ends.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace double_tests {

using Json = nlohmann::json;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

enum class End { open, fin, reset };

/// What came until the connection ended, the answer was whole, or time was up.
struct Seen {
  std::string bytes;
  std::vector<std::size_t> reads;
  End end = End::open;

  int status() const { return bytes.size() > 12 ? std::stoi(bytes.substr(9, 3)) : 0; }
  std::string head() const { return bytes.substr(0, bytes.find("\r\n\r\n")); }
  bool has(const std::string& text) const { return bytes.find(text) != std::string::npos; }
  std::string header(const std::string& name) const {
    const auto at = head().find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    const auto from = at + name.size() + 4;
    return head().substr(from, head().find("\r\n", from) - from);
  }
  /// The body without chunk framing; `chunks` receives the chunks.
  std::string body(std::vector<std::string>* chunks = nullptr) const {
    const auto at = bytes.find("\r\n\r\n");
    if (at == std::string::npos) return {};
    auto rest = bytes.substr(at + 4);
    if (header("Transfer-Encoding") != "chunked") return rest;
    std::string all;
    for (std::size_t from = 0; from < rest.size();) {
      const auto line = rest.find("\r\n", from);
      if (line == std::string::npos) break;
      const auto size = std::stoul(rest.substr(from, line - from), nullptr, 16);
      if (size == 0) break;
      const auto chunk = rest.substr(line + 2, size);
      if (chunks != nullptr) chunks->push_back(chunk);
      all += chunk;
      from = line + 2 + size + 2;
    }
    return all;
  }
  std::vector<std::string> chunks() const {
    std::vector<std::string> all;
    (void)body(&all);
    return all;
  }
  Json json() const { return Json::parse(body()); }
  std::string error() const { return json().at("error").at("message"); }
  /// The data of each event.
  std::vector<std::string> events() const {
    std::vector<std::string> all;
    const auto text = body();
    for (auto at = text.find("data: "); at != std::string::npos; at = text.find("data: ", at + 1)) {
      all.push_back(text.substr(at + 6, text.find('\n', at) - at - 6));
    }
    return all;
  }
  /// One member of all deltas together.
  std::string deltas(const char* member) const {
    std::string all;
    for (const auto& event : events()) {
      const auto value = Json::parse(event, nullptr, false);
      if (!value.is_object() || !value.contains("choices") || value["choices"].empty()) continue;
      const auto& delta = value["choices"][0]["delta"];
      if (delta.contains(member) && delta[member].is_string()) all += delta[member].get<std::string>();
    }
    return all;
  }
};

class Peer {
 public:
  explicit Peer(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Peer() { close(); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  Peer(Peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void send(const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      const auto sent = ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return;
      at += static_cast<std::size_t>(sent);
    }
  }
  void post(const std::string& path, const std::string& body,
            const std::string& extra = "Authorization: Bearer test-key\r\n") {
    send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + extra +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  void get(const std::string& path, const std::string& extra = "Authorization: Bearer test-key\r\n") {
    send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + extra + "\r\n");
  }
  /// Reads until the answer is whole, the connection ends, or nothing came for `silence`.
  Seen read(std::chrono::milliseconds silence = 5s) {
    Seen seen;
    while (!whole(seen)) {
      pollfd ready{fd_, POLLIN, 0};
      if (::poll(&ready, 1, static_cast<int>(silence.count())) <= 0) return seen;
      char buffer[65536];
      const auto count = ::recv(fd_, buffer, sizeof buffer, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        seen.end = count == 0 ? End::fin : End::reset;
        return seen;
      }
      seen.bytes.append(buffer, static_cast<std::size_t>(count));
      seen.reads.push_back(static_cast<std::size_t>(count));
    }
    return seen;
  }
  /// Reads until `text` was seen.
  Seen read_until(const std::string& text) {
    until_ = text;
    auto seen = read();
    until_.clear();
    return seen;
  }
  /// Reads to the end of the connection, whatever the framing says.
  Seen read_to_end(std::chrono::milliseconds silence = 5s) {
    to_end_ = true;
    return read(silence);
  }

 private:
  bool whole(const Seen& seen) const {
    if (!until_.empty()) return seen.has(until_);
    if (to_end_) return false;
    const auto head = seen.bytes.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    if (seen.header("Transfer-Encoding") == "chunked") {
      return seen.bytes.size() >= 7 && seen.bytes.compare(seen.bytes.size() - 7, 7, "\r\n0\r\n\r\n") == 0;
    }
    const auto length = seen.header("Content-Length");
    return !length.empty() && seen.bytes.size() >= head + 4 + std::stoul(length);
  }

  int fd_;
  bool connected_ = false;
  bool to_end_ = false;
  std::string until_;
};

inline std::string ask(bool stream, const std::string& more = "") {
  return std::string(R"({"model":"deepseek-flash","messages":[{"role":"user","content":"hi"}],"stream":)") +
         (stream ? "true" : "false") + more + "}";
}

inline const char* no_thinking = R"(,"thinking":{"type":"disabled"})";

inline Seen post(std::uint16_t port, const std::string& path, const std::string& body) {
  Peer peer(port);
  peer.post(path, body);
  return peer.read();
}

inline Seen chat(std::uint16_t port, const std::string& body) { return post(port, "/chat/completions", body); }

}  // namespace double_tests
