// TLS doubles: the good certificate passes strict verification, each bad one fails with its own reason.
#include <deepseek/testing/double.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <sys/stat.h>

#include "../support/catch.hpp"
#include "double_socket.hpp"

using namespace double_tests;
using namespace deepseek::test;

namespace {

struct Outcome {
  bool connected = false;
  long verification = X509_V_OK;
  std::string answer;
};

/// Connects as a client that trusts only the double's authority and wants `host`.
Outcome connect_tls(const Double& server, const char* host = nullptr, int most = 0) {
  Outcome outcome;
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  BIO* memory = BIO_new_mem_buf(server.ca_pem().data(), static_cast<int>(server.ca_pem().size()));
  X509* authority = PEM_read_bio_X509(memory, nullptr, nullptr, nullptr);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (most != 0) SSL_CTX_set_max_proto_version(context, most);
  SSL* tls = SSL_new(context);
  auto* parameters = SSL_get0_param(tls);
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);  // what Python 3.13 asks for
  if (host != nullptr)
    X509_VERIFY_PARAM_set1_host(parameters, host, 0);
  else
    X509_VERIFY_PARAM_set1_ip_asc(parameters, "127.0.0.1");
  Peer peer(server.port());
  SSL_set_fd(tls, peer.fd());
  outcome.connected = SSL_connect(tls) == 1;
  outcome.verification = SSL_get_verify_result(tls);
  if (outcome.connected) {
    const std::string request = "GET /user/balance HTTP/1.1\r\nAuthorization: Bearer k\r\nConnection: close\r\n\r\n";
    SSL_write(tls, request.data(), static_cast<int>(request.size()));
    char buffer[4096];
    int count = 0;
    while ((count = SSL_read(tls, buffer, sizeof buffer)) > 0)
      outcome.answer.append(buffer, static_cast<std::size_t>(count));
    CHECK(SSL_get_error(tls, count) == SSL_ERROR_ZERO_RETURN);  // an orderly end
  }
  SSL_free(tls);
  X509_free(authority);
  BIO_free(memory);
  SSL_CTX_free(context);
  ERR_clear_error();
  return outcome;
}

Double tls_double(Certificate kind) {
  DoubleOptions options;
  options.certificate = kind;
  return Double(options);
}

}  // namespace

TEST_CASE("a good certificate passes strict verification, by address and by name") {
  const auto server = tls_double(Certificate::good);
  CHECK(server.base_url().find("https://127.0.0.1:") == 0);
  for (const auto* host : {static_cast<const char*>(nullptr), "localhost"}) {
    const auto outcome = connect_tls(server, host);
    CHECK(outcome.connected);
    CHECK(outcome.verification == X509_V_OK);
    CHECK(outcome.answer.find("balance_infos") != std::string::npos);
  }
}

TEST_CASE("each bad certificate fails for its own reason") {
  const std::pair<Certificate, long> rows[] = {
      {Certificate::expired, X509_V_ERR_CERT_HAS_EXPIRED},
      {Certificate::not_yet_valid, X509_V_ERR_CERT_NOT_YET_VALID},
      {Certificate::wrong_host, X509_V_ERR_IP_ADDRESS_MISMATCH},
      {Certificate::self_signed, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
      {Certificate::unknown_ca, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
  };
  for (const auto& [kind, reason] : rows) {
    INFO("certificate " << static_cast<int>(kind));
    const auto server = tls_double(kind);
    const auto outcome = connect_tls(server);
    CHECK_FALSE(outcome.connected);
    CHECK(outcome.verification == reason);
  }
}

TEST_CASE("TLS 1.3 can be required") {
  DoubleOptions options;
  options.certificate = Certificate::good;
  options.require_tls13 = true;
  const Double server(options);
  CHECK_FALSE(connect_tls(server, nullptr, TLS1_2_VERSION).connected);
  CHECK(connect_tls(server).connected);
}

TEST_CASE("the authority's file is private and goes with the double") {
  std::string file;
  {
    const auto server = tls_double(Certificate::good);
    file = server.ca_file();
    struct stat facts{};
    REQUIRE(::stat(file.c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == 0600);
  }
  CHECK(::access(file.c_str(), F_OK) != 0);
}
