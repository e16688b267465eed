// Base URLs and where an operation goes.
#include <deepseek/transport/detail/url.hpp>
#include <deepseek/transport/endpoint.hpp>
#include <deepseek/transport/transport.hpp>

#include "support/catch.hpp"

namespace {

using deepseek::ErrorCode;
using deepseek::Operation;
using deepseek::detail::compose_url;
using deepseek::detail::is_confidential_http;
using deepseek::detail::is_deepseek_host;
using deepseek::detail::parse_base_url;

Operation operation(Operation::Base base, std::string_view path = "/p") {
  Operation result;
  result.path = path;
  result.base = base;
  return result;
}

std::string composed(std::string_view base_url, Operation::Base base, std::optional<bool> deepseek = {}) {
  const auto url = compose_url(base_url, deepseek, operation(base));
  return url ? *url : deepseek::to_string(url.error().code());
}

}  // namespace

TEST_CASE("url: a base URL is split", "[modes]") {
  const auto base = parse_base_url("HTTPS://Example.com:8443/a//b///");
  REQUIRE(base);
  CHECK(base->text == "HTTPS://Example.com:8443/a//b");
  CHECK(base->host == "Example.com");
  CHECK(base->port == 8443);
  CHECK(base->path == "/a//b");
  CHECK(base->https);
  const auto six = parse_base_url("http://[::1]:80");
  REQUIRE(six);
  CHECK(six->host == "::1");
  CHECK(six->port == 80);
  CHECK(six->path.empty());
  CHECK_FALSE(six->https);
  CHECK(parse_base_url("http://[fe80::1%25eth0]/v1"));
  CHECK(parse_base_url("http://my_host/"));
}

TEST_CASE("url: what is no base URL is refused, and never quoted", "[modes]") {
  const std::string_view refused[] = {"",
                                      "/",
                                      "api.deepseek.com",
                                      "ftp://h",
                                      "https:/h",
                                      "https://",
                                      "https:///v1",
                                      "http://h:",
                                      "http://h:0",
                                      "http://h:65536",
                                      "http://h:8x",
                                      "http://h:-1",
                                      "http://h:+1",
                                      "http://user:secret@h",
                                      "http://secret@h/v1",
                                      "http://h?secret",
                                      "http://h#secret",
                                      "http://h/a b",
                                      "http://h\r\nX-Secret: secret",
                                      "http://h/\tsecret",
                                      " http://h",
                                      "http://h ",
                                      "http://[::1",
                                      "http://[::1]x",
                                      "http://[]",
                                      "http://[::g]",
                                      "http://[1.2.3.4]",
                                      "http://h\x7f",
                                      "http://.h",
                                      "http://h%00",
                                      "http://h\\x",
                                      "http://\xC3\xA4.de",
                                      std::string_view("http://h\0.com", 13),
                                      "http://a:b:c",
                                      "http://::1"};
  for (const std::string_view text : refused) {
    INFO(text);
    const auto base = parse_base_url(text);
    REQUIRE_FALSE(base);
    CHECK(base.error().code() == ErrorCode::invalid_options);
    CHECK(to_string(base.error()).find("secret") == std::string::npos);
  }
}

TEST_CASE("url: the operation is appended, /beta only where it exists", "[modes]") {
  using Base = Operation::Base;
  CHECK(composed("https://api.deepseek.com", Base::plain) == "https://api.deepseek.com/p");
  CHECK(composed("https://api.deepseek.com/", Base::beta_if_deepseek) == "https://api.deepseek.com/beta/p");
  CHECK(composed("https://API.DeepSeek.com./v1", Base::beta_if_deepseek) == "https://API.DeepSeek.com./beta/p");
  CHECK(composed("https://api.deepseek.com/v1/", Base::plain) == "https://api.deepseek.com/v1/p");
  CHECK(composed("https://api.deepseek.com/v1", Base::beta_only) == "https://api.deepseek.com/beta/p");
  CHECK(composed("https://api.deepseek.com/beta", Base::beta_only) == "https://api.deepseek.com/beta/p");
  CHECK(composed("https://gateway.example/x/beta", Base::beta_only) == "https://gateway.example/x/beta/p");
  CHECK(composed("http://127.0.0.1:9/v1", Base::beta_if_deepseek) == "http://127.0.0.1:9/v1/p");
  CHECK(composed("http://127.0.0.1:9", Base::beta_if_deepseek, true) == "http://127.0.0.1:9/beta/p");
  CHECK(composed("http://127.0.0.1:9/v1", Base::beta_only) == "unsupported");
  CHECK(composed("https://api.deepseek.com", Base::beta_only, false) == "unsupported");
  CHECK(composed("https://api.deepseek.com", Base::beta_if_deepseek, false) == "https://api.deepseek.com/p");
  CHECK(composed("https://api.deepseek.com/v1", Base::host_root) == "https://api.deepseek.com/p");
  CHECK(composed("https://api.deepseek.com/beta", Base::host_root) == "https://api.deepseek.com/p");
  CHECK(composed("https://h/av1", Base::host_root) == "https://h/av1/p");
  CHECK(composed("https://h.example/Keep%2Fthis//v1", Base::plain) == "https://h.example/Keep%2Fthis//v1/p");
  CHECK(composed("https://api.deepseek.com.evil.example", Base::beta_only) == "unsupported");
  CHECK(composed("nonsense", Base::plain) == "invalid_options");
}

TEST_CASE("url: what counts as DeepSeek, and as confidential", "[modes]") {
  CHECK(is_deepseek_host("https://api.deepseek.com/v1"));
  CHECK_FALSE(is_deepseek_host("https://api.deepseek.com.example"));
  CHECK_FALSE(is_deepseek_host("https://example/beta"));
  const auto confidential = [](const char* base) {
    deepseek::Endpoint endpoint;
    endpoint.base_url = base;
    return is_confidential_http(endpoint);
  };
  CHECK_FALSE(confidential("http://example/v1"));
  CHECK(confidential("http://[::1]:80/v1"));
  CHECK(confidential("https://example"));
  CHECK_FALSE(confidential("grpcs://example"));  // not for this transport to say
}
