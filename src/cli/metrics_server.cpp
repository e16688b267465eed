#include "cli/metrics_server.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string_view>
#include <utility>

namespace deepseek::cli {

namespace {

constexpr int slowest_client_ms = 2000;
constexpr std::size_t largest_request = 8 * 1024;

int port_of(int listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  return getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0 ? ntohs(address.sin_port) : 0;
}

std::string response(const char* status, const char* type, std::string_view body) {
  std::string text = std::string("HTTP/1.1 ") + status + "\r\nContent-Type: " + type +
                     "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n";
  return text.append(body);
}

std::string answer_to(std::string_view request, const Metrics& metrics) {
  const std::string_view line = request.substr(0, request.find("\r\n"));
  if (!line.starts_with("GET ")) return response("405 Method Not Allowed", "text/plain", "only GET\n");
  if (!line.starts_with("GET /metrics ") && !line.starts_with("GET /metrics?"))
    return response("404 Not Found", "text/plain", "the metrics are at /metrics\n");
  return response("200 OK", "text/plain; version=0.0.4; charset=utf-8", metrics.prometheus_text());
}

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::listen(int port, std::shared_ptr<const Metrics> metrics) {
  const auto fail = [](int listener, int stop) {
    if (listener >= 0) close(listener);
    if (stop >= 0) close(stop);
    return Error(ErrorCode::io_error, "nothing can listen on the port for metrics",
                 "choose a free one, or --metrics-port 0 for any");
  };
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (listener < 0 || stop < 0 || port < 0 || port > 65535) return fail(listener, stop);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 16) != 0)
    return fail(listener, stop);
  return std::unique_ptr<MetricsServer>(new MetricsServer(listener, stop, port_of(listener), std::move(metrics)));
}

MetricsServer::MetricsServer(int listener, int stop, int port, std::shared_ptr<const Metrics> metrics)
    : listener_(listener), stop_(stop), port_(port), metrics_(std::move(metrics)), thread_([this] { run(); }) {}

MetricsServer::~MetricsServer() {
  const std::uint64_t one = 1;
  (void)!write(stop_, &one, sizeof one);
  thread_.join();
  close(listener_);
  close(stop_);
}

/// False when the server ends, or nothing happens for too long on a connection.
bool MetricsServer::await(int fd, short events) const {
  pollfd both[] = {{fd, events, 0}, {stop_, POLLIN, 0}};
  const int limit = fd == listener_ ? -1 : slowest_client_ms;
  int ready = 0;
  do {
    ready = poll(both, 2, limit);
  } while (ready < 0 && errno == EINTR);
  return ready > 0 && both[1].revents == 0;
}

void MetricsServer::run() const {
  while (await(listener_, POLLIN)) {
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) continue;
    serve(connection);
    close(connection);
  }
}

void MetricsServer::serve(int connection) const {
  std::string request;
  char block[2048];
  while (request.find("\r\n\r\n") == std::string::npos) {
    if (request.size() > largest_request || !await(connection, POLLIN)) return;
    const ssize_t count = recv(connection, block, sizeof block, 0);
    if (count > 0)
      request.append(block, static_cast<std::size_t>(count));
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
      return;
  }
  const std::string text = answer_to(request, *metrics_);
  for (std::string_view left = text; !left.empty();) {
    if (!await(connection, POLLOUT)) return;
    const ssize_t count = send(connection, left.data(), left.size(), MSG_NOSIGNAL);
    if (count > 0)
      left.remove_prefix(static_cast<std::size_t>(count));
    else if (errno != EAGAIN && errno != EINTR)
      return;
  }
}

}  // namespace deepseek::cli
