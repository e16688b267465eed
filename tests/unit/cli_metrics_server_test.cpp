// The command's metrics over HTTP, also with clients that misbehave.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <deepseek/core/metric_list.hpp>

#include <string>

#include "support/catch.hpp"

#include "cli/metrics_server.cpp"

using namespace deepseek;
using deepseek::cli::MetricsServer;

namespace {

int connect_to(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

std::string talk(int port, const std::string& request) {
  const int fd = connect_to(port);
  (void)::send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  ::shutdown(fd, SHUT_WR);
  std::string reply;
  char block[4096];
  for (ssize_t count; (count = ::read(fd, block, sizeof block)) > 0;)
    reply.append(block, static_cast<std::size_t>(count));
  ::close(fd);
  return reply;
}

}  // namespace

TEST_CASE("the command serves its metrics at /metrics alone", "[cli]") {
  const auto metrics = std::make_shared<Metrics>();
  metrics->add(metric::in_flight, {"chat"}, 3);
  const auto server = MetricsServer::listen(0, metrics);
  REQUIRE(server.has_value());
  const int port = (*server)->port();
  const std::string reply = talk(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(reply.rfind("HTTP/1.1 200 OK\r\n", 0) == 0);
  CHECK(reply.find("text/plain; version=0.0.4") != std::string::npos);
  CHECK(reply.substr(reply.find("\r\n\r\n") + 4).find("deepseek_calls_in_flight{gen_ai_operation_name=\"chat\"} 3\n") !=
        std::string::npos);
  CHECK(talk(port, "GET /metrics?x=1 HTTP/1.1\r\n\r\n").rfind("HTTP/1.1 200", 0) == 0);
  CHECK(talk(port, "GET / HTTP/1.1\r\n\r\n").rfind("HTTP/1.1 404", 0) == 0);
  CHECK(talk(port, "POST /metrics HTTP/1.1\r\n\r\n").rfind("HTTP/1.1 405", 0) == 0);
  CHECK(talk(port, "garbage").empty());                              // no end of a head
  CHECK(talk(port, std::string(100'000, 'x')).empty());              // too long
  CHECK(talk(port, "GET /metrics HTTP/1.1\r\n\r\n").size() > 1000);  // and it still serves
}

TEST_CASE("a port that is taken is an error, and an idle client does not hold the end up", "[cli]") {
  const auto metrics = std::make_shared<Metrics>();
  auto server = MetricsServer::listen(0, metrics);
  REQUIRE(server.has_value());
  CHECK(MetricsServer::listen((*server)->port(), metrics).error().code() == ErrorCode::io_error);
  CHECK(MetricsServer::listen(70000, metrics).error().code() == ErrorCode::io_error);
  const int idle = connect_to((*server)->port());
  const auto begin = std::chrono::steady_clock::now();
  server->reset();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));
  ::close(idle);
}
