#pragma once
#include <algorithm>
#include <cmath>
#include <utility>

#include <deepseek/core/detail/splitmix.hpp>
#include <deepseek/policy/detail/router.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL EndpointVerdict judge_endpoint(const std::optional<Error>& error) {
  if (!error) return EndpointVerdict::good;
  switch (error->code()) {
    case ErrorCode::dns_failed:
    case ErrorCode::connect_failed:
    case ErrorCode::tls_failed:
    case ErrorCode::proxy_failed:
    case ErrorCode::authentication:
    case ErrorCode::insufficient_balance:
    case ErrorCode::token_failed:
      return EndpointVerdict::refused;
    case ErrorCode::missing_key:
    case ErrorCode::insecure_credential:
      return EndpointVerdict::barred;
    case ErrorCode::timeout_total:  // the caller's own clock
    case ErrorCode::rate_limited:   // it lives, and says so
      return EndpointVerdict::none;
    default:
      break;
  }
  switch (error->outcome()) {
    case Outcome::network_error:
    case Outcome::timed_out:
    case Outcome::truncated:
    case Outcome::malformed:
    case Outcome::service_error:
    case Outcome::no_capacity:
      return EndpointVerdict::failed;
    case Outcome::http_error:
      return error->http_status() >= 500 ? EndpointVerdict::failed : EndpointVerdict::good;
    case Outcome::refused:
    case Outcome::cancelled:
      return EndpointVerdict::none;
    default:  // what the reply says is the request's business
      return EndpointVerdict::good;
  }
}

DEEPSEEK_DECL Router::Router(const std::vector<Endpoint>& endpoints, FailoverOptions failover,
                             const BreakerOptions& breaker, BreakerWatch watch)
    : options_(std::move(failover)), watch_(std::move(watch)), has_breaker_(breaker.minimum_calls > 0) {
  places_.reserve(endpoints.size());
  for (const Endpoint& endpoint : endpoints) {
    places_.push_back(Place{std::make_shared<const Endpoint>(endpoint), CircuitBreaker(breaker)});
    weighted_ = weighted_ || endpoint.weight > 0;
  }
  // The nearest first; the order given decides among those that are equally near.
  const auto nearness = [this](const Place& place) {
    const Endpoint& endpoint = *place.endpoint;
    if (!options_.zone.empty() && endpoint.zone == options_.zone) return 2;
    return !options_.region.empty() && endpoint.region == options_.region ? 1 : 0;
  };
  const auto nearer = [&](const Place& a, const Place& b) { return nearness(a) > nearness(b); };
  for (auto place = places_.begin(); place != places_.end(); ++place)
    std::rotate(std::upper_bound(places_.begin(), place, *place, nearer), place, place + 1);
}

/// FNV-1a over the beginning of the request, where the system prompt and the oldest turns stand: what a server's prompt
/// cache is keyed by. No secret depends on it.
DEEPSEEK_DECL std::uint64_t Router::key_of(const Call& call) noexcept {
  constexpr std::size_t beginning = 512;
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  };
  mix(call.user_id);
  mix(std::string_view(call.body).substr(0, beginning));
  return hash;
}

/// Rendezvous hashing: the endpoint with the highest rank is asked. One that goes moves no calls but its own.
DEEPSEEK_DECL double Router::rank(const Place& place, std::size_t index, std::uint64_t key) const {
  std::uint64_t state = key + splitmix64_step * index;
  const double share = (static_cast<double>(splitmix64(state) >> 11) + 0.5) / 9007199254740992.0;  // inside (0, 1)
  return -place.endpoint->weight / std::log(share);
}

/// The best endpoint the call is not done with whose breaker lets it pass; -1: none. Those that cool down come last,
/// the one that has cooled longest first: worse than another, better than none.
DEEPSEEK_DECL int Router::first_choice(const Call& call) {
  const TimePoint now = loop_->now();
  const std::uint64_t key = weighted_ ? key_of(call) : 0;
  int best = -1;
  bool best_cools = false;
  double best_rank = 0;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    if ((call.endpoints_left >> i & 1) != 0 || !place.breaker.permits(now)) continue;
    const bool cools = place.cool_until > now;
    const double its_rank = weighted_ ? rank(place, i, key) : 0;
    if (!cools && static_cast<int>(i) == call.endpoint_index) return call.endpoint_index;
    const bool better =
        best < 0 || (best_cools && !cools) ||
        (best_cools && cools && place.cool_until < places_[static_cast<std::size_t>(best)].cool_until) ||
        (!best_cools && !cools && its_rank > best_rank);
    if (!better) continue;
    best = static_cast<int>(i);
    best_cools = cools;
    best_rank = its_rank;
  }
  return best;
}

