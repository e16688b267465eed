// Recognises an event that differs from an earlier one in a single string. Private.
//
// In a stream nearly every event repeats the one before except for a few characters of content. Once one
// was decoded in full, the next is compared with it byte by byte; if all but the string is equal and the
// string is a valid one, then the event is decoded: same members, other text.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <deepseek/model/chat.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Kept for each live stream, so only as large as it must be.
class ChunkTemplate {
 public:
  /// Learns from `event`, whose member `varying` (a string body inside `event`) is the one that changes. Nothing
  /// is learned if a view of `fields` that show() would set does not lie inside `event`.
  void learn(std::string_view event, std::string_view varying, const ChunkFields& fields);
  void forget() noexcept { size_ = 0; }
  bool learned() const noexcept { return size_ != 0; }

  /// The body of the changed string in `event`, not yet checked; false if `event` is another one.
  bool match(std::string_view event, std::string_view& varying) const noexcept {
    if (size_ == 0 || event.size() < size_) return false;
    const char* const suffix = event.data() + event.size() - (size_ - prefix_);
    if (std::memcmp(event.data(), text_.data(), prefix_) != 0) return false;
    if (std::memcmp(suffix, text_.data() + prefix_, size_ - prefix_) != 0) return false;
    varying = std::string_view(event.data() + prefix_, event.size() - size_);
    return true;
  }

  /// All that is the same in each such event: into `fields`, with views that live as long as nothing is learned.
  void show(ChunkFields& fields) const noexcept;

  std::size_t choice = 0;  ///< place in the reply's choices
  std::size_t slot = 0;    ///< place in the choice's tool calls
  int call_index = 0;      ///< as shown in ToolCallDelta

 private:
  /// A longer event is not worth its memory.
  static constexpr std::size_t largest = 64 * 1024;

  struct Span {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
  };
  bool locate(std::string_view view, std::string_view event, std::size_t varying_size, Span& span) const noexcept;
  std::string_view view(const Span& span) const noexcept { return {text_.data() + span.offset, span.size}; }

  int choice_index_ = 0;
  std::string text_;  ///< what stands before the string, then what stands after it
  std::uint32_t prefix_ = 0;
  std::uint32_t size_ = 0;  ///< 0: nothing learned
  Span id_, model_, system_fingerprint_, role_;
  std::int64_t created_ = 0;
  std::uint64_t envelope_ = 0;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/chunk_template.ipp>
#endif
