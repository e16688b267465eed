// What metrics and logs are told from elsewhere than the observing policies: calls that ended before they came there,
// breakers that change, cache levels in trouble, shared limits out of reach. Private.
#pragma once
#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/detail/router.hpp>
#include <deepseek/policy/limits.hpp>
#include <deepseek/policy/observe.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Tells of a call's end unless that has been told: a call may end before it comes to the observing policy, or be given
/// up by a holder that is not waited for. From any thread.
using CallWatch = Function<void(Call&, const std::optional<Error>&)>;

/// Null if neither metrics nor a log is wanted.
CallWatch make_call_watch(const ObserveOptions& options);
/// Null if neither metrics nor a log is wanted.
BreakerWatch make_breaker_watch(const ObserveOptions& options);
/// Null if neither metrics nor a log is wanted.
CacheDropWatch make_cache_drop_watch(const ObserveOptions& options);
/// `budget`, or what stands in front of it and tells when this process has to keep to its share, and when no longer.
/// Null for null.
std::shared_ptr<SharedBudget> make_watched_budget(std::shared_ptr<SharedBudget> budget, const ObserveOptions& options);
/// Null without a log. Of the notice's text nothing is logged but what kind of trouble it tells of.
CacheNotice make_cache_notice(const ObserveOptions& options);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/observe.ipp>
#include <deepseek/policy/impl/watches.ipp>
#endif
