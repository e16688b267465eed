#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <deepseek/policy/detail/hedge_policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- the budget ---------------------------------------------------------------------------------------

inline constexpr std::uint64_t hedge_hundredths = 100;
inline constexpr std::uint64_t most_hedge_tokens = 1'000'000'000;  // of one call: more is nobody's estimate

DEEPSEEK_DECL HedgeBudget::HedgeBudget(const HedgeOptions& options)
    : percent_(static_cast<std::uint64_t>(options.percent)), most_(options.burst * hedge_hundredths), left_(most_) {}

DEEPSEEK_DECL void HedgeBudget::earn(std::uint64_t tokens) noexcept {
  left_ = std::min(most_, left_ + std::min(tokens, most_hedge_tokens) * percent_);
}

DEEPSEEK_DECL bool HedgeBudget::take(std::uint64_t tokens) noexcept {
  if (tokens > left_ / hedge_hundredths) return false;
  left_ -= tokens * hedge_hundredths;
  return true;
}

DEEPSEEK_DECL void HedgeBudget::give_back(std::uint64_t tokens) noexcept {
  left_ = std::min(most_, left_ + std::min(tokens, most_hedge_tokens) * hedge_hundredths);
}

// --- the race -----------------------------------------------------------------------------------------

/// The decoder of a hedge: one of its own until it has won, the call's from then on.
class RelayDecoder final : public Decoder {
 public:
  explicit RelayDecoder(std::shared_ptr<Decoder> own) : to_(std::move(own)) {}
  /// Returns its own, which nobody needs any more.
  std::shared_ptr<Decoder> lead_to(std::shared_ptr<Decoder> decoder) { return std::exchange(to_, std::move(decoder)); }

  FrameKind inspect(std::string_view data) override { return to_->inspect(data); }
  std::optional<Error> conclude(bool clean) override { return to_->conclude(clean); }
  Error error_from_body(int status, std::string_view body) override { return to_->error_from_body(status, body); }
  TokenUsage usage() const override { return to_->usage(); }
  void reset() override { to_->reset(); }
  std::optional<AnswerSoFar> so_far() const override { return to_->so_far(); }
  void go_on(std::size_t overlap) override { to_->go_on(overlap); }
  std::shared_ptr<Decoder> another() const override { return to_->another(); }

 private:
  std::shared_ptr<Decoder> to_;
};

/// One attempt, and perhaps its hedge. Both are copies of the call, so that each has facts and a holder of its own; the
/// call itself is held here. The first decodes with the call's decoder. What either says before one of them has won
/// is held back, and decoded once more by the call's decoder when it is passed on.
class HedgePolicy::Race final : public std::enable_shared_from_this<Race> {
 public:
  Race(std::shared_ptr<HedgePolicy> policy, CallPtr call, SinkPtr sink, Next next)
      : policy_(std::move(policy)),
        call_(std::move(call)),
        sink_(std::move(sink)),
        next_(next),
        attempts_before_(call_->facts.attempts),
        hedges_before_(call_->facts.hedges),
        waited_before_(call_->facts.waited),
        cost_before_(call_->facts.cost) {}

  void begin() {
    first_.call = std::make_shared<Call>(*call_);
    call_->on_abort = [self = shared_from_this()](Error reason) { self->give_up(std::move(reason)); };
    call_->on_pause = [self = shared_from_this()](bool hold) { self->pause(hold); };
    launch(first_);
    if (settled()) return;
    seen_sent_ = sent(first_) > 0;
    arm(policy_->loop_->now() + policy_->options_.after);
  }

 private:
  /// One of the two requests.
  struct Lane final : CallSink {
    explicit Lane(Race& its_race) : race(its_race) {}
    void on_frame(const Frame& frame) override {
      if (race.winner_ == this) return race.sink_->on_frame(frame);
      race.take(*this, frame);
    }
    void on_end(std::optional<Error> error) override { race.end(*this, std::move(error)); }

    Race& race;
    CallPtr call = {};  // null: not begun
    int attempts_before = 0;
    bool running = false;
    std::vector<std::string> held = {};  // frames that came before one of the two had won
    std::size_t held_bytes = 0;
    std::optional<Error> failure = {};  // it ended with, before one of the two had won
  };

  /// Held of one request. Whoever sends more without a token is taken for the one that answers.
  static constexpr std::size_t most_held = 256 * 1024;

  static int sent(const Lane& lane) noexcept {
    return lane.call ? lane.call->facts.attempts - lane.attempts_before : 0;
  }
  bool settled() const noexcept { return over_ || giving_up_ || winner_; }

  void launch(Lane& lane) {
    lane.attempts_before = lane.call->facts.attempts;
    lane.running = true;
    next_(lane.call, SinkPtr(shared_from_this(), &lane));
  }

