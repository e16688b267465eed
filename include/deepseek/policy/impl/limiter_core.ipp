#pragma once
#include <deepseek/policy/detail/limiter_core.hpp>
#include <deepseek/policy/impl/slots.ipp>

#include <algorithm>
#include <limits>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- one scope ----------------------------------------------------------------------------------------

DEEPSEEK_DECL std::uint64_t tokens_burst(const Limits& limits) noexcept {
  return limits.tokens_burst != 0 ? limits.tokens_burst : limits.tokens_per_minute;
}

DEEPSEEK_DECL LimitScope::LimitScope(const Limits& limits, const char* where, TimePoint now)
    : slots_(limits.in_flight, limits.adaptive), where_(where) {
  constexpr Duration minute = std::chrono::minutes(1);
  if (limits.requests_per_minute != 0) {
    const std::uint64_t most = limits.requests_per_minute;
    const std::uint64_t burst =
        limits.requests_burst != 0 ? limits.requests_burst : std::max<std::uint64_t>(most / 20, 1);
    // So many at once and the rest evenly: no half-open minute holds more than `most`.
    const std::uint64_t rate = limits.requests_burst != 0 ? most : most - burst + 1;
    requests_.emplace(rate, minute, burst, now);
  }
  if (limits.tokens_per_minute != 0) tokens_.emplace(limits.tokens_per_minute, minute, tokens_burst(limits), now);
}

DEEPSEEK_DECL Shortage LimitScope::take(std::uint64_t tokens, TimePoint now) noexcept {
  if (!slots_.take()) return {Shortage::Of::slots, Duration::zero(), where_};
  if (requests_) {
    const Duration wait = requests_->acquire(1, now);
    if (wait > Duration::zero()) {
      slots_.give_back();
      return {Shortage::Of::requests, wait, where_};
    }
  }
  if (tokens_ && tokens != 0) {
    const std::uint64_t at_once = std::min(tokens, tokens_->burst());
    const Duration wait = tokens_->acquire(at_once, now);
    if (wait > Duration::zero()) {
      if (requests_) requests_->give_back(1);
      slots_.give_back();
      return {Shortage::Of::tokens, wait, where_};
    }
    if (tokens > at_once) tokens_->charge(tokens - at_once, now);
  }
  return {};
}

DEEPSEEK_DECL void LimitScope::undo(std::uint64_t tokens) noexcept {
  if (tokens_) tokens_->give_back(tokens);
  if (requests_) requests_->give_back(1);
  slots_.give_back();
}

DEEPSEEK_DECL void LimitScope::settle(std::uint64_t reserved, std::uint64_t used, TimePoint now) noexcept {
  if (tokens_ && used < reserved) tokens_->give_back(reserved - used);
  if (tokens_ && used > reserved) tokens_->charge(used - reserved, now);
  slots_.give_back();
}

DEEPSEEK_DECL bool LimitScope::unused(TimePoint now) noexcept {
  const auto full = [now](std::optional<TokenBucket>& bucket) {
    return !bucket || bucket->available(now) >= static_cast<std::int64_t>(bucket->burst());
  };
  return slots_.taken() == 0 && full(requests_) && full(tokens_);
}

// --- partitions ---------------------------------------------------------------------------------------

DEEPSEEK_DECL Partitions::Entry& Partitions::enter(std::string_view name, TimePoint now) {
  const auto known = by_name_.find(name);
  if (known != by_name_.end()) {
    entries_.splice(entries_.begin(), entries_, known->second);
  } else if (make_room(now)) {
    entries_.emplace_front(std::string(name), limits_, where_, now);
    by_name_.emplace(entries_.front().name, entries_.begin());
  } else {
    if (!rest_) rest_.emplace(std::string(), limits_, where_, now);
    ++rest_->users;
    return *rest_;
  }
  ++entries_.front().users;
  return entries_.front();
}

