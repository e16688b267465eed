#pragma once
#include <deepseek/core/metric_list.hpp>
#include <deepseek/policy/cost.hpp>

#include <deepseek/policy/impl/usage.ipp>
#include <deepseek/policy/pipeline.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <limits>
#include <list>
#include <mutex>
#include <unordered_map>

DEEPSEEK_BEGIN_NAMESPACE

// --- money --------------------------------------------------------------------------------------------

namespace detail {

inline constexpr Money most_money{std::numeric_limits<std::int64_t>::max()};

/// Neither is negative; the sum stays at the largest amount.
DEEPSEEK_DECL Money money_sum(Money a, Money b) noexcept {
  return a.picos > most_money.picos - b.picos ? most_money : Money{a.picos + b.picos};
}

/// `price` in millionths per million tokens is trillionths per token.
DEEPSEEK_DECL Money money_for(std::uint64_t tokens, std::int64_t price) noexcept {
  if (price == 0) return {};
  const auto most = static_cast<std::uint64_t>(most_money.picos / price);
  return tokens > most ? most_money : Money{static_cast<std::int64_t>(tokens) * price};
}

DEEPSEEK_DECL Money money_for(const TokenUsage& usage, const TokenPrice& price) noexcept {
  const std::uint64_t hit = std::min(usage.cached_prompt, usage.prompt);
  const Money prompt = money_sum(money_for(hit, price.cache_hit), money_for(usage.prompt - hit, price.cache_miss));
  return money_sum(prompt, money_for(usage.completion, price.output));
}

}  // namespace detail

DEEPSEEK_DECL std::string to_string(Money amount) {
  constexpr std::uint64_t whole = 1'000'000'000'000;
  constexpr std::size_t decimals = 12;
  constexpr std::size_t least_decimals = 2;
  const bool negative = amount.picos < 0;
  const std::uint64_t picos =
      negative ? 0 - static_cast<std::uint64_t>(amount.picos) : static_cast<std::uint64_t>(amount.picos);
  std::string fraction = std::to_string(picos % whole);
  fraction.insert(0, decimals - fraction.size(), '0');
  while (fraction.size() > least_decimals && fraction.back() == '0') fraction.pop_back();
  return (negative ? "-" : "") + std::to_string(picos / whole) + "." + fraction;
}

// --- prices -------------------------------------------------------------------------------------------

