#include "component/redis/stream.hpp"

#include <deepseek/core/detail/platform.hpp>
#include <deepseek/core/detail/socket.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstring>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

Error bad_tls(const char* what) { return Error(ErrorCode::invalid_options, what, "check RedisServer::tls_options"); }

int give_password(char* into, int capacity, int, void* password) {
  const std::string_view text = static_cast<const Secret*>(password)->reveal();
  if (text.size() > static_cast<std::size_t>(capacity)) return 0;
  std::memcpy(into, text.data(), text.size());
  return static_cast<int>(text.size());
}

bool load_authorities(SSL_CTX* context, const TlsOptions& options) {
  const char* const file = options.ca_file.empty() ? nullptr : options.ca_file.c_str();
  const char* const folder = options.ca_path.empty() ? nullptr : options.ca_path.c_str();
  if (file || folder) return SSL_CTX_load_verify_locations(context, file, folder) == 1;
  // The hashed folder costs nothing until a name is looked up; the bundle is read whole.
  if (is_hashed_ca_folder("/etc/ssl/certs"))
    return SSL_CTX_load_verify_locations(context, nullptr, "/etc/ssl/certs") == 1;
  return SSL_CTX_set_default_verify_paths(context) == 1;
}

std::optional<Error> load_own_certificate(SSL_CTX* context, const TlsOptions& options) {
  if (options.client_cert_file.empty()) return std::nullopt;
  if (SSL_CTX_use_certificate_chain_file(context, options.client_cert_file.c_str()) != 1)
    return bad_tls("the client certificate for Redis cannot be read");
  const std::string& key = options.client_key_file.empty() ? options.client_cert_file : options.client_key_file;
  SSL_CTX_set_default_passwd_cb(context, give_password);
  SSL_CTX_set_default_passwd_cb_userdata(context, const_cast<Secret*>(&options.client_key_password));
  const bool good = SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) == 1 &&
                    SSL_CTX_check_private_key(context) == 1;
  SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
  if (!good) return bad_tls("the client key for Redis cannot be read or does not fit the certificate");
  return std::nullopt;
}

std::string openssl_words() {
  char text[160];
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "the connection was closed";
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

}  // namespace

Result<std::shared_ptr<RedisTls>> RedisTls::make(const TlsOptions& options) {
  if (!options.pinned_public_key.empty()) return bad_tls("pinned_public_key is not supported for Redis");
  ERR_clear_error();
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (!context) return Error(ErrorCode::internal, "OpenSSL has no memory for a TLS context");
  std::shared_ptr<RedisTls> tls(new RedisTls(context));
  SSL_CTX_set_min_proto_version(context, options.require_tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const bool loaded = load_authorities(context, options);
  const auto own = loaded ? load_own_certificate(context, options) : std::nullopt;
  ERR_clear_error();
  if (!loaded) return bad_tls("the certificate authorities for Redis cannot be read");
  if (own) return *own;
  return tls;
}

RedisTls::~RedisTls() { SSL_CTX_free(context_); }

void RedisStream::FreeSsl::operator()(SSL* ssl) const noexcept { SSL_free(ssl); }

RedisStream::RedisStream(int fd, const std::shared_ptr<RedisTls>& tls, const std::string& host) : fd_(fd), tls_(tls) {
  if (!tls_) return;
  ssl_.reset(SSL_new(tls_->context()));
  BIO* const in = BIO_new(BIO_s_mem());
  BIO* const out = BIO_new(BIO_s_mem());
  if (!ssl_ || !in || !out) {
    BIO_free(in);
    BIO_free(out);
    ssl_.reset();
    failure_ = "OpenSSL has no memory for a connection";
    return;
  }
  SSL_set_bio(ssl_.get(), in, out);
  SSL_set_connect_state(ssl_.get());
  SocketAddress address;
  bool named = false;
  if (numeric_address(host, 0, address)) {
    named = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str()) == 1;
  } else {
    named = SSL_set1_host(ssl_.get(), host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) == 1;
  }
  if (!named) failure_ = "the host name cannot be verified";
}

RedisStream::~RedisStream() = default;

RedisStream::Status RedisStream::fail(std::string why) {
  if (failure_.empty()) failure_ = std::move(why);
  return Status::failed;
}

