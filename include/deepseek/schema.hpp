// Schema: a struct's JSON Schema, its checked parsing and its writing, from one list of fields.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include <deepseek/detail/json.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Specialise at global scope for a struct that can be default-made:
///
///     template <> struct deepseek::Schema<Place> {
///       static constexpr auto fields = std::make_tuple(
///           field("city", &Place::city).describe("City and country"),
///           field("unit", &Place::unit).one_of("celsius", "fahrenheit"));
///     };
///
/// Members may be bool, integers, float, double, std::string, structs with a Schema, and std::optional,
/// std::vector and std::map<std::string, ...> of these. A member that is not an optional is required.
/// (Write deepseek::field if your own namespace has a function of that name.)
template <class T>
struct Schema;

namespace detail {

template <class T, class = void>
struct HasSchema : std::false_type {};
template <class T>
struct HasSchema<T, std::void_t<decltype(Schema<T>::fields)>> : std::true_type {};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T, class A>
struct IsVector<std::vector<T, A>> : std::true_type {};
/// Anything with the shape of std::map<std::string, T>: <map> itself is the user's to include.
template <class T, class = void>
struct IsStringMap : std::false_type {};
template <class T>
struct IsStringMap<T, std::void_t<typename T::mapped_type>> : std::is_same<typename T::key_type, std::string> {};

template <class T>
inline constexpr bool is_character =
    std::is_same_v<T, char> || std::is_same_v<T, wchar_t> || std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>;

/// The type that rules on values (one_of, minimum) speak about: through optional and vector.
template <class T>
struct Leaf {
  using type = T;
};
template <class T>
struct Leaf<std::optional<T>> : Leaf<T> {};
template <class T, class A>
struct Leaf<std::vector<T, A>> : Leaf<T> {};

template <class>
inline constexpr bool never = false;

}  // namespace detail

/// One member of a Schema. Each step returns a changed copy.
template <class Owner, class Member>
struct Field : detail::FieldRules {
  Member Owner::* member;

  constexpr Field(std::string_view json_name, Member Owner::* pointer) : member(pointer) { name = json_name; }

  /// What the model is told about it.
  constexpr Field describe(std::string_view text) const {
    Field copy = *this;
    copy.description = text;
    return copy;
  }
  /// The words allowed in a string (or in each string of a vector).
  template <class... Words>
  constexpr Field one_of(Words... allowed) const {
    static_assert(std::is_same_v<typename detail::Leaf<Member>::type, std::string>,
                  "deepseek: one_of() is for strings");
    static_assert(sizeof...(Words) > 0 && sizeof...(Words) <= max_words, "deepseek: one_of() takes 1 to 32 words");
    Field copy = *this;
    copy.word_count = 0;
    ((copy.words[copy.word_count++] = allowed), ...);
    return copy;
  }
  /// Smallest and largest value of a number, both included; compared as double.
  template <class Number>
  constexpr Field minimum(Number value) const {
    static_assert(std::is_arithmetic_v<typename detail::Leaf<Member>::type>, "deepseek: minimum() is for numbers");
    Field copy = *this;
    copy.low = static_cast<double>(value);
    copy.has_low = true;
    return copy;
  }
  template <class Number>
  constexpr Field maximum(Number value) const {
    static_assert(std::is_arithmetic_v<typename detail::Leaf<Member>::type>, "deepseek: maximum() is for numbers");
    Field copy = *this;
    copy.high = static_cast<double>(value);
    copy.has_high = true;
    return copy;
  }
};

/// Names a member in JSON. For Schema<T>::fields.
template <class Owner, class Member>
constexpr Field<Owner, Member> field(std::string_view name, Member Owner::* member) {
  return {name, member};
}