DEEPSEEK_DECL PriceTable default_prices() {
  const TokenPrice flash{3'000, 150'000, 600'000};
  const TokenPrice pro{22'000, 660'000, 1'980'000};
  PriceTable table;
  table.date = "2026-11-23";
  table.models = {{"deepseek-flash", flash},
                  {"deepseek-v4-pro", pro},
                  {"deepseek-v4-flash", flash},
                  {"deepseek-v4-flash-vision-exp", flash}};
  table.hours = {{1 * 60, 4 * 60, false, 200}, {6 * 60, 10 * 60, false, 200}};
  return table;
}

namespace detail {

/// Days since 1970 of "YYYY-MM-DD"; nothing: it is no date.
DEEPSEEK_DECL std::optional<std::int64_t> day_of(std::string_view text) noexcept {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto number = [text](std::size_t at, std::size_t size) {
    int value = -1;
    const char* end = text.data() + at + size;
    const auto parsed = std::from_chars(text.data() + at, end, value);
    return parsed.ptr == end && parsed.ec == std::errc() ? value : -1;
  };
  const int year = number(0, 4), month = number(5, 2), day = number(8, 2);
  constexpr int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (year < 1970 || month < 1 || month > 12 || day < 1) return std::nullopt;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (day > lengths[month - 1] + (month == 2 && leap ? 1 : 0)) return std::nullopt;
  const auto leaps_before = [](std::int64_t y) { return (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400; };
  std::int64_t days = (year - 1970) * std::int64_t{365} + leaps_before(year) - leaps_before(1970);
  for (int m = 1; m < month; ++m) days += lengths[m - 1];
  return days + (month > 2 && leap ? 1 : 0) + day - 1;
}

/// A moment as the price table sees it.
struct UtcTime {
  std::int64_t day;  // since 1970
  int minute;        // of that day
  bool weekend() const noexcept {
    const std::int64_t from_monday = ((day + 3) % 7 + 7) % 7;  // 1970 began on a Thursday
    return from_monday >= 5;
  }
};

DEEPSEEK_DECL UtcTime utc_time(WallTime when) noexcept {
  constexpr std::int64_t minutes_a_day = 1440;
  const std::int64_t minutes = std::chrono::floor<std::chrono::minutes>(when.time_since_epoch()).count();
  const std::int64_t minute = (minutes % minutes_a_day + minutes_a_day) % minutes_a_day;
  return {(minutes - minute) / minutes_a_day, static_cast<int>(minute)};
}

/// A checked table, ready to be asked.
class Prices {
 public:
  explicit Prices(PriceTable table) : table_(std::move(table)) {
    for (const std::string& holiday : table_.holidays)
      if (const auto day = day_of(holiday)) holidays_.push_back(*day);
    for (const ModelPrice& row : table_.models) {
      dearest_.cache_hit = std::max(dearest_.cache_hit, row.price.cache_hit);
      dearest_.cache_miss = std::max(dearest_.cache_miss, row.price.cache_miss);
      dearest_.output = std::max(dearest_.output, row.price.output);
    }
  }
  const PriceTable& table() const noexcept { return table_; }

  TokenPrice at(std::string_view model, WallTime when) const noexcept {
    const auto row = std::find_if(table_.models.begin(), table_.models.end(),
                                  [model](const ModelPrice& each) { return each.model == model; });
    TokenPrice price = row == table_.models.end() ? dearest_ : row->price;
    const int percent = percent_at(utc_time(when));
    for (std::int64_t* part : {&price.cache_hit, &price.cache_miss, &price.output})
      *part = (*part * percent + 99) / 100;
    return price;
  }

 private:
  int percent_at(const UtcTime& time) const noexcept {
    if (std::find(holidays_.begin(), holidays_.end(), time.day) != holidays_.end()) return 100;
    for (const PriceHours& hours : table_.hours) {
      if (time.weekend() && !hours.weekends) continue;
      if (time.minute >= hours.from_minute && time.minute < hours.to_minute) return hours.percent;
    }
    return 100;
  }

  PriceTable table_;
  std::vector<std::int64_t> holidays_;
  TokenPrice dearest_;
};

DEEPSEEK_DECL Error wrong_prices(std::string what) {
  return Error(ErrorCode::invalid_options, "the price table: " + std::move(what));
}

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> check(const PriceTable& table) {
  constexpr std::int64_t most = 1'000'000'000;
  if (table.currency.size() != 3) return detail::wrong_prices("the currency must be a code of three letters");
  if (!detail::day_of(table.date)) return detail::wrong_prices("the date must be YYYY-MM-DD");
  if (table.models.empty()) return detail::wrong_prices("it names no model");
  for (const ModelPrice& row : table.models) {
    if (row.model.empty()) return detail::wrong_prices("a model has no name");
    for (const std::int64_t part : {row.price.cache_hit, row.price.cache_miss, row.price.output})
      if (part < 0 || part > most) return detail::wrong_prices("a price of " + row.model + " is outside 0 to 1e9");
  }
  for (const PriceHours& hours : table.hours) {
    if (hours.from_minute < 0 || hours.from_minute >= hours.to_minute || hours.to_minute > 1440) {
      return detail::wrong_prices("hours must begin before they end, within one day in UTC");
    }
    if (hours.percent < 0 || hours.percent > 1000) return detail::wrong_prices("a percentage is outside 0 to 1000");
  }
  for (const std::string& holiday : table.holidays)
    if (!detail::day_of(holiday)) return detail::wrong_prices("a holiday must be YYYY-MM-DD");
  return std::nullopt;
}

DEEPSEEK_DECL std::optional<Error> check(const CostOptions& options) {
  if (auto error = check(options.prices)) return error;
  for (const Money ceiling :
       {options.budget.total, options.budget.per_day, options.user_budget.total, options.user_budget.per_day}) {
    if (ceiling.picos < 0) return Error(ErrorCode::invalid_options, "a budget must not be negative");
  }
  if (options.max_names == 0 || options.max_names > 10'000'000) {
    return Error(ErrorCode::invalid_options, "CostOptions::max_names must be 1 to 10,000,000");
  }
  return std::nullopt;
}

// --- the book -----------------------------------------------------------------------------------------

namespace detail {

/// What stands on the account of all calls, or of one user or model.
struct Account {
  UsageTotals totals = {};
  UsageTotals today = {};
  Money reserved = {};
};

/// Accounts by name, so many and one for the rest. In the order they came.
class Accounts {
 public:
  explicit Accounts(std::size_t most) : most_(most) {}
  Account& at(std::string_view name) {
    const auto known = by_name_.find(name);
    if (known != by_name_.end()) return known->second->second;
    if (by_name_.size() >= most_) {
      if (rest_ == nullptr) rest_ = &list_.emplace_back("(others)", Account()).second;
      return *rest_;
    }
    list_.emplace_back(std::string(name), Account());
    by_name_.emplace(list_.back().first, &list_.back());
    return list_.back().second;
  }
  template <class F>
  void for_each(F&& f) const {
    for (const auto& [name, account] : list_) f(name, account);
  }
  void new_day() {
    for (auto& [name, account] : list_) account.today = {};
  }

 private:
  std::size_t most_;
  std::list<std::pair<std::string, Account>> list_;
  std::unordered_map<std::string_view, std::pair<std::string, Account>*> by_name_;
  Account* rest_ = nullptr;
};

/// What was put aside for one attempt.
struct Reservation {
  TokenPrice price = {};
  Money amount = {};
  Account* user = nullptr;  // accounts stay where they are
  Account* model = nullptr;
};

class CostBook {
 public:
  explicit CostBook(CostOptions options)
      : options_(std::move(options)),
        prices_(std::make_shared<const Prices>(std::move(options_.prices))),
        models_(options_.max_names),
        users_(options_.max_names) {}

  std::optional<Error> set_prices(PriceTable table);
  Money cost(std::string_view model, const TokenUsage& usage, WallTime when) const {
    return money_for(usage, prices()->at(model, when));
  }
  /// An error if a ceiling would be exceeded. Otherwise settle() is due.
  std::optional<Error> reserve(std::string_view model, std::string_view user, std::uint64_t tokens, WallTime when,
                               Reservation& reservation);
  /// `usage` nothing: not known, what was reserved counts. Returns what was booked.
  Money settle(const Reservation& reservation, const std::optional<TokenUsage>& usage, bool used_nothing,
               WallTime when);
  CostReport report() const;

 private:
  std::shared_ptr<const Prices> prices() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return prices_;
  }
  void look_at_day(WallTime when);
  std::optional<Error> over(const Account& account, const Budget& budget, Money more, const char* whose) const;

  CostOptions options_;  // but for the prices
  mutable std::mutex mutex_;
  std::shared_ptr<const Prices> prices_;  // guarded
  Account all_;                           // guarded
  Accounts models_, users_;               // guarded
  std::int64_t day_ = 0;                  // guarded
};

DEEPSEEK_DECL std::optional<Error> CostBook::set_prices(PriceTable table) {
  if (auto error = check(table)) return error;
  auto prices = std::make_shared<const Prices>(std::move(table));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (prices->table().currency != prices_->table().currency) {
    return wrong_prices("the currency must stay what it is, for sums of two currencies mean nothing");
  }
  prices_ = std::move(prices);
  return std::nullopt;
}

/// A new day begins when the clock says so. One that goes back by less than a day does not open yesterday's budget
/// again; one that goes back further was wrong before.
DEEPSEEK_DECL void CostBook::look_at_day(WallTime when) {
  const std::int64_t day = utc_time(when).day;
  if (day <= day_ && day + 1 >= day_) return;
  day_ = day;
  all_.today = {};
  models_.new_day();
  users_.new_day();
}

DEEPSEEK_DECL std::optional<Error> CostBook::over(const Account& account, const Budget& budget, Money more,
                                                  const char* whose) const {
  const auto fits = [&](const UsageTotals& totals, Money ceiling) {
    if (ceiling == Money{}) return true;
    return !(ceiling < money_sum(money_sum(totals.cost, totals.uncertain_cost), money_sum(account.reserved, more)));
  };
  const bool total_fits = fits(account.totals, budget.total);
  if (total_fits && fits(account.today, budget.per_day)) return std::nullopt;
  const Money ceiling = total_fits ? budget.per_day : budget.total;
  const UsageTotals& totals = total_fits ? account.today : account.totals;
  const std::string currency = " " + prices_->table().currency;
  return Error(ErrorCode::budget_exceeded,
               std::string("the ") + (total_fits ? "daily " : "") + "budget of " + whose + " is " + to_string(ceiling) +
                   currency + ": " + to_string(money_sum(totals.cost, totals.uncertain_cost)) + " are spent, " +
                   to_string(account.reserved) + " reserved, and this call may cost " + to_string(more),
               "wait for the calls under way, set max_tokens, or raise the budget");
}

DEEPSEEK_DECL std::optional<Error> CostBook::reserve(std::string_view model, std::string_view user,
                                                     std::uint64_t tokens, WallTime when, Reservation& reservation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  look_at_day(when);
  reservation.price = prices_->at(model, when);
  const TokenPrice& price = reservation.price;
  reservation.amount = money_for(tokens, std::max({price.cache_hit, price.cache_miss, price.output}));
  reservation.user = &users_.at(user);
  reservation.model = &models_.at(model);
  if (auto error = over(all_, options_.budget, reservation.amount, "this process")) return error;
  if (auto error = over(*reservation.user, options_.user_budget, reservation.amount, "this user")) return error;
  for (Account* account : {&all_, reservation.user, reservation.model}) {
    account->reserved = money_sum(account->reserved, reservation.amount);
  }
  return std::nullopt;
}

DEEPSEEK_DECL Money CostBook::settle(const Reservation& reservation, const std::optional<TokenUsage>& usage,
                                     bool used_nothing, WallTime when) {
  const Money cost = usage ? money_for(*usage, reservation.price) : used_nothing ? Money{} : reservation.amount;
  const std::lock_guard<std::mutex> lock(mutex_);
  look_at_day(when);
  for (Account* account : {&all_, reservation.user, reservation.model}) {
    account->reserved.picos = std::max<std::int64_t>(account->reserved.picos - reservation.amount.picos, 0);
    for (UsageTotals* totals : {&account->totals, &account->today}) {
      if (usage) {
        ++totals->attempts;
        totals->tokens.prompt += usage->prompt;
        totals->tokens.cached_prompt += usage->cached_prompt;
        totals->tokens.completion += usage->completion;
        totals->tokens.reasoning += usage->reasoning;
        totals->cost = money_sum(totals->cost, cost);
      } else if (!used_nothing) {
        ++totals->attempts;
        ++totals->uncertain_attempts;
        totals->uncertain_cost = money_sum(totals->uncertain_cost, cost);
      }
    }
  }
  return cost;
}

DEEPSEEK_DECL CostReport CostBook::report() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  CostReport report;
  report.currency = prices_->table().currency;
  report.price_date = prices_->table().date;
  report.all = all_.totals;
  report.today = all_.today;
  report.reserved = all_.reserved;
  models_.for_each(
      [&](const std::string& name, const Account& account) { report.models.emplace_back(name, account.totals); });
  users_.for_each(
      [&](const std::string& name, const Account& account) { report.users.emplace_back(name, account.totals); });
  return report;
}

}  // namespace detail

DEEPSEEK_DECL Result<CostMeter> CostMeter::create(CostOptions options) {
  if (auto error = check(options)) return *std::move(error);
  return CostMeter(std::make_shared<detail::CostBook>(std::move(options)));
}
DEEPSEEK_DECL std::optional<Error> CostMeter::set_prices(PriceTable table) {
  if (!book_) return Error(ErrorCode::invalid_options, "the cost meter is empty", "make one with CostMeter::create");
  return book_->set_prices(std::move(table));
}
DEEPSEEK_DECL Money CostMeter::cost(std::string_view model, const TokenUsage& usage, WallTime when) const {
  return book_ ? book_->cost(model, usage, when) : Money();
}
DEEPSEEK_DECL CostReport CostMeter::report() const { return book_ ? book_->report() : CostReport(); }

// --- the policy ---------------------------------------------------------------------------------------

namespace detail {

/// Where the attempts of one client are booked.
struct CostDesk {
  CostDesk(std::shared_ptr<CostBook> its_book, std::shared_ptr<Clock> its_clock,
           std::shared_ptr<MetricSink> its_metrics)
      : book(std::move(its_book)),
        clock(its_clock ? std::move(its_clock) : std::make_shared<Clock>()),
        metrics(std::move(its_metrics)),
        currency(book->report().currency) {
    for (char& letter : currency)
      if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }

  void settle(Call& call, const Reservation& reservation, const std::optional<TokenUsage>& usage, bool nothing) {
    const Money booked = book->settle(reservation, usage, nothing, clock->wall_now());
    if (!usage) return;
    constexpr double picos = 1e12;
    const double cost = static_cast<double>(booked.picos) / picos;
    call.facts.cost += cost;
    call.facts.currency = currency;
    if (metrics) metrics->add(metric::cost, {call.model, currency}, cost);
  }

  std::shared_ptr<CostBook> book;
  std::shared_ptr<Clock> clock;
  std::shared_ptr<MetricSink> metrics;
  std::string currency;  // as a label
};

class CostPolicy final : public Policy {
 public:
  /// Null: it does nothing.
  explicit CostPolicy(std::shared_ptr<CostDesk> desk) : desk_(std::move(desk)) {}
  Phase phase() const override { return Phase::admission; }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    if (!desk_ || call->model.empty()) return next(std::move(call), std::move(sink));  // costs nothing: models, balance
    Reservation reservation;
    const WallTime now = desk_->clock->wall_now();
    auto error = desk_->book->reserve(call->model, call->user_id, call->weight, now, reservation);
    if (error) return sink->on_end(std::move(error));
    auto booked = std::make_shared<Booked>(desk_, call, std::move(sink), reservation);
    next(std::move(call), std::move(booked));
  }

 private:
  struct Booked final : CallSink {
    Booked(std::shared_ptr<CostDesk> its_desk, CallPtr its_call, SinkPtr its_sink, const Reservation& its_reservation)
        : desk(std::move(its_desk)),
          call(std::move(its_call)),
          sink(std::move(its_sink)),
          reservation(its_reservation),
          attempts_before(call->facts.attempts) {}
    ~Booked() override {  // a pipeline that went without an end
      if (!ended) desk->settle(*call, reservation, std::nullopt, false);
    }
    void on_frame(const Frame& frame) override { sink->on_frame(frame); }
    void on_end(std::optional<Error> error) override {
      ended = true;
      const bool sent = call->facts.attempts != attempts_before;
      const bool nothing = !sent || (error && used_nothing(*error));
      desk->settle(*call, reservation, sent ? told_usage(*call) : std::nullopt, nothing);
      sink->on_end(std::move(error));
    }

    std::shared_ptr<CostDesk> desk;
    CallPtr call;
    SinkPtr sink;
    Reservation reservation;
    int attempts_before;
    bool ended = false;
  };

  std::shared_ptr<CostDesk> desk_;
};

}  // namespace detail

DEEPSEEK_DECL std::shared_ptr<Policy> make_cost_policy(CostMeter meter, std::shared_ptr<Clock> clock,
                                                       std::shared_ptr<MetricSink> metrics) {
  if (!meter) return std::make_shared<detail::CostPolicy>(nullptr);
  return std::make_shared<detail::CostPolicy>(
      std::make_shared<detail::CostDesk>(std::move(meter.book_), std::move(clock), std::move(metrics)));
}

DEEPSEEK_END_NAMESPACE
