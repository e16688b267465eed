#pragma once
#include <deepseek/detail/json_schema.hpp>
#include <deepseek/impl/schema.ipp>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- compiling: everything check() relies on is made sure of here ---

using SchemaJson = nlohmann::json;

enum class KeywordValue {
  any,
  text,
  number,
  size,
  boolean,
  list,
  text_list,
  schema,
  schema_list,
  schema_map,
  type,
  ref,
  pattern
};
struct SchemaKeyword {
  std::string_view name;
  KeywordValue value;
};
inline constexpr SchemaKeyword schema_keywords[] = {
    {"type", KeywordValue::type},
    {"enum", KeywordValue::list},
    {"const", KeywordValue::any},
    {"properties", KeywordValue::schema_map},
    {"required", KeywordValue::text_list},
    {"additionalProperties", KeywordValue::schema},
    {"items", KeywordValue::schema},
    {"anyOf", KeywordValue::schema_list},
    {"oneOf", KeywordValue::schema_list},
    {"allOf", KeywordValue::schema_list},
    {"not", KeywordValue::schema},
    {"$ref", KeywordValue::ref},
    {"$defs", KeywordValue::schema_map},
    {"$def", KeywordValue::schema_map},
    {"definitions", KeywordValue::schema_map},
    {"minimum", KeywordValue::number},
    {"maximum", KeywordValue::number},
    {"exclusiveMinimum", KeywordValue::number},
    {"exclusiveMaximum", KeywordValue::number},
    {"multipleOf", KeywordValue::number},
    {"minLength", KeywordValue::size},
    {"maxLength", KeywordValue::size},
    {"minItems", KeywordValue::size},
    {"maxItems", KeywordValue::size},
    {"minProperties", KeywordValue::size},
    {"maxProperties", KeywordValue::size},
    {"uniqueItems", KeywordValue::boolean},
    {"pattern", KeywordValue::pattern},
    // Annotations: they say nothing that could be violated.
    {"title", KeywordValue::any},
    {"description", KeywordValue::any},
    {"default", KeywordValue::any},
    {"examples", KeywordValue::any},
    {"deprecated", KeywordValue::any},
    {"readOnly", KeywordValue::any},
    {"writeOnly", KeywordValue::any},
    {"format", KeywordValue::text},
    {"$schema", KeywordValue::text},
    {"$id", KeywordValue::text},
    {"$comment", KeywordValue::text},
};

inline constexpr std::string_view schema_types[] = {"null",   "boolean", "integer", "number",
                                                    "string", "array",   "object"};

DEEPSEEK_DECL bool is_schema_type(const SchemaJson& node) {
  const auto* text = node.get_ptr<const SchemaJson::string_t*>();
  if (!text) return false;
  for (std::string_view type : schema_types) {
    if (type == *text) return true;
  }
  return false;
}