RedisStream::Status RedisStream::tls_failed(int result, const char* doing) {
  const int reason = SSL_get_error(ssl_.get(), result);
  if (reason == SSL_ERROR_ZERO_RETURN) return Status::closed;
  const long verified = SSL_get_verify_result(ssl_.get());
  if (verified != X509_V_OK) {
    ERR_clear_error();
    return fail(std::string("the certificate is not accepted: ") + X509_verify_cert_error_string(verified));
  }
  return fail(std::string(doing) + ": " + openssl_words());
}

// OpenSSL's own socket writes would raise SIGPIPE in the host's process: the bytes pass through memory.
RedisStream::Status RedisStream::send_cipher() {
  if (cipher_at_ == cipher_.size()) {
    cipher_.clear();
    cipher_at_ = 0;
  }
  if (const std::size_t more = BIO_ctrl_pending(SSL_get_wbio(ssl_.get())); more > 0) {
    const std::size_t old = cipher_.size();
    cipher_.resize(old + more);
    const int got = BIO_read(SSL_get_wbio(ssl_.get()), cipher_.data() + old, static_cast<int>(more));
    cipher_.resize(old + static_cast<std::size_t>(got > 0 ? got : 0));
  }
  while (wants_write()) {
    const SocketResult sent = send_pieces(fd_, std::string_view(cipher_).substr(cipher_at_), {});
    if (sent.would_block) return Status::blocked;
    if (sent.error != 0) return fail(system_error_text(sent.error));
    cipher_at_ += sent.bytes;
  }
  return Status::done;
}

RedisStream::Status RedisStream::receive_cipher() {
  char buffer[16 * 1024];
  const SocketResult got = receive(fd_, buffer, sizeof buffer);
  if (got.would_block) return Status::blocked;
  if (got.error != 0) return fail(system_error_text(got.error));
  if (got.bytes == 0) return Status::closed;
  if (BIO_write(SSL_get_rbio(ssl_.get()), buffer, static_cast<int>(got.bytes)) != static_cast<int>(got.bytes))
    return fail("OpenSSL has no memory for what came");
  return Status::done;
}

RedisStream::Status RedisStream::handshake() {
  if (!failure_.empty()) return Status::failed;
  if (!ssl_) return Status::done;
  while (true) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    const bool more = result != 1 && SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ;
    // An alert of ours goes out too, but tells nothing new if it cannot.
    const Status sent = send_cipher();
    if (result == 1) return sent == Status::failed ? sent : Status::done;
    if (!more) return tls_failed(result, "the TLS handshake failed");
    if (sent == Status::failed) return sent;
    if (const Status got = receive_cipher(); got != Status::done)
      return got == Status::closed ? fail("the connection was closed in the TLS handshake") : got;
  }
}

RedisStream::Status RedisStream::read(char* into, std::size_t capacity, std::size_t& got) {
  got = 0;
  if (!ssl_) {
    const SocketResult result = receive(fd_, into, capacity);
    if (result.would_block) return Status::blocked;
    if (result.error != 0) return fail(system_error_text(result.error));
    got = result.bytes;
    return got == 0 ? Status::closed : Status::done;
  }
  while (true) {
    ERR_clear_error();
    const int result = SSL_read_ex(ssl_.get(), into, capacity, &got);
    if (send_cipher() == Status::failed) return Status::failed;  // answers to key updates
    if (result == 1) return Status::done;
    if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) return tls_failed(result, "TLS");
    if (const Status more = receive_cipher(); more != Status::done) return more;
  }
}

RedisStream::Status RedisStream::write(std::string_view bytes, std::size_t& taken) {
  taken = 0;
  if (!ssl_) {
    while (taken < bytes.size()) {
      const SocketResult sent = send_pieces(fd_, bytes.substr(taken), {});
      if (sent.would_block) return Status::blocked;
      if (sent.error != 0) return fail(system_error_text(sent.error));
      taken += sent.bytes;
    }
    return Status::done;
  }
  while (true) {
    if (const Status sent = send_cipher(); sent != Status::done) return sent;
    if (taken == bytes.size()) return Status::done;
    // One record at a time, so that what lies here encrypted stays small.
    std::size_t written = 0;
    ERR_clear_error();
    const std::string_view piece = bytes.substr(taken, 16 * 1024);
    const int result = SSL_write_ex(ssl_.get(), piece.data(), piece.size(), &written);
    if (result != 1) return tls_failed(result, "TLS");
    taken += written;
  }
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
