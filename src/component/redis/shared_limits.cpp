// Limits in Redis: one script, and a share to live on while Redis is away.
#include <deepseek/component/redis_limits.hpp>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <deepseek/policy/detail/token_bucket.hpp>

#include "component/redis/connection.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

using std::chrono::milliseconds;

// KEYS: rates (a hash of two buckets, each the time in us at which it is full again), leases (a sorted set by expiry).
// ARGV: what to do, lease in us, slots, us per request, its burst, us per token, its burst (0 us: no such limit).
// Times count from 2023, so that a double holds them to a 64th of a microsecond; costs are rounded up to a 16th.
constexpr std::string_view script = R"(
local what, lease, slots = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = (clock[1] - 1700000000) * 1000000 + clock[2]
local function round(us) return math.ceil(us * 16) / 16 end
local function bucket(field, each, burst)
  each, burst = tonumber(each), tonumber(burst)
  if each == 0 then return nil end
  local b = { field = field, each = each, burst = burst, holds = round(burst * each) }
  b.most = now + b.holds + 3600000000
  b.full = tonumber(redis.call('HGET', KEYS[1], field) or now)
  b.full = math.min(math.max(b.full, now), b.most)
  return b
end
local function save(b)
  redis.call('HSET', KEYS[1], b.field, string.format('%.4f', b.full))
  redis.call('PEXPIRE', KEYS[1], math.ceil(b.holds / 1000) + 7200000)
end
local requests = bucket('requests', ARGV[4], ARGV[5])
local tokens = bucket('tokens', ARGV[6], ARGV[7])

if what == 'take' then
  local id, n = ARGV[8], tonumber(ARGV[9])
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  if slots > 0 and redis.call('ZCARD', KEYS[2]) >= slots then return { 0, 0 } end
  local wait = 0
  if requests then wait = requests.full + round(requests.each) - now - requests.holds end
  if tokens and n > 0 then
    wait = math.max(wait, tokens.full + round(math.min(n, tokens.burst) * tokens.each) - now - tokens.holds)
  end
  if wait > 0 then return { 0, math.ceil(wait) } end
  if requests then
    requests.full = requests.full + round(requests.each)
    save(requests)
  end
  if tokens then
    tokens.full = math.min(tokens.full + round(n * tokens.each), tokens.most)
    save(tokens)
  end
  redis.call('ZADD', KEYS[2], now + lease, id)
  redis.call('PEXPIRE', KEYS[2], math.ceil(lease / 500))
  return { 1, 0 }
end
if what == 'settle' then
  local reserved, used = tonumber(ARGV[9]), tonumber(ARGV[10])
  local known = redis.call('ZREM', KEYS[2], ARGV[8])
  if tokens and used > reserved then
    tokens.full = math.min(tokens.full + round((used - reserved) * tokens.each), tokens.most)
    save(tokens)
  elseif tokens and known == 1 then
    tokens.full = tokens.full - round((reserved - used) * tokens.each)
    save(tokens)
  end
  return { 1, 0 }
end
if what == 'charge' then
  local function charge(b, n)
    if not b or n == 0 then return end
    b.full = math.max(b.full, math.min(b.full + round(n * b.each), now + b.holds))
    save(b)
  end
  charge(requests, tonumber(ARGV[8]))
  charge(tokens, tonumber(ARGV[9]))
  return { 1, 0 }
end
for i = 8, #ARGV do redis.call('ZADD', KEYS[2], now + lease, ARGV[i]) end
redis.call('PEXPIRE', KEYS[2], math.ceil(lease / 500))
return { 1, 0 }
)";

std::string hex(const unsigned char* bytes, std::size_t size) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) (text += digits[bytes[i] >> 4]) += digits[bytes[i] & 15];
  return text;
}

/// The name under which Redis keeps a script.
std::string sha1(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) != 1) return {};
  return hex(digest.data(), size);
}

/// Tells this client's leases from all others'.
std::string random_name() {
  std::array<unsigned char, 12> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return {};
  return hex(bytes.data(), bytes.size());
}

constexpr Duration minute = std::chrono::minutes(1);

/// One rate, as it stands in the script's arguments and in the share.
struct Rate {
  std::uint64_t per_minute = 0;  // zero: no limit
  std::uint64_t burst = 0;

