// HttpReader: an incremental reader of HTTP/1.1 messages, for requests and for upstream responses.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/testing/double.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

bool same_name(std::string_view a, std::string_view b);
/// Content-Length, Transfer-Encoding and the other headers that belong to one connection.
bool is_framing_header(std::string_view name);
/// The operation's path: a leading /v1 or /beta dropped.
std::string_view without_base(std::string_view path);
std::string_view find_header(const std::vector<HttpHeader>& headers, std::string_view name);

struct HttpHead {
  std::string first;   ///< method, or "HTTP/1.1"
  std::string second;  ///< target, or the status
  std::vector<HttpHeader> headers;
  bool keep_alive = true;
  bool expects_continue = false;
};

/// Reads one message after another. feed() stops behind the end of a message; call next() for the next one.
class HttpReader {
 public:
  enum class Kind { request, response };
  enum class State { head, body, done, failed };
  explicit HttpReader(Kind kind, std::uint64_t body_limit) : kind_(kind), body_limit_(body_limit) {}

  /// Receives body bytes as they come, without framing. Unset: they are gathered in body().
  std::function<void(std::string_view)> on_body;

  /// Takes bytes; returns how many belong to this message.
  std::size_t feed(std::string_view bytes);
  /// The connection ended: true if the message is whole.
  bool finish();
  void next();

  State state() const noexcept { return state_; }
  bool idle() const noexcept { return state_ == State::head && line_.empty() && lines_ == 0; }
  bool too_large() const noexcept { return too_large_; }
  const HttpHead& head() const noexcept { return head_; }
  std::string take_body() { return std::move(body_); }
  /// For responses to requests that get no body whatever the headers say.
  void no_body() noexcept { no_body_ = true; }

 private:
  enum class Part { counted, until_close, chunk_size, chunk_data, chunk_end, trailer };
  void take_line(std::string_view line);
  void head_done();
  void take_chunk_size(std::string_view line);
  void take_body_bytes(std::string_view bytes);
  void fail() noexcept { state_ = State::failed; }

  Kind kind_;
  std::uint64_t body_limit_;
  State state_ = State::head;
  Part part_ = Part::counted;
  HttpHead head_;
  std::string line_;
  std::size_t lines_ = 0;
  std::size_t head_bytes_ = 0;
  std::uint64_t left_ = 0;
  std::uint64_t body_bytes_ = 0;
  std::string body_;
  bool too_large_ = false;
  bool no_body_ = false;
};

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
