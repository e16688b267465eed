// Http1Reader: the bytes of one HTTP/1.1 response, taken apart (RFC 9112). Private.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include <deepseek/http/detail/chunked.hpp>
#include <deepseek/http/engine.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Pure: bytes in, parts of a response out. What is ambiguous about where the body ends is a fault and never
/// a guess: behind a wrong guess lies somebody else's answer.
class Http1Reader {
 public:
  enum class Part {
    none,   ///< all bytes are used, more are needed
    head,   ///< head() is whole; interim responses (1xx) are passed over
    data,   ///< data() holds bytes of the body
    end,    ///< the body is whole; bytes that are left belong to no response
    fault,  ///< not HTTP, or beyond a limit: fault_code() and fault_text()
  };

  /// `head_only`: the answer to HEAD, which has no body whatever its head says.
  Http1Reader(std::uint64_t header_limit, bool head_only) : header_room_(header_limit), head_only_(head_only) {}

  /// The next part in `bytes`, which shrinks by what was used. `scratch` may be shared by readers.
  Part next(std::string_view& bytes, std::string& scratch);
  /// Borrowed from `bytes` or from the reader, until the next call.
  HttpHead head() const noexcept { return {status_, version_, block_}; }
  std::string_view data() const noexcept { return data_; }

  bool begun() const noexcept { return begun_; }
  bool head_complete() const noexcept { return state_ != State::head; }
  /// The peer has closed: is the body whole?
  bool whole_at_close() const noexcept { return state_ == State::until_close || state_ == State::done; }
  /// The connection may carry another request, once the end was seen.
  bool reusable() const noexcept { return state_ == State::done && keep_alive_; }

  ErrorCode fault_code() const noexcept { return fault_code_; }
  const char* fault_text() const noexcept { return fault_text_; }

 private:
  enum class State : unsigned char { head, chunked, counted, until_close, done };
  struct Fields;

  Part read_head(std::string_view& bytes);
  Part read_chunked(std::string_view& bytes, std::string& scratch);
  Part read_counted(std::string_view& bytes);
  bool take_head(std::string_view head);
  bool take_status_line(std::string_view line);
  bool take_fields(std::string_view block, Fields& fields);
  bool take_field(std::string_view name, std::string_view value, Fields& fields);
  bool choose_framing(const Fields& fields);
  bool fail(const char* text, ErrorCode code = ErrorCode::http_protocol);

  std::uint64_t header_room_;
  std::uint64_t left_ = 0;  // of a counted body
  ChunkedReader chunks_;
  std::string partial_;       // a head that came in pieces
  std::string_view block_{};  // of the head last read
  std::string_view data_{};
  const char* fault_text_ = "";
  ErrorCode fault_code_ = ErrorCode::http_protocol;
  int status_ = 0;
  int version_ = 0;
  State state_ = State::head;
  bool head_only_;
  bool begun_ = false;
  bool keep_alive_ = true;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/http1_reader.ipp>
#endif
