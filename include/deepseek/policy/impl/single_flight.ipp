#pragma once
#include <deepseek/policy/detail/cache_key.hpp>
#include <deepseek/policy/single_flight.hpp>

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class Flight;
/// Flights that can be joined, by key.
using Flights = std::unordered_map<std::string, std::shared_ptr<Flight>>;

/// One request and the calls that share it. The request is a call of its own, so that it may outlive the one that began
/// it. Its frames are decoded by the decoder of one member that is not behind, the pilot; the others decode the same
/// frames for themselves, when they get them.
class Flight final : public CallSink, public Decoder, public std::enable_shared_from_this<Flight> {
 public:
  Flight(Loop& loop, Flights& flights, std::string key, std::uint64_t max_bytes)
      : loop_(loop), flights_(flights), key_(std::move(key)), max_bytes_(max_bytes) {}

  void begin(CallPtr call, SinkPtr sink, const Next& next) {
    request_ = std::make_shared<Call>(*call);
    request_->release_holds();
    request_->paused = false;
    // A circle with request_, until the request has ended.
    request_->decoder = std::shared_ptr<Decoder>(shared_from_this(), static_cast<Decoder*>(this));
    add(std::move(call), std::move(sink));
    update_pause();
    next(request_, shared_from_this());
  }

  void join(CallPtr call, SinkPtr sink) {
    const auto& theirs = call->deadline;
    if (request_->deadline) request_->deadline = theirs ? std::max(*request_->deadline, *theirs) : theirs;
    const auto member = add(std::move(call), std::move(sink));
    update_pause();
    pump(member);
  }

  // --- the request's decoder

  FrameKind inspect(std::string_view data) override {
    pilot_ = choose_pilot();
    return pilot_ ? pilot_->call->decoder->inspect(data) : FrameKind::data;
  }
  std::optional<Error> conclude(bool clean) override {
    clean_ = clean;
    concluded_ = choose_pilot();
    return concluded_ ? concluded_->call->decoder->conclude(clean) : std::nullopt;
  }
  Error error_from_body(int status, std::string_view body) override {
    if (!members_.empty()) return members_.front()->call->decoder->error_from_body(status, body);
    return Error(ErrorCode::http_error, "the server answered with an error");
  }
  TokenUsage usage() const override { return concluded_ ? concluded_->call->decoder->usage() : TokenUsage(); }
  std::shared_ptr<Decoder> another() const override {
    return members_.empty() ? nullptr : members_.front()->call->decoder->another();
  }
  void reset() override {
    for (const MemberPtr& member : members_) {
      member->call->decoder->reset();
      member->position = 0;
    }
    frames_.clear();
    first_ = held_ = 0;
    clean_.reset();
    pilot_ = concluded_ = nullptr;
  }

  // --- the request's sink

  void on_frame(const Frame& frame) override {
    const auto keep = shared_from_this();
    frames_.emplace_back(frame.data);
    held_ += frame.data.size();
    if (held_ > max_bytes_) close();
    if (const MemberPtr pilot = std::exchange(pilot_, nullptr); pilot && !pilot->gone) {
      ++pilot->position;
      give(*pilot, frame);
      settle(pilot);
    }
    for (const MemberPtr& member : std::vector<MemberPtr>(members_)) pump(member);
    even_out();
  }

  void on_end(std::optional<Error> error) override {
    const auto keep = shared_from_this();
    close();
    ended_ = true;
    outcome_ = std::move(error);
    facts_ = request_->facts;
    authorization_ = request_->authorization;
    request_->ended = true;
    const CallPtr request = std::exchange(request_, nullptr);  // ends the circle, below
    for (const MemberPtr& member : std::vector<MemberPtr>(members_)) pump(member);
    request->decoder = nullptr;
  }

 private:
  struct Member {
    CallPtr call;
    SinkPtr sink;
    std::size_t position = 0;  // frames it was given
    bool giving = false;
    bool posted = false;
    bool gone = false;
    std::optional<Error> leaving = {};  // from inside on_frame()
  };
  using MemberPtr = std::shared_ptr<Member>;

  /// Frames given in one go to a member that is behind.
  static constexpr int at_once = 256;

  std::size_t head() const noexcept { return first_ + frames_.size(); }

  MemberPtr add(CallPtr call, SinkPtr sink) {
    auto member = std::make_shared<Member>();
    member->call = std::move(call);
    member->sink = std::move(sink);
    members_.push_back(member);
    // The functions are the member's hold on the flight; both go when it is released.
    member->call->on_abort = [flight = shared_from_this(), member](Error error) {
      // NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
      const auto keep = flight;  // this function goes with the member's holds
      keep->leave(MemberPtr(member), std::move(error));
    };
    member->call->on_pause = [flight = shared_from_this(), member](bool paused) {
      // NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
      const auto keep = flight;
      if (!paused || keep->full()) keep->pump_later(MemberPtr(member));
      keep->update_pause();
    };
    return member;
  }

