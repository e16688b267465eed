// What metrics and logs are told beside calls: breakers that change, cache levels in trouble. Private.
#pragma once
#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/detail/router.hpp>
#include <deepseek/policy/observe.hpp>
#include <deepseek/policy/limits.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Null if neither metrics nor a log is wanted.
BreakerWatch make_breaker_watch(const ObserveOptions& options);
/// Null without a log. Of the notice's text nothing is logged but what kind of trouble it tells of.
CacheNotice make_cache_notice(const ObserveOptions& options);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
/// Null if neither metrics nor a log is wanted.
CacheDropWatch make_cache_drop_watch(const ObserveOptions& options);
/// `budget`, or what stands in front of it and tells when this process has to keep to its share, and when no longer.
/// Null for null.
std::shared_ptr<SharedBudget> make_watched_budget(std::shared_ptr<SharedBudget> budget, const ObserveOptions& options);
#include <deepseek/policy/impl/watches.ipp>
#endif
