// Hosts in addresses.
#include <deepseek/core/detail/host.hpp>

#include "support/catch.hpp"

using deepseek::detail::host_of_url;
using deepseek::detail::is_loopback;

TEST_CASE("host: which hosts are this machine", "[modes]") {
  for (const char* host :
       {"localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "127.255.0.3", "::1", "0:0:0:0:0:0:0:1"})
    CHECK(is_loopback(host));
  for (const char* host : {"", "localhost.example", "127.0.0.1.example", "127.1", "127.0.0.256", "127.0.0.", "127..0.1",
                           "128.0.0.1", "::2", "notlocalhost", ".localhost", "127.0.0.1.1", "0127.0.0.1"})
    CHECK_FALSE(is_loopback(host));
}

TEST_CASE("host: the host of an address", "[modes]") {
  CHECK(host_of_url("http://a.example:80/x@y") == "a.example");
  CHECK(host_of_url("socks5h://user:p@ss@a.example") == "a.example");
  CHECK(host_of_url("http://[::1]:80/") == "::1");
  CHECK(host_of_url("http://a?@localhost") == "a");
  CHECK(host_of_url("http://a#@localhost") == "a");
  CHECK(host_of_url("http://[::1") == "::1");
  for (const char* none : {"", "a.example", "http://", "http://:80", "http://user@", "http://["})
    CHECK(host_of_url(none).empty());
}
