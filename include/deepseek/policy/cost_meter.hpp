// CostMeter: the handle that options hold. Prices, ceilings and reports: cost.hpp.
#pragma once
#include <memory>
#include <optional>
#include <string_view>

#include <deepseek/core/clock.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

class MetricSink;
class Policy;
struct CostOptions;
struct CostReport;
struct Money;
struct PriceTable;
struct TokenUsage;

namespace detail {
class CostBook;
}

/// Counts what calls cost, and keeps the ceilings. Safe from all threads; copies are one meter, which several clients
/// may share. An empty one counts nothing.
class CostMeter {
 public:
  CostMeter() noexcept = default;
  static Result<CostMeter> create(CostOptions options);
  explicit operator bool() const noexcept { return book_ != nullptr; }
  /// Puts other prices in force; attempts under way keep the old ones. The currency must stay. An empty meter
  /// takes none.
  std::optional<Error> set_prices(PriceTable table);
  /// What these tokens cost at that moment. A model that is not in the table costs what its dearest does.
  Money cost(std::string_view model, const TokenUsage& usage, WallTime when) const;
  CostReport report() const;

 private:
  friend std::shared_ptr<Policy> make_cost_policy(CostMeter meter, std::shared_ptr<Clock> clock,
                                                  std::shared_ptr<MetricSink> metrics);
  explicit CostMeter(std::shared_ptr<detail::CostBook> book) : book_(std::move(book)) {}
  std::shared_ptr<detail::CostBook> book_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/cost.hpp>
#endif