/// Only a partition whose budgets are whole may be forgotten: otherwise coming back under the same name would be a
/// way to a new budget.
DEEPSEEK_DECL bool Partitions::make_room(TimePoint now) {
  if (entries_.size() < most_) return true;
  constexpr int looks = 8;
  auto oldest = entries_.end();
  for (int look = 0; look < looks && oldest != entries_.begin(); ++look) {
    --oldest;
    if (oldest->users != 0 || !oldest->scope.unused(now)) continue;
    by_name_.erase(oldest->name);
    entries_.erase(oldest);
    return true;
  }
  return false;
}

// --- a client's alarm ---------------------------------------------------------------------------------

DEEPSEEK_DECL void LimitClient::arm(TimePoint when) {
  loop_.unschedule(timer_);
  timer_ = loop_.schedule(when, [self = shared_from_this()] {
    self->timer_ = 0;
    self->core_->look_again(*self, self->loop_.now());
  });
}

DEEPSEEK_DECL void LimitClient::close() {
  if (timer_ != 0) loop_.unschedule(std::exchange(timer_, 0));  // without a timer the loop may be gone already
}

// --- the limiter --------------------------------------------------------------------------------------

DEEPSEEK_DECL bool limits_anything(const Limits& limits) noexcept {
  return limits.requests_per_minute != 0 || limits.tokens_per_minute != 0 || limits.in_flight != 0 || limits.adaptive;
}

DEEPSEEK_DECL std::uint64_t most_tokens(const LimitOptions& options) noexcept {
  std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  const auto look_at = [&most](const Limits& limits) {
    if (limits.tokens_per_minute == 0) return;
    most = std::min(most, std::max(limits.tokens_per_minute, tokens_burst(limits)));
  };
  look_at(options);
  for (const auto* each : {&options.per_key, &options.per_model, &options.per_user}) look_at(*each);
  return most;
}

DEEPSEEK_DECL LimiterCore::LimiterCore(const LimitOptions& options, TimePoint now)
    : options_(options), most_tokens_(detail::most_tokens(options)), total_(options, "this client", now) {
  const auto set = [this](std::optional<Partitions>& partitions, const Limits& limits, const char* where) {
    if (limits_anything(limits)) partitions.emplace(limits, where, options_.max_partitions);
  };
  set(keys_, options_.per_key, "this key");
  set(models_, options_.per_model, "this model");
  set(users_, options_.per_user, "this user");
}

DEEPSEEK_DECL LimiterState LimiterCore::state() const noexcept {
  LimiterState state;
  state.in_flight = total_.slots().taken();
  const std::uint32_t limit = total_.slots().limit();
  state.in_flight_limit = limit == Slots::unlimited ? 0 : limit;
  state.waiting = waiting_.load(std::memory_order_relaxed);
  state.waited = waited_.load(std::memory_order_relaxed);
  state.refused = refused_.load(std::memory_order_relaxed);
  return state;
}

DEEPSEEK_DECL bool LimiterCore::adaptive() const noexcept {
  return options_.adaptive || options_.per_key.adaptive || options_.per_model.adaptive || options_.per_user.adaptive;
}

DEEPSEEK_DECL Shortage LimiterCore::take(const LimitAsk& ask, Permit& permit, TimePoint now) {
  permit = {};
  permit.tokens = ask.tokens;
  permit.began = now;
  if (!partitioned()) {
    if (waiting_.load(std::memory_order_seq_cst) != 0) return {Shortage::Of::slots, Duration::zero(), total_.where()};
    const Shortage shortage = total_.take(ask.tokens, now);
    permit.held = shortage.of == Shortage::Of::nothing;
    return shortage;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!clients_.empty()) return {Shortage::Of::slots, Duration::zero(), total_.where()};
  ++round_;
  enter_partitions(ask, permit, now);
  const Shortage shortage = take_all(permit, now);
  if (!permit.held) leave_partitions(permit);
  return shortage;
}

DEEPSEEK_DECL void LimiterCore::enter_partitions(const LimitAsk& ask, Permit& permit, TimePoint now) {
  if (keys_) permit.partitions[0] = &keys_->enter(ask.key, now);
  if (models_) permit.partitions[1] = &models_->enter(ask.model, now);
  if (users_) permit.partitions[2] = &users_->enter(ask.user, now);
}

