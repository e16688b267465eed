// JSON of tokens and authorization servers. Only other bodies of this folder include it.
#pragma once
#include <deepseek/config.hpp>

#include <openssl/crypto.h>
#include <nlohmann/json.hpp>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Overwrites what it takes back.
template <class T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <class U>
  WipingAllocator(const WipingAllocator<U>&) noexcept {}
  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* at, std::size_t count) noexcept {
    OPENSSL_cleanse(at, count * sizeof(T));
    std::allocator<T>().deallocate(at, count);
  }
  friend bool operator==(const WipingAllocator&, const WipingAllocator&) noexcept { return true; }
  friend bool operator!=(const WipingAllocator&, const WipingAllocator&) noexcept { return false; }
};

/// JSON that leaves no copy of its texts behind, the parser's own buffer included.
using WipedString = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;
using SecretJson = nlohmann::basic_json<std::map, std::vector, WipedString>;

/// An object without duplicate members (two readers of one token could believe different ones) and with at most 16
/// levels; nothing for any other text.
template <class Json = nlohmann::json>
std::optional<Json> parse_strict_object(std::string_view text) {
  using Event = typename Json::parse_event_t;
  std::vector<std::set<typename Json::string_t>> names;
  bool strict = true;
  const auto look = [&](int depth, Event event, Json& value) {
    if (depth > 16) strict = false;
    if (event == Event::object_start) names.emplace_back();
    if (event == Event::object_end) names.pop_back();
    if (event == Event::key && !names.back().insert(value.template get<typename Json::string_t>()).second)
      strict = false;
    return true;
  };
  auto value = Json::parse(text.begin(), text.end(), look, false);
  if (!strict || !value.is_object()) return std::nullopt;
  return value;
}

/// The member's text; nothing if it is absent or no string.
template <class Json>
std::optional<typename Json::string_t> string_member(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->template get<typename Json::string_t>();
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
