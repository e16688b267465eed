// Recorder: forwards requests to an upstream, streams the answers through and writes them down.
#pragma once
#include <cstdio>
#include <optional>

#include "session.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

struct Upstream {
  bool tls = false;
  std::string authority;  ///< as written: host and port
  std::string host;
  std::string port;
  std::string base;  ///< path before the request's own, without a trailing slash
};
std::optional<Upstream> parse_upstream(std::string_view url);

class Recorder {
 public:
  Recorder(asio::io_context& io, const DoubleOptions& options);  ///< throws std::runtime_error
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Answers through session.begin(), push(), end(). The request lives as the session's attachment.
  void forward(Session& session, ReceivedRequest request, bool keep);
  void write_down(const RecordedCall& call);

  asio::io_context& io;
  Upstream upstream;
  asio::ssl::context tls;

 private:
  std::FILE* file_ = nullptr;
};

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
