// How logs learn of cache levels in trouble, and metrics and logs of writes that a level dropped. Private.
#pragma once
#include <deepseek/policy/cache.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct ObserveOptions;

namespace detail {

/// Null without a log. Of the notice's text nothing is logged but what kind of trouble it tells of.
CacheNotice make_cache_notice(const ObserveOptions& options);
/// Null if neither metrics nor a log is wanted.
CacheDropWatch make_cache_drop_watch(const ObserveOptions& options);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/cache_watches.ipp>
#endif