  std::string each() const {  // microseconds; digits enough for the script's sixteenths
    if (per_minute == 0) return "0";
    constexpr std::uint64_t minute_us = 60'000'000;
    constexpr std::uint64_t parts = 1'000'000'000;
    std::string fraction = std::to_string(minute_us % per_minute * parts / per_minute);
    fraction.insert(0, 9 - fraction.size(), '0');
    return std::to_string(minute_us / per_minute) + "." + fraction;
  }
  std::optional<TokenBucket> share(int percent, TimePoint now) const {
    if (per_minute == 0) return std::nullopt;
    const auto part = [percent](std::uint64_t n) {
      return std::max<std::uint64_t>(n * static_cast<std::uint64_t>(percent) / 100, 1);
    };
    return std::optional<TokenBucket>(std::in_place, part(per_minute), minute, part(burst), now);
  }
};

Rate rate_of_requests(const Limits& limits) {
  const std::uint64_t most = limits.requests_per_minute;
  if (most == 0 || limits.requests_burst != 0) return {most, limits.requests_burst};
  const std::uint64_t burst = std::max<std::uint64_t>(most / 20, 1);
  return {most - burst + 1, burst};  // no minute sees more, as in a client
}

Rate rate_of_tokens(const Limits& limits) {
  return {limits.tokens_per_minute, limits.tokens_burst != 0 ? limits.tokens_burst : limits.tokens_per_minute};
}

/// Takes what is there, up to `n`.
void drain(std::optional<TokenBucket>& bucket, std::uint64_t n, TimePoint now) {
  if (!bucket) return;
  const std::int64_t there = bucket->available(now);
  if (there > 0) bucket->acquire(std::min(n, static_cast<std::uint64_t>(there)), now);
}

class RedisLimits final : public SharedBudget {
 public:
  RedisLimits(RedisServer server, SharedLimitOptions options)
      : server_(std::move(server)),
        options_(std::move(options)),
        requests_(rate_of_requests(options_.limits)),
        tokens_(rate_of_tokens(options_.limits)),
        share_slots_(std::max<std::uint64_t>(
            std::uint64_t{options_.limits.in_flight} * static_cast<std::uint64_t>(options_.share_percent) / 100, 1)) {}

  ~RedisLimits() override { RedisLimits::detach(); }

  void attach(Loop& loop) override {
    loop_ = &loop;
    connection_ = std::make_unique<RedisConnection>(server_, loop, RedisConnection::Notice());
    connection_->connect();
  }
  void detach() override {
    if (connection_ && connection_->connected()) connection_->drain(last_words);
    connection_.reset();
    if (loop_ != nullptr) loop_->unschedule(renew_timer_);
    loop_ = nullptr;
  }

  void take(const BudgetAsk& ask, Function<void(BudgetGrant)> done) override;
  void settle(std::uint64_t lease, std::optional<std::uint64_t> tokens) override;
  bool degraded() const noexcept override { return degraded_.load(std::memory_order_relaxed); }

 private:
  /// The limits of one model or user, or of all.
  struct Scope {
    Scope(const RedisLimits& owner, const std::string& key)
        : rates_key(key + ":rates"),
          leases_key(key + ":leases"),
          requests(owner.requests_.share(owner.options_.share_percent, owner.loop_->now())),
          tokens(owner.tokens_.share(owner.options_.share_percent, owner.loop_->now())) {}
    std::string rates_key;
    std::string leases_key;
    std::optional<TokenBucket> requests, tokens;  // the share
    std::uint64_t live = 0;                       // attempts of this client
    std::uint64_t untold_requests = 0;            // taken from the share, not known to Redis
    std::uint64_t untold_tokens = 0;
    TimePoint asked = {};  // last
  };
  using ScopePtr = std::shared_ptr<Scope>;
  struct Lease {
    ScopePtr scope = {};
    std::uint64_t reserved = 0;
    bool untold = false;  // taken from the share, and Redis does not know yet
  };
  /// A settlement that could not be sent.
  struct Unsent {
    ScopePtr scope;
    std::uint64_t lease, reserved, used;
  };
  using Done = RedisConnection::Done;
  using Words = std::vector<std::string>;