/// The schema that "#" or "#/$defs/name" names, or null.
DEEPSEEK_DECL const SchemaJson* resolve_ref(const SchemaJson& root, const std::string& ref) {
  if (ref == "#") return &root;
  for (std::string_view home : {"$defs", "$def", "definitions"}) {
    const std::string start = "#/" + std::string(home) + "/";
    if (ref.compare(0, start.size(), start) != 0) continue;
    const auto group = root.find(std::string(home));
    if (group == root.end() || !group->is_object()) return nullptr;
    const auto found = group->find(ref.substr(start.size()));
    return found == group->end() ? nullptr : &*found;
  }
  return nullptr;
}

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const SchemaJson& root) : root_(root) {}

  /// Nothing, or what is wrong and where. Recursion is bounded by the depth of the parsed document.
  std::optional<std::string> schema(const SchemaJson& node, const std::string& path) {
    if (node.is_boolean()) return std::nullopt;
    if (!node.is_object()) return path + " must be an object";
    for (const auto& item : node.items()) {
      if (auto wrong = keyword(item.key(), item.value(), path + "." + item.key())) return wrong;
    }
    return std::nullopt;
  }

 private:
  std::optional<std::string> keyword(const std::string& name, const SchemaJson& value, const std::string& path) {
    for (const SchemaKeyword& known : schema_keywords) {
      if (known.name == name) return check_value(known.value, value, path);
    }
    return path + " is a keyword that is not supported";
  }

  std::optional<std::string> check_value(KeywordValue wanted, const SchemaJson& value, const std::string& path) {
    const auto unless = [&](bool good, const char* what) -> std::optional<std::string> {
      if (good) return std::nullopt;
      return path + " must be " + what;
    };
    switch (wanted) {
      case KeywordValue::any:
        return std::nullopt;
      case KeywordValue::text:
        return unless(value.is_string(), "a string");
      case KeywordValue::number:
        return unless(value.is_number(), "a number");
      case KeywordValue::size:
        return unless(value.is_number_unsigned(), "a whole number");
      case KeywordValue::boolean:
        return unless(value.is_boolean(), "true or false");
      case KeywordValue::list:
        return unless(value.is_array(), "an array");
      case KeywordValue::type:
        return type(value, path);
      case KeywordValue::text_list:
        return text_list(value, path);
      case KeywordValue::schema:
        return schema(value, path);
      case KeywordValue::schema_list:
        return schema_list(value, path);
      case KeywordValue::schema_map:
        return schema_map(value, path);
      case KeywordValue::ref:
        return unless(value.is_string() && resolve_ref(root_, value.get_ref<const std::string&>()),
                      "\"#\" or the name of a schema in #/$defs");
      case KeywordValue::pattern:
        return unless(value.is_string() && Pattern::compile(value.get_ref<const std::string&>()),
                      "a regular expression without look-around and back-references");
    }
    return std::nullopt;
  }

  std::optional<std::string> type(const SchemaJson& value, const std::string& path) {
    bool good = is_schema_type(value);
    if (value.is_array()) {
      good = !value.empty();
      for (const SchemaJson& item : value) good = good && is_schema_type(item);
    }
    if (good) return std::nullopt;
    return path + " must be a JSON type";
  }

  std::optional<std::string> text_list(const SchemaJson& value, const std::string& path) {
    bool good = value.is_array();
    if (good) {
      for (const SchemaJson& item : value) good = good && item.is_string();
    }
    if (good) return std::nullopt;
    return path + " must be an array of strings";
  }

  std::optional<std::string> schema_list(const SchemaJson& value, const std::string& path) {
    if (!value.is_array() || value.empty()) return path + " must be an array of schemas";
    for (const SchemaJson& item : value) {
      if (auto wrong = schema(item, path)) return wrong;
    }
    return std::nullopt;
  }

  std::optional<std::string> schema_map(const SchemaJson& value, const std::string& path) {
    if (!value.is_object()) return path + " must be an object";
    for (const auto& item : value.items()) {
      if (auto wrong = schema(item.value(), path + "." + item.key())) return wrong;
    }
    return std::nullopt;
  }

  const SchemaJson& root_;
};

DEEPSEEK_DECL Result<JsonSchema> JsonSchema::compile(const RawJson& schema) {
  Result<JsonDocument> document = JsonDocument::parse(schema.view());
  if (!document) return Error(ErrorCode::invalid_argument, "the schema is " + document.error().message());
  const SchemaJson& root = node_of(document->root());
  if (auto wrong = SchemaCompiler(root).schema(root, "$")) {
    return Error(ErrorCode::invalid_argument, "the schema cannot be used: " + *wrong);
  }
  return JsonSchema(*std::move(document));
}

DEEPSEEK_DECL bool JsonSchema::of_object() const {
  const SchemaJson& root = node_of(document_.root());
  if (!root.is_object()) return false;
  const auto type = root.find("type");
  return type != root.end() && *type == "object";
}

// --- checking ---

class SchemaCheck {
 public:
  SchemaCheck(const SchemaJson& root, Mismatch& why) : root_(root), why_(why) {}

  bool value(const SchemaJson& schema, const SchemaJson& value) {
    // anyOf below $ref can multiply without end, and a $ref may lead to itself.
    if (!charge(depth_ < max_depth ? 1 : max_work + 1)) return false;
    ++depth_;
    const bool good = all_of_it(schema, value);
    --depth_;
    return good;
  }

 private:
  static constexpr int max_depth = 256;
  // A second at most: steps of patterns, and as many for each node of the schema as it costs.
  static constexpr std::uint64_t max_work = 30'000'000;
  static constexpr std::uint64_t node_work = 30;

