#include "component/sqlite/cipher.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

// 'E', 4 bytes of key id, 12 of nonce, the text, 16 of tag. What is not encrypted begins with the entry's own magic.
constexpr char encrypted_mark = 'E';
constexpr std::size_t id_bytes = 4;
constexpr std::size_t nonce_bytes = 12;
constexpr std::size_t tag_bytes = 16;
constexpr std::size_t head_bytes = 1 + id_bytes + nonce_bytes;

unsigned char* as_bytes(char* text) { return reinterpret_cast<unsigned char*>(text); }
const unsigned char* as_bytes(const char* text) { return reinterpret_cast<const unsigned char*>(text); }

}  // namespace

EntryCipher::EntryCipher(const std::vector<DiskKey>& keys) : keys_(keys) {
  if (keys_.empty()) return;
  cipher_ = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  context_ = EVP_CIPHER_CTX_new();
}

EntryCipher::~EntryCipher() {
  EVP_CIPHER_CTX_free(context_);
  EVP_CIPHER_free(cipher_);
}

std::optional<std::string_view> EntryCipher::seal(std::string_view name, std::string_view bytes, std::string& room) {
  if (keys_.empty()) return bytes;
  if (!cipher_ || !context_) return std::nullopt;
  const DiskKey& key = keys_.front();
  room.assign(head_bytes + bytes.size() + tag_bytes, '\0');
  char* const head = room.data();
  head[0] = encrypted_mark;
  for (std::size_t i = 0; i < id_bytes; ++i) head[1 + i] = static_cast<char>(key.id >> (8 * i) & 0xFF);
  unsigned char* const nonce = as_bytes(head + 1 + id_bytes);
  unsigned char* const text = as_bytes(head + head_bytes);
  int size = 0;
  const bool good =
      RAND_bytes(nonce, nonce_bytes) == 1 &&
      EVP_EncryptInit_ex2(context_, cipher_, as_bytes(key.key.reveal().data()), nonce, nullptr) == 1 &&
      EVP_EncryptUpdate(context_, nullptr, &size, as_bytes(name.data()), static_cast<int>(name.size())) == 1 &&
      EVP_EncryptUpdate(context_, text, &size, as_bytes(bytes.data()), static_cast<int>(bytes.size())) == 1 &&
      EVP_EncryptFinal_ex(context_, text + size, &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, tag_bytes, text + bytes.size()) == 1;
  if (!good) return std::nullopt;
  return room;
}

EntryCipher::Status EntryCipher::open(std::string_view name, std::string_view stored, std::string& bytes) {
  const bool encrypted = !stored.empty() && stored.front() == encrypted_mark;
  if (!encrypted) {
    if (!keys_.empty()) return Status::unknown_key;  // who asks for encryption does not trust what has none
    bytes.assign(stored);
    return Status::read;
  }
  if (stored.size() < head_bytes + tag_bytes) return Status::damaged;
  std::uint32_t id = 0;
  for (std::size_t i = 0; i < id_bytes; ++i) id |= std::uint32_t{static_cast<unsigned char>(stored[1 + i])} << (8 * i);
  const auto key = std::find_if(keys_.begin(), keys_.end(), [id](const DiskKey& known) { return known.id == id; });
  if (key == keys_.end() || !cipher_ || !context_) return Status::unknown_key;
  const std::string_view text = stored.substr(head_bytes, stored.size() - head_bytes - tag_bytes);
  unsigned char tag[tag_bytes];
  stored.copy(reinterpret_cast<char*>(tag), tag_bytes, stored.size() - tag_bytes);
  bytes.resize(text.size());
  int size = 0;
  const bool good =
      EVP_DecryptInit_ex2(context_, cipher_, as_bytes(key->key.reveal().data()), as_bytes(stored.data() + 1 + id_bytes),
                          nullptr) == 1 &&
      EVP_DecryptUpdate(context_, nullptr, &size, as_bytes(name.data()), static_cast<int>(name.size())) == 1 &&
      EVP_DecryptUpdate(context_, as_bytes(bytes.data()), &size, as_bytes(text.data()),
                        static_cast<int>(text.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, tag_bytes, tag) == 1 &&
      EVP_DecryptFinal_ex(context_, as_bytes(bytes.data()) + size, &size) == 1;
  return good ? Status::read : Status::damaged;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