DEEPSEEK_DECL void LimiterCore::leave_partitions(Permit& permit) noexcept {
  for (auto*& partition : permit.partitions)
    if (auto* entry = std::exchange(partition, nullptr)) Partitions::leave(*entry);
}

/// All scopes or none. A scope that was found wanting in this round is not asked again: whoever came first for it
/// goes first.
DEEPSEEK_DECL Shortage LimiterCore::take_all(Permit& permit, TimePoint now) noexcept {
  for (auto* partition : permit.partitions)
    if (partition != nullptr && partition->scope.blocked_in_round == round_) {
      return {Shortage::Of::slots, Duration::zero(), partition->scope.where()};
    }
  Shortage shortage = total_.take(permit.tokens, now);
  if (shortage.of != Shortage::Of::nothing) {
    total_.blocked_in_round = round_;
    return shortage;
  }
  for (std::size_t i = 0; i < permit.partitions.size(); ++i) {
    if (permit.partitions[i] == nullptr) continue;
    shortage = permit.partitions[i]->scope.take(permit.tokens, now);
    if (shortage.of == Shortage::Of::nothing) continue;
    permit.partitions[i]->scope.blocked_in_round = round_;
    while (i-- > 0)
      if (permit.partitions[i] != nullptr) permit.partitions[i]->scope.undo(permit.tokens);
    total_.undo(permit.tokens);
    return shortage;
  }
  permit.began = now;
  permit.held = true;
  return {};
}

DEEPSEEK_DECL LimiterCore::Joined LimiterCore::join(LimitWaiter& waiter, const std::shared_ptr<LimitClient>& client,
                                                    const LimitAsk& ask, TimePoint until, TimePoint now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  waiter.permit_ = {};
  waiter.permit_.tokens = ask.tokens;
  waiter.priority_ = ask.priority;
  waiter.shortage_ = {};
  waiter.client_ = client;
  Queue& queue = ask.priority == Priority::batch ? batch_ : interactive_;
  waiter.self_ = queue.insert(queue.end(), waiter.shared_from_this());
  if (client->waiting_ == 0) {
    client->alarm_at_ = TimePoint::max();
    clients_.push_back(client.get());
  }
  ++client->waiting_;
  waiter.place_ = LimitWaiter::Place::queue;
  waiting_.fetch_add(1, std::memory_order_seq_cst);
  enter_partitions(ask, waiter.permit_, now);

  joining_ = &waiter;
  serve(now);
  joining_ = nullptr;
  if (waiter.place_ == LimitWaiter::Place::turn) return Joined::turn;
  const bool full = waiting_.load(std::memory_order_relaxed) > options_.max_waiting;
  if (!full && !too_late(waiter.shortage_, until, now)) return Joined::waits;
  remove(waiter);
  leave_partitions(waiter.permit_);
  return Joined::refused;
}

/// Requests come back with time alone. Tokens also do when others turn out to have used less than was estimated.
DEEPSEEK_DECL bool LimiterCore::too_late(const Shortage& shortage, TimePoint until, TimePoint now) const noexcept {
  if (shortage.wait == Duration::zero() || shortage.wait <= until - now) return false;
  return shortage.of == Shortage::Of::requests || total_.slots().taken() == 0;
}

/// Gives turns to those who can have one, in order: a scope that has no room for its first has none for the others,
/// but those who do not need it may pass.
DEEPSEEK_DECL void LimiterCore::serve(TimePoint now) {
  ++round_;
  Duration soonest = Duration::max();
  auto interactive = interactive_.begin();
  auto batch = batch_.begin();
  while (interactive != interactive_.end() || batch != batch_.end()) {
    const bool batch_turn =
        batch != batch_.end() && (interactive == interactive_.end() || in_a_row_ >= interactive_in_a_row);
    LimitWaiter& waiter = batch_turn ? **batch : **interactive;
    ++(batch_turn ? batch : interactive);
    waiter.shortage_ = take_all(waiter.permit_, now);
    if (waiter.permit_.held) {
      const auto keep = *waiter.self_;
      in_a_row_ = batch_turn || batch_.empty() ? 0 : in_a_row_ + 1;
      remove(waiter);
      waiter.place_ = LimitWaiter::Place::turn;
      if (&waiter != joining_) waiter.client_->loop().post([keep] { keep->on_turn(); });
      continue;
    }
    if (waiter.shortage_.wait > Duration::zero()) soonest = std::min(soonest, waiter.shortage_.wait);
    if (total_.blocked_in_round == round_) break;
  }
  if (soonest != Duration::max()) set_alarms(now + soonest);
}