DEEPSEEK_DECL const std::shared_ptr<const Endpoint>& Router::choose(Call& call) {
  const int choice = learns() ? first_choice(call) : 0;
  if (choice < 0) {
    call.endpoint.reset();
    call.endpoint_index = -1;
    return call.endpoint;
  }
  Place& place = places_[static_cast<std::size_t>(choice)];
  place.breaker.acquire(loop_->now());
  tell(place);
  if (call.endpoint_index >= 0 && call.endpoint_index != choice) ++call.facts.failovers;
  call.endpoint_index = choice;
  call.endpoint = place.endpoint;
  call.asked_since = loop_->now();
  return call.endpoint;
}

DEEPSEEK_DECL bool Router::has_other(const Call& call) const {
  const TimePoint now = loop_->now();
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const bool done_with = static_cast<int>(i) == call.endpoint_index || (call.endpoints_left >> i & 1) != 0;
    if (!done_with && places_[i].breaker.permits(now)) return true;
  }
  return false;
}

DEEPSEEK_DECL void Router::leave(Call& call) const noexcept {
  if (call.endpoint_index >= 0) call.endpoints_left |= std::uint64_t{1} << call.endpoint_index;
}

DEEPSEEK_DECL void Router::prefer_other(Call& call, int than) const {
  if (than < 0) return;
  const TimePoint now = loop_->now();
  const std::uint64_t left = call.endpoints_left | std::uint64_t{1} << than;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    if ((left >> i & 1) != 0 || place.cool_until > now || !place.breaker.permits(now)) continue;
    call.endpoints_left = left;
    return;
  }
}

DEEPSEEK_DECL void Router::cool(Place& place) {
  place.cool_until = loop_->now() + options_.cool_down * (1 << std::min(place.cool_downs, 3));
  ++place.cool_downs;
  place.failures = 0;
}

DEEPSEEK_DECL void Router::report(Call& call, EndpointVerdict verdict) {
  if (verdict == EndpointVerdict::none || verdict == EndpointVerdict::barred) return release(call);
  const auto since = std::exchange(call.asked_since, std::nullopt);
  if (!since || !learns()) return;
  Place& place = places_[static_cast<std::size_t>(call.endpoint_index)];
  learn(place, verdict, loop_->now() - *since);
  tell(place);
}

DEEPSEEK_DECL void Router::release(Call& call) {
  if (!std::exchange(call.asked_since, std::nullopt) || !learns()) return;
  Place& place = places_[static_cast<std::size_t>(call.endpoint_index)];
  place.breaker.release();
  tell(place);
}

DEEPSEEK_DECL void Router::learn(Place& place, EndpointVerdict verdict, Duration took) {
  const bool good = verdict == EndpointVerdict::good;
  place.breaker.record(loop_->now(), !good, took);
  if (good) {
    place.failures = place.cool_downs = 0;
    place.cool_until = TimePoint();
  } else if (verdict == EndpointVerdict::refused || ++place.failures >= options_.failures_to_cool) {
    cool(place);
  }
}

DEEPSEEK_DECL void Router::tell(Place& place) {
  if (!watch_ || place.told == place.breaker.state()) return;
  place.told = place.breaker.state();
  watch_(*place.endpoint, place.told);
}

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> check(const FailoverOptions& o, const std::vector<Endpoint>& endpoints) {
  const auto wrong = [](const char* what) { return Error(ErrorCode::invalid_options, what); };
  if (endpoints.size() > 64) return wrong("more than 64 endpoints are given");
  if (o.failures_to_cool < 1 || o.cool_down.count() < 0 || o.cool_down > std::chrono::hours(24))
    return wrong("FailoverOptions: failures_to_cool is below 1, or cool_down is outside 0 ... 24 h");
  const bool weighted =
      std::any_of(endpoints.begin(), endpoints.end(), [](const Endpoint& e) { return e.weight != 0; });
  for (const Endpoint& endpoint : endpoints) {
    if (!(endpoint.weight >= 0 && endpoint.weight <= 1e6)) return wrong("an endpoint's weight is outside 0 ... 1e6");
    if (weighted && endpoint.weight == 0)
      return Error(ErrorCode::invalid_options, "some endpoints have a weight and some have none",
                   "give each a weight, or none of them");
  }
  return std::nullopt;
}

DEEPSEEK_END_NAMESPACE
