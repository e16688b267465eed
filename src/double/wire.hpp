// Wire: one byte stream, plain or TLS. The only room that sees the socket library's templates.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace asio = boost::asio;
using boost::system::error_code;

/// Operations complete on the thread that runs the io_context. One read and one write may be pending; the
/// buffers must live until their handler has run. Handlers of a closed wire run with an error.
class Wire {
 public:
  using Done = std::function<void(error_code)>;
  using DoneBytes = std::function<void(error_code, std::size_t)>;
  virtual ~Wire() = default;
  virtual void handshake(bool as_server, Done done) = 0;
  virtual void read_some(char* data, std::size_t size, DoneBytes done) = 0;
  virtual void write(const char* data, std::size_t size, Done done) = 0;
  virtual void close_notify(Done done) = 0;  ///< TLS: says that the stream ends here
  virtual asio::ip::tcp::socket& socket() = 0;

  void send_fin();
  void reset();  ///< RST: what is unsent is dropped
  void close();
};

std::unique_ptr<Wire> plain_wire(asio::ip::tcp::socket socket);
std::unique_ptr<Wire> tls_wire(asio::ip::tcp::socket socket, asio::ssl::context& context);
/// A client's side: checks that the certificate is for `host`.
std::unique_ptr<Wire> tls_client_wire(asio::ip::tcp::socket socket, asio::ssl::context& context,
                                      const std::string& host);

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
