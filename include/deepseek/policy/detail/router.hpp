// Router: the endpoints of one client, and what is known of their health. Private.
#pragma once
#include <memory>
#include <vector>

#include <deepseek/core/loop.hpp>
#include <deepseek/policy/breaker.hpp>
#include <deepseek/policy/detail/circuit_breaker.hpp>
#include <deepseek/policy/failover.hpp>
#include <deepseek/transport/endpoint.hpp>
#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What the end of an attempt says about the endpoint it went to.
enum class EndpointVerdict {
  good,
  failed,   ///< it did not do its work
  refused,  ///< it cannot be reached, or does not let us in: others may
  barred,   ///< this client may not ask it, and has not: others may be asked
  none,     ///< nothing: cancelled, or not sent at all
};
EndpointVerdict judge_endpoint(const std::optional<Error>& error);

/// Told when the breaker of an endpoint changes. On the loop.
using BreakerWatch = Function<void(const Endpoint& endpoint, CircuitBreaker::State state)>;

/// Chooses endpoints and learns from how attempts end. The route policy asks, the retry policy reports. On the loop
/// only.
class Router {
 public:
  Router(const std::vector<Endpoint>& endpoints, FailoverOptions failover, const BreakerOptions& breaker,
         BreakerWatch watch = {});
  void attach(Loop& loop) { loop_ = &loop; }

  /// The endpoint of the next attempt, also set in the call; null if the breakers let none pass.
  const std::shared_ptr<const Endpoint>& choose(Call& call);
  /// True if there is an endpoint where the call has not been and whose breaker lets it pass.
  bool has_other(const Call& call) const;
  /// The call is done with the endpoint of its last attempt.
  void leave(Call& call) const noexcept;
  /// The call is done with endpoint `than` (-1: none) if there is a healthy one beside it.
  void prefer_other(Call& call, int than) const;
  /// How the last attempt of `call` ended. Needed for each choose() that gave an endpoint; a second time it does
  /// nothing.
  void report(Call& call, EndpointVerdict verdict);
  /// Instead of report(): the attempt ended without a word about its endpoint, perhaps when the loop has gone.
  void release(Call& call);
  /// True if reports are of any use.
  bool learns() const noexcept { return places_.size() > 1 || has_breaker_; }

 private:
  struct Place {
    std::shared_ptr<const Endpoint> endpoint;
    CircuitBreaker breaker;
    CircuitBreaker::State told = CircuitBreaker::State::closed;  // to the watch
    int failures = 0;                                            // in a row
    int cool_downs = 0;                                          // in a row
    TimePoint cool_until{};
  };
  int first_choice(const Call& call);
  double rank(const Place& place, std::size_t index, std::uint64_t key) const;
  static std::uint64_t key_of(const Call& call) noexcept;
  void learn(Place& place, EndpointVerdict verdict, Duration took);
  void cool(Place& place);
  void tell(Place& place);

  std::vector<Place> places_;
  FailoverOptions options_;
  BreakerWatch watch_;
  bool has_breaker_;
  bool weighted_ = false;
  Loop* loop_ = nullptr;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/router.ipp>
#endif
