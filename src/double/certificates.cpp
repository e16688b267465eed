// X.509 by OpenSSL. Every certificate carries what strict verifiers (Python 3.13) ask for: basic constraints,
// key usage, key identifiers.
#include "certificates.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

template <class T, void (*Free)(T*)>
struct Freer {
  void operator()(T* object) const { Free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY, EVP_PKEY_free>>;
using Cert = std::unique_ptr<X509, Freer<X509, X509_free>>;
struct BioFreer {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Bio = std::unique_ptr<BIO, BioFreer>;

constexpr long day = 24 * 60 * 60;

void check(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string("certificate: ") + what);
}

Key new_key() {
  Key key(EVP_EC_gen("P-256"));
  check(key != nullptr, "no key");
  return key;
}

struct Party {
  Key key;
  Cert cert;
};

struct Wanted {
  const char* name;
  const char* hosts = nullptr;  ///< subjectAltName; null: an authority
  long from = -day;             ///< seconds from now
  long to = 30 * day;
};

void extend(X509* cert, X509* issuer, int which, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  auto* extension = X509V3_EXT_conf_nid(nullptr, &context, which, value);
  check(extension != nullptr, value);
  const int added = X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
  check(added == 1, value);
}

void set_random_serial(X509* cert) {
  unsigned char bytes[16];
  check(RAND_bytes(bytes, sizeof bytes) == 1, "no randomness");
  bytes[0] &= 0x7f;  // positive
  std::unique_ptr<BIGNUM, Freer<BIGNUM, BN_free>> number(BN_bin2bn(bytes, sizeof bytes, nullptr));
  check(number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert)) != nullptr, "no serial");
}

/// `issuer` null: signed by itself.
Party issue(const Wanted& wanted, const Party* issuer) {
  Party party{new_key(), Cert(X509_new())};
  auto* cert = party.cert.get();
  check(cert != nullptr && X509_set_version(cert, 2) == 1, "out of memory");
  set_random_serial(cert);
  X509_gmtime_adj(X509_getm_notBefore(cert), wanted.from);
  X509_gmtime_adj(X509_getm_notAfter(cert), wanted.to);
  auto* name = X509_get_subject_name(cert);
  X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("DeepSeek double"), -1, -1,
                             0);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(wanted.name), -1, -1, 0);
  auto* signer = issuer != nullptr ? issuer->cert.get() : cert;
  X509_set_issuer_name(cert, X509_get_subject_name(signer));
  check(X509_set_pubkey(cert, party.key.get()) == 1, "no public key");

  const bool authority = wanted.hosts == nullptr;
  extend(cert, signer, NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  extend(cert, signer, NID_key_usage, authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  extend(cert, signer, NID_subject_key_identifier, "hash");
  extend(cert, signer, NID_authority_key_identifier, "keyid:always");
  if (!authority) {
    extend(cert, signer, NID_ext_key_usage, "serverAuth");
    extend(cert, signer, NID_subject_alt_name, wanted.hosts);
  }
  auto* key = issuer != nullptr ? issuer->key.get() : party.key.get();
  check(X509_sign(cert, key, EVP_sha256()) > 0, "not signed");
  return party;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pem(X509* cert) {
  Bio bio(BIO_new(BIO_s_mem()));
  check(PEM_write_bio_X509(bio.get(), cert) == 1, "no PEM");
  return text_of(bio.get());
}

std::string pem(EVP_PKEY* key) {
  Bio bio(BIO_new(BIO_s_mem()));
  check(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1, "no PEM");
  return text_of(bio.get());
}

}  // namespace

CertificateMaterial make_certificates(Certificate kind) {
  const auto authority = issue({"Test authority"}, nullptr);
  const auto stranger = issue({"Unknown authority"}, nullptr);
  Wanted wanted{"localhost", "DNS:localhost,IP:127.0.0.1,IP:::1"};
  const Party* issuer = &authority;
  switch (kind) {
    case Certificate::none:
    case Certificate::good:
      break;
    case Certificate::expired:
      wanted.from = -10 * day, wanted.to = -day;
      break;
    case Certificate::not_yet_valid:
      wanted.from = day, wanted.to = 10 * day;
      break;
    case Certificate::wrong_host:
      wanted = {"another.example", "DNS:another.example"};
      break;
    case Certificate::self_signed:
      issuer = nullptr;
      break;
    case Certificate::unknown_ca:
      issuer = &stranger;
      break;
  }
  const auto server = issue(wanted, issuer);
  return {pem(authority.cert.get()), pem(server.cert.get()), pem(server.key.get())};
}

void use_certificate(boost::asio::ssl::context& context, const CertificateMaterial& material, bool require_tls13) {
  using boost::asio::buffer;
  context.use_certificate_chain(buffer(material.chain_pem));
  context.use_private_key(buffer(material.key_pem), boost::asio::ssl::context::pem);
  SSL_CTX_set_min_proto_version(context.native_handle(), require_tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  // HTTP/1.1 alone is spoken here; a client that offers h2 too is told so.
  SSL_CTX_set_alpn_select_cb(
      context.native_handle(),
      [](SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned int length, void*) {
        static constexpr unsigned char http1[] = "\x08http/1.1";
        auto* chosen = const_cast<unsigned char*>(*out);
        if (SSL_select_next_proto(&chosen, size, http1, sizeof http1 - 1, in, length) != OPENSSL_NPN_NEGOTIATED) {
          return SSL_TLSEXT_ERR_NOACK;
        }
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
      },
      nullptr);
}

std::string write_private_file(const std::string& content) {
  const char* folder = std::getenv("TMPDIR");
  std::string name = std::string(folder != nullptr && *folder != '\0' ? folder : P_tmpdir) + "/deepseek-double-XXXXXX";
  const int file = ::mkstemp(name.data());  // mode 0600
  check(file >= 0, "no temporary file");
  const auto written = ::write(file, content.data(), content.size());
  ::close(file);
  check(written == static_cast<ssize_t>(content.size()), "temporary file not written");
  return name;
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
