// Tools: functions of the program that a model may call.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <deepseek/core/function.hpp>
#include <deepseek/model/tools.hpp>
#include <deepseek/result.hpp>
#include <deepseek/schema.hpp>

DEEPSEEK_BEGIN_NAMESPACE

namespace detail {

class ToolSet;
struct ToolAccess;

/// Runs a tool. `started` tells arguments that did not fit (false) from a tool that failed (true).
using ToolFunction = Function<Result<std::string>(const RawJson& arguments, bool& started)>;

template <class R, class... A>
struct ToolShape {
  static constexpr std::size_t count = sizeof...(A);
  using result = R;
  using argument = std::tuple_element_t<0, std::tuple<std::decay_t<A>..., void>>;
};

template <class F, class = void>
struct ToolTraits {
  static constexpr bool known = false;
};
template <class F>
struct ToolTraits<F, std::void_t<decltype(&F::operator())>> : ToolTraits<decltype(&F::operator())> {};
template <class R, class... A>
struct ToolTraits<R (*)(A...), void> : ToolShape<R, A...> {
  static constexpr bool known = true;
};
template <class R, class... A>
struct ToolTraits<R (*)(A...) noexcept, void> : ToolTraits<R (*)(A...)> {};
template <class C, class R, class... A>
struct ToolTraits<R (C::*)(A...), void> : ToolTraits<R (*)(A...)> {};
template <class C, class R, class... A>
struct ToolTraits<R (C::*)(A...) const, void> : ToolTraits<R (*)(A...)> {};
template <class C, class R, class... A>
struct ToolTraits<R (C::*)(A...) noexcept, void> : ToolTraits<R (*)(A...)> {};
template <class C, class R, class... A>
struct ToolTraits<R (C::*)(A...) const noexcept, void> : ToolTraits<R (*)(A...)> {};

/// What a tool without parameters asks of its arguments: that they are whole.
Result<void> expect_object(const RawJson& arguments);

template <class T>
struct IsResult : std::false_type {};
template <class T>
struct IsResult<Result<T>> : std::true_type {};

/// What a tool returned, as the text of a tool message.
template <class T>
Result<std::string> tool_text(T value) {
  if constexpr (IsResult<T>::value) {
    if (!value) return std::move(value).error();
    return tool_text(*std::move(value));
  } else if constexpr (std::is_convertible_v<T, std::string>) {
    return std::string(std::move(value));
  } else if constexpr (std::is_same_v<T, RawJson>) {
    return value.text();
  } else {
    static_assert(HasSchema<T>::value,
                  "deepseek: a tool returns std::string, RawJson, a struct with a Schema, or a Result of one of these");
    return to_json(value).text();
  }
}

}  // namespace detail

/// A set of named functions. Copies share one set; fill it before it is used, then any number of
/// conversations may use it at once.
///
///     tools.add("get_weather", "The weather now", [](const Place& place) -> Result<std::string> { ... });
///
/// A function takes one struct with a Schema, or nothing, or (with a schema given as JSON) the arguments
/// as RawJson. It returns text, RawJson, a struct with a Schema, or a Result of these. What it returns is
/// shown to the model, and so is the message of its Error or exception. It is called only with arguments
/// that are whole and fit the schema, and may be called on several threads at once when the model makes
/// several calls in one turn. Conversation::ask (<deepseek/conversation.hpp>) runs them.
class Tools {
 public:
  Tools();

  template <class F>
  Tools& add(std::string name, std::string description, F function) {
    using Traits = detail::ToolTraits<F>;
    static_assert(Traits::known,
                  "deepseek: a tool must be a plain function or a lambda with a named parameter type, "
                  "such as [](const Place& place) { ... }; [](auto x) cannot tell what it takes");
    if constexpr (Traits::known) {
      static_assert(!std::is_void_v<typename Traits::result> && !std::is_same_v<typename Traits::result, Result<void>>,
                    "deepseek: a tool must return something for the model to read");
      static_assert(Traits::count <= 1, "deepseek: a tool takes one struct or nothing");
      if constexpr (Traits::count == 0) {
        add_plain(std::move(name), std::move(description), std::move(function));
      } else {
        static_assert(!std::is_same_v<typename Traits::argument, RawJson>,
                      "deepseek: a tool that takes RawJson needs its schema: add(name, description, schema, function)");
        static_assert(
            detail::HasSchema<typename Traits::argument>::value || std::is_same_v<typename Traits::argument, RawJson>,
            "deepseek: the struct a tool takes needs a specialisation of deepseek::Schema");
        if constexpr (detail::HasSchema<typename Traits::argument>::value) {
          add_typed<typename Traits::argument>(std::move(name), std::move(description), std::move(function));
        }
      }
    }
    return *this;
  }

  /// A tool whose arguments are described by a JSON Schema of an object. Understood: type, enum, const,
  /// properties, required, additionalProperties, items, anyOf, oneOf, allOf, not, $ref into $defs, and the
  /// bounds of numbers, strings, arrays and objects. A keyword that would be ignored is refused.
  template <class F>
  Tools& add(std::string name, std::string description, RawJson schema, F function) {
    add_described(std::move(name), std::move(description), std::move(schema),
                  [function = std::move(function)](const RawJson& arguments, bool& started) mutable {
                    started = true;
                    return detail::tool_text(function(arguments));
                  });
    return *this;
  }

  /// A definition without a function: a server tool, which the service runs by itself.
  Tools& add(Tool definition);

  /// Ask for strict mode (beta): the service then holds the model to the schemas. Elsewhere than at DeepSeek such a
  /// request goes to the plain base.
  Tools& strict(bool on = true);

  /// What goes into ChatRequest::tools.
  std::vector<Tool> definitions() const;
  bool empty() const noexcept;
  /// The first thing wrong with what was added (name, schema); asking with such tools fails with it.
  Result<void> status() const;

  /// Runs one tool here, on this thread. tool_failed: no such tool, or it threw (the message is that of the exception);
  /// malformed_json or schema_mismatch: the arguments do not fit and it was not run; else what the tool returned.
  Result<std::string> call(std::string_view name, const RawJson& arguments) const;

 private:
  friend struct detail::ToolAccess;

  template <class F>
  void add_plain(std::string name, std::string description, F function) {
    add_function(
        std::move(name), std::move(description), {}, {},
        [function = std::move(function)](const RawJson& arguments, bool& started) mutable -> Result<std::string> {
          if (Result<void> object = detail::expect_object(arguments); !object) return object.error();
          started = true;
          return detail::tool_text(function());
        });
  }
  template <class Argument, class F>
  void add_typed(std::string name, std::string description, F function) {
    add_function(
        std::move(name), std::move(description), schema_of<Argument>(), schema_of<Argument>(true),
        [function = std::move(function)](const RawJson& arguments, bool& started) mutable -> Result<std::string> {
          Result<Argument> argument = from_json<Argument>(arguments.view());
          if (!argument) return argument.error();
          started = true;
          return detail::tool_text(function(*std::move(argument)));
        });
  }
  void add_function(std::string name, std::string description, RawJson schema, RawJson strict_schema,
                    detail::ToolFunction run);
  void add_described(std::string name, std::string description, RawJson schema, detail::ToolFunction run);

  std::shared_ptr<detail::ToolSet> set_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/impl/tools.ipp>
#endif
