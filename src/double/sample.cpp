// Sample values for JSON Schemas: what a faithful tool call or JSON answer is made of.
#include <algorithm>
#include <cmath>

#include "answer.hpp"
#include "json_depth.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

constexpr int deepest_sample = 16;  // recursive schemas end here
constexpr std::size_t largest_size = 10'000;
constexpr double largest_integer = 9e15;  // a double counts exactly so far

class Sampler {
 public:
  explicit Sampler(const Json& root) : root_(root) {}

  Json sample(const Json& schema, const std::string& name, int depth) const {
    if (!schema.is_object() || depth > deepest_sample) return nullptr;
    if (schema.contains("$ref")) return sample(resolve(schema["$ref"]), name, depth + 1);
    if (schema.contains("const")) return schema["const"];
    if (schema.contains("enum") && schema["enum"].is_array() && !schema["enum"].empty()) return schema["enum"][0];
    for (const auto* word : {"anyOf", "oneOf", "allOf"}) {
      if (schema.contains(word) && schema[word].is_array() && !schema[word].empty()) {
        return sample(schema[word][0], name, depth + 1);
      }
    }
    return of_type(type_of(schema), schema, name, depth);
  }

 private:
  static std::string type_of(const Json& schema) {
    const auto it = schema.find("type");
    if (it == schema.end())
      return schema.contains("properties") ? "object" : schema.contains("items") ? "array" : "string";
    if (it->is_string()) return it->get<std::string>();
    for (const auto& type : *it) {
      if (type.is_string() && type != "null") return type.get<std::string>();
    }
    return "null";
  }

  Json of_type(const std::string& type, const Json& schema, const std::string& name, int depth) const {
    if (type == "object") return object(schema, depth);
    if (type == "array") return array(schema, name, depth);
    if (type == "string") return text(schema, name);
    if (type == "integer" || type == "number") return number(schema, type == "integer");
    if (type == "boolean") return true;
    return nullptr;
  }

  Json object(const Json& schema, int depth) const {
    Json value = Json::object();
    const auto properties = schema.find("properties");
    if (properties == schema.end() || !properties->is_object()) return value;
    const auto required = schema.find("required");
    for (const auto& [key, child] : properties->items()) {
      const bool listed = required == schema.end() || !required->is_array() ||
                          std::find(required->begin(), required->end(), key) != required->end();
      if (listed) value[key] = sample(child, key, depth + 1);
    }
    return value;
  }

  Json array(const Json& schema, const std::string& name, int depth) const {
    Json value = Json::array();
    const auto items = schema.find("items");
    const auto count = items == schema.end() ? 0 : std::clamp<std::size_t>(size(schema, "minItems", 1), 1, 100);
    if (depth >= deepest_sample / 2 && size(schema, "minItems", 0) == 0) return value;  // lists of themselves end
    for (std::size_t i = 0; i < count; ++i) value.push_back(sample(*items, name, depth + 1));
    return value;
  }

  static Json text(const Json& schema, const std::string& name) {
    const auto format = text_member(schema, "format");
    if (format == "email") return "someone@example.com";
    if (format == "hostname") return "example.com";
    if (format == "ipv4") return "192.0.2.1";
    if (format == "ipv6") return "2001:db8::1";
    if (format == "uuid") return "6d1f2a58-0c0e-4c55-9f0e-2d2b8f5c7a11";
    if (format == "date" || name.find("date") != name.npos) return "2026-11-23";
    if (format == "date-time") return "2026-11-23T12:00:00Z";
    if (format == "uri") return "https://example.com/";
    std::string value = "text";
    for (const auto* word : {"city", "location", "place", "town"}) {
      if (name.find(word) != name.npos) value = "Oslo";
    }
    if (name.find("country") != name.npos) value = "Norway";
    if (name.find("unit") != name.npos) value = "celsius";
    if (name.find("query") != name.npos) value = "weather in Oslo";
    const auto shortest = size(schema, "minLength", 0);
    const auto longest = size(schema, "maxLength", largest_size);
    if (value.size() < shortest) value.resize(shortest, 'x');
    if (value.size() > longest) value.resize(longest);
    return value;
  }

  /// A keyword that counts items or characters, at most `largest_size`.
  static std::size_t size(const Json& schema, const char* word, std::size_t otherwise) {
    const auto it = schema.find(word);
    if (it == schema.end() || !it->is_number_unsigned()) return otherwise;
    return static_cast<std::size_t>(std::min<std::uint64_t>(it->get<std::uint64_t>(), largest_size));
  }

  static Json number(const Json& schema, bool integer) {
    auto bound = [&](const char* word, double otherwise) {
      const auto it = schema.find(word);
      return it != schema.end() && it->is_number() ? it->get<double>() : otherwise;
    };
    const auto step = bound("multipleOf", integer ? 1.0 : 0.0);
    const auto nudge = step > 0 ? step : 1e-3;
    const auto least = std::max(bound("minimum", -1e15), bound("exclusiveMinimum", -1e15) + nudge);
    const auto most = std::min(bound("maximum", 1e15), bound("exclusiveMaximum", 1e15) - nudge);
    double value = std::max(least, std::min(1.0, most));
    if (step > 0) value = std::ceil(value / step) * step;
    if (integer) return static_cast<std::int64_t>(std::clamp(value, -largest_integer, largest_integer));
    return value;
  }

  Json resolve(const Json& reference) const {
    if (!reference.is_string()) return nullptr;
    const auto& text = reference.get_ref<const std::string&>();
    if (text.empty() || text[0] != '#') return nullptr;
    try {
      const Json::json_pointer pointer(text.substr(1));
      return root_.contains(pointer) ? root_.at(pointer) : Json(nullptr);
    } catch (const Json::exception&) {
      return nullptr;  // not a pointer: nothing to sample
    }
  }

  const Json& root_;
};

}  // namespace

Json sample_of_schema(const Json& schema) {
  try {
    return Sampler(schema).sample(schema, "", 0);
  } catch (const Json::exception&) {
    return Json::object();  // a keyword of the wrong type
  }
}

Json parse_json(std::string_view text) {
  if (nested_deeper(text, deepest_json)) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, false);
}

std::string spaced_json(const Json& value) {
  if (!value.is_structured()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string text(1, value.is_object() ? '{' : '[');
  bool first = true;
  for (const auto& item : value.items()) {
    if (!std::exchange(first, false)) text += ", ";
    if (value.is_object()) text += Json(item.key()).dump(-1, ' ', false, Json::error_handler_t::replace) + ": ";
    text += spaced_json(item.value());
  }
  return text + (value.is_object() ? '}' : ']');
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
