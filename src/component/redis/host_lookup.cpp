#include "component/redis/host_lookup.hpp"

#include <netdb.h>
#include <sys/socket.h>

#include <cstring>
#include <system_error>
#include <thread>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

std::shared_ptr<HostLookup> HostLookup::begin(const std::string& host, int port) {
  auto lookup = std::make_shared<HostLookup>();
  if (lookup->fd() < 0) return nullptr;
  try {
    std::thread([lookup, host, port] { lookup->run(host, port); }).detach();
  } catch (const std::system_error&) {
    return nullptr;
  }
  return lookup;
}

void HostLookup::run(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  addrinfo* first = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &first) == 0) {
    for (const addrinfo* at = first; at && addresses_.size() < 16; at = at->ai_next) {
      if (at->ai_addrlen > SocketAddress::capacity) continue;
      SocketAddress address;
      std::memcpy(address.bytes, at->ai_addr, at->ai_addrlen);
      address.size = static_cast<unsigned>(at->ai_addrlen);
      addresses_.push_back(address);
    }
    ::freeaddrinfo(first);
  }
  done_.store(true, std::memory_order_release);
  ready_.set();
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
