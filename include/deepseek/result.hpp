// Result<T>: a value or an Error, spelled like std::expected.
#pragma once
#include <optional>
#include <type_traits>
#include <utility>

#include <deepseek/error.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// A T or an Error. Never empty. Nothing here throws except value() on an error.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  using error_type = Error;

  Result(Error error) : error_(std::move(error)) {}
  /// From anything that makes a T. Result<bool> takes no pointers: "text" would silently be true.
  template <class U = T, class = std::enable_if_t<std::is_constructible_v<T, U&&> && std::is_convertible_v<U&&, T> &&
                                                  !std::is_same_v<std::decay_t<U>, Result> &&
                                                  !std::is_same_v<std::decay_t<U>, Error> &&
                                                  !(std::is_same_v<T, bool> && std::is_pointer_v<std::decay_t<U>>)>>
  Result(U&& value) : value_(std::in_place, std::forward<U>(value)) {}

  bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws Exception if there is none.
  T& value() & { return require(), *value_; }
  const T& value() const& { return require(), *value_; }
  T value() && { return require(), std::move(*value_); }  // by value: a reference would dangle

  /// Precondition for * and ->: has_value().
  T& operator*() & noexcept { return *value_; }
  const T& operator*() const& noexcept { return *value_; }
  T operator*() && { return std::move(*value_); }
  T* operator->() & noexcept { return &*value_; }
  const T* operator->() const& noexcept { return &*value_; }
  T* operator->() && = delete;  // `for (auto& c : client.chat("hi")->tool_calls())` would dangle silently

  /// Precondition: !has_value().
  const Error& error() const& noexcept { return *error_; }
  Error error() && { return std::move(*error_); }

  template <class U>
  T value_or(U&& other) const& {
    return has_value() ? **this : static_cast<T>(std::forward<U>(other));
  }
  template <class U>
  T value_or(U&& other) && {
    return has_value() ? *std::move(*this) : static_cast<T>(std::forward<U>(other));
  }

  /// f(value) must return a Result; errors pass through.
  template <class F>
  auto and_then(F&& f) const& -> std::invoke_result_t<F, const T&> {
    if (has_value()) return std::forward<F>(f)(**this);
    return error();
  }
  template <class F>
  auto and_then(F&& f) && -> std::invoke_result_t<F, T&&> {
    if (has_value()) return std::forward<F>(f)(*std::move(*this));
    return std::move(*this).error();
  }
  /// f(value) makes the new value; errors pass through.
  template <class F>
  auto transform(F&& f) const& -> Result<std::decay_t<std::invoke_result_t<F, const T&>>> {
    if (has_value()) return std::forward<F>(f)(**this);
    return error();
  }
  template <class F>
  auto transform(F&& f) && -> Result<std::decay_t<std::invoke_result_t<F, T&&>>> {
    if (has_value()) return std::forward<F>(f)(*std::move(*this));
    return std::move(*this).error();
  }

 private:
  void require() const {
    if (!has_value()) detail::throw_exception(error());
  }
  std::optional<T> value_;  // exactly one of the two is set: <variant> would cost every user 0.05 s a file
  std::optional<Error> error_;
};

/// Success without a value.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}
  bool has_value() const noexcept { return !error_; }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (error_) detail::throw_exception(*error_);
  }
  const Error& error() const noexcept { return *error_; }

 private:
  std::optional<Error> error_;
};

DEEPSEEK_END_NAMESPACE
