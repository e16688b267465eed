// How metrics and logs learn of calls that end elsewhere than in the observing policy. Private.
#pragma once
#include <optional>

#include <deepseek/core/function.hpp>
#include <deepseek/error.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct Call;
struct ObserveOptions;

namespace detail {

/// Tells of a call's end unless that has been told: a call may end before it comes to the observing policy, or be given
/// up by a holder that is not waited for. From any thread.
using EndWatch = Function<void(Call&, const std::optional<Error>&)>;

/// Null if neither metrics nor a log is wanted.
EndWatch make_end_watch(const ObserveOptions& options);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/observe.hpp>
#endif
