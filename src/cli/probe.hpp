// Looks at the way to a server step by step: name, connection, TLS. The advice for its errors is in advice.hpp.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include <deepseek/result.hpp>

namespace deepseek::cli {

struct Address {
  std::string host;  ///< without brackets
  std::uint16_t port = 0;
  bool tls = false;
};

/// The server part of a base URL; invalid_argument if it is none.
Result<Address> parse_address(std::string_view base_url);

struct NameAnswer {
  std::string first;  ///< address in numbers
  std::size_t count = 0;
  std::chrono::microseconds took{0};
};
Result<NameAnswer> resolve(const Address& address);

/// Owns a connected socket.
class Connection {
 public:
  explicit Connection(int descriptor) : descriptor_(descriptor) {}
  Connection(Connection&& other) noexcept
      : took(other.took), peer(std::move(other.peer)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  Connection& operator=(Connection&&) = delete;
  ~Connection();
  int descriptor() const { return descriptor_; }
  std::chrono::microseconds took{0};
  std::string peer;

 private:
  int descriptor_;
};
/// Tries the addresses in turn.
Result<Connection> connect_to(const Address& address, std::chrono::milliseconds limit);

struct TlsAnswer {
  std::string version;
  std::string cipher;
  int days_left = 0;  ///< of the server's certificate
  std::chrono::microseconds took{0};
};
/// A verified handshake as the library does it: TLS 1.2 or newer, chain and name checked.
Result<TlsAnswer> shake_hands(const Connection& connection, const Address& address, const std::string& ca_file,
                              std::chrono::milliseconds limit);

}  // namespace deepseek::cli
