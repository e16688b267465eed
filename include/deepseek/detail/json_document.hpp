// Private: a whole parsed text.
#pragma once
#include <memory>
#include <string_view>
#include <utility>

#include <deepseek/detail/json.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// A parsed text. Nesting is bounded (64), so that walking it cannot exhaust the stack.
class JsonDocument {
 public:
  /// malformed_json with the position, never with the text.
  static Result<JsonDocument> parse(std::string_view text);
  JsonView root() const noexcept { return JsonView(node_.get()); }

 private:
  explicit JsonDocument(std::shared_ptr<const void> node) : node_(std::move(node)) {}
  std::shared_ptr<const void> node_;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
