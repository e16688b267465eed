// Takes the chunks of an HTTP/1.1 body apart (RFC 9112, section 7.1). Private.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// libcurl can do this too, but hands out every chunk by itself, and a chunk is an event of 300 bytes: the
/// way up costs more than the event. This one hands out all payload of a read at once. libcurl still
/// follows the framing to find the end of the body, and refuses a broken one.
class ChunkedReader {
 public:
  /// The payload in `block`: a view into it where that is one piece, else joined in `scratch`. Stops for
  /// good at the last chunk or at a fault.
  std::string_view feed(std::string_view block, std::string& scratch);
  bool fault() const noexcept { return state_ == State::fault; }

 private:
  enum class State : unsigned char { size, extension, data, data_end, trailer, fault };
  void take_size(char c);

  State state_ = State::size;
  bool has_digit_ = false;
  std::uint64_t left_ = 0;  // of the chunk
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
