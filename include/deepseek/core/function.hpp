// Function: std::function without <functional>, which costs every including file 0.07 s.
#pragma once
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

template <class Signature>
class Function;

/// A callable with the given signature, or nothing. Converts from anything callable, a std::function too,
/// and also from callables that can only be moved: copies of a Function share one target. Calling an empty
/// one is undefined. As safe for threads as its target.
template <class R, class... Args>
class Function<R(Args...)> {
 public:
  Function() = default;
  Function(std::nullptr_t) {}
  template <class F, class Target = std::decay_t<F>,
            class = std::enable_if_t<!std::is_same_v<Target, Function> && std::is_invocable_r_v<R, Target&, Args...>>>
  Function(F&& callable) {
    // An empty std::function or a null pointer makes an empty Function, not one that fails when called.
    if constexpr (std::is_constructible_v<bool, Target&>) {
      if (!static_cast<bool>(callable)) return;
    }
    if constexpr (sizeof(Target) <= sizeof small_ && alignof(Target) <= alignof(void*) &&
                  std::is_trivially_copyable_v<Target>) {
      ::new (static_cast<void*>(small_)) Target(std::forward<F>(callable));
    } else {
      large_ = std::make_shared<Target>(std::forward<F>(callable));
    }
    call_ = [](void* target, Args... args) -> R {
      return (*static_cast<Target*>(target))(std::forward<Args>(args)...);
    };
  }

  explicit operator bool() const noexcept { return call_ != nullptr; }
  friend bool operator==(const Function& f, std::nullptr_t) noexcept { return f.call_ == nullptr; }
  friend bool operator!=(const Function& f, std::nullptr_t) noexcept { return f.call_ != nullptr; }
  R operator()(Args... args) const {
    return call_(large_ ? large_.get() : static_cast<void*>(small_), std::forward<Args>(args)...);
  }

 private:
  R (*call_)(void*, Args...) = nullptr;
  alignas(void*) mutable unsigned char small_[2 * sizeof(void*)]{};
  std::shared_ptr<void> large_;
};

DEEPSEEK_END_NAMESPACE
