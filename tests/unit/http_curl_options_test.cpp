// What the libcurl engine refuses to be made with.
#include <deepseek/http/curl.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace deepseek;

namespace {

using Edit = std::function<void(CurlOptions&)>;

/// The message of the refusal; "made": there was none.
std::string refusal(const Edit& edit) {
  CurlOptions options;
  edit(options);
  const auto engine = make_curl_engine(std::move(options));
  if (engine) return "made";
  CHECK(engine.error().code() == ErrorCode::invalid_options);
  CHECK_FALSE(engine.error().advice().empty());
  return to_string(engine.error());
}

bool names(const std::string& message, const char* member) { return message.find(member) != std::string::npos; }

std::string proxy_refusal(const std::string& url) {
  return refusal([&](CurlOptions& options) { options.proxy.url = url; });
}

std::string resolve_refusal(const std::string& entry) {
  return refusal([&](CurlOptions& options) { options.resolve = {entry}; });
}

}  // namespace

TEST_CASE("curl options: no NUL byte may cut a text short") {
  const std::string text("/etc/passwd\0x", 13);
  const std::vector<std::pair<const char*, Edit>> edits = {
      {"unix_socket", [&](CurlOptions& o) { o.unix_socket = text; }},
      {"unix_socket", [&](CurlOptions& o) { o.unix_socket = std::string("\0abc", 4); }},
      {"ProxyOptions::url", [&](CurlOptions& o) { o.proxy.url = std::string("http://127.0.0.1:1\0evil", 23); }},
      {"ProxyOptions::user", [&](CurlOptions& o) { o.proxy.url = "http://p", o.proxy.user = text; }},
      {"ProxyOptions::password", [&](CurlOptions& o) { o.proxy.url = "http://p", o.proxy.password = Secret(text); }},
      {"ProxyOptions::no_proxy", [&](CurlOptions& o) { o.proxy.no_proxy = text; }},
      {"TlsOptions::ca_file", [&](CurlOptions& o) { o.tls.ca_file = text; }},
      {"TlsOptions::ca_path", [&](CurlOptions& o) { o.tls.ca_path = text; }},
      {"TlsOptions::client_cert_file", [&](CurlOptions& o) { o.tls.client_cert_file = text; }},
      {"TlsOptions::client_key_file", [&](CurlOptions& o) { o.tls.client_key_file = text; }},
      {"TlsOptions::client_key_password", [&](CurlOptions& o) { o.tls.client_key_password = Secret(text); }},
      {"TlsOptions::pinned_public_key", [&](CurlOptions& o) { o.tls.pinned_public_key = text; }}};
  for (const auto& [member, edit] : edits) {
    CAPTURE(member);
    const std::string message = refusal(edit);
    CHECK(names(message, member));
    CHECK(names(message, "NUL"));
  }
}

TEST_CASE("curl options: a unix socket's path fits its address") {
  const auto with = [](std::size_t length) {
    return refusal([&](CurlOptions& options) { options.unix_socket = std::string(length, 'a'); });
  };
  CHECK(with(107) == "made");
  CHECK(names(with(108), "unix_socket"));
  CHECK(names(with(300), "unix_socket"));
}

TEST_CASE("curl options: entries of resolve are HOST:PORT:ADDRESS") {
  for (const char* entry : {"a.example:443:10.0.0.1", "a:1:127.0.0.1", "a:65535:::1", "a:80:[fe80::1]",
                            "a:80:10.0.0.1,[::1],10.0.0.2", "localhost:80:127.0.0.2,::1"})
    CHECK(resolve_refusal(entry) == "made");
  for (const std::string& entry : {std::string(),
                                   std::string("garbage"),
                                   std::string("a:80"),
                                   std::string("a:80:"),
                                   std::string(":80:10.0.0.1"),
                                   std::string("a::10.0.0.1"),
                                   std::string("a:0:10.0.0.1"),
                                   std::string("a:65536:10.0.0.1"),
                                   std::string("a:99999999999:10.0.0.1"),
                                   std::string("a:8x:10.0.0.1"),
                                   std::string("a:-8:10.0.0.1"),
                                   std::string("a:80:999.1.1.1"),
                                   std::string("a:80:b.example"),
                                   std::string("a:80:10.0.0.1,"),
                                   std::string("a:80: 10.0.0.1"),
                                   std::string("a b:80:10.0.0.1"),
                                   std::string("a:80:10.0.0.1\0x", 15),
                                   std::string("a\0b:80:10.0.0.1", 15),
                                   std::string("-a:80:10.0.0.1"),
                                   std::string("+a:80:10.0.0.1"),
                                   std::string("*:80:10.0.0.1")}) {
    CAPTURE(entry);
    CHECK(names(resolve_refusal(entry), "resolve is not HOST:PORT:ADDRESS"));
  }
}

TEST_CASE("curl options: a loopback name is not resolved to another host") {
  for (const char* entry : {"localhost:80:10.0.0.1", "LOCALHOST.:80:10.0.0.1", "a.localhost:80:127.0.0.1,10.0.0.1",
                            "127.0.0.1:80:10.0.0.1", "localhost:80:::2"}) {
    CAPTURE(entry);
    CHECK(names(resolve_refusal(entry), "another host"));
  }
}

TEST_CASE("curl options: a proxy has a host and a port, and its password stays out of the message") {
  for (const char* url : {"http://p", "http://p:1", "https://p.example:65535/", "socks5://user:p%40ss@10.0.0.1:1080",
                          "socks5h://[::1]:1080"})
    CHECK(proxy_refusal(url) == "made");
  for (const char* url : {"http://", "http:///", "http://:80", "http://user:secret@", "http://user:secret@:80",
                          "http://user:secret@p:999999", "http://user:secret@p:0", "http://user:secret@p:x",
                          "http://user:secret@p:80\r\nX: y", "http://user:secret @p", "http://user:secret%00@p",
                          "http://user:secret@p\x7f", "http://user:secret@[::1", "http://user:secret@a^b"}) {
    CAPTURE(url);
    const std::string message = proxy_refusal(url);
    CHECK(names(message, "ProxyOptions::url"));
    CHECK_FALSE(names(message, "secret"));
  }
}

TEST_CASE("curl options: the version of HTTP is one of the enumeration") {
  const auto with = [](int version) {
    return refusal([&](CurlOptions& options) { options.version = static_cast<HttpVersion>(version); });
  };
  CHECK(with(2) == "made");
  CHECK(names(with(3), "http_version"));
  CHECK(names(with(77), "http_version"));
}
