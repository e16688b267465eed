// Stream sockets that never block. Beside platform.hpp the only place that knows the operating system's.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Where to connect to: a numeric IPv4 or IPv6 address with its port, or the path of a Unix socket.
struct SocketAddress {
  static constexpr std::size_t capacity = 128;
  alignas(8) unsigned char bytes[capacity]{};  // a sockaddr
  unsigned size = 0;                           // 0: none
};

/// The address of a host that is written as a number; false if it is a name, which somebody has to resolve.
bool numeric_address(std::string_view host, int port, SocketAddress& address) noexcept;
/// False if the path is too long for a Unix socket.
bool unix_address(std::string_view path, SocketAddress& address) noexcept;

/// What a socket call came to. `error` is the system's number, 0 for none.
struct SocketResult {
  std::size_t bytes = 0;
  int error = 0;
  bool would_block = false;
};

/// Begins a connection. `fd` is negative on failure; otherwise it becomes writable when the connection stands
/// or has failed (socket_error() tells), unless `error` is set already.
struct Connecting {
  int fd = -1;
  int error = 0;
};
Connecting connect_to(const SocketAddress& address) noexcept;
/// Settings that every stream wants: small writes at once, dead peers noticed.
void tune_socket(int fd) noexcept;
/// The pending error of a socket, 0 for none.
int socket_error(int fd) noexcept;
/// Reads what is there. No bytes, no error and not would_block: the peer has closed.
SocketResult receive(int fd, char* into, std::size_t capacity) noexcept;
/// Sends `first` and then `second`, as much as goes. Raises no signal.
SocketResult send_pieces(int fd, std::string_view first, std::string_view second) noexcept;
/// True if there is something to read, or the peer has closed: an idle connection is then of no use.
bool has_input(int fd) noexcept;
/// The system's words for an error number.
std::string system_error_text(int error);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/socket.ipp>
#endif
