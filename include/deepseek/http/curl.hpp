// The libcurl engine: HTTP/1.1 and HTTP/2, pooled connections, TLS verified by default.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/core/secret.hpp>
#include <deepseek/http/engine.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// TLS settings. TLS 1.2 or newer and the host name are always verified; there is no switch against it.
struct TlsOptions {
  /// A PEM file that replaces the system's authorities; empty: the system's (its hashed folder before
  /// its bundle, which costs 20 ms less per process).
  std::string ca_file{};
  std::string ca_path{};           ///< a hashed folder; empty: see ca_file
  std::string client_cert_file{};  ///< PEM, for mutual TLS
  std::string client_key_file{};   ///< PEM
  Secret client_key_password{};
  /// Public-key pins, "sha256//BASE64" joined by ';'. Checked beside the chain, not instead of it.
  std::string pinned_public_key{};
  bool require_tls13 = false;  ///< default: 1.2 or newer
};

/// Proxy settings. By default no proxy is used, whatever the environment says. Never used for http:// to a loopback
/// host, unless `url` is on loopback too: what stays on this machine counts as confidential.
struct ProxyOptions {
  std::string url{};  ///< http://, https://, socks5://, socks5h://, host and port; empty: none
  std::string user{};
  Secret password{};
  std::string no_proxy{};         ///< comma-separated hosts that are reached directly
  bool from_environment = false;  ///< let http_proxy, https_proxy, all_proxy, no_proxy decide
};

enum class HttpVersion {
  automatic,  ///< HTTP/2 where ALPN offers it over TLS, else HTTP/1.1
  http1,
  http2_prior_knowledge,  ///< cleartext HTTP/2 without upgrade
};

struct CurlOptions {
  TlsOptions tls{};
  ProxyOptions proxy{};
  HttpVersion version = HttpVersion::automatic;
  std::string unix_socket{};        ///< connect to this path, up to 107 bytes, instead of the URL's host
  std::size_t max_connections = 0;  ///< open connections at once; 0: no limit
  std::size_t max_idle_connections = 64;
  std::chrono::seconds max_idle_time{60};  ///< an idle connection older than this is not used again
  /// Bytes read at once; 0: by the number of live transfers (64 KiB for one, 2 KiB for thousands).
  std::size_t read_buffer_bytes = 0;
  /// Plain http:// that needs nothing of libcurl (no proxy, no HTTP/2, no max_connections) is read by the library
  /// itself, which halves its cost; false: by libcurl too.
  bool read_cleartext = true;
  /// HOST:PORT:ADDRESS[,ADDRESS]... entries that answer instead of DNS. Addresses are numeric; a loopback HOST has
  /// none but loopback ones.
  std::vector<std::string> resolve{};
};

/// An engine over libcurl. Fails with invalid_options if a file is missing, an option is malformed or contradicts
/// another.
Result<std::unique_ptr<HttpEngine>> make_curl_engine(CurlOptions options = {});

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/curl.ipp>
#endif