DEEPSEEK_DECL void LimiterCore::set_alarms(TimePoint when) {
  for (LimitClient* client : clients_) {
    if (client->alarm_at_ <= when) continue;
    client->alarm_at_ = when;
    client->loop().post([self = client->shared_from_this(), when] { self->arm(when); });
  }
}

/// Out of the queue, wherever to.
DEEPSEEK_DECL void LimiterCore::remove(LimitWaiter& waiter) noexcept {
  const auto keep = *waiter.self_;
  (waiter.priority_ == Priority::batch ? batch_ : interactive_).erase(waiter.self_);
  waiter.place_ = LimitWaiter::Place::outside;
  waiting_.fetch_sub(1, std::memory_order_seq_cst);
  if (--waiter.client_->waiting_ == 0) {
    clients_.erase(std::find(clients_.begin(), clients_.end(), waiter.client_.get()));
  }
}

DEEPSEEK_DECL bool LimiterCore::accept(LimitWaiter& waiter, Permit& permit) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (waiter.place_ != LimitWaiter::Place::turn) return false;
  waiter.place_ = LimitWaiter::Place::outside;
  permit = std::exchange(waiter.permit_, {});
  return true;
}

DEEPSEEK_DECL void LimiterCore::leave(LimitWaiter& waiter, TimePoint now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const LimitWaiter::Place place = waiter.place_;
  if (place == LimitWaiter::Place::outside) return;
  if (place == LimitWaiter::Place::queue) remove(waiter);
  waiter.place_ = LimitWaiter::Place::outside;
  if (waiter.permit_.held) undo_all(waiter.permit_);
  leave_partitions(waiter.permit_);
  serve(now);
}

DEEPSEEK_DECL Shortage LimiterCore::shortage_of(const LimitWaiter& waiter) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return waiter.shortage_;
}

DEEPSEEK_DECL void LimiterCore::look_again(LimitClient& client, TimePoint now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  client.alarm_at_ = TimePoint::max();
  serve(now);
}

DEEPSEEK_DECL void LimiterCore::undo_all(Permit& permit) noexcept {
  permit.held = false;
  total_.undo(permit.tokens);
  for (auto* partition : permit.partitions)
    if (partition != nullptr) partition->scope.undo(permit.tokens);
}

DEEPSEEK_DECL void LimiterCore::undo(Permit& permit, TimePoint now) {
  if (!permit.held) return;
  if (!partitioned()) {
    undo_all(permit);
  } else {
    const std::lock_guard<std::mutex> lock(mutex_);
    undo_all(permit);
    leave_partitions(permit);
  }
  serve_if_waiting(now);
}

DEEPSEEK_DECL void LimiterCore::release(Permit& permit, std::uint64_t used, const LoadSign& sign, TimePoint now) {
  if (!std::exchange(permit.held, false)) return;
  if (!partitioned() && !adaptive()) {
    total_.settle(permit.tokens, used, now);
    return serve_if_waiting(now);
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    total_.slots().learn(sign, now);
    total_.settle(permit.tokens, used, now);
    for (auto* partition : permit.partitions) {
      if (partition == nullptr) continue;
      partition->scope.slots().learn(sign, now);
      partition->scope.settle(permit.tokens, used, now);
    }
    leave_partitions(permit);
  }
  serve_if_waiting(now);
}

DEEPSEEK_DECL void LimiterCore::serve_if_waiting(TimePoint now) {
  if (waiting_.load(std::memory_order_seq_cst) == 0) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  serve(now);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
