// RedisStream: a socket that never blocks, plain or with TLS. Private to the component.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <deepseek/component/redis.hpp>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What one server's connections share: the authorities and the client's own certificate, read once.
class RedisTls {
 public:
  static Result<std::shared_ptr<RedisTls>> make(const TlsOptions& options);
  ~RedisTls();
  RedisTls(const RedisTls&) = delete;
  RedisTls& operator=(const RedisTls&) = delete;
  SSL_CTX* context() const noexcept { return context_; }

 private:
  explicit RedisTls(SSL_CTX* context) : context_(context) {}
  SSL_CTX* context_;
};

class RedisStream {
 public:
  enum class Status { done, blocked, closed, failed };

  /// Over a connected socket, which stays the caller's. `tls` null: plain.
  RedisStream(int fd, const std::shared_ptr<RedisTls>& tls, const std::string& host);
  ~RedisStream();
  RedisStream(const RedisStream&) = delete;
  RedisStream& operator=(const RedisStream&) = delete;

  Status handshake();
  /// done: `got` bytes, at least one.
  Status read(char* into, std::size_t capacity, std::size_t& got);
  /// done: everything from `bytes` was taken (with TLS it may still lie here, see wants_write()). blocked: `taken` of
  /// it.
  Status write(std::string_view bytes, std::size_t& taken);
  /// True if bytes lie here that the socket did not take yet; write({}) sends on.
  bool wants_write() const noexcept { return cipher_at_ < cipher_.size(); }
  /// Why it failed, in a few words.
  const std::string& failure() const noexcept { return failure_; }

 private:
  struct FreeSsl {
    void operator()(SSL* ssl) const noexcept;
  };
  Status fail(std::string why);
  Status tls_failed(int result, const char* doing);
  Status send_cipher();
  Status receive_cipher();

  int fd_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  std::shared_ptr<RedisTls> tls_;
  std::string cipher_;  // encrypted, cipher_at_ of it sent
  std::size_t cipher_at_ = 0;
  std::string failure_;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