  static constexpr std::size_t most_scopes = 1024;
  static constexpr std::size_t most_unsent = 4096;
  static constexpr std::size_t most_renewed_at_once = 500;
  static constexpr milliseconds last_words{100};
  static constexpr milliseconds no_hurry{2'000};
  static constexpr Duration look_again = milliseconds(500);  // while Redis is away: it may be back by then

  std::string scope_name(const BudgetAsk& ask) const;
  ScopePtr scope_for(const BudgetAsk& ask);
  void forget_idle();
  std::string id_of(std::uint64_t lease) const { return client_name_ + ":" + std::to_string(lease); }
  Words command(const Scope& scope, std::string_view what) const;
  void run(Words words, TimePoint deadline, Done done);
  void on_reply(const ScopePtr& scope, std::uint64_t lease, std::uint64_t tokens, const Result<RedisReply>& reply,
                const Function<void(BudgetGrant)>& done);
  BudgetGrant take_share(const ScopePtr& scope, std::uint64_t lease, std::uint64_t tokens);
  void remember(const ScopePtr& scope, std::uint64_t lease, std::uint64_t tokens, bool untold);
  void send_settlement(const Unsent& settlement);
  void settle_later(const Unsent& settlement);
  void tell_what_was_taken();
  void go_without(std::string_view why);
  void go_on_with();
  void renew();
  void renew_later();

  const RedisServer server_;
  const SharedLimitOptions options_;
  const Rate requests_, tokens_;
  const std::uint64_t share_slots_;
  const std::string sha_ = sha1(script);
  const std::string client_name_ = random_name();
  Loop* loop_ = nullptr;
  std::map<std::string, ScopePtr, std::less<>> scopes_;
  std::map<std::uint64_t, Lease> leases_;
  std::deque<Unsent> unsent_;
  std::uint64_t last_lease_ = 0;
  Loop::TimerId renew_timer_ = 0;
  bool told_ = true;  // Redis knows all that was taken while it was away
  std::atomic<bool> degraded_{false};
  std::unique_ptr<RedisConnection> connection_;  // goes first
};

std::string RedisLimits::scope_name(const BudgetAsk& ask) const {
  std::string name(options_.per_model ? ask.model : std::string_view());
  if (options_.per_user) name += ":user:" + sha1(ask.user_id);
  return name;
}

RedisLimits::ScopePtr RedisLimits::scope_for(const BudgetAsk& ask) {
  std::string name = scope_name(ask);
  if (scopes_.size() >= most_scopes && scopes_.find(name) == scopes_.end()) forget_idle();
  if (scopes_.size() >= most_scopes && scopes_.find(name) == scopes_.end()) name = "(others)";
  ScopePtr& scope = scopes_[name];
  // Braces: both keys live on one node of a cluster.
  if (!scope) scope = std::make_shared<Scope>(*this, options_.prefix + "limits:{" + options_.name + "}:" + name);
  scope->asked = loop_->now();
  return scope;
}

/// Redis knows what they used. Not while it is away: then their share is all that keeps them to the limits.
void RedisLimits::forget_idle() {
  if (degraded()) return;
  for (auto at = scopes_.begin(); at != scopes_.end();) {
    const Scope& scope = *at->second;
    const bool held = at->second.use_count() > 1 || scope.untold_requests != 0 || scope.untold_tokens != 0;
    at = held || scope.asked + minute > loop_->now() ? std::next(at) : scopes_.erase(at);
  }
}

// --- commands ----------------------------------------------------------------------------------------

RedisLimits::Words RedisLimits::command(const Scope& scope, std::string_view what) const {
  return {"EVALSHA",
          sha_,
          "2",
          scope.rates_key,
          scope.leases_key,
          std::string(what),
          std::to_string(std::chrono::microseconds(options_.lease).count()),
          std::to_string(options_.limits.in_flight),
          requests_.each(),
          std::to_string(requests_.burst),
          tokens_.each(),
          std::to_string(tokens_.burst)};
}

/// Runs the script. A server that does not know it yet is sent it, once.
void RedisLimits::run(Words words, TimePoint deadline, Done done) {
  const std::vector<std::string_view> views(words.begin(), words.end());
  connection_->command(views, deadline, [this, words = std::move(words), deadline, done](Result<RedisReply> reply) {
    const bool unknown = reply && reply->is_error() && reply->text.rfind("NOSCRIPT", 0) == 0 && words[0] == "EVALSHA";
    if (unknown) {
      Words whole = words;
      whole[0] = "EVAL";
      whole[1] = script;
      return run(std::move(whole), deadline, done);
    }
    if (done) done(std::move(reply));
  });
}

/// What the script answers to `take`; nothing: something else.
std::optional<BudgetGrant> grant_of(const Result<RedisReply>& reply) {
  constexpr long long longest = 7'200'000'000;  // two hours
  if (!reply || reply->kind != RedisReply::Kind::array || reply->elements.size() != 2) return std::nullopt;
  for (const RedisReply& each : reply->elements)
    if (each.kind != RedisReply::Kind::integer || each.integer < 0 || each.integer > longest) return std::nullopt;
  BudgetGrant grant;
  grant.granted = reply->elements[0].integer == 1;
  grant.wait = std::chrono::microseconds(reply->elements[1].integer);
  return grant;
}

std::string_view why_not(const Result<RedisReply>& reply) {
  if (!reply)
    return reply.error().code() == ErrorCode::timeout_first_byte ? "it does not answer in time" : "it is away";
  return reply->is_error() ? "it refuses the script" : "it answers something else";
}

void RedisLimits::take(const BudgetAsk& ask, Function<void(BudgetGrant)> done) {
  if (tokens_.per_minute != 0 && ask.tokens > std::max(tokens_.per_minute, tokens_.burst)) {
    BudgetGrant never;
    never.never = true;
    return done(never);
  }
  const ScopePtr scope = scope_for(ask);
  const std::uint64_t lease = ++last_lease_;
  const std::uint64_t tokens = ask.tokens;
  if (!connection_->hopeful()) {
    go_without("it is away");
    connection_->connect();
    return done(take_share(scope, lease, tokens));
  }
  tell_what_was_taken();
  Words words = command(*scope, "take");
  words.push_back(id_of(lease));
  words.push_back(std::to_string(tokens));
  run(std::move(words), loop_->now() + options_.ask_timeout,
      [this, scope, lease, tokens, done](Result<RedisReply> reply) { on_reply(scope, lease, tokens, reply, done); });
}

void RedisLimits::on_reply(const ScopePtr& scope, std::uint64_t lease, std::uint64_t tokens,
                           const Result<RedisReply>& reply, const Function<void(BudgetGrant)>& done) {
  auto grant = grant_of(reply);
  if (!grant) {
    go_without(why_not(reply));
    grant = take_share(scope, lease, tokens);
    // Redis may have carried it out all the same.
    if (!grant->granted) settle_later({scope, lease, tokens, 0});
    return done(*grant);
  }
  go_on_with();
  if (grant->granted) {
    grant->lease = lease;
    drain(scope->requests, 1, loop_->now());
    drain(scope->tokens, tokens, loop_->now());
    remember(scope, lease, tokens, false);
  }
  done(*grant);
}

void RedisLimits::settle(std::uint64_t lease, std::optional<std::uint64_t> tokens) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  const Lease held = found->second;
  leases_.erase(found);
  --held.scope->live;
  const std::uint64_t used = tokens.value_or(held.reserved);
  if (!held.untold) return send_settlement({held.scope, lease, held.reserved, used});

