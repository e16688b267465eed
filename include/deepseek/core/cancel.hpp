// Cancellation from any thread.
#pragma once
#include <cstdint>
#include <memory>

#include <deepseek/config.hpp>
#include <deepseek/core/function.hpp>

DEEPSEEK_BEGIN_NAMESPACE

namespace detail {
class CancelState;
}

/// Keeps a callback registered with a token; dropping it unregisters. If the callback is running on
/// another thread the destructor waits for it to end.
class CancelRegistration {
 public:
  CancelRegistration() = default;
  CancelRegistration(std::shared_ptr<detail::CancelState> state, std::uint64_t id)
      : state_(std::move(state)), id_(id) {}
  CancelRegistration(CancelRegistration&& other) noexcept;
  CancelRegistration& operator=(CancelRegistration&& other) noexcept;
  ~CancelRegistration();
  void reset() noexcept;

 private:
  std::shared_ptr<detail::CancelState> state_;
  std::uint64_t id_ = 0;
};

/// The listening end. A default-made token is never cancelled. Safe from all threads.
class CancelToken {
 public:
  CancelToken() = default;
  bool can_be_cancelled() const noexcept { return state_ != nullptr; }
  bool cancelled() const noexcept;
  /// Runs `callback` once, on the thread that cancels (or at once, here, if that has happened already).
  [[nodiscard]] CancelRegistration on_cancel(Function<void()> callback) const;

 private:
  friend class CancelSource;
  explicit CancelToken(std::shared_ptr<detail::CancelState> state) : state_(std::move(state)) {}
  std::shared_ptr<detail::CancelState> state_;
};

/// The calling end. Copies share one state. Safe from all threads; `coro.hpp` adapts std::stop_token.
class CancelSource {
 public:
  CancelSource();
  CancelToken token() const noexcept;
  /// Cancels every call that was given a token of this source. Idempotent.
  void cancel() const;
  bool cancelled() const noexcept;

 private:
  std::shared_ptr<detail::CancelState> state_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/cancel.ipp>
#endif
