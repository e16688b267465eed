// HostLookup: a name becomes addresses without holding up the loop. Private to the component.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <deepseek/core/detail/platform.hpp>
#include <deepseek/core/detail/socket.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The system's resolver blocks and cannot be stopped: it runs on a thread that keeps nothing but this object alive.
class HostLookup {
 public:
  /// Begins; fd() becomes readable when done() is true. Null if there is no thread to be had.
  static std::shared_ptr<HostLookup> begin(const std::string& host, int port);

  int fd() const noexcept { return ready_.fd(); }
  bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  /// In the order to try. After done().
  const std::vector<SocketAddress>& addresses() const noexcept { return addresses_; }

 private:
  void run(const std::string& host, int port);

  ReadyFd ready_;
  std::vector<SocketAddress> addresses_;
  std::atomic<bool> done_{false};
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