  // --- the clock

  void arm(TimePoint when) {
    timer_ = policy_->loop_->schedule(when, [self = shared_from_this()] {
      self->timer_ = 0;
      self->on_timer();
    });
  }
  void disarm() {
    if (timer_ != 0) policy_->loop_->unschedule(std::exchange(timer_, 0));
  }

  void on_timer() {
    if (settled()) return;
    const auto after = policy_->options_.after;
    if (call_->paused) {  // nobody listens, so nobody is late
      missed_ = true;
      return;
    }
    // A request that waits for its turn is not late either.
    if (!std::exchange(seen_sent_, sent(first_) > 0)) return arm(policy_->loop_->now() + after);
    const TimePoint earliest = policy_->loop_->driven_since() + after;
    if (earliest > policy_->loop_->now()) return arm(earliest);
    hedge();
  }

  void hedge() {
    auto own = call_->decoder->another();
    if (!own || !policy_->budget_.take(call_->weight)) return;
    relay_ = std::make_shared<RelayDecoder>(std::move(own));
    hedge_.call = std::make_shared<Call>(*call_);
    Call& call = *hedge_.call;
    call.release_holds();
    call.decoder = relay_;
    call.may_wait = false;
    call.facts.attempts = first_.call->facts.attempts;  // they are numbered through
    call.endpoint_index = -1;
    policy_->router_->prefer_other(call, first_.call->endpoint_index);
    launch(hedge_);
  }

  // --- what the two say

  bool answers(const Frame& frame) const noexcept {
    if (frame.binary || frame.kind == FrameKind::token) return true;
    return !call_->operation.stream && frame.kind == FrameKind::data && !frame.data.empty();
  }

  void take(Lane& lane, const Frame& frame) {
    if (settled() || !lane.running) return;
    if (!answers(frame) && lane.held_bytes + frame.data.size() <= most_held) {
      lane.held.emplace_back(frame.data);
      lane.held_bytes += frame.data.size();
      return;
    }
    const auto keep = shared_from_this();
    const bool again = settle(lane);
    if (over_ || giving_up_) return;
    const bool decode = again && !frame.binary;
    sink_->on_frame({frame.data, decode ? call_->decoder->inspect(frame.data) : frame.kind, frame.binary});
  }

  void end(Lane& lane, std::optional<Error> error) {
    if (!std::exchange(lane.running, false)) return;
    const auto keep = shared_from_this();
    policy_->router_->report(*lane.call, judge_endpoint(error));
    if (&lane == &hedge_ && sent(hedge_) == 0) policy_->budget_.give_back(call_->weight);
    if (over_) return;
    if (giving_up_) {
      if (error && &lane == &told()) giving_up_ = std::move(error);
      return end_given_up();
    }
    if (winner_ && winner_ != &lane) return;
    if (winner_) return finish(lane, std::move(error));
    if (!error) return end_well(lane);
    lane.failure = std::move(error);
    if (other(lane).running) return;
    Lane& telling = more_telling();
    settle(telling);
    if (!over_ && !giving_up_) finish(telling, std::move(telling.failure));
  }

  /// It is whole, though no frame of it said so.
  void end_well(Lane& lane) {
    const bool again = settle(lane);
    if (!over_ && !giving_up_) finish(lane, again ? call_->decoder->conclude(true) : std::nullopt);
  }

  /// Both have failed. What a server answered tells more than that none did; else the hedge is forgotten.
  Lane& more_telling() {
    const auto answered = [](const Lane& lane) { return lane.failure && lane.failure->http_status() != 0; };
    return answered(hedge_) && !answered(first_) ? hedge_ : first_;
  }

  // --- who has won

  Lane& other(const Lane& lane) noexcept { return &lane == &first_ ? hedge_ : first_; }
  /// The one whose facts are the call's.
  Lane& told() noexcept { return winner_ ? *winner_ : first_; }

  /// From here on `lane` is the reply. True: the call's decoder begins with it anew.
  bool settle(Lane& lane) {
    winner_ = &lane;
    disarm();
    stop(other(lane), Error(ErrorCode::cancelled, "another request for the same call was answered first"));
    adopt(lane);
    const bool again = &lane == &hedge_ || !lane.held.empty();
    if (!again) return false;
    // A loser that ends late must not find the call's decoder.
    if (&lane == &hedge_) first_.call->decoder = relay_->lead_to(call_->decoder);
    call_->decoder->reset();
    passing_on_ = true;
    for (const std::string& data : std::exchange(lane.held, {})) {
      if (over_ || giving_up_) break;
      const FrameKind kind = call_->decoder->inspect(data);
      sink_->on_frame({data, kind, false});
    }
    passing_on_ = false;
    if (giving_up_) end_given_up();
    return true;
  }

