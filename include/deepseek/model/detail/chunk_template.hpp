// Recognises an event that differs from an earlier one in a single string. Private.
//
// In a stream nearly every event repeats the one before except for a few characters of content. Once one
// was decoded in full, the next is compared with it byte by byte; if all but the string is equal and the
// string is a valid one, then the event is decoded: same members, other text.
#pragma once
#include <cstring>
#include <string>
#include <string_view>

#include <deepseek/model/chat.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class ChunkTemplate {
 public:
  /// Learns from `event`, whose member `varying` (a string body inside `event`) is the one that changes.
  /// All other views of `fields` must lie inside `event`; otherwise nothing is learned.
  void learn(std::string_view event, std::string_view varying, const ChunkFields& fields);
  void forget() noexcept { size_ = 0; }

  /// The body of the changed string in `event`, not yet checked; false if `event` is another one.
  bool match(std::string_view event, std::string_view& varying) const noexcept {
    if (size_ == 0 || event.size() < size_) return false;
    const char* const suffix = event.data() + event.size() - (size_ - prefix_);
    if (std::memcmp(event.data(), text_.data(), prefix_) != 0) return false;
    if (std::memcmp(suffix, text_.data() + prefix_, size_ - prefix_) != 0) return false;
    varying = std::string_view(event.data() + prefix_, event.size() - size_);
    return true;
  }

  ChatChunk& chunk() noexcept { return chunk_; }
  ToolCallDelta& call() noexcept { return call_; }

  std::size_t choice = 0;  ///< place in the reply's choices
  std::size_t slot = 0;    ///< place in the choice's tool calls

 private:
  std::string text_;  ///< what stands before the string, then what stands after it
  std::size_t prefix_ = 0;
  std::size_t size_ = 0;  ///< 0: nothing learned
  ChatChunk chunk_;       ///< its views lie in text_, except those set for each event
  ToolCallDelta call_;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/chunk_template.ipp>
#endif