namespace detail {

template <class T>
bool read_value(JsonView from, T& out, const FieldRules* rules, Mismatch& why);

template <class Owner, class Member>
bool read_field(JsonView object, Owner& out, const Field<Owner, Member>& field, Mismatch& why) {
  const JsonView value = object.member(field.name);
  if (value.kind() == JsonView::Kind::absent && IsOptional<Member>::value) {
    out.*field.member = Member{};
    return true;
  }
  if (read_value(value, out.*field.member, &field, why)) return true;
  why.inside(field.name);
  return false;
}

template <class T>
bool read_struct(JsonView from, T& out, Mismatch& why) {
  if (from.kind() != JsonView::Kind::object) return why.expected("an object", from);
  return std::apply(
      [&](const auto&... field) {
        const std::string_view names[] = {field.name..., {}};
        return (read_field(from, out, field, why) && ...) && only_members(from, names, sizeof...(field), why);
      },
      Schema<T>::fields);
}

template <class T, class A>
bool read_vector(JsonView from, std::vector<T, A>& out, const FieldRules* rules, Mismatch& why) {
  if (from.kind() != JsonView::Kind::array) return why.expected("an array", from);
  out.clear();
  out.reserve(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    T item{};
    if (!read_value(from.item(i), item, rules, why)) return why.inside(i), false;
    out.push_back(std::move(item));
  }
  return true;
}

template <class Map>
bool read_map(JsonView from, Map& out, Mismatch& why) {
  if (from.kind() != JsonView::Kind::object) return why.expected("an object", from);
  struct Target {
    Map& map;
    Mismatch& why;
    bool good;
  } target{out, why, true};
  out.clear();
  from.each_member(&target, [](void* context, std::string_view key, JsonView value) {
    Target& to = *static_cast<Target*>(context);
    to.good = read_value(value, to.map[std::string(key)], nullptr, to.why);
    if (!to.good) to.why.inside(key);
    return to.good;
  });
  return target.good;
}

template <class T>
bool read_value(JsonView from, T& out, const FieldRules* rules, Mismatch& why) {
  if constexpr (std::is_same_v<T, bool>) {
    return read_bool(from, out, why);
  } else if constexpr (std::is_integral_v<T> && !is_character<T> && std::is_signed_v<T>) {
    std::int64_t wide = 0;
    if (!read_signed(from, std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), rules, wide, why))
      return false;
    return out = static_cast<T>(wide), true;
  } else if constexpr (std::is_integral_v<T> && !is_character<T>) {
    std::uint64_t wide = 0;
    if (!read_unsigned(from, std::numeric_limits<T>::max(), rules, wide, why)) return false;
    return out = static_cast<T>(wide), true;
  } else if constexpr (std::is_floating_point_v<T>) {
    double wide = 0;
    if (!read_real(from, rules, wide, why)) return false;
    return out = static_cast<T>(wide), true;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return read_string(from, rules, out, why);
  } else if constexpr (IsOptional<T>::value) {
    if (from.kind() == JsonView::Kind::null) return out.reset(), true;
    return read_value(from, out.emplace(), rules, why);
  } else if constexpr (IsVector<T>::value) {
    return read_vector(from, out, rules, why);
  } else if constexpr (IsStringMap<T>::value) {
    return read_map(from, out, why);
  } else {
    static_assert(HasSchema<T>::value,
                  "deepseek: no JSON form for this type: use bool, integers, double, std::string, std::optional, "
                  "std::vector, std::map<std::string, ...>, or specialise deepseek::Schema for it");
    if constexpr (HasSchema<T>::value) return read_struct(from, out, why);
  }
}

template <class T>
void write_value(ValueWriter& to, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    to.boolean(value);
  } else if constexpr (std::is_integral_v<T> && !is_character<T> && std::is_signed_v<T>) {
    to.integer(value);
  } else if constexpr (std::is_integral_v<T> && !is_character<T>) {
    to.natural(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    to.real(static_cast<double>(value));
  } else if constexpr (std::is_same_v<T, std::string>) {
    to.string(value);
  } else if constexpr (IsOptional<T>::value) {
    value ? write_value(to, *value) : to.null();
  } else if constexpr (IsVector<T>::value) {
    to.begin('[');
    for (const auto& item : value) write_value<typename T::value_type>(to, item);
    to.end(']');
  } else if constexpr (IsStringMap<T>::value) {
    to.begin('{');
    for (const auto& item : value) to.key(item.first), write_value(to, item.second);
    to.end('}');
  } else {
    static_assert(HasSchema<T>::value, "deepseek: no JSON form for this type: specialise deepseek::Schema for it");
    to.begin('{');
    const auto write_field = [&](std::string_view name, const auto& member) {
      if constexpr (IsOptional<std::decay_t<decltype(member)>>::value) {
        if (!member) return;
      }
      to.key(name), write_value(to, member);
    };
    std::apply([&](const auto&... field) { (write_field(field.name, value.*field.member), ...); }, Schema<T>::fields);
    to.end('}');
  }
}

template <class T>
void write_schema(ValueWriter& to, const FieldRules* rules);

template <class T>
struct TypeMark {
  static constexpr char id = 0;
};

