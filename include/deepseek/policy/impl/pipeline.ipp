#pragma once
#include <deepseek/policy/pipeline.hpp>

#include <deepseek/core/detail/loop_port.hpp>
#include <deepseek/policy/detail/breaker_watch.hpp>
#include <deepseek/policy/detail/endpoint_memo.hpp>
#include <deepseek/policy/detail/hedge_policy.hpp>
#include <deepseek/policy/detail/retry_policy.hpp>
#include <deepseek/transport/detail/url.hpp>

#include <algorithm>
#include <thread>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE

DEEPSEEK_DECL void Pipeline::start(CallPtr call, SinkPtr sink) const {
  Next(this, 0)(std::move(call), std::move(sink));
}

DEEPSEEK_DECL Pipeline::Pipeline(std::vector<std::shared_ptr<Policy>> policies, std::shared_ptr<Transport> transport,
                                 Loop& loop)
    : transport_(std::move(transport)) {
  const auto earlier = [](const auto& a, const auto& b) { return a->phase() < b->phase(); };
  for (auto& policy : policies) {
    policy->attach(loop);
    policies_.insert(std::upper_bound(policies_.begin(), policies_.end(), policy, earlier), std::move(policy));
  }
  transport_->attach(loop);
}

DEEPSEEK_DECL Pipeline::~Pipeline() {
  for (const auto& policy : policies_) policy->detach();
  policies_.clear();
  transport_->detach();
}

DEEPSEEK_DECL void Next::operator()(CallPtr call, SinkPtr sink) const {
  if (call->ended) return;  // somebody held it without on_abort, and was not waited for
  if (index_ == pipeline_->policies_.size()) {
    call->facts.begin_attempt(call->endpoint);
    return pipeline_->transport_->start(std::move(call), std::move(sink));
  }
  pipeline_->policies_[index_]->start(std::move(call), std::move(sink), Next(pipeline_, index_ + 1));
}

namespace detail {

/// Ends a call when its absolute deadline passes, whoever holds it then.
class DeadlinePolicy final : public Policy {
 public:
  Phase phase() const override { return Phase::deadline; }
  void attach(Loop& loop) override { loop_ = &loop; }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    if (!call->deadline) return next(std::move(call), std::move(sink));
    if (*call->deadline <= loop_->now()) return sink->on_end(passed());
    auto guard = std::make_shared<Guard>(*loop_, std::move(sink));
    guard->timer_ = loop_->schedule(*call->deadline, [call, guard] {
      guard->timer_ = 0;
      // on_abort may replace itself while it runs. A holder that set none is not waited for.
      if (const auto abort = call->on_abort) return abort(passed());
      guard->on_end(passed());
    });
    next(std::move(call), std::move(guard));
  }

 private:
  static Error passed() { return Error(ErrorCode::timeout_total, "the call's deadline passed"); }

  struct Guard final : CallSink {
    Guard(Loop& loop, SinkPtr sink) : loop_(loop), sink_(std::move(sink)) {}
    void on_frame(const Frame& frame) override {
      if (sink_) sink_->on_frame(frame);
    }
    void on_end(std::optional<Error> error) override {
      loop_.unschedule(std::exchange(timer_, 0));
      if (const SinkPtr sink = std::exchange(sink_, nullptr)) sink->on_end(std::move(error));
    }
    Loop& loop_;
    SinkPtr sink_;  // null: ended
    Loop::TimerId timer_ = 0;
  };

  Loop* loop_ = nullptr;
};

/// Chooses the endpoint of an attempt.
class RoutePolicy final : public Policy {
 public:
  explicit RoutePolicy(std::shared_ptr<Router> router) : router_(std::move(router)) {}
  Phase phase() const override { return Phase::route; }
  void attach(Loop& loop) override { router_->attach(loop); }
  void start(CallPtr call, SinkPtr sink, Next next) override {
    if (!router_->choose(*call)) return sink->on_end(nowhere());
    next(std::move(call), std::move(sink));
  }

 private:
  static Error nowhere() {
    return Error(ErrorCode::circuit_open, "every endpoint failed too often lately, none was asked",
                 "try again after BreakerOptions::open_for");
  }
  std::shared_ptr<Router> router_;
};

/// Puts the Authorization header on an attempt, and refuses to send a credential where it could be read. If the
/// server rejects a value and the source has another, the attempt is made once more.
class AuthorisePolicy final : public Policy {
 public:
  AuthorisePolicy(const std::vector<Endpoint>& endpoints, std::shared_ptr<const Transport> transport)
      : transport_(std::move(transport)) {
    for (const Endpoint& endpoint : endpoints) sources_.push_back(endpoint.credential);
  }
  ~AuthorisePolicy() override { AuthorisePolicy::detach(); }
  Phase phase() const override { return Phase::authorise; }

