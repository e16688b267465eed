// Sockets, plain and TLS.
#include "wire.hpp"

#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

using Socket = asio::ip::tcp::socket;

class PlainWire final : public Wire {
 public:
  explicit PlainWire(Socket socket) : socket_(std::move(socket)) {}
  void handshake(bool, Done done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done({}); });
  }
  void read_some(char* data, std::size_t size, DoneBytes done) override {
    socket_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void write(const char* data, std::size_t size, Done done) override {
    asio::async_write(socket_, asio::buffer(data, size),
                      [done = std::move(done)](error_code error, std::size_t) { done(error); });
  }
  void close_notify(Done done) override { handshake(true, std::move(done)); }
  Socket& socket() override { return socket_; }

 private:
  Socket socket_;
};

class TlsWire final : public Wire {
 public:
  TlsWire(Socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}
  void handshake(bool as_server, Done done) override {
    stream_.async_handshake(as_server ? asio::ssl::stream_base::server : asio::ssl::stream_base::client,
                            std::move(done));
  }
  void read_some(char* data, std::size_t size, DoneBytes done) override {
    stream_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void write(const char* data, std::size_t size, Done done) override {
    asio::async_write(stream_, asio::buffer(data, size),
                      [done = std::move(done)](error_code error, std::size_t) { done(error); });
  }
  void close_notify(Done done) override {
    // The notify alone, without waiting for the peer's: a pending read shares this stream.
    SSL_set_shutdown(stream_.native_handle(), SSL_RECEIVED_SHUTDOWN);
    stream_.async_shutdown(std::move(done));
  }
  Socket& socket() override { return stream_.next_layer(); }
  SSL* native() { return stream_.native_handle(); }

 private:
  asio::ssl::stream<Socket> stream_;
};

}  // namespace

void Wire::send_fin() {
  error_code ignored;
  socket().shutdown(Socket::shutdown_send, ignored);
}

void Wire::reset() {
  error_code ignored;
  socket().set_option(asio::socket_base::linger(true, 0), ignored);
  socket().close(ignored);
}

void Wire::close() {
  error_code ignored;
  socket().close(ignored);
}

std::unique_ptr<Wire> plain_wire(Socket socket) { return std::make_unique<PlainWire>(std::move(socket)); }

std::unique_ptr<Wire> tls_wire(Socket socket, asio::ssl::context& context) {
  return std::make_unique<TlsWire>(std::move(socket), context);
}

std::unique_ptr<Wire> tls_client_wire(Socket socket, asio::ssl::context& context, const std::string& host) {
  auto wire = std::make_unique<TlsWire>(std::move(socket), context);
  error_code not_a_name;
  asio::ip::make_address(host, not_a_name);
  if (not_a_name) SSL_set_tlsext_host_name(wire->native(), host.c_str());
  SSL_set_verify(wire->native(), SSL_VERIFY_PEER, nullptr);
  auto* parameters = SSL_get0_param(wire->native());
  if (not_a_name)
    X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), host.size());
  else
    X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str());
  return wire;
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
