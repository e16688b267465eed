// What metrics and logs are told beside calls: breakers that change, cache levels in trouble. Private.
#pragma once
#include <deepseek/policy/cache_store.hpp>
#include <deepseek/policy/detail/router.hpp>
#include <deepseek/policy/observe.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Null if neither metrics nor a log is wanted.
BreakerWatch make_breaker_watch(const ObserveOptions& options);
/// Null without a log. Of the notice's text nothing is logged but what kind of trouble it tells of.
CacheNotice make_cache_notice(const ObserveOptions& options);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/watches.ipp>
#endif
