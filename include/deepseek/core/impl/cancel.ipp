#pragma once
#include <deepseek/core/cancel.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Callbacks run without the lock held; a registration that is dropped meanwhile waits for its own
/// callback, except on the thread that runs it (a callback may drop its own registration).
class CancelState {
 public:
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_acquire); }

  std::uint64_t add(Function<void()>& callback) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (cancelled()) return 0;
    entries_.emplace_back(++last_id_, std::move(callback));
    return last_id_;
  }

  void remove(std::uint64_t id) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->first != id) continue;
      entries_.erase(it);
      return;
    }
    if (running_thread_ == std::this_thread::get_id()) return;
    done_.wait(lock, [&] { return running_ != id; });
  }

  void cancel() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (cancelled_.exchange(true)) return;
    running_thread_ = std::this_thread::get_id();
    while (!entries_.empty()) {
      auto entry = std::move(entries_.back());
      entries_.pop_back();
      running_ = entry.first;
      lock.unlock();
      entry.second();
      entry.second = nullptr;
      lock.lock();
      running_ = 0;
      done_.notify_all();
    }
    running_thread_ = {};
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::atomic<bool> cancelled_{false};
  std::vector<std::pair<std::uint64_t, Function<void()>>> entries_;
  std::uint64_t last_id_ = 0;
  std::uint64_t running_ = 0;
  std::thread::id running_thread_;
};

}  // namespace detail

DEEPSEEK_DECL CancelRegistration::CancelRegistration(CancelRegistration&& other) noexcept
    : state_(std::move(other.state_)), id_(other.id_) {}
DEEPSEEK_DECL CancelRegistration::~CancelRegistration() { reset(); }

DEEPSEEK_DECL CancelRegistration& CancelRegistration::operator=(CancelRegistration&& other) noexcept {
  if (this == &other) return *this;
  reset();
  state_ = std::move(other.state_);
  id_ = other.id_;
  return *this;
}

DEEPSEEK_DECL void CancelRegistration::reset() noexcept {
  if (auto state = std::exchange(state_, nullptr)) state->remove(id_);
}

DEEPSEEK_DECL bool CancelToken::cancelled() const noexcept { return state_ && state_->cancelled(); }

DEEPSEEK_DECL CancelRegistration CancelToken::on_cancel(Function<void()> callback) const {
  if (!state_) return {};
  if (const std::uint64_t id = state_->add(callback)) return CancelRegistration(state_, id);
  callback();
  return {};
}

DEEPSEEK_DECL CancelSource::CancelSource() : state_(std::make_shared<detail::CancelState>()) {}

DEEPSEEK_DECL CancelToken CancelSource::token() const noexcept { return CancelToken(state_); }
DEEPSEEK_DECL bool CancelSource::cancelled() const noexcept { return state_ && state_->cancelled(); }
DEEPSEEK_DECL void CancelSource::cancel() const {
  if (state_) state_->cancel();
}

DEEPSEEK_END_NAMESPACE
