#pragma once
#include <deepseek/core/detail/socket.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <system_error>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

static_assert(sizeof(sockaddr_un) <= SocketAddress::capacity && sizeof(sockaddr_in6) <= SocketAddress::capacity);

template <class Native>
void store_address(SocketAddress& address, const Native& native, std::size_t size = sizeof(Native)) noexcept {
  std::memcpy(address.bytes, &native, size);
  address.size = static_cast<unsigned>(size);
}

DEEPSEEK_DECL bool numeric_address(std::string_view host, int port, SocketAddress& address) noexcept {
  char text[INET6_ADDRSTRLEN];
  if (host.size() >= sizeof text) return false;
  std::memcpy(text, host.data(), host.size());
  text[host.size()] = '\0';
  const auto net_port = htons(static_cast<std::uint16_t>(port));
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = net_port;
    store_address(address, v4);
    return true;
  }
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) return false;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = net_port;
  store_address(address, v6);
  return true;
}

DEEPSEEK_DECL bool unix_address(std::string_view path, SocketAddress& address) noexcept {
  sockaddr_un native{};
  if (path.empty() || path.size() >= sizeof native.sun_path) return false;
  native.sun_family = AF_UNIX;
  std::memcpy(native.sun_path, path.data(), path.size());
  store_address(address, native, offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return true;
}

DEEPSEEK_DECL Connecting connect_to(const SocketAddress& address) noexcept {
  sockaddr_storage native{};
  std::memcpy(&native, address.bytes, address.size);
  Connecting result;
  result.fd = ::socket(native.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (result.fd < 0) {
    result.error = errno;
    return result;
  }
  if (native.ss_family != AF_UNIX) tune_socket(result.fd);
  if (::connect(result.fd, reinterpret_cast<const sockaddr*>(&native), address.size) != 0 && errno != EINPROGRESS)
    result.error = errno;
  return result;
}

DEEPSEEK_DECL void tune_socket(int fd) noexcept {
  const int on = 1;
  const int seconds = 60;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
}

DEEPSEEK_DECL int socket_error(int fd) noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

inline SocketResult socket_result(ssize_t count) noexcept {
  if (count >= 0) return {static_cast<std::size_t>(count), 0, false};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {0, 0, true};
  return {0, errno, false};
}

DEEPSEEK_DECL SocketResult receive(int fd, char* into, std::size_t capacity) noexcept {
  ssize_t count = 0;
  do count = ::recv(fd, into, capacity, 0);
  while (count < 0 && errno == EINTR);
  return socket_result(count);
}

inline ssize_t send_one(int fd, std::string_view bytes) noexcept {
  return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

inline ssize_t send_two(int fd, std::string_view first, std::string_view second) noexcept {
  // The kernel only reads from these.
  iovec pieces[2] = {{const_cast<char*>(first.data()), first.size()},
                     {const_cast<char*>(second.data()), second.size()}};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  return ::sendmsg(fd, &message, MSG_NOSIGNAL);
}

DEEPSEEK_DECL SocketResult send_pieces(int fd, std::string_view first, std::string_view second) noexcept {
  ssize_t count = 0;
  do count = second.empty() ? send_one(fd, first) : send_two(fd, first, second);
  while (count < 0 && errno == EINTR);
  return socket_result(count);
}

DEEPSEEK_DECL bool has_input(int fd) noexcept {
  char byte = 0;
  return !socket_result(::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT)).would_block;
}

DEEPSEEK_DECL std::string system_error_text(int error) { return std::generic_category().message(error); }

}  // namespace detail
DEEPSEEK_END_NAMESPACE
