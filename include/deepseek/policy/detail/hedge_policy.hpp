// The hedge policy and its budget. Private.
#pragma once
#include <cstdint>
#include <memory>

#include <deepseek/policy/detail/router.hpp>
#include <deepseek/policy/hedge.hpp>
#include <deepseek/policy/policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The tokens that hedges may still use. On the loop only.
class HedgeBudget {
 public:
  explicit HedgeBudget(const HedgeOptions& options);
  /// An ordinary attempt is made.
  void earn(std::uint64_t tokens) noexcept;
  /// False, and nothing is taken, if there are not so many.
  bool take(std::uint64_t tokens) noexcept;
  /// The hedge was not sent after all.
  void give_back(std::uint64_t tokens) noexcept;

 private:
  std::uint64_t percent_;
  std::uint64_t most_;  // hundredths of a token, as left_
  std::uint64_t left_;
};

/// Sends an attempt a second time if its first token is late. Tells the router how each of the two ended.
class HedgePolicy final : public Policy, public std::enable_shared_from_this<HedgePolicy> {
 public:
  HedgePolicy(const HedgeOptions& options, std::shared_ptr<Router> router);
  Phase phase() const override { return Phase::hedge; }
  void attach(Loop& loop) override { loop_ = &loop; }
  void start(CallPtr call, SinkPtr sink, Next next) override;

 private:
  class Race;

  HedgeOptions options_;
  std::shared_ptr<Router> router_;
  HedgeBudget budget_;
  Loop* loop_ = nullptr;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/hedge.ipp>
#endif
