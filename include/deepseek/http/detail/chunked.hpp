// Takes the chunks of an HTTP/1.1 body apart (RFC 9112, section 7.1). Private.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Hands out all payload of a read at once: a chunk is an event of 300 bytes, and a way up for each of them
/// would cost more than the event.
class ChunkedReader {
 public:
  /// The payload in `block`: a view into it where that is one piece, else joined in `scratch`. What is left in
  /// `block` afterwards lies behind the end of the body or begins with a fault.
  std::string_view feed(std::string_view& block, std::string& scratch);
  /// The last chunk and the trailer are read.
  bool done() const noexcept { return state_ == State::done; }
  bool fault() const noexcept { return state_ == State::fault; }

 private:
  enum class State : unsigned char { size, extension, data, data_end, trailer, trailer_line, done, fault };
  void take_size(char c);
  void take_trailer(char c);

  State state_ = State::size;
  bool has_digit_ = false;
  std::uint64_t left_ = 0;  // of the chunk; in the trailer: bytes seen of it
};

/// What the Transfer-Encoding of a response asks of its reader.
enum class Framing : unsigned char { plain, chunked, unknown };

/// `codings`: the values of all Transfer-Encoding lines, joined by commas. One `chunked` beside any number of
/// `identity` and empty members is understood; whatever else is there changes the bytes in a way unknown here.
Framing framing_of(std::string_view codings) noexcept;

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/chunked.ipp>
#endif
