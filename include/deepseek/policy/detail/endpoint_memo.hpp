// What a policy finds out about endpoints, kept. Private.
#pragma once
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct Endpoint;

namespace detail {

/// Remembers a T for each of the endpoints that a client has. Bounded, for a route policy may make endpoints up as it
/// goes: beyond `most` all are forgotten. One thread at a time.
template <class T>
class EndpointMemo {
 public:
  static constexpr std::size_t most = 64;

  /// What is remembered of `endpoint` (null is one as well); else what `find()` says. Valid until the next call.
  template <class Find>
  const T& of(const std::shared_ptr<const Endpoint>& endpoint, Find&& find) {
    for (const Known& known : known_)
      if (known.endpoint == endpoint) return known.value;
    T found = find();
    if (known_.size() >= most) known_.clear();
    known_.push_back({endpoint, std::move(found)});
    return known_.back().value;
  }

 private:
  struct Known {
    std::shared_ptr<const Endpoint> endpoint;  // kept alive: its address is its name
    T value;
  };
  std::vector<Known> known_;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