  /// False once the work of the whole check, patterns of all strings included, is more than is allowed.
  bool spend(std::uint64_t work) {
    work_ = work_ > max_work || work > max_work ? max_work + 1 : work_ + work;
    return work_ <= max_work || why_.fail("too expensive to check against the schema");
  }
  bool charge(std::uint64_t nodes) { return spend(nodes > max_work ? nodes : nodes * node_work); }

  bool matches(const SchemaJson& expression, const std::string& text) {
    auto known = patterns_.find(&expression);
    if (known == patterns_.end()) {
      const std::string& words = expression.get_ref<const std::string&>();
      if (!charge(words.size())) return false;
      known = patterns_.emplace(&expression, *Pattern::compile(words)).first;
    }
    return spend(known->second.work(text)) && (known->second.found_in(text) || why_.fail("does not match the pattern"));
  }

  static const SchemaJson* part(const SchemaJson& schema, const char* name) {
    const auto found = schema.find(name);
    return found == schema.end() ? nullptr : &*found;
  }

  bool all_of_it(const SchemaJson& schema, const SchemaJson& value) {
    if (schema.is_boolean()) return schema.get<bool>() || why_.fail("is not allowed");
    if (const SchemaJson* ref = part(schema, "$ref")) {
      if (!this->value(*resolve_ref(root_, ref->get_ref<const std::string&>()), value)) return false;
    }
    return type(schema, value) && words(schema, value) && number(schema, value) && text(schema, value) &&
           array(schema, value) && object(schema, value) && combined(schema, value);
  }

  static bool is_type(const SchemaJson& name, const SchemaJson& value) {
    const std::string& type = name.get_ref<const std::string&>();
    if (type == "null") return value.is_null();
    if (type == "boolean") return value.is_boolean();
    if (type == "string") return value.is_string();
    if (type == "array") return value.is_array();
    if (type == "object") return value.is_object();
    if (type == "number") return value.is_number();
    return value.is_number_integer() ||
           (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>());
  }

  bool type(const SchemaJson& schema, const SchemaJson& value) {
    const SchemaJson* type = part(schema, "type");
    if (!type) return true;
    std::string wanted;
    for (const SchemaJson& name : type->is_array() ? *type : SchemaJson::array({*type})) {
      if (is_type(name, value)) return true;
      wanted += (wanted.empty() ? "" : " or ") + name.get_ref<const std::string&>();
    }
    return why_.expected(wanted, JsonView(&value));
  }

  bool words(const SchemaJson& schema, const SchemaJson& value) {
    if (const SchemaJson* only = part(schema, "const"); only && *only != value)
      return why_.fail("is not the only value allowed");
    const SchemaJson* list = part(schema, "enum");
    if (!list) return true;
    for (const SchemaJson& item : *list) {
      if (item == value) return true;
    }
    std::string wanted = "expected one of";
    for (std::size_t i = 0; i < list->size() && i < FieldRules::max_words; ++i) {
      wanted += (i ? ", " : " ") + (*list)[i].dump(-1, ' ', false, SchemaJson::error_handler_t::replace);
    }
    return why_.fail(std::move(wanted));
  }

  bool number(const SchemaJson& schema, const SchemaJson& value) {
    if (!value.is_number()) return true;
    const double x = value.get<double>();
    const auto bound = [&](const char* name, auto good) {
      const SchemaJson* limit = part(schema, name);
      return !limit || good(limit->get<double>()) || why_.fail(std::string("violates ") + name);
    };
    return bound("minimum", [x](double y) { return x >= y; }) && bound("maximum", [x](double y) { return x <= y; }) &&
           bound("exclusiveMinimum", [x](double y) { return x > y; }) &&
           bound("exclusiveMaximum", [x](double y) { return x < y; }) &&
           bound("multipleOf", [x](double y) { return y <= 0 || std::abs(x / y - std::round(x / y)) < 1e-9; });
  }

  bool sized(const SchemaJson& schema, const char* least, const char* most, std::size_t size) {
    const SchemaJson* low = part(schema, least);
    if (low && size < low->get<std::uint64_t>()) return why_.fail(std::string("violates ") + least);
    const SchemaJson* high = part(schema, most);
    if (high && size > high->get<std::uint64_t>()) return why_.fail(std::string("violates ") + most);
    return true;
  }

