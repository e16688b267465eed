// Private: checks JSON against a JSON Schema given as text (the subset that tools use).
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include <deepseek/detail/json.hpp>

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

/// Whether `text` contains a match of an ECMA regular expression (without look-around and
/// back-references). Steps are bounded: an expensive pattern matches nothing rather than taking long.
enum class PatternMatch { yes, no, unsupported };
PatternMatch match_pattern(std::string_view pattern, std::string_view text);

}  // namespace detail
DEEPSEEK_END_NAMESPACE