  static bool better(const Member& a, const Member& b) noexcept {
    if (a.call->paused != b.call->paused) return b.call->paused;
    return a.position > b.position;
  }

  /// One whose decoder has seen everything so far: best one that wants frames. Pausing takes effect a little late, as
  /// with any transport: if all are paused, one of them is given what comes nevertheless.
  MemberPtr choose_pilot() {
    MemberPtr best;
    for (const MemberPtr& member : members_) {
      if (member->giving) continue;
      if (!best || better(*member, *best)) best = member;
    }
    while (best && best->position < head()) {
      give_next(*best);
      if (best->leaving) {
        settle(best);
        return choose_pilot();
      }
    }
    return best;
  }

  void give(Member& member, const Frame& frame) {
    Call& call = *member.call;
    if (request_ && !members_.empty() && members_.front().get() == &member)
      call.facts.attempts = own_attempts(*request_);
    if (frame.kind == FrameKind::token && call.facts.first_token.count() == 0) {
      const auto since = std::chrono::duration_cast<std::chrono::microseconds>(loop_.now() - call.started);
      call.facts.first_token = std::max(since, std::chrono::microseconds(1));
    }
    member.giving = true;
    member.sink->on_frame(frame);
    member.giving = false;
  }

  void give_next(Member& member) {
    const std::string& data = frames_[member.position - first_];
    const FrameKind kind = member.call->decoder->inspect(data);
    ++member.position;
    give(member, {data, kind, false});
  }

  /// Gives a member what it has not had yet, and its end.
  void pump(const MemberPtr& member) {
    if (member->gone || member->giving) return;
    const auto keep = shared_from_this();
    int left = at_once;
    while (!member->leaving && !member->call->paused && member->position < head() && left-- > 0) give_next(*member);
    settle(member);
  }

  void settle(const MemberPtr& member) {
    if (member->gone) return;
    if (member->leaving) return leave(member, *std::exchange(member->leaving, std::nullopt));
    if (member->position < head()) {
      if (!member->call->paused) pump_later(member);
      return;
    }
    if (ended_) finish(member);
  }

  void pump_later(const MemberPtr& member) {
    if (member->gone || std::exchange(member->posted, true)) return;
    loop_.post([self = shared_from_this(), member] {
      member->posted = false;
      self->pump(member);
      self->even_out();
    });
  }

  void finish(const MemberPtr& member) {
    std::optional<Error> error = outcome_;
    if (clean_ && member != concluded_) {
      auto own = member->call->decoder->conclude(*clean_);
      if (!error) error = std::move(own);
    }
    fill_facts(*member, facts_, authorization_);
    end(member, std::move(error));
  }

  void leave(const MemberPtr& member, Error error) {
    if (member->gone) return;
    if (member->giving) {
      member->leaving = std::move(error);
      return;
    }
    const bool last = members_.size() == 1;
    const CallPtr request = request_;
    if (request) fill_facts(*member, request->facts, request->authorization);
    if (last) close();
    end(member, error);
    if (!last) {
      trim();  // what only this one had not had yet
      return update_pause();
    }
    if (!request || request->ended) return;
    request->ended = true;  // nobody waits for it any more
    if (const auto abort = request->on_abort) return abort(std::move(error));
    on_end(std::move(error));
  }

  void end(const MemberPtr& member, std::optional<Error> error) {
    member->gone = true;
    members_.erase(std::find(members_.begin(), members_.end(), member));
    member->call->release_holds();
    member->sink->on_end(std::move(error));
  }

  /// What was sent and used is counted once: in the call that stands first, less what one before it has counted.
  void fill_facts(Member& member, const CallFacts& facts, const Secret& authorization) {
    member.call->authorization = authorization;  // what the server's words are compared with before they are logged
    CallFacts& own = member.call->facts;
    const auto first_token = own.first_token;
    const bool first = members_.front().get() == &member;
    static_cast<AttemptFacts&>(own) = facts;
    if (first_token.count() != 0) own.first_token = first_token;
    const auto share = [first](auto all, auto counted) { return first ? all - counted : decltype(all)(0); };
    own.attempts = share(facts.attempts, counted_.attempts);
    own.retries = share(facts.retries, counted_.retries);
    own.failovers = share(facts.failovers, counted_.failovers);
    own.hedges = share(facts.hedges, counted_.hedges);
    own.waited = share(facts.waited, counted_.waited);
    own.cost = share(facts.cost, counted_.cost);
    if (first && counted_.currency.empty()) own.currency = facts.currency;
    if (!first || usage_counted_) own.usage = {};
    if (!first) return;
    counted_ = facts;
    usage_counted_ = usage_counted_ || own.usage.told();
  }
  int own_attempts(const Call& request) const noexcept { return request.facts.attempts - counted_.attempts; }