  static void stop(Lane& lane, Error reason) {
    if (!lane.running) return;
    const CallPtr call = lane.call;
    call->ended = true;
    if (const auto abort = call->on_abort) return abort(std::move(reason));
    lane.on_end(std::move(reason));  // held by somebody who set none, and is not waited for
  }

  void adopt(const Lane& lane) {
    CallFacts& facts = call_->facts;
    static_cast<AttemptFacts&>(facts) = lane.call->facts;
    facts.attempts = attempts_before_ + sent(first_) + sent(hedge_);
    facts.failovers = first_.call->facts.failovers;  // that a hedge goes elsewhere is none
    facts.hedges = hedges_before_ + (sent(hedge_) > 0 ? 1 : 0);
    const CallFacts& one = first_.call->facts;
    facts.waited = one.waited;
    facts.cost = one.cost;
    facts.currency = one.currency;
    if (hedge_.call) {  // paid for too
      const CallFacts& two = hedge_.call->facts;
      facts.waited += two.waited - waited_before_;
      facts.cost += two.cost - cost_before_;
      if (facts.currency.empty()) facts.currency = two.currency;
    }
    call_->authorization = lane.call->authorization;
    call_->endpoint = lane.call->endpoint;
    call_->endpoint_index = lane.call->endpoint_index;
  }

  void finish(Lane& lane, std::optional<Error> error) {
    over_ = true;
    winner_ = nullptr;
    disarm();
    adopt(lane);
    call_->release_holds();
    std::exchange(sink_, nullptr)->on_end(std::move(error));
  }

  // --- the caller

  void give_up(Error reason) {
    if (over_ || giving_up_) return;
    const auto keep = shared_from_this();
    giving_up_ = reason;
    disarm();
    stop(first_, reason);
    stop(hedge_, std::move(reason));
    end_given_up();
  }

  /// Not before both have ended, nor from inside the consumer's on_frame().
  void end_given_up() {
    if (over_ || passing_on_ || first_.running || hedge_.running) return;
    finish(told(), std::move(giving_up_));
  }

  void pause(bool hold) {
    const auto keep = shared_from_this();
    for (Lane* const lane : {&first_, &hedge_}) {
      const CallPtr call = lane->call;
      if (lane->running) call->pause(hold);
    }
    if (!hold && !settled() && std::exchange(missed_, false)) arm(policy_->loop_->now() + policy_->options_.after);
  }

  std::shared_ptr<HedgePolicy> policy_;  // a loser may end when the pipeline has gone
  CallPtr call_;
  SinkPtr sink_;  // null: ended
  Next next_;
  const int attempts_before_;
  const int hedges_before_;
  const std::chrono::nanoseconds waited_before_;
  const double cost_before_;
  Lane first_{*this};
  Lane hedge_{*this};
  std::shared_ptr<RelayDecoder> relay_;  // of the hedge
  Lane* winner_ = nullptr;
  std::optional<Error> giving_up_;  // what the call was given up for
  Loop::TimerId timer_ = 0;
  bool seen_sent_ = false;   // the first had been sent when the clock was last looked at
  bool missed_ = false;      // the clock struck while the call was paused
  bool passing_on_ = false;  // what was held
  bool over_ = false;
};

// --- the policy ---------------------------------------------------------------------------------------

DEEPSEEK_DECL HedgePolicy::HedgePolicy(const HedgeOptions& options, std::shared_ptr<Router> router)
    : options_(options), router_(std::move(router)), budget_(options_) {}

DEEPSEEK_DECL void HedgePolicy::start(CallPtr call, SinkPtr sink, Next next) {
  // What weighs nothing (models, balance) costs nothing and is not worth it.
  const bool possible = call->safe_to_repeat && call->decoder && call->weight > 0;
  if (!possible) return next(std::move(call), std::move(sink));
  budget_.earn(call->weight);
  std::make_shared<Race>(shared_from_this(), std::move(call), std::move(sink), next)->begin();
}

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> check(const HedgeOptions& o) {
  const auto wrong = [](const char* what, const char* advice = "") {
    return Error(ErrorCode::invalid_options, what, advice);
  };
  if (o.after.count() < 0 || o.after > std::chrono::hours(1)) return wrong("HedgeOptions::after is outside 0 ... 1 h");
  if (o.percent < 0 || o.percent > 100) return wrong("HedgeOptions::percent is outside 0 ... 100");
  if (o.burst > 1'000'000'000) return wrong("HedgeOptions::burst is above 1e9 tokens");
  if (o.after.count() > 0 && (o.percent == 0 || o.burst == 0))
    return wrong("HedgeOptions: after asks for hedges, and percent or burst allows none",
                 "set after to 0 if nothing is to be hedged");
  return std::nullopt;
}

DEEPSEEK_END_NAMESPACE
