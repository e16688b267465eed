// Certificates made at start: an authority, and a good or bad server certificate.
#pragma once
#include <string>

#include <boost/asio/ssl/context.hpp>

#include <deepseek/testing/double.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

struct CertificateMaterial {
  std::string authority_pem;  ///< what clients should trust
  std::string chain_pem;      ///< what the server shows
  std::string key_pem;
};

/// Throws std::runtime_error if OpenSSL fails.
CertificateMaterial make_certificates(Certificate kind);
void use_certificate(boost::asio::ssl::context& context, const CertificateMaterial& material, bool require_tls13);
/// Writes a file that only this user may read; returns its name. Throws std::runtime_error.
std::string write_private_file(const std::string& content);

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
