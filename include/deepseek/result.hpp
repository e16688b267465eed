// Result<T>: a value or an Error, spelled like std::expected.
#pragma once
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <deepseek/error.hpp>

DEEPSEEK_BEGIN_NAMESPACE

namespace detail {
class NoCopy;  // never defined
}  // namespace detail

/// A T or an Error. Never empty. Nothing here throws except value() on an error.
template <class T>
class [[nodiscard]] Result {
  // What cannot be copied makes no copyable Result: these then take what nobody has, and the implicit ones are deleted.
  template <bool can, class Other>
  using If = std::conditional_t<can, Other, const detail::NoCopy&>;
  using Copied = If<std::is_copy_constructible_v<T>, const Result&>;
  using CopyAssigned = If<std::is_copy_constructible_v<T> && std::is_copy_assignable_v<T>, const Result&>;
  static constexpr bool moves_safely = std::is_nothrow_move_constructible_v<T>;

 public:
  using value_type = T;
  using error_type = Error;

  Result(Error error) noexcept : error_(std::move(error)), has_value_(false) {}
  /// From anything that makes a T. Result<bool> takes no pointers: "text" would silently be true.
  template <class U = T, class = std::enable_if_t<std::is_constructible_v<T, U&&> && std::is_convertible_v<U&&, T> &&
                                                  !std::is_same_v<std::decay_t<U>, Result> &&
                                                  !std::is_same_v<std::decay_t<U>, Error> &&
                                                  !(std::is_same_v<T, bool> && std::is_pointer_v<std::decay_t<U>>)>>
  Result(U&& value) : value_(std::forward<U>(value)), error_(nullptr), has_value_(true) {}

  Result(Copied other) : error_(other.error_), has_value_(other.has_value_) {
    if (has_value_) make(other.value_);
  }
  Result(Result&& other) noexcept(moves_safely) : error_(std::move(other.error_)), has_value_(other.has_value_) {
    if (has_value_) make(std::move(other.value_));
  }
  Result& operator=(CopyAssigned other) {
    if (has_value_ && other.has_value_) {
      value_ = other.value_;
    } else if (this != &other) {
      *this = Result(other);
    }
    return *this;
  }
  /// If making or assigning the T throws, this is still what it was, as far as T's assignment keeps that.
  Result& operator=(Result&& other) noexcept(moves_safely && std::is_nothrow_move_assignable_v<T>) {
    if (has_value_ && other.has_value_) {
      value_ = std::move(other.value_);
      return *this;
    }
    Error error = std::move(other.error_);  // `other` may be a part of the value that ends here
    const bool has_value = other.has_value_;
    if (has_value) {
      make(std::move(other.value_));
    } else if (has_value_) {
      value_.~T();
    }
    has_value_ = has_value;
    error_ = std::move(error);
    return *this;
  }
  ~Result() {
    if (has_value_) value_.~T();
  }

  bool has_value() const noexcept { return has_value_; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws Exception if there is none.
  T& value() & { return require(), value_; }
  const T& value() const& { return require(), value_; }
  T value() && { return require(), std::move(value_); }  // by value: a reference would dangle

  /// Precondition for * and ->: has_value().
  T& operator*() & noexcept { return value_; }
  const T& operator*() const& noexcept { return value_; }
  T operator*() && { return std::move(value_); }
  T* operator->() & noexcept { return std::addressof(value_); }
  const T* operator->() const& noexcept { return std::addressof(value_); }
  T* operator->() && = delete;  // `for (auto& c : client.chat("hi")->tool_calls())` would dangle silently

  /// Precondition: !has_value().
  const Error& error() const& noexcept { return error_; }
  Error error() && { return std::move(error_); }

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
  template <class From>
  void make(From&& from) {
    ::new (static_cast<void*>(std::addressof(value_))) T(std::forward<From>(from));
  }

  // By hand: <variant> would cost every user 0.05 s a file, two std::optional a third of that for each T.
  union {
    T value_;  // alive if has_value_
  };
  Error error_;  // without facts if has_value_
  bool has_value_;
};

/// Success without a value.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() noexcept = default;
  Result(Error error) noexcept : error_(std::move(error)), has_value_(false) {}
  bool has_value() const noexcept { return has_value_; }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (!has_value_) detail::throw_exception(error_);
  }
  const Error& error() const noexcept { return error_; }

 private:
  Error error_{nullptr};  // without facts if has_value_
  bool has_value_ = true;
};

DEEPSEEK_END_NAMESPACE
