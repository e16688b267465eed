#pragma once
#include <deepseek/policy/pipeline.hpp>

#include <deepseek/transport/detail/url.hpp>

#include <algorithm>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE

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

DEEPSEEK_DECL void Next::operator()(CallPtr call, SinkPtr sink) const {
  if (index_ == pipeline_->policies_.size()) {
    CallFacts facts;  // of this attempt alone
    facts.attempts = call->facts.attempts + 1;
    call->facts = std::move(facts);
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
      // on_abort may replace itself while it runs.
      if (const auto abort = call->on_abort) abort(passed());
    });
    next(std::move(call), std::move(guard));
  }

 private:
  static Error passed() { return Error(ErrorCode::timeout_total, "the call's deadline passed"); }

  struct Guard final : CallSink {
    Guard(Loop& loop, SinkPtr sink) : loop_(loop), sink_(std::move(sink)) {}
    void on_frame(const Frame& frame) override { sink_->on_frame(frame); }
    void on_end(std::optional<Error> error) override {
      loop_.unschedule(std::exchange(timer_, 0));
      sink_->on_end(std::move(error));
    }
    Loop& loop_;
    SinkPtr sink_;
    Loop::TimerId timer_ = 0;
  };

  Loop* loop_ = nullptr;
};

/// Chooses the endpoint of an attempt: the first one, until there is failover.
class RoutePolicy final : public Policy {
 public:
  explicit RoutePolicy(const std::vector<Endpoint>& endpoints) {
    for (const Endpoint& endpoint : endpoints) endpoints_.push_back(std::make_shared<const Endpoint>(endpoint));
  }
  Phase phase() const override { return Phase::route; }
  void start(CallPtr call, SinkPtr sink, Next next) override {
    call->endpoint = endpoints_.front();
    next(std::move(call), std::move(sink));
  }

 private:
  std::vector<std::shared_ptr<const Endpoint>> endpoints_;
};

/// Puts the Authorization header on an attempt, and refuses to send a credential where it could be read.
class AuthorisePolicy final : public Policy {
 public:
  Phase phase() const override { return Phase::authorise; }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    const Endpoint& endpoint = *call->endpoint;
    call->authorization = Secret();  // of the attempt before, perhaps for another server
    const auto base = parse_base_url(endpoint.base_url);
    if (!base) return sink->on_end(base.error());
    if (!endpoint.credential.present()) {
      if (is_deepseek_host(endpoint.base_url)) return sink->on_end(missing_key());
      return next(std::move(call), std::move(sink));
    }
    if (!base->https && !endpoint.allow_plain_http && !is_loopback(base->host)) return sink->on_end(insecure());

    CredentialSource& source = endpoint.credential.source();
    if (const Secret* value = source.known()) {
      call->authorization = *value;
      return next(std::move(call), std::move(sink));
    }
    // The source may answer later: until then the call is ours to abort, and its answer is dropped.
    auto ended = std::make_shared<bool>(false);
    call->on_abort = [ended, sink](Error reason) {
      if (!std::exchange(*ended, true)) sink->on_end(std::move(reason));
    };
    source.authorization([call, sink, next, ended](Result<Secret> value) {
      if (std::exchange(*ended, true)) return;
      call->on_abort = nullptr;
      if (!value) return sink->on_end(std::move(value).error());
      call->authorization = *std::move(value);
      next(call, sink);
    });
  }

 private:
  static Error missing_key() {
    return Error(ErrorCode::missing_key, "api.deepseek.com needs an API key and none was given",
                 "set DEEPSEEK_API_KEY or Endpoint::credential");
  }
  static Error insecure() {
    return Error(ErrorCode::insecure_credential, "the credential would travel over plain http to another host",
                 "use https, or set Endpoint::allow_plain_http");
  }
};

}  // namespace detail

DEEPSEEK_DECL std::vector<std::shared_ptr<Policy>> make_base_policies(const std::vector<Endpoint>& endpoints) {
  return {std::make_shared<detail::DeadlinePolicy>(), std::make_shared<detail::RoutePolicy>(endpoints),
          std::make_shared<detail::AuthorisePolicy>()};
}

DEEPSEEK_END_NAMESPACE
