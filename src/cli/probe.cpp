#include "cli/probe.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

namespace deepseek::cli {

namespace {

using SteadyClock = std::chrono::steady_clock;

std::chrono::microseconds since(SteadyClock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - start);
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Result<Addresses> look_up(const Address& address) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int status = getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list);
  if (status != 0) return Error(ErrorCode::dns_failed, address.host + ": " + gai_strerror(status));
  return Addresses(list);
}

std::string numeric(const addrinfo& entry) {
  char text[NI_MAXHOST] = "";
  getnameinfo(entry.ai_addr, entry.ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return text;
}

/// Waits until the socket is ready; 0, or the errno.
int wait_for(int descriptor, short events, SteadyClock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
    if (left.count() <= 0) return ETIMEDOUT;
    pollfd entry = {descriptor, events, 0};
    const int ready = poll(&entry, 1, static_cast<int>(left.count()));
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return errno;
  }
}

int connect_one(const addrinfo& entry, int descriptor, SteadyClock::time_point deadline) {
  if (connect(descriptor, entry.ai_addr, entry.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (const int failure = wait_for(descriptor, POLLOUT, deadline)) return failure;
  int failure = 0;
  socklen_t size = sizeof failure;
  getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size);
  return failure;
}

Error connect_error(const Address& address, int failure) {
  const bool timeout = failure == ETIMEDOUT;
  return Error(timeout ? ErrorCode::timeout_connect : ErrorCode::connect_failed,
               address.host + ": " + std::strerror(failure));
}

struct FreeTls {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeTls>;
using TlsSession = std::unique_ptr<SSL, FreeTls>;

Error tls_error(std::string what) { return Error(ErrorCode::tls_failed, std::move(what)); }

std::string openssl_words() {
  const unsigned long code = ERR_get_error();
  const char* words = code ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return words ? words : "the connection was closed";
}

Result<TlsContext> make_context(const std::string& ca_file) {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  if (!context) return tls_error(openssl_words());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const int loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context.get())
                                     : SSL_CTX_load_verify_file(context.get(), ca_file.c_str());
  if (loaded != 1) return tls_error("the authorities of --ca-file cannot be read: " + openssl_words());
  return context;
}

bool is_numeric(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 || inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

void expect_host(SSL* ssl, const std::string& host) {
  if (is_numeric(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
    return;
  }
  SSL_set1_host(ssl, host.c_str());
  SSL_set_tlsext_host_name(ssl, host.c_str());
}

Result<void> run_handshake(SSL* ssl, int descriptor, SteadyClock::time_point deadline) {
  for (;;) {
    const int status = SSL_connect(ssl);
    if (status == 1) return {};
    const int wanted = SSL_get_error(ssl, status);
    if (wanted != SSL_ERROR_WANT_READ && wanted != SSL_ERROR_WANT_WRITE) {
      const long verdict = SSL_get_verify_result(ssl);
      return tls_error(verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : openssl_words());
    }
    const short events = wanted == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    if (wait_for(descriptor, events, deadline) != 0)
      return Error(ErrorCode::timeout_tls, "the handshake took too long");
  }
}

int days_left(SSL* ssl) {
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(ssl), X509_free);
  int days = 0, seconds = 0;
  if (certificate) ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate.get()));
  return days;
}

}  // namespace

Result<Address> parse_address(std::string_view base_url) {
  const Error wrong(ErrorCode::invalid_argument, "the base URL is not http(s)://host[:port][/path]");
  Address address;
  std::string scheme(base_url.substr(0, base_url.find("://")));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  address.tls = scheme == "https";
  if ((!address.tls && scheme != "http") || scheme.size() == base_url.size()) return wrong;
  address.port = address.tls ? 443 : 80;
  std::string_view rest = base_url.substr(base_url.find("://") + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (rest.find('@') != std::string_view::npos) return wrong;  // a password there would be shown
  std::size_t host_end = rest.starts_with('[') ? rest.find(']') : rest.find(':');
  if (rest.starts_with('[')) {
    if (host_end == std::string_view::npos) return wrong;
    address.host = rest.substr(1, host_end++ - 1);
  } else {
    address.host = rest.substr(0, host_end);
  }
  const std::string_view port = host_end < rest.size() ? rest.substr(host_end) : std::string_view();
  if (!port.empty()) {
    const char* end = port.data() + port.size();
    const auto [stop, status] = std::from_chars(port.data() + 1, end, address.port);
    if (port[0] != ':' || status != std::errc() || stop != end || address.port == 0) return wrong;
  }
  if (address.host.empty()) return wrong;
  return address;
}

Result<NameAnswer> resolve(const Address& address) {
  const auto start = SteadyClock::now();
  const auto list = look_up(address);
  if (!list) return list.error();
  NameAnswer answer;
  answer.took = since(start);
  answer.first = numeric(**list);
  for (const addrinfo* entry = list->get(); entry; entry = entry->ai_next) ++answer.count;
  return answer;
}

Connection::~Connection() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<Connection> connect_to(const Address& address, std::chrono::milliseconds limit) {
  const auto list = look_up(address);
  if (!list) return list.error();
  const auto deadline = SteadyClock::now() + limit;
  int failure = ETIMEDOUT;
  for (const addrinfo* entry = list->get(); entry; entry = entry->ai_next) {
    const auto start = SteadyClock::now();
    Connection connection(socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    failure = connection.descriptor() < 0 ? errno : connect_one(*entry, connection.descriptor(), deadline);
    if (failure != 0) continue;
    connection.took = since(start);
    connection.peer = numeric(*entry);
    return connection;
  }
  return connect_error(address, failure);
}

Result<TlsAnswer> shake_hands(const Connection& connection, const Address& address, const std::string& ca_file,
                              std::chrono::milliseconds limit) {
  const auto context = make_context(ca_file);
  if (!context) return context.error();
  const auto start = SteadyClock::now();
  const TlsSession ssl(SSL_new(context->get()));
  if (!ssl || SSL_set_fd(ssl.get(), connection.descriptor()) != 1) return tls_error(openssl_words());
  expect_host(ssl.get(), address.host);
  if (auto done = run_handshake(ssl.get(), connection.descriptor(), start + limit); !done) return done.error();
  TlsAnswer answer;
  answer.took = since(start);
  answer.version = SSL_get_version(ssl.get());
  answer.cipher = SSL_get_cipher_name(ssl.get());
  answer.days_left = days_left(ssl.get());
  return answer;
}

}  // namespace deepseek::cli
