// How metrics and logs learn of writes that a cache dropped, and of shared limits out of reach. Private.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include <deepseek/core/function.hpp>

DEEPSEEK_BEGIN_NAMESPACE

class SharedBudget;
struct ObserveOptions;

namespace detail {

/// A CacheDropWatch. Null if neither metrics nor a log is wanted.
Function<void(std::string_view level, std::uint64_t count)> make_cache_drop_watch(const ObserveOptions& options);

/// `budget`, or what stands in front of it and tells when this process has to keep to its share, and when no longer.
/// Null for null.
std::shared_ptr<SharedBudget> make_watched_budget(std::shared_ptr<SharedBudget> budget, const ObserveOptions& options);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/store_watches.ipp>
#endif