  void attach(Loop& loop) override {
    port_ = std::make_shared<LoopPort>(loop);
    std::vector<const CredentialSource*> told;
    for (const Credential& credential : sources_) {
      if (std::find(told.begin(), told.end(), &credential.source()) != told.end()) continue;
      told.push_back(&credential.source());
      credential.source().attach(loop);
    }
  }
  void detach() override {
    if (port_) port_->close();
  }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    const Endpoint& endpoint = *call->endpoint;
    call->authorization = Secret();  // of the attempt before, perhaps for another server
    const Trust& trust = known_.of(
        call->endpoint, [&] { return Trust{is_deepseek_host(endpoint.base_url), transport_->confidential(endpoint)}; });
    if (!endpoint.credential.present()) {
      if (trust.needs_key) return sink->on_end(missing_key(endpoint));
      return next(std::move(call), std::move(sink));
    }
    if (!trust.confidential && !endpoint.allow_plain_http) return sink->on_end(insecure(endpoint));
    if (const Secret* value = endpoint.credential.source().known()) {
      call->authorization = *value;
      return next(std::move(call), std::move(sink));
    }
    fetch(std::make_shared<Fetched>(std::move(call), std::move(sink), next, port_));
  }

 private:
  /// What an address says about sending a credential there.
  struct Trust {
    bool needs_key;
    bool confidential;
  };

  /// An attempt whose credential has to be asked for.
  struct Fetched final : CallSink, std::enable_shared_from_this<Fetched> {
    Fetched(CallPtr its_call, SinkPtr its_sink, Next rest, std::shared_ptr<LoopPort> way_home)
        : call(std::move(its_call)), sink(std::move(its_sink)), next(rest), port(std::move(way_home)) {}
    void on_frame(const Frame& frame) override {
      answered = true;
      sink->on_frame(frame);
    }
    void on_end(std::optional<Error> error) override {
      const auto keep = shared_from_this();
      const bool rejected = error && error->http_status() == 401 && !answered && !call->authorization.empty();
      if (!rejected) return sink->on_end(std::move(error));
      call->endpoint->credential.source().rejected(call->authorization);
      if (repeated || !call->safe_to_repeat) return sink->on_end(std::move(error));
      repeated = true;
      refusal = std::move(error);
      fetch(keep);
    }

    CallPtr call;
    SinkPtr sink;
    Next next;
    std::shared_ptr<LoopPort> port;
    std::optional<Error> refusal;  // by the server, of the value before
    bool waiting = false;
    bool answered = false;
    bool repeated = false;
  };

  static void fetch(const std::shared_ptr<Fetched>& state) {
    // The source may answer later: until then the call is ours to abort, and its answer is dropped.
    state->waiting = true;
    state->call->on_abort = [state](Error reason) {
      if (!std::exchange(state->waiting, false)) return;
      // NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
      const auto keep = state;  // the function goes with on_abort
      keep->call->on_abort = nullptr;
      keep->sink->on_end(std::move(reason));
    };
    // From any thread, perhaps when this client is long gone. It must not be this function that keeps the attempt
    // alive, or the attempt would end on that thread; on_abort does.
    auto inside = std::make_shared<bool>(true);
    state->call->endpoint->credential.source().authorization(
        [inside, asker = std::this_thread::get_id(), port = state->port,
         weak = std::weak_ptr<Fetched>(state)](Result<Secret> value) {
          // Read by the asking thread alone, so it needs no lock.
          if (asker == std::this_thread::get_id() && *inside) return take(weak, std::move(value));
          port->post([weak, value = std::move(value)]() mutable { take(weak, std::move(value)); });
        });
    *inside = false;
  }

  static void take(const std::weak_ptr<Fetched>& weak, Result<Secret> value) {
    const auto state = weak.lock();
    if (!state || !std::exchange(state->waiting, false)) return;
    Call& call = *state->call;
    call.on_abort = nullptr;
    if (!value) return state->sink->on_end(std::move(value).error());
    if (state->refusal && *value == call.authorization) return state->sink->on_end(std::move(state->refusal));
    call.authorization = *std::move(value);
    if (state->repeated) call.decoder->reset();
    state->next(state->call, state);
  }

  static Error missing_key(const Endpoint& endpoint) {
    return about(endpoint, Error(ErrorCode::missing_key, "api.deepseek.com needs an API key and none was given",
                                 "set DEEPSEEK_API_KEY or Endpoint::credential"));
  }
  static Error insecure(const Endpoint& endpoint) {
    return about(endpoint,
                 Error(ErrorCode::insecure_credential, "the credential would travel over plain http to another host",
                       "use https, or set Endpoint::allow_plain_http"));
  }
  static Error about(const Endpoint& endpoint, const Error& error) {
    return error.with([&](ErrorDetails& details) { details.endpoint = endpoint.base_url; });
  }

  std::shared_ptr<const Transport> transport_;
  std::vector<Credential> sources_;
  std::shared_ptr<LoopPort> port_;
  EndpointMemo<Trust> known_;
};

}  // namespace detail

DEEPSEEK_DECL std::vector<std::shared_ptr<Policy>> make_base_policies(const BasePolicies& options) {
  const auto router = std::make_shared<detail::Router>(
      options.endpoints, options.failover, options.breaker,
      options.observe ? detail::make_breaker_watch(*options.observe) : detail::BreakerWatch());
  std::vector<std::shared_ptr<Policy>> policies = {
      std::make_shared<detail::DeadlinePolicy>(), std::make_shared<detail::RoutePolicy>(router),
      std::make_shared<detail::AuthorisePolicy>(options.endpoints, options.transport)};
  if (options.retry.max_attempts > 1 || router->learns())
    policies.push_back(std::make_shared<detail::RetryPolicy>(
        options.retry, router, options.clock ? options.clock : std::make_shared<const Clock>(), detail::make_jitter()));
  if (options.hedge.after.count() > 0) policies.push_back(std::make_shared<detail::HedgePolicy>(options.hedge, router));
  return policies;
}

DEEPSEEK_DECL std::vector<std::shared_ptr<Policy>> make_base_policies(const std::vector<Endpoint>& endpoints,
                                                                      std::shared_ptr<const Transport> transport) {
  BasePolicies options;
  options.endpoints = endpoints;
  options.transport = std::move(transport);
  options.retry.max_attempts = 1;
  return make_base_policies(options);
}

DEEPSEEK_END_NAMESPACE
