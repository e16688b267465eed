// Private: parsed JSON, mismatches and a writer behind plain types, so that no JSON library shows in a
// public header and templates stay thin.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <deepseek/core/raw_json.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What a field of a Schema asks for beside its type.
struct FieldRules {
  static constexpr std::size_t max_words = 32;
  std::string_view name{};
  std::string_view description{};
  std::string_view words[max_words]{};
  std::size_t word_count = 0;
  double low = 0;
  double high = 0;
  bool has_low = false;
  bool has_high = false;
};

/// One value of a JsonDocument. Borrowed from it.
class JsonView {
 public:
  enum class Kind { absent, null, boolean, integer, real, string, array, object };

  explicit JsonView(const void* node = nullptr) noexcept : node_(node) {}
  Kind kind() const noexcept;
  std::size_t size() const noexcept;                ///< of an array or object
  JsonView item(std::size_t index) const noexcept;  ///< precondition: array, index < size()
  JsonView member(std::string_view key) const;      ///< absent if it is none
  std::string_view string() const noexcept;         ///< precondition: string
  /// Calls visit(context, key, value) for each member until one returns false.
  void each_member(void* context, bool (*visit)(void*, std::string_view, JsonView)) const;
  const void* node() const noexcept { return node_; }

 private:
  const void* node_;
};

/// Where a value does not fit and what was wanted there. The path grows from the inside out.
class Mismatch {
 public:
  bool expected(std::string_view what, JsonView got);  ///< always false, to be returned
  bool fail(std::string text);                         ///< likewise
  void inside(std::string_view member);
  void inside(std::size_t index);
  Error error() const;

 private:
  std::string path_;
  std::string text_;
};

/// Parses `json` and lets `read` fill `into` from it: malformed_json with the position, or what `read` found wrong.
/// Never with the text.
Result<void> read_json(std::string_view json, void* into, bool (*read)(JsonView root, void* into, Mismatch& why));

bool read_bool(JsonView from, bool& out, Mismatch& why);
bool read_signed(JsonView from, std::int64_t low, std::int64_t high, const FieldRules* rules, std::int64_t& out,
                 Mismatch& why);
bool read_unsigned(JsonView from, std::uint64_t high, const FieldRules* rules, std::uint64_t& out, Mismatch& why);
bool read_real(JsonView from, const FieldRules* rules, double& out, Mismatch& why);
bool read_string(JsonView from, const FieldRules* rules, std::string& out, Mismatch& why);
/// Refuses members of an object that are not among `names`.
bool only_members(JsonView from, const std::string_view* names, std::size_t count, Mismatch& why);

/// Writes values and schemas of any type; places the commas itself. (The codec's JsonWriter trusts its input.)
class ValueWriter {
 public:
  explicit ValueWriter(bool strict_schema = false) : strict_(strict_schema) {}
  void begin(char bracket);
  void end(char bracket);
  void key(std::string_view name);
  void string(std::string_view text);  ///< bytes that are not UTF-8 become U+FFFD
  void boolean(bool value);
  void integer(std::int64_t value);
  void natural(std::uint64_t value);
  void real(double value);  ///< not finite: null
  void null();
  void raw(std::string_view json);
  void member(std::string_view name, std::string_view text) { key(name), string(text); }
  /// The parts of a property's schema that do not depend on its type.
  void annotate(const FieldRules* rules);
  void bounds(const FieldRules* rules, bool is_unsigned);
  void words(const FieldRules* rules);
  bool strict() const noexcept { return strict_; }
  /// False if `type` is being written already: a struct that holds itself.
  bool enter(const void* type);
  void leave() { --depth_; }
  bool at_root(const void* type) const noexcept { return depth_ > 0 && types_[0] == type; }
  RawJson take() { return RawJson(std::move(out_)); }

 private:
  static constexpr std::size_t max_types = 32;
  void separate();
  std::string out_;
  const void* types_[max_types]{};
  std::size_t depth_ = 0;
  bool strict_;
  bool comma_ = false;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
