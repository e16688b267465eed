// EntryCipher: what an entry looks like on the disk. Private to the component.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/component/sqlite.hpp>

typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Encrypts and decrypts, or passes through if there are no keys. Not for two threads at once.
class EntryCipher {
 public:
  enum class Status { read, unknown_key, damaged };

  explicit EntryCipher(const std::vector<DiskKey>& keys);
  ~EntryCipher();
  EntryCipher(const EntryCipher&) = delete;
  EntryCipher& operator=(const EntryCipher&) = delete;

  /// What to write for `bytes`, bound to `name`; nothing if OpenSSL fails. May be a view of `bytes` or of `room`.
  std::optional<std::string_view> seal(std::string_view name, std::string_view bytes, std::string& room);
  Status open(std::string_view name, std::string_view stored, std::string& bytes);

 private:
  const std::vector<DiskKey>& keys_;
  EVP_CIPHER* cipher_ = nullptr;
  EVP_CIPHER_CTX* context_ = nullptr;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
