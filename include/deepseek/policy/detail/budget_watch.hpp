// How metrics and logs learn of shared limits out of reach. Private.
#pragma once
#include <memory>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

class SharedBudget;
struct ObserveOptions;

namespace detail {

/// `budget`, or what stands in front of it and tells when its client has to keep to its share, and when no longer.
/// Null for null.
std::shared_ptr<SharedBudget> make_watched_budget(std::shared_ptr<SharedBudget> budget, const ObserveOptions& options);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/budget_watch.ipp>
#endif
