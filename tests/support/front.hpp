// Programs that nobody here wrote, started between client and double: nginx, nghttpx, tinyproxy, microsocks.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include <cstdint>

namespace deepseek_tests {

/// One such program, on a loopback port that the kernel chose, with its files in a folder of its own;
/// ended by its process id. The makers return null if the program is not installed.
class Front {
 public:
  /// HTTP/2 over TLS in front of the plain HTTP server on `port`.
  static std::unique_ptr<Front> h2(std::uint16_t port);
  /// HTTP/2 over TLS with a client certificate asked for, and plain HTTP on a unix socket.
  static std::unique_ptr<Front> nginx(std::uint16_t port);
  static std::unique_ptr<Front> http_proxy();
  static std::unique_ptr<Front> socks_proxy();
  ~Front();
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  const std::string& url() const { return url_; }
  std::string ca_file() const { return folder_ + "/ca.pem"; }
  std::string client_cert_file() const { return folder_ + "/client.pem"; }
  std::string client_key_file() const { return folder_ + "/client.key"; }
  std::string unix_socket() const { return folder_ + "/http.sock"; }
  /// Awaits a word in the program's log.
  bool log_mentions(const std::string& word) const;

 private:
  Front();
  void write(const std::string& name, const std::string& text) const;
  void make_certificates() const;
  bool start(const std::vector<std::string>& command);
  bool await_port(std::uint16_t port) const;

  std::string folder_;
  std::string url_;
  int pid_ = -1;
};

/// The path of a program in PATH or the usual system folders; empty if there is none.
std::string find_program(const std::string& name);
/// A loopback port that was free a moment ago.
std::uint16_t free_port();
/// Raises the soft limit on open files towards `wanted`; returns what it is now.
std::uint64_t raise_open_files(std::uint64_t wanted);

}  // namespace deepseek_tests
