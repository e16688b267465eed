// Reading JSON text: a whole-document check, then walking the checked text without copying it. Private.
//
// The check (structure, UTF-8, numbers, depth) is simdjson's. What follows is a walk over source ranges,
// because much of a reply must be kept byte for byte as it was sent (usage, logprobs, unknown members).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Nothing deeper is read: far beyond any reply, far below what a stack or a reader minds.
inline constexpr std::size_t max_json_depth = 128;

enum class JsonKind { none, null, boolean, number, string, array, object };

/// Null if `text` is one JSON value in UTF-8; otherwise what is wrong, in static storage. Numbers outside
/// the range of a double and lone surrogates in \u escapes are allowed.
const char* json_fault(std::string_view text);

bool valid_utf8(std::string_view text);

/// Without surrounding white space and a byte order mark.
std::string_view json_trim(std::string_view text);

/// What `body` is between the quotes of a JSON string.
enum class StringBody { invalid, literal, escaped };
StringBody classify_string_body(std::string_view body);

/// The text of a valid string body: `body` itself without escapes, else decoded and appended to
/// `scratch`, never longer than `body`. Lone surrogates become U+FFFD. The caller reserves `scratch` if
/// earlier views into it must stay valid.
std::string_view decode_string_body(std::string_view body, std::string& scratch);
/// The same, always appended.
void append_string_body(std::string_view body, std::string& out);

/// One value or key of an indexed document; see json_index.hpp. What a container holds follows it.
struct JsonNode {
  const char* first;
  std::uint32_t size;
  std::uint16_t span;     ///< nodes up to its end, its own too
  std::uint16_t escaped;  ///< not 0: a string with a backslash in it
};

/// One value of checked JSON: its source range, and its node if the document is indexed.
class JsonValue {
 public:
  JsonValue() = default;
  explicit JsonValue(std::string_view text) : text_(text) {}
  explicit JsonValue(const JsonNode* node) : text_(node->first, node->size), node_(node) {}

  JsonKind kind() const noexcept;
  bool is_string() const noexcept { return starts_with('"'); }
  bool is_object() const noexcept { return starts_with('{'); }
  bool is_array() const noexcept { return starts_with('['); }
  /// Absent or null.
  bool is_nothing() const noexcept { return text_.empty() || text_.front() == 'n'; }
  bool is_true() const noexcept { return text_ == "true"; }
  std::string_view raw() const noexcept { return text_; }
  /// Between the quotes, escapes untouched. Empty unless it is a string.
  std::string_view body() const noexcept {
    return is_string() ? text_.substr(1, text_.size() - 2) : std::string_view();
  }
  /// False if the body of a string is its text already.
  bool is_escaped() const noexcept {
    return node_ != nullptr ? node_->escaped != 0 : body().find('\\') != std::string_view::npos;
  }
  /// The decoded text; empty unless it is a string.
  std::string text() const;
  /// False, and `out` unchanged, unless it is a number within the range of int64_t; fractions are cut off.
  bool get(std::int64_t& out) const noexcept;

  /// Null unless the document is indexed.
  const JsonNode* node() const noexcept { return node_; }

 private:
  bool starts_with(char c) const noexcept { return !text_.empty() && text_.front() == c; }

  std::string_view text_;
  const JsonNode* node_ = nullptr;
};

/// Walks the members of an object: `while (members.next()) ...`. Anything else has none.
class JsonMembers {
 public:
  explicit JsonMembers(JsonValue object);
  bool next() { return node_ != nullptr ? next_node() : scan(); }
  std::string_view key() const noexcept { return key_; }
  /// The key as sent, with its quotes.
  std::string_view raw_key() const noexcept { return raw_key_; }
  JsonValue value() const noexcept { return value_; }

 private:
  bool next_node();
  bool scan();

  const char* at_;
  const char* end_;
  const JsonNode* node_;
  const JsonNode* last_node_ = nullptr;
  std::string_view raw_key_;
  std::string_view key_;
  std::string decoded_;
  JsonValue value_;
};

/// Walks the items of an array. Anything else has none.
class JsonItems {
 public:
  explicit JsonItems(JsonValue array);
  bool next() { return node_ != nullptr ? next_node() : scan(); }
  JsonValue value() const noexcept { return value_; }

 private:
  bool next_node();
  bool scan();

  const char* at_;
  const char* end_;
  const JsonNode* node_;
  const JsonNode* last_node_ = nullptr;
  JsonValue value_;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/json_text.ipp>
#endif
