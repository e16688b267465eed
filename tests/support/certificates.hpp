// An authority and what it signs, for tests of mutual TLS.
#pragma once
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace deepseek_tests {

class TestAuthority {
 public:
  struct Pair {
    std::string certificate;  ///< PEM
    std::string key;          ///< PEM
  };

  TestAuthority() : key_(make_key()), certificate_(make(nullptr, key_.get(), "Test Authority", nullptr)) {}

  std::string pem() const {
    return text_of([&](BIO* out) { PEM_write_bio_X509(out, certificate_.get()); });
  }
  /// For `name` (CN); `address` is an IP address for a server, null for a client.
  Pair issue(const std::string& name, const char* address = nullptr) const {
    const Key key = make_key();
    const Certificate made = make(certificate_.get(), key.get(), name, address);
    return {text_of([&](BIO* out) { PEM_write_bio_X509(out, made.get()); }), text_of([&](BIO* out) {
              PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
            })};
  }

 private:
  using Key = std::shared_ptr<EVP_PKEY>;
  using Certificate = std::shared_ptr<X509>;

  static Key make_key() { return {EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free}; }

  template <class Write>
  static std::string text_of(Write write) {
    const std::unique_ptr<BIO, int (*)(BIO*)> out(BIO_new(BIO_s_mem()), BIO_free);
    write(out.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return std::string(data, static_cast<std::size_t>(size));
  }

  static void extend(X509* made, X509* issuer, int what, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, made, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value);
    if (!extension || X509_add_ext(made, extension, -1) != 1) throw std::runtime_error("no certificate could be made");
    X509_EXTENSION_free(extension);
  }

  /// `signer` null: signed by itself.
  Certificate make(X509* signer, EVP_PKEY* key, const std::string& name, const char* address) const {
    const bool root = !signer;
    const Certificate made(X509_new(), X509_free);
    static long serial = 1;
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 86400);
    X509_set_pubkey(made.get(), key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509* const issuer = root ? made.get() : signer;
    X509_set_issuer_name(made.get(), X509_get_subject_name(issuer));
    extend(made.get(), issuer, NID_basic_constraints, root ? "critical,CA:TRUE" : "CA:FALSE");
    extend(made.get(), issuer, NID_key_usage, root ? "critical,keyCertSign" : "digitalSignature");
    if (!root) extend(made.get(), issuer, NID_ext_key_usage, address ? "serverAuth" : "clientAuth");
    if (address) extend(made.get(), issuer, NID_subject_alt_name, (std::string("IP:") + address).c_str());
    if (X509_sign(made.get(), key_.get(), EVP_sha256()) == 0)
      throw std::runtime_error("no certificate could be signed");
    return made;
  }

  Key key_;
  Certificate certificate_;
};

}  // namespace deepseek_tests
