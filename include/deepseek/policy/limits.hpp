// Limits: how much one process may ask for. Rates, concurrency, a bounded queue, one Limiter for several clients.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <deepseek/core/metrics.hpp>
#include <deepseek/policy/limiter.hpp>
#include <deepseek/policy/policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// What an attempt asks of a SharedBudget. Borrowed for the call.
struct BudgetAsk {
  std::string_view model{};
  std::string_view user_id{};
  std::uint64_t tokens = 0;  ///< estimated
};

/// The answer.
struct BudgetGrant {
  bool granted = false;
  /// Not granted: how long until it may be worth asking again. Zero: not known.
  std::chrono::nanoseconds wait{0};
  bool never = false;  ///< more than the budget ever holds: asking again is of no use
  /// Names what was granted, for settle(). Zero: nothing to give back.
  std::uint64_t lease = 0;
};

/// Limits that several processes draw from, for example through Redis (component/redis.hpp). Belongs to one client and
/// is used on its loop only. Asked after the client's own limits let an attempt pass.
class SharedBudget {
 public:
  virtual ~SharedBudget() = default;
  /// Called once before the first take(); `loop` lives until detach().
  virtual void attach(Loop& loop) = 0;
  /// Called when the client goes, after its calls have ended, perhaps on a thread that is not the loop's but never
  /// beside it. Asks that were not answered are dropped, and the loop must not be used any more: whoever gave the
  /// budget to the client may keep it for longer.
  virtual void detach() {}
  /// Asks for one request, one slot and `ask.tokens`. `done` runs on the loop, perhaps before this returns. Must
  /// answer in bounded time, whatever has become of the other side.
  virtual void take(const BudgetAsk& ask, Function<void(BudgetGrant)> done) = 0;
  /// The attempt is over and used `tokens` (unknown: what was estimated). Returns its slot. Does not wait.
  virtual void settle(std::uint64_t lease, std::optional<std::uint64_t> tokens) = 0;
  /// True while the other side is away and this client keeps to a share of its own. Any thread.
  virtual bool degraded() const noexcept { return false; }
};

/// The policy at Phase::admission: an attempt waits for its turn, takes a slot, a request and its estimated tokens, and
/// gives back at its end what it did not use. Refusals have code rate_limited_locally, or budget_exceeded if the call
/// is larger than its limits ever allow. `shared` may be null, `metrics` too: it is told how long attempts waited, of
/// those that did.
std::shared_ptr<Policy> make_limit_policy(Limiter limiter, std::shared_ptr<SharedBudget> shared = nullptr,
                                          std::shared_ptr<MetricSink> metrics = nullptr);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/limits.ipp>
#endif
