// The options of limits.hpp.
#pragma once
#include <chrono>
#include <cstdint>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// One set of limits. Zero: no such limit.
struct Limits {
  /// Attempts sent, 1 to 1e8 per minute. With `requests_burst` 0 no span of 60 s ever sees more: a twentieth may go at
  /// once (at least one), the others follow evenly. A burst, up to a day's requests, is what may go at once beside
  /// that: any span of t minutes then sees at most requests_burst + t * requests_per_minute.
  std::uint64_t requests_per_minute = 0;
  std::uint64_t requests_burst = 0;
  /// Tokens of prompts and answers, 1 to 1e9 per minute. Reserved from an estimate before an attempt is sent, settled
  /// on what the reply says. The estimate is a quarter of the request's bytes, 1024 for each image and each file by its
  /// id (256 for an image with `detail` low), and max_tokens, or 1024 where the request leaves that open. Any span of t
  /// minutes sees at most tokens_burst + t * tokens_per_minute (burst 0: one minute's tokens). A call estimated at more
  /// than the burst waits until it is all there and leaves a debt; one estimated at more than a minute's tokens (or the
  /// burst, if that is larger) is refused.
  std::uint64_t tokens_per_minute = 0;
  std::uint64_t tokens_burst = 0;
  /// Attempts under way at once, each from sending to the end of its reply, up to 1,000,000.
  std::uint32_t in_flight = 0;
  /// Find out how many may be under way, between 1 and `in_flight` (0: 2500). Starts at 16. Each answer while most
  /// slots are taken makes it one more, until the first sign of overload; from then on it takes a whole round of
  /// answers. A 429, a 503 or `no_capacity` takes 30 % away; first tokens that take more than three times as long as
  /// they usually do, 10 %; both at most once per round.
  bool adaptive = false;
};

/// The limits of a client, or of all clients that share a Limiter. A call must fit into all that apply to it.
struct LimitOptions : Limits {
  Limits per_key{};    ///< of the calls that use one API key or other credential
  Limits per_model{};  ///< of the calls to one model
  Limits per_user{};   ///< of the calls with one user id; no id counts as one
  /// Keys, models and user ids that are told apart, each. When so many are in use at once, all others share one more.
  std::uint32_t max_partitions = 1024;
  /// Calls that may wait. Of 8 that may go while both kinds wait, 7 are interactive and one is a batch call; equals
  /// go in the order they came. 0: none waits.
  std::uint32_t max_waiting = 1024;
  /// How long one attempt may wait; its call's deadline may come earlier. 0: not at all. An attempt that is known not
  /// to get its turn in time is refused at once.
  std::chrono::milliseconds max_wait{60'000};

  /// True if anything is limited.
  bool any() const noexcept;
};

/// A Limiter at one moment.
struct LimiterState {
  std::uint32_t in_flight = 0;
  std::uint32_t in_flight_limit = 0;  ///< what the adaptive limit is at now; 0: none
  std::uint32_t waiting = 0;
  std::uint64_t waited = 0;   ///< attempts that had to wait, so far
  std::uint64_t refused = 0;  ///< attempts that got no turn, so far
};

DEEPSEEK_END_NAMESPACE
