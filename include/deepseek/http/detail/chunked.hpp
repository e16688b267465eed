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

/// True if the header block says that the body is chunked.
bool is_chunked(std::string_view transfer_encoding) noexcept;

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/chunked.ipp>
#endif