  Scope& scope = *held.scope;
  if (scope.tokens && used < held.reserved) scope.tokens->give_back(held.reserved - used);
  if (scope.tokens && used > held.reserved) scope.tokens->charge(used - held.reserved, loop_->now());
  scope.untold_tokens = scope.untold_tokens + used - std::min(held.reserved, scope.untold_tokens + used);
  settle_later({held.scope, lease, held.reserved, held.reserved});  // in case that it did reach Redis
}

void RedisLimits::send_settlement(const Unsent& settlement) {
  if (!connection_->hopeful()) return settle_later(settlement);
  Words words = command(*settlement.scope, "settle");
  words.push_back(id_of(settlement.lease));
  words.push_back(std::to_string(settlement.reserved));
  words.push_back(std::to_string(settlement.used));
  run(std::move(words), loop_->now() + no_hurry, [this, settlement](const Result<RedisReply>& reply) {
    if (!reply) settle_later(settlement);
  });
}

/// What is dropped here expires in Redis.
void RedisLimits::settle_later(const Unsent& settlement) {
  if (unsent_.size() >= most_unsent) unsent_.pop_front();
  unsent_.push_back(settlement);
  told_ = false;
}

// --- while Redis is away -----------------------------------------------------------------------------

BudgetGrant RedisLimits::take_share(const ScopePtr& asked, std::uint64_t lease, std::uint64_t tokens) {
  Scope& scope = *asked;
  BudgetGrant grant;
  grant.wait = look_again;
  if (options_.limits.in_flight != 0 && scope.live >= share_slots_) return grant;
  const TimePoint now = loop_->now();
  if (scope.requests) {
    const Duration wait = scope.requests->acquire(1, now);
    if (wait > Duration::zero()) return grant.wait = std::min(wait, look_again), grant;
  }
  if (scope.tokens && tokens != 0) {
    const std::uint64_t at_once = std::min(tokens, scope.tokens->burst());
    const Duration wait = scope.tokens->acquire(at_once, now);
    if (wait > Duration::zero()) {
      if (scope.requests) scope.requests->give_back(1);
      return grant.wait = std::min(wait, look_again), grant;
    }
    if (tokens > at_once) scope.tokens->charge(tokens - at_once, now);
  }
  ++scope.untold_requests;
  scope.untold_tokens += tokens;
  remember(asked, lease, tokens, true);
  grant.granted = true;
  grant.wait = Duration::zero();
  grant.lease = lease;
  return grant;
}

