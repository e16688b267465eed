// Key pairs for tests of signed tokens, made with OpenSSL alone.
#pragma once
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include <deepseek/auth/detail/encoding.hpp>

namespace deepseek_tests {

/// A fresh key: `type` is RSA (parameter: bits), EC (parameter: curve), ED25519 or ED448.
struct KeyPair {
  std::string pem;         ///< private, PKCS#8
  std::string public_pem;  ///< SubjectPublicKeyInfo
  std::string jwk;         ///< public, without kid and alg
  std::shared_ptr<EVP_PKEY> key;

  static KeyPair make(const std::string& type, const std::string& parameter = {}) {
    KeyPair pair;
    EVP_PKEY* made = nullptr;
    if (type == "RSA")
      made = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(std::atoi(parameter.c_str())));
    else if (type == "EC")
      made = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", parameter.c_str());
    else
      made = EVP_PKEY_Q_keygen(nullptr, nullptr, type.c_str());
    if (!made) throw std::runtime_error("no key could be made");
    pair.key.reset(made, EVP_PKEY_free);
    pair.pem = text_of([&](BIO* out) { PEM_write_bio_PrivateKey(out, made, nullptr, nullptr, 0, nullptr, nullptr); });
    pair.public_pem = text_of([&](BIO* out) { PEM_write_bio_PUBKEY(out, made); });
    pair.jwk = make_jwk(made, type, parameter);
    return pair;
  }

  std::string encrypted_pem(std::string password) const {
    return text_of([&](BIO* out) {
      PEM_write_bio_PKCS8PrivateKey(out, key.get(), EVP_aes_128_cbc(), password.data(),
                                    static_cast<int>(password.size()), nullptr, nullptr);
    });
  }

 private:
  template <class Write>
  static std::string text_of(Write write) {
    const std::unique_ptr<BIO, int (*)(BIO*)> out(BIO_new(BIO_s_mem()), BIO_free);
    write(out.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return std::string(data, static_cast<std::size_t>(size));
  }

  static std::string number(EVP_PKEY* key, const char* name, int size) {
    BIGNUM* value = nullptr;
    EVP_PKEY_get_bn_param(key, name, &value);
    const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> owned(value, BN_free);
    std::string bytes(static_cast<std::size_t>(size > 0 ? size : BN_num_bytes(value)), '\0');
    BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    return deepseek::detail::base64url(bytes);
  }

  static std::string make_jwk(EVP_PKEY* key, const std::string& type, const std::string& parameter) {
    if (type == "RSA")
      return R"({"kty":"RSA","n":")" + number(key, OSSL_PKEY_PARAM_RSA_N, 0) + R"(","e":")" +
             number(key, OSSL_PKEY_PARAM_RSA_E, 0) + R"("})";
    if (type == "EC") {
      const int size = (EVP_PKEY_get_bits(key) + 7) / 8;
      return R"({"kty":"EC","crv":")" + parameter + R"(","x":")" + number(key, OSSL_PKEY_PARAM_EC_PUB_X, size) +
             R"(","y":")" + number(key, OSSL_PKEY_PARAM_EC_PUB_Y, size) + R"("})";
    }
    unsigned char raw[64];
    std::size_t size = sizeof raw;
    EVP_PKEY_get_raw_public_key(key, raw, &size);
    return R"({"kty":"OKP","crv":")" + std::string(type == "ED25519" ? "Ed25519" : "Ed448") + R"(","x":")" +
           deepseek::detail::base64url({reinterpret_cast<char*>(raw), size}) + R"("})";
  }
};

inline std::string hmac_sha256(const std::string& key, const std::string& text) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), mac, &size);
  return std::string(reinterpret_cast<char*>(mac), size);
}

/// Signs any text as ES256 would, in base64url: headers that no signer here would write.
inline std::string es256_signature(const KeyPair& pair, const std::string& text) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  unsigned char der[256];
  std::size_t size = sizeof der;
  EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, pair.key.get());
  EVP_DigestSign(context.get(), der, &size, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  const unsigned char* at = der;
  const std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)),
                                                                   ECDSA_SIG_free);
  std::string raw(64, '\0');
  auto* const bytes = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), bytes, 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), bytes + 32, 32);
  return deepseek::detail::base64url(raw);
}

}  // namespace deepseek_tests
