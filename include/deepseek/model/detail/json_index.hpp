// Checks a small JSON document and notes where its values stand, both in one pass. Private.
//
// Nearly every reply is small, and reading it value by value would look at its text once for each level that
// contains it. What is not accepted here is not wrong yet: json_fault() decides, and the text is walked unindexed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <deepseek/model/detail/json_text.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Nodes of one document, in the order of its text. On the stack of whoever reads it; values point into it.
class JsonIndex {
 public:
  JsonIndex() noexcept {}  // leaves the nodes as they are
  /// False unless `text` is one JSON value without surrounding space, of at most `room` values and keys, not
  /// nested deeper than `max_depth`. Never true for what json_fault() refuses.
  bool read(std::string_view text) noexcept;
  /// After read() was true, while this and the text live.
  JsonValue root() const noexcept { return JsonValue(nodes_); }

 private:
  static constexpr std::size_t room = 384;
  static constexpr std::size_t max_depth = 32;

  JsonNode nodes_[room];
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/json_index.ipp>
#endif