template <class T>
void write_struct_schema(ValueWriter& to, const FieldRules* rules) {
  const void* type = &TypeMark<T>::id;
  to.begin('{');
  if (!to.enter(type)) {  // a struct that holds itself
    to.at_root(type) ? to.member("$ref", "#") : to.member("type", "object");
    return to.end('}');
  }
  to.member("type", "object");
  to.annotate(rules);
  std::apply(
      [&](const auto&... field) {
        to.key("properties"), to.begin('{');
        ((to.key(field.name), write_schema<std::decay_t<decltype(std::declval<T>().*field.member)>>(to, &field)), ...);
        to.end('}');
        to.key("required"), to.begin('[');
        [[maybe_unused]] const auto require = [&](std::string_view name, bool optional) {
          if (!optional || to.strict()) to.string(name);
        };
        (require(field.name, IsOptional<std::decay_t<decltype(std::declval<T>().*field.member)>>::value), ...);
        to.end(']');
      },
      Schema<T>::fields);
  to.key("additionalProperties"), to.boolean(false);
  to.leave();
  to.end('}');
}

template <class T>
void write_schema(ValueWriter& to, const FieldRules* rules) {
  if constexpr (IsOptional<T>::value) {
    if (!to.strict()) return write_schema<typename T::value_type>(to, rules);
    to.begin('{');
    to.key("anyOf"), to.begin('[');
    write_schema<typename T::value_type>(to, rules);
    to.raw("{\"type\":\"null\"}");
    to.end(']');
    to.end('}');
  } else if constexpr (std::is_arithmetic_v<T>) {
    static_assert(!is_character<T>, "deepseek: no JSON form for a character: use std::string");
    to.begin('{');
    to.member("type", std::is_same_v<T, bool> ? "boolean" : std::is_integral_v<T> ? "integer" : "number");
    to.annotate(rules);
    if constexpr (!std::is_same_v<T, bool>) to.bounds(rules, std::is_unsigned_v<T>);
    to.end('}');
  } else if constexpr (std::is_same_v<T, std::string>) {
    to.begin('{');
    to.member("type", "string");
    to.annotate(rules);
    to.words(rules);
    to.end('}');
  } else if constexpr (IsVector<T>::value) {
    to.begin('{');
    to.member("type", "array");
    to.annotate(rules);
    FieldRules items = rules ? *rules : FieldRules{};
    items.description = {};
    to.key("items"), write_schema<typename T::value_type>(to, &items);
    to.end('}');
  } else if constexpr (IsStringMap<T>::value) {
    to.begin('{');
    to.member("type", "object");
    to.annotate(rules);
    to.key("additionalProperties"), write_schema<typename T::mapped_type>(to, nullptr);
    to.end('}');
  } else {
    static_assert(HasSchema<T>::value, "deepseek: no JSON form for this type: specialise deepseek::Schema for it");
    if constexpr (HasSchema<T>::value) write_struct_schema<T>(to, rules);
  }
}

}  // namespace detail

/// The JSON Schema of T. `strict`: as strict tools want it, every property required and an optional
/// spelled as anyOf with null.
template <class T>
RawJson schema_of(bool strict = false) {
  detail::ValueWriter to(strict);
  detail::write_schema<T>(to, nullptr);
  return to.take();
}

/// Parses and checks: types, ranges, required and unknown members, one_of, bounds. malformed_json, or
/// schema_mismatch with the path and what was expected there ("$.unit: expected one of ..."); neither
/// quotes the text. An optional may be missing or null.
template <class T>
Result<T> from_json(std::string_view json) {
  static_assert(std::is_default_constructible_v<T>,
                "deepseek: from_json<T> fills a T that it can make without arguments");
  T value{};
  Result<void> done = detail::read_json(json, &value, [](detail::JsonView root, void* into, detail::Mismatch& why) {
    return detail::read_value(root, *static_cast<T*>(into), nullptr, why);
  });
  if (!done) return done.error();
  return value;
}

/// Writes T. An empty optional is left out; numbers that are not finite become null, bytes that are not
/// UTF-8 U+FFFD.
template <class T>
RawJson to_json(const T& value) {
  detail::ValueWriter to;
  detail::write_value(to, value);
  return to.take();
}

DEEPSEEK_END_NAMESPACE

// DeepSeekClient::chat_as<T>, declared in client.hpp, is defined here. Beside the errors of the call it ends in
// malformed_json or schema_mismatch if the answer does not fit, and not after one correction either (partial() is the
// last answer, advice() says so), in truncated if the token limit cut it off, and in invalid_argument for a request
// with tools.
#include <deepseek/impl/chat_as.hpp>

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/impl/schema.ipp>
#endif
