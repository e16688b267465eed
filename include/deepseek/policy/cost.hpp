// Cost: what calls cost by a dated price table, counted by model and user, with ceilings that refuse before sending.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <deepseek/core/clock.hpp>
#include <deepseek/core/metrics.hpp>
#include <deepseek/policy/cost_meter.hpp>
#include <deepseek/policy/policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// An amount of money, exact: trillionths of the price table's currency, up to some 9 million. Sums that would be
/// larger stay there.
struct Money {
  std::int64_t picos = 0;

  /// `n` millionths: Money::millionths(2'500'000) is 2.50.
  static constexpr Money millionths(std::int64_t n) noexcept { return Money{n * 1'000'000}; }
  friend constexpr bool operator==(Money a, Money b) noexcept { return a.picos == b.picos; }
  friend constexpr bool operator!=(Money a, Money b) noexcept { return a.picos != b.picos; }
  friend constexpr bool operator<(Money a, Money b) noexcept { return a.picos < b.picos; }
};

/// In decimal, with at least two decimals and as many as it takes: "0.000003", "2.50".
std::string to_string(Money amount);

/// What a million tokens cost, in millionths of the currency: 150'000 is 0.15. Each 0 to 1e9.
struct TokenPrice {
  std::int64_t cache_hit = 0;   ///< prompt tokens that came from the service's cache
  std::int64_t cache_miss = 0;  ///< the other prompt tokens
  std::int64_t output = 0;      ///< reasoning included
};

struct ModelPrice {
  std::string model{};
  TokenPrice price{};
};

/// Hours in which prices are others, in UTC.
struct PriceHours {
  int from_minute = 0;    ///< of the day, 0 to 1439
  int to_minute = 0;      ///< where they end: from_minute < to_minute <= 1440
  bool weekends = false;  ///< on Saturdays and Sundays too
  int percent = 100;      ///< of the price in the table, 0 to 1000
};

/// Prices as data. They change often: replace the table when they do, CostMeter::set_prices().
struct PriceTable {
  std::string date{};            ///< when they were looked up, "2026-11-23"
  std::string currency = "USD";  ///< three letters
  std::vector<ModelPrice> models{};
  std::vector<PriceHours> hours{};      ///< the first that fits counts
  std::vector<std::string> holidays{};  ///< days ("2027-01-01") on which `hours` do not apply
};

/// What api.deepseek.com asked in November 2026, in US dollars: peak hours on working days at twice the price. Chinese
/// public holidays, on which there are none, are not in it: until they are added those days count as working days.
PriceTable default_prices();
/// Why such a table cannot be used; nothing: it can.
std::optional<Error> check(const PriceTable& table);

/// A ceiling. Zero: none.
struct Budget {
  Money total{};    ///< since the meter was made
  Money per_day{};  ///< of one day in UTC
};

struct CostOptions {
  PriceTable prices = default_prices();
  Budget budget{};       ///< of all calls together
  Budget user_budget{};  ///< of the calls with one user id; no id counts as one
  /// Users and models that are told apart, each. All others share one more: for the report, and for their budget.
  std::uint32_t max_names = 10'000;
};
std::optional<Error> check(const CostOptions& options);

/// What some calls used.
struct UsageTotals {
  std::uint64_t attempts = 0;  ///< that used anything
  TokenUsage tokens{};         ///< as the service counted
  Money cost{};                ///< of those tokens
  /// Attempts that broke off before the service said what they used, and what they were estimated at. The ceilings
  /// count it.
  std::uint64_t uncertain_attempts = 0;
  Money uncertain_cost{};
};

struct CostReport {
  std::string currency{};
  std::string price_date{};
  UsageTotals all{};
  UsageTotals today{};                                        ///< of the day (UTC) of the latest attempt
  Money reserved{};                                           ///< for attempts under way
  std::vector<std::pair<std::string, UsageTotals>> models{};  ///< in the order they were first asked
  std::vector<std::pair<std::string, UsageTotals>> users{};   ///< the same; "" is the calls without a user id
};

/// The policy at Phase::admission, before the limits: reserves what an attempt is estimated to cost (its weight at the
/// price of output) and refuses it with budget_exceeded if that does not fit under a ceiling; books at its end what it
/// did cost. A ceiling can be exceeded by as much as answers under way grow beyond their estimate: set max_tokens.
/// With an empty meter it does nothing. `clock` null: the system's. `metrics` may be null: told what tokens cost, of
/// those that are known.
std::shared_ptr<Policy> make_cost_policy(CostMeter meter, std::shared_ptr<Clock> clock = nullptr,
                                         std::shared_ptr<MetricSink> metrics = nullptr);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/cost.ipp>
#endif
