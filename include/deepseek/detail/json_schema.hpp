// Private: checks JSON against a JSON Schema given as text (the subset that tools use).
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/detail/json_document.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// A checked schema. Immutable, safe from all threads.
class JsonSchema {
 public:
  /// invalid_argument, with the path, for a schema that is malformed or uses a keyword that check() would
  /// have to ignore.
  static Result<JsonSchema> compile(const RawJson& schema);
  /// malformed_json or schema_mismatch, with the path. Work is bounded, whatever the text and the schema.
  Result<void> check(std::string_view json) const;
  /// The schema describes an object.
  bool of_object() const;

 private:
  explicit JsonSchema(JsonDocument document) : document_(std::move(document)) {}
  JsonDocument document_;
};

struct PatternParts;

/// An ECMA regular expression (without look-around and back-references), ready to run. A value, safe from all threads.
class Pattern {
 public:
  /// Nothing if it is malformed or not supported.
  static std::optional<Pattern> compile(std::string_view expression);
  /// The most steps that a look at `text` can take.
  std::uint64_t work(std::string_view text) const noexcept { return (text.size() + 1) * cost_; }
  /// Whether `text`, which is UTF-8, contains a match.
  bool found_in(std::string_view text) const;

 private:
  std::shared_ptr<const PatternParts> parts_;
  std::uint64_t cost_ = 0;  ///< steps for each character
};

/// The same once, with bounded work: an expensive pattern matches nothing rather than taking long.
enum class PatternMatch { yes, no, unsupported };
PatternMatch match_pattern(std::string_view pattern, std::string_view text);

}  // namespace detail
DEEPSEEK_END_NAMESPACE
