// Single-flight: calls that ask the same at the same time share one request.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Off by default: callers who ask twice because they want two answers would get one.
struct SingleFlightOptions {
  bool enabled = false;
  /// Bytes of one reply that are held for those who join late, 1 KiB to 1 GiB. A reply that has grown longer can no
  /// longer be joined, and only what somebody has not had yet is held. If that is more than this while another waits
  /// to go on, whoever holds frames back and is farthest behind is ended with limit_exceeded and keeps what it had.
  std::uint64_t max_bytes = 8 * 1024 * 1024;
};

/// Why these options cannot be used; nothing: they can.
std::optional<Error> check(const SingleFlightOptions& options);

/// The policy at Phase::single_flight. Calls are the same if their cache keys are (see make_cache_policy), their
/// priority and their timeouts but for `total`; a call with CacheUse::off shares nothing.
///
/// Who joins gets the reply from its start, and each goes at its own pace: one that pauses or leaves holds nobody up,
/// whoever began it, though who pauses for too long is ended (see max_bytes). If all pause, the server waits. The
/// request ends when the last one has left. All share its outcome; its attempts and usage are
/// counted in one of the calls.
std::shared_ptr<Policy> make_single_flight_policy(const SingleFlightOptions& options,
                                                  const std::vector<std::string>& base_urls);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/single_flight.ipp>
#endif