  bool text(const SchemaJson& schema, const SchemaJson& value) {
    if (!value.is_string()) return true;
    const std::string& text = value.get_ref<const std::string&>();
    if (!spend(text.size())) return false;
    std::size_t characters = 0;
    for (char c : text) characters += (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
    if (!sized(schema, "minLength", "maxLength", characters)) return false;
    const SchemaJson* pattern = part(schema, "pattern");
    return !pattern || matches(*pattern, text);
  }

  bool array(const SchemaJson& schema, const SchemaJson& value) {
    if (!value.is_array()) return true;
    if (!sized(schema, "minItems", "maxItems", value.size())) return false;
    if (const SchemaJson* unique = part(schema, "uniqueItems"); unique && unique->get<bool>()) {
      if (!charge(value.size())) return false;
      if (!distinct(value)) return why_.fail("has an item twice");
    }
    const SchemaJson* items = part(schema, "items");
    if (!items) return true;
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (!this->value(*items, value[i])) return why_.inside(i), false;
    }
    return true;
  }

  static bool distinct(const SchemaJson& array) {
    std::vector<const SchemaJson*> sorted;
    for (const SchemaJson& item : array) sorted.push_back(&item);
    std::sort(sorted.begin(), sorted.end(), [](const SchemaJson* a, const SchemaJson* b) { return *a < *b; });
    return std::adjacent_find(sorted.begin(), sorted.end(),
                              [](const SchemaJson* a, const SchemaJson* b) { return *a == *b; }) == sorted.end();
  }

  bool object(const SchemaJson& schema, const SchemaJson& value) {
    if (!value.is_object()) return true;
    if (!sized(schema, "minProperties", "maxProperties", value.size())) return false;
    if (const SchemaJson* required = part(schema, "required")) {
      for (const SchemaJson& name : *required) {
        const std::string& key = name.get_ref<const std::string&>();
        if (!value.contains(key)) return why_.fail("lacks \"" + key + "\"");
      }
    }
    const SchemaJson* properties = part(schema, "properties");
    const SchemaJson* others = part(schema, "additionalProperties");
    for (const auto& item : value.items()) {
      const SchemaJson* known = properties && properties->contains(item.key()) ? &(*properties)[item.key()] : nullptr;
      if (!known && others && others->is_boolean() && !others->get<bool>()) {
        return why_.fail("has a member that the schema does not know");
      }
      const SchemaJson* rule = known ? known : others;
      if (rule && !this->value(*rule, item.value())) return why_.inside(item.key()), false;
    }
    return true;
  }

  /// Whether it fits; a mismatch inside is forgotten, because it is not the reason.
  bool fits(const SchemaJson& schema, const SchemaJson& value) {
    Mismatch kept;
    std::swap(why_, kept);
    const bool good = this->value(schema, value);
    std::swap(why_, kept);
    return good;
  }

  std::size_t fitting(const SchemaJson& list, const SchemaJson& value) {
    std::size_t count = 0;
    for (const SchemaJson& schema : list) count += fits(schema, value);
    return count;
  }

  bool combined(const SchemaJson& schema, const SchemaJson& value) {
    if (const SchemaJson* all = part(schema, "allOf")) {
      for (const SchemaJson& each : *all) {
        if (!this->value(each, value)) return false;
      }
    }
    if (const SchemaJson* any = part(schema, "anyOf"); any && fitting(*any, value) == 0)
      return why_.fail("fits none of anyOf");
    if (const SchemaJson* one = part(schema, "oneOf"); one && fitting(*one, value) != 1)
      return why_.fail("must fit exactly one of oneOf");
    if (const SchemaJson* none = part(schema, "not"); none && fits(*none, value)) {
      return why_.fail("fits what the schema excludes");
    }
    // A budget that ran out inside `not` must not look like "does not fit".
    return spend(0);
  }

  const SchemaJson& root_;
  Mismatch& why_;
  std::unordered_map<const SchemaJson*, Pattern> patterns_;  // each is compiled once a check
  int depth_ = 0;
  std::uint64_t work_ = 0;
};

DEEPSEEK_DECL Result<void> JsonSchema::check(std::string_view json) const {
  Result<JsonDocument> document = JsonDocument::parse(json);
  if (!document) return document.error();
  Mismatch why;
  if (SchemaCheck(node_of(document_.root()), why).value(node_of(document_.root()), node_of(document->root())))
    return {};
  return why.error();
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#include <deepseek/impl/pattern.ipp>
