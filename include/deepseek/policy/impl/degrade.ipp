#pragma once
#include <deepseek/policy/degrade.hpp>
#include <deepseek/policy/impl/cache.ipp>

#include <algorithm>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Is the error one that neither the request nor the caller's will has brought about?
DEEPSEEK_DECL bool may_degrade(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::rate_limited_locally:
    case ErrorCode::budget_exceeded:
    case ErrorCode::circuit_open:
    case ErrorCode::token_failed:
    case ErrorCode::insufficient_balance:
      return true;
    case ErrorCode::timeout_total:
    case ErrorCode::slow_reader:
      return false;
    default:
      break;
  }
  switch (error.outcome()) {
    case Outcome::truncated:
    case Outcome::empty:
    case Outcome::malformed:
    case Outcome::service_error:
    case Outcome::no_capacity:
    case Outcome::network_error:
    case Outcome::timed_out:
      return true;
    case Outcome::http_error:
      return error.http_status() >= 500 || error.retryable();
    default:
      return false;
  }
}

class DegradePolicy final : public Policy {
 public:
  DegradePolicy(DegradeOptions options, std::shared_ptr<CachePolicy> cache)
      : options_(std::move(options)), cache_(std::move(cache)) {}
  Phase phase() const override { return Phase::degrade; }
  void attach(Loop& loop) override { loop_ = &loop; }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    if (!options_.any() || !call->codec) return next(std::move(call), std::move(sink));
    auto run = std::make_shared<Run>(*this, call, std::move(sink), next);
    next(std::move(call), std::move(run));
  }

 private:
  /// One call over what it asked for and what stands in for that.
  struct Run final : CallSink, std::enable_shared_from_this<Run> {
    Run(const DegradePolicy& its_policy, CallPtr its_call, SinkPtr its_sink, Next rest)
        : policy(its_policy), call(std::move(its_call)), sink(std::move(its_sink)), next(rest) {}

    void on_frame(const Frame& frame) override {
      if (frame.kind == FrameKind::token) delivered = true;
      sink->on_frame(frame);
    }

    void on_end(std::optional<Error> error) override {
      const auto keep = shared_from_this();
      if (!error || delivered || call->ended || !worth_it(*error)) return sink->on_end(std::move(error));
      if (!cause) {
        cause = std::move(error);
        asked_facts = call->facts;
      }
      step_on();
    }

    /// What a stand-in failed with is of no interest, unless somebody ended the call.
    bool worth_it(const Error& error) const noexcept {
      if (!cause) return may_degrade(error);
      return error.outcome() != Outcome::cancelled && error.code() != ErrorCode::timeout_total;
    }

    void step_on() {
      while (step < policy.options_.steps.size())
        if (begin(policy.options_.steps[step++])) return;
      as_asked();
      call->facts.degraded = {};
      call->facts.degraded_because.reset();
      static_cast<AttemptFacts&>(call->facts) = asked_facts;
      sink->on_end(cause->with([](ErrorDetails& details) {
        constexpr const char* why = "and nothing of DegradeOptions could stand in";
        details.advice = details.advice.empty() ? why : details.advice + "; " + why;
      }));
    }

    /// False: this one has nothing to offer.
    bool begin(const Degradation& one) {
      switch (one.kind()) {
        case Degradation::Kind::stale_cache:
          return play_stale();
        case Degradation::Kind::fallback_model:
          return ask(one.model());
        case Degradation::Kind::answer:
          return say(one.text());
      }
      return false;
    }

    void mark(std::string_view how) {
      call->decoder->reset();
      call->endpoints_left = 0;
      static_cast<AttemptFacts&>(call->facts) = AttemptFacts();
      call->facts.degraded = how;
      call->facts.degraded_because = cause;
    }

    bool play_stale() {
      if (!policy.cache_) return false;
      as_asked();
      mark("stale_cache");
      policy.cache_->play_kept(call, shared_from_this(), [self = shared_from_this()] { self->step_on(); });
      return true;
    }

    bool ask(const std::string& model) {
      if (!call->safe_to_repeat || call->model == model) return false;
      as_asked();
      auto body = call->codec->for_model(call->body, model);
      if (!body) return false;
      asked_body = std::exchange(call->body, *std::move(body));
      asked_model = std::exchange(call->model, model);
      mark("fallback_model");
      next(call, shared_from_this());
      return true;
    }

    bool say(const DegradeAnswer& text) {
      std::optional<std::string> said;
      try {
        said = text(*cause);
      } catch (...) {  // the program's own, and nothing of it may reach the loop
      }
      if (!said || said->empty()) return false;
      const auto frames = call->codec->answer(*said, call->operation.stream);
      if (frames.empty()) return false;
      as_asked();
      mark("answer");
      CacheEntryWriter writer;
      for (const std::string& frame : frames) writer.add(frame);
      std::make_shared<CachePlayer>(*policy.loop_, call, shared_from_this(), writer.finish("answer", {}))->begin();
      return true;
    }

    /// Undoes ask().
    void as_asked() {
      if (asked_body.empty()) return;
      call->body = std::exchange(asked_body, {});
      call->model = std::exchange(asked_model, {});
    }

    const DegradePolicy& policy;
    CallPtr call;
    SinkPtr sink;
    Next next;
    std::optional<Error> cause;  // of the answer that was asked for; nothing: that is still on its way
    AttemptFacts asked_facts;
    std::string asked_body;  // empty: the call has it
    std::string asked_model;
    std::size_t step = 0;
    bool delivered = false;
  };

  const DegradeOptions options_;
  const std::shared_ptr<CachePolicy> cache_;
  Loop* loop_ = nullptr;
};

}  // namespace detail

DEEPSEEK_DECL Degradation Degradation::stale_cache() { return Degradation(Kind::stale_cache); }

DEEPSEEK_DECL Degradation Degradation::fallback_model(std::string name) {
  Degradation one(Kind::fallback_model);
  one.model_ = std::move(name);
  return one;
}

DEEPSEEK_DECL Degradation Degradation::answer(DegradeAnswer text) {
  Degradation one(Kind::answer);
  one.text_ = std::move(text);
  return one;
}

DEEPSEEK_DECL bool DegradeOptions::any() const noexcept { return !steps.empty(); }

DEEPSEEK_DECL bool DegradeOptions::uses_cache() const noexcept {
  return std::any_of(steps.begin(), steps.end(),
                     [](const Degradation& one) { return one.kind() == Degradation::Kind::stale_cache; });
}

DEEPSEEK_DECL std::optional<Error> check(const DegradeOptions& options) {
  const auto wrong = [](const char* what) { return Error(ErrorCode::invalid_options, what); };
  if (options.steps.size() > 16) return wrong("DegradeOptions::steps are more than 16");
  for (const Degradation& one : options.steps) {
    if (one.kind() == Degradation::Kind::fallback_model && one.model().empty())
      return wrong("DegradeOptions: a fallback model has no name");
    if (one.kind() == Degradation::Kind::answer && !one.text())
      return wrong("DegradeOptions: an answer has no function");
  }
  return std::nullopt;
}

DEEPSEEK_DECL std::shared_ptr<Policy> make_degrade_policy(DegradeOptions options, std::shared_ptr<CachePolicy> cache) {
  return std::make_shared<detail::DegradePolicy>(std::move(options), std::move(cache));
}

DEEPSEEK_END_NAMESPACE
