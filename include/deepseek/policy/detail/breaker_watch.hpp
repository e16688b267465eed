// How metrics and logs learn of a breaker that changes. Private.
#pragma once
#include <deepseek/policy/detail/router.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct ObserveOptions;

namespace detail {

/// Null if neither metrics nor a log is wanted.
BreakerWatch make_breaker_watch(const ObserveOptions& options);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/breaker_watch.ipp>
#endif