void RedisLimits::remember(const ScopePtr& scope, std::uint64_t lease, std::uint64_t tokens, bool untold) {
  leases_[lease] = {scope, tokens, untold};
  ++scope->live;
  renew_later();
}

/// Before the first question to a server that is back: it has to know what is under way, and what was taken.
void RedisLimits::tell_what_was_taken() {
  if (std::exchange(told_, true)) return;
  for (auto& [name, scope] : scopes_) {
    if (scope->untold_requests == 0 && scope->untold_tokens == 0) continue;
    Words words = command(*scope, "charge");
    words.push_back(std::to_string(std::exchange(scope->untold_requests, 0)));
    words.push_back(std::to_string(std::exchange(scope->untold_tokens, 0)));
    run(std::move(words), loop_->now() + no_hurry, nullptr);
  }
  for (auto& [id, lease] : leases_) lease.untold = false;
  renew();
  for (const Unsent& settlement : std::exchange(unsent_, {})) send_settlement(settlement);
}

void RedisLimits::go_without(std::string_view why) {
  told_ = false;
  if (degraded_.exchange(true, std::memory_order_relaxed) || !options_.notice) return;
  options_.notice("shared limits: Redis cannot be asked (" + std::string(why) + "), this client keeps to " +
                  std::to_string(options_.share_percent) + " % of them");
}

void RedisLimits::go_on_with() {
  if (degraded_.exchange(false, std::memory_order_relaxed) && options_.notice) {
    options_.notice("shared limits: Redis is back");
  }
}

// --- leases ------------------------------------------------------------------------------------------

void RedisLimits::renew_later() {
  if (renew_timer_ != 0 || leases_.empty()) return;
  renew_timer_ = loop_->schedule(loop_->now() + options_.lease / 3, [this] {
    renew_timer_ = 0;
    renew();
    renew_later();
  });
}

void RedisLimits::renew() {
  if (!connection_->hopeful()) return;
  for (const auto& [name, scope] : scopes_) {
    if (scope->live == 0) continue;
    Words words = command(*scope, "renew");
    const std::size_t empty = words.size();
    const auto send = [&] {
      if (words.size() > empty) run(words, loop_->now() + no_hurry, nullptr);
      words.resize(empty);
    };
    for (const auto& [id, lease] : leases_) {
      if (lease.scope != scope || lease.untold) continue;
      words.push_back(id_of(id));
      if (words.size() - empty >= most_renewed_at_once) send();
    }
    send();
  }
}

}  // namespace
}  // namespace detail

std::optional<Error> check(const SharedLimitOptions& options) {
  const auto bad = [](const char* what) { return Error(ErrorCode::invalid_options, what); };
  LimitOptions limits;
  static_cast<Limits&>(limits) = options.limits;
  if (auto error = check(limits)) return error;
  if (options.limits.adaptive) return bad("SharedLimitOptions: limits.adaptive belongs to one client");
  if (!limits.any()) return bad("SharedLimitOptions: nothing is limited");
  if (options.name.empty() || options.name.find_first_of("{}") != std::string::npos) {
    return bad("SharedLimitOptions::name must not be empty nor hold braces");
  }
  if (options.share_percent < 1 || options.share_percent > 100) {
    return bad("SharedLimitOptions::share_percent must be 1 to 100");
  }
  if (options.ask_timeout < std::chrono::milliseconds(1) || options.ask_timeout > std::chrono::seconds(10)) {
    return bad("SharedLimitOptions::ask_timeout must be 1 ms to 10 s");
  }
  if (options.lease < std::chrono::seconds(5) || options.lease > std::chrono::hours(1)) {
    return bad("SharedLimitOptions::lease must be 5 s to 1 h");
  }
  return std::nullopt;
}

Result<std::shared_ptr<SharedBudget>> redis_limits(std::string_view address, SharedLimitOptions options) {
  auto server = redis_server(address);
  if (!server) return server.error();
  return redis_limits(*std::move(server), std::move(options));
}

Result<std::shared_ptr<SharedBudget>> redis_limits(RedisServer server, SharedLimitOptions options) {
  if (auto error = check(options)) return *std::move(error);
  if (auto error = redis(server)->check()) return *std::move(error);
  return std::shared_ptr<SharedBudget>(std::make_shared<detail::RedisLimits>(std::move(server), std::move(options)));
}

DEEPSEEK_END_NAMESPACE