  /// Nobody joins from here on.
  void close() {
    if (!std::exchange(open_, false)) return;
    const auto found = flights_.find(key_);
    if (found != flights_.end() && found->second.get() == this) flights_.erase(found);
  }

  /// Frames that nobody needs any more.
  void trim() {
    if (open_) return;
    std::size_t needed = head();
    for (const MemberPtr& member : members_) needed = std::min(needed, member->position);
    for (; first_ < needed; ++first_) {
      held_ -= frames_.front().size();
      frames_.pop_front();
    }
  }

  /// More is held than may be, and only because somebody is behind.
  bool full() const noexcept { return !open_ && held_ > max_bytes_; }

  void even_out() {
    trim();
    while (const MemberPtr member = straggler()) leave(member, too_far_behind());
    update_pause();
  }

  /// One that holds up another: it is paused, the farthest behind, and there is no room for what the other waits for.
  /// Who is behind and not paused soon no longer is.
  MemberPtr straggler() const {
    if (!request_ || !full()) return nullptr;
    const auto waits = [this](const MemberPtr& member) { return !member->call->paused && member->position == head(); };
    if (std::none_of(members_.begin(), members_.end(), waits)) return nullptr;
    const auto behind = [](const MemberPtr& a, const MemberPtr& b) { return a->position < b->position; };
    const MemberPtr& last = *std::min_element(members_.begin(), members_.end(), behind);
    return last->call->paused && !last->giving ? last : nullptr;
  }

  static Error too_far_behind() {
    return Error(
        ErrorCode::limit_exceeded,
        "the call fell more than SingleFlightOptions::max_bytes behind another that shares its request",
        "read faster, raise max_bytes, or set CallOptions::cache to CacheUse::off for calls that are held back");
  }

  void update_pause() {
    if (!request_ || members_.empty()) return;
    const bool wanted =
        std::any_of(members_.begin(), members_.end(), [](const MemberPtr& member) { return !member->call->paused; });
    const auto keep = request_;
    keep->pause(!wanted || full());
  }

  Loop& loop_;
  Flights& flights_;
  const std::string key_;
  const std::uint64_t max_bytes_;
  CallPtr request_;  // null: ended
  std::vector<MemberPtr> members_;
  std::deque<std::string> frames_;  // a deque: what was given out as a view stays where it is
  std::size_t first_ = 0;           // number of the first frame held
  std::uint64_t held_ = 0;          // bytes
  MemberPtr pilot_;                 // of the frame under way
  MemberPtr concluded_;             // whose decoder judged the end
  std::optional<bool> clean_;
  std::optional<Error> outcome_;
  CallFacts facts_;  // these two: of the request, once it has ended
  Secret authorization_;
  CallFacts counted_;
  bool usage_counted_ = false;
  bool ended_ = false;
  bool open_ = true;
};

class SingleFlightPolicy final : public Policy {
 public:
  SingleFlightPolicy(const SingleFlightOptions& options, const std::vector<std::string>& base_urls)
      : options_(options), keys_(CacheDigest::sha256, base_urls, {}) {}
  Phase phase() const override { return Phase::single_flight; }
  void attach(Loop& loop) override { loop_ = &loop; }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    if (!options_.enabled || call->cache == CacheUse::off) return next(std::move(call), std::move(sink));
    std::string key = keys_.key_of(*call);
    if (key.empty()) return next(std::move(call), std::move(sink));
    key += call->priority == Priority::batch ? 'b' : 'i';
    add_clocks(key, call->timeouts);
    if (const auto found = flights_.find(key); found != flights_.end()) {
      const auto flight = found->second;
      return flight->join(std::move(call), std::move(sink));
    }
    const auto flight = std::make_shared<Flight>(*loop_, flights_, key, options_.max_bytes);
    flights_.emplace(std::move(key), flight);
    flight->begin(std::move(call), std::move(sink), next);
  }

 private:
  /// The request obeys one call's clocks, so the others must have the same. `total` is a deadline of each.
  static void add_clocks(std::string& key, const Timeouts& t) {
    for (const auto clock : {t.dns, t.connect, t.tls, t.first_byte, t.first_token, t.between_tokens, t.idle})
      (key += ':') += std::to_string(clock.count());
  }

  const SingleFlightOptions options_;
  CacheKeys keys_;
  Flights flights_;
  Loop* loop_ = nullptr;
};

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> check(const SingleFlightOptions& options) {
  if (options.max_bytes >= 1024 && options.max_bytes <= 1024ull * 1024 * 1024) return std::nullopt;
  return Error(ErrorCode::invalid_options, "SingleFlightOptions::max_bytes is outside 1 KiB ... 1 GiB");
}

DEEPSEEK_DECL std::shared_ptr<Policy> make_single_flight_policy(const SingleFlightOptions& options,
                                                                const std::vector<std::string>& base_urls) {
  return std::make_shared<detail::SingleFlightPolicy>(options, base_urls);
}

DEEPSEEK_END_NAMESPACE
