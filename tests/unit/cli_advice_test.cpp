#include "cli/advice.hpp"

// The command is a program, not a library: the file under test is compiled in here.
#include "cli/advice.cpp"
#include "support/catch.hpp"

using namespace deepseek;
using namespace deepseek::cli;

namespace {

std::string advice_for(ErrorCode code, const std::string& message = {}, const std::string& cause = {}) {
  Error error(code, message, "set Endpoint::something");
  return in_flags(error.with([&](ErrorDetails& details) { details.cause = cause; })).advice();
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("advice: it names flags, not members of C++ structs") {
  CHECK(has(advice_for(ErrorCode::insecure_credential), "--allow-plain-http"));
  CHECK(has(advice_for(ErrorCode::missing_key), "--api-key-file"));
  CHECK(has(in_flags(Error(ErrorCode::bad_request, "400: Model Not Exist", "correct it")).advice(), "deepseek models"));
  CHECK(
      in_flags(Error(ErrorCode::bad_request, "400: This model's maximum context length is 9", "correct it")).advice() ==
      "correct it");
  CHECK(has(in_flags(Error(ErrorCode::authentication, "401", "no key was sent: set it")).advice(), "no key was sent"));
  CHECK(has(advice_for(ErrorCode::authentication), "--api-key-file"));
  CHECK(has(advice_for(ErrorCode::unsupported), "--deepseek"));
  CHECK(has(advice_for(ErrorCode::timeout_total), "--timeout"));
  CHECK(has(advice_for(ErrorCode::proxy_failed), "--proxy"));
  CHECK(has(advice_for(ErrorCode::connect_failed), "host and port"));
  CHECK(has(advice_for(ErrorCode::dns_failed), "base URL"));
  const Error options(ErrorCode::invalid_options, "TlsOptions::ca_file cannot be read", "set ProxyOptions::url");
  CHECK(in_flags(options).message() == "--ca-file cannot be read");
  CHECK(in_flags(options).advice() == "set --proxy");
  // What the library says of a request is as good for people.
  CHECK(advice_for(ErrorCode::bad_request) == "set Endpoint::something");
  CHECK(has(in_flags(Error(ErrorCode::timeout_total, "the call's deadline passed")).message(), "--timeout"));
}

TEST_CASE("advice: TLS failures are told apart in the words of libcurl and of OpenSSL") {
  const auto tls = [](const char* words) { return advice_for(ErrorCode::tls_failed, words); };
  CHECK(has(tls("certificate has expired"), "clock"));
  CHECK(has(tls("certificate is not yet valid"), "clock"));
  CHECK(has(tls("hostname mismatch"), "another name"));
  CHECK(has(tls("unable to get local issuer certificate"), "--ca-file"));
  CHECK(has(tls("self-signed certificate"), "--ca-file"));
  CHECK(has(tls("wrong version number"), "http://"));
  const auto curl = [](const char* cause) { return advice_for(ErrorCode::tls_failed, "no TLS session", cause); };
  CHECK(has(curl("SSL certificate problem: certificate has expired"), "clock"));
  CHECK(has(curl("SSL: no alternative certificate subject name matches target host name 'x'"), "another name"));
  CHECK(has(curl("SSL certificate problem: unable to get local issuer certificate"), "--ca-file"));
}

TEST_CASE("advice: a base URL is shown without what may be secret in it") {
  CHECK(shown_url("ftp://x") == "ftp://x");
  CHECK(shown_url("nonsense") == "nonsense");
  CHECK(shown_url("").empty());
  CHECK(shown_url("http://user:pass@host:1/v1") == "http://***@host:1/v1");
  CHECK(shown_url("http://user:p@ss/w@host") == "http://***@host");
  CHECK(shown_url("user:pass@host") == "***@host");
  CHECK(shown_url("https://host/v1?key=secret") == "https://host/v1?...");
  CHECK(shown_url("https://host/#secret") == "https://host/?...");
  CHECK(shown_url("http://a\nb") == "http://a?b");
  CHECK(shown_url("http://" + std::string(1000, 'x')).size() == 203);
}
