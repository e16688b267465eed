#pragma once
#include <deepseek/detail/call.hpp>

#include <deepseek/http/detail/header.hpp>
#include <deepseek/model/detail/request_codec.hpp>
#include <deepseek/model/lint.hpp>
#include <deepseek/policy/cost.hpp>
#include <deepseek/policy/detail/budget_watch.hpp>
#include <deepseek/policy/detail/cache_watches.hpp>
#include <deepseek/policy/limits.hpp>
#include <deepseek/policy/observe.hpp>
#include <deepseek/transport/detail/url.hpp>

#include <algorithm>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL Error forked_error() {
  return Error(ErrorCode::forked, "the client was made before fork() and belongs to the parent process",
               "create a new client in the child");
}

// --- core --------------------------------------------------------------------------------------------

/// The lint keeps DeepSeek's own rules if any endpoint may have to.
DEEPSEEK_DECL bool any_speaks_deepseek(const std::vector<Endpoint>& endpoints) {
  return std::any_of(endpoints.begin(), endpoints.end(), [](const Endpoint& endpoint) {
    const auto base = parse_base_url(endpoint.base_url);
    return base ? is_deepseek(*base, endpoint.deepseek) : endpoint.deepseek.value_or(false);
  });
}

DEEPSEEK_DECL ObserveOptions observe_options(const ClientOptions& options) {
  return {options.metrics, options.log, options.log_level, options.traceparent, options.clock};
}

/// Every policy of a client, checked options given. Their phases say where each stands; of equal ones the first here
/// comes first.
DEEPSEEK_DECL std::vector<std::shared_ptr<Policy>> all_policies(const ClientOptions& options,
                                                                const std::shared_ptr<Transport>& transport) {
  const ObserveOptions observe = observe_options(options);
  BasePolicies base;
  base.endpoints = options.endpoints;
  base.transport = transport;
  base.retry = options.retry;
  base.failover = options.failover;
  base.breaker = options.breaker;
  base.observe = &observe;
  base.clock = options.clock;
  base.hedge = options.hedge;
  auto policies = make_base_policies(base);
  const auto add = [&policies](std::shared_ptr<Policy> policy) { policies.push_back(std::move(policy)); };
  // Where answers come from: equal addresses may lead elsewhere by a socket's path or by names of one's own.
  std::vector<std::string> base_urls;
  base_urls.reserve(options.endpoints.size() + options.resolve.size() + 1);
  for (const Endpoint& endpoint : options.endpoints) base_urls.push_back(endpoint.base_url);
  if (!options.unix_socket.empty()) base_urls.push_back("unix:" + options.unix_socket);
  for (const std::string& entry : options.resolve) base_urls.push_back("resolve:" + entry);
  for (auto& policy : make_observe_policies(observe)) add(std::move(policy));
  std::shared_ptr<CachePolicy> cache;
  if (options.cache.any()) {
    CacheOptions kept = options.cache;
    if (!kept.notice) kept.notice = make_cache_notice(observe);
    add(cache = make_cache_policy(kept, base_urls, options.clock, make_cache_drop_watch(observe)));
  }
  if (options.degrade.any()) add(make_degrade_policy(options.degrade, cache));
  if (options.resume.enabled) add(make_resume_policy(options.resume));
  if (options.single_flight.enabled) add(make_single_flight_policy(options.single_flight, base_urls));
  if (options.cost) add(make_cost_policy(options.cost, options.clock, options.metrics));
  const auto shared_budget = make_watched_budget(options.shared_budget, observe);
  if (options.limiter)
    add(make_limit_policy(options.limiter, shared_budget, options.metrics));
  else if (options.limits.any() || shared_budget)
    add(make_limit_policy(*Limiter::create(options.limits), shared_budget, options.metrics));
  policies.insert(policies.end(), options.policies.begin(), options.policies.end());
  return policies;
}

DEEPSEEK_DECL ClientCore::ClientCore(ClientOptions options, std::shared_ptr<Reactor> reactor,
                                     std::shared_ptr<Transport> transport)
    : reactor_(std::move(reactor)),
      options_(std::move(options)),
      pipeline_(std::make_unique<Pipeline>(all_policies(options_, transport), transport, *reactor_)),
      watch_(make_end_watch(observe_options(options_))),
      deepseek_(any_speaks_deepseek(options_.endpoints)),
      fork_generation_(fork_generation()) {
  // The pipeline's now: they go with it, and in a forked child not at all.
  options_.transport.reset();
  options_.http_engine.reset();
  options_.shared_budget.reset();
  options_.cache = CacheOptions();
  options_.policies.clear();
}

DEEPSEEK_DECL ClientCore::~ClientCore() {
  if (forked()) {
    // libcurl's handles, the descriptors and perhaps a locked mutex are the parent's. Leaked on purpose.
    pipeline_.release();
    new std::shared_ptr<Reactor>(std::move(reactor_));
    return;
  }
  if (reactor_->on_loop()) {
    // Perhaps deep inside a callback of the transport: take it down from the loop's own level, later.
    reactor_->post([pipeline = std::shared_ptr<Pipeline>(std::move(pipeline_))] {});
    reactor_->stop();
    return;
  }
  reactor_->stop();
  pipeline_.reset();
}

DEEPSEEK_DECL void ClientCore::add(LiveCall& call) {
  call.next_ = first_;
  if (first_) first_->previous_ = &call;
  first_ = &call;
}

DEEPSEEK_DECL void ClientCore::remove(LiveCall& call) {
  if (call.previous_)
    call.previous_->next_ = call.next_;
  else if (first_ == &call)
    first_ = call.next_;
  if (call.next_) call.next_->previous_ = call.previous_;
  call.previous_ = call.next_ = nullptr;
  if (!first_ && idle_waiter_) reactor_->signal(*std::exchange(idle_waiter_, nullptr));
}

DEEPSEEK_DECL void ClientCore::cancel_all() {
  // Aborting runs user code, which may end or start other calls: walk over a copy.
  std::vector<std::shared_ptr<CallControl>> calls;
  for (LiveCall* call = first_; call; call = call->next_) calls.push_back(call->shared_from_this());
  for (const auto& call : calls)
    static_cast<LiveCall&>(*call).abort(Error(ErrorCode::cancelled, "the client was destroyed"));
}

DEEPSEEK_DECL void ClientCore::signal_when_idle(Waiter& waiter) {
  if (first_)
    idle_waiter_ = &waiter;
  else
    reactor_->signal(waiter);
}

DEEPSEEK_DECL ClientLife::~ClientLife() {
  if (core_->forked()) return;
  Reactor& reactor = core_->reactor();
  const Executor* executor = core_->options().executor.get();
  if (reactor.on_loop() || (executor && executor->running_here())) {
    reactor.post([core = core_] { core->cancel_all(); });
    return;
  }
  Waiter waiter;
  reactor.post_before_wait([this, &waiter] {
    core_->cancel_all();
    core_->signal_when_idle(waiter);
  });
  reactor.wait(waiter);
}

// --- control -----------------------------------------------------------------------------------------

DEEPSEEK_DECL void CallControl::cancel() noexcept {
  if (finished() || fork_generation() != fork_generation_ || cancel_requested_.exchange(true)) return;
  const auto reactor = reactor_.lock();
  if (!reactor) return;
  try {
    reactor->post([self = shared_from_this()] { self->abort(Error(ErrorCode::cancelled, "cancelled by the caller")); });
  } catch (...) {  // no memory: nothing is posted, the caller may try again
    cancel_requested_.store(false);
  }
}

// --- live call ---------------------------------------------------------------------------------------

DEEPSEEK_DECL LiveCall::LiveCall(std::shared_ptr<ClientCore> core, CallPtr call, bool hosted)
    : core_(std::move(core)), call_(std::move(call)), hosted_(hosted) {
  set_reactor(core_->shared_reactor());
}

DEEPSEEK_DECL void LiveCall::launch(const CancelToken& token, bool wait_follows) {
  Reactor& reactor = core_->reactor();
  if (hosted_) reactor.begin_hosted();
  token_ = token;
  call_->started = reactor.clock().steady_now();
  until_begun_ = shared_from_this();  // not in the closure, which would have to be allocated for it
  auto start = [this] { begin(); };
  if (wait_follows)
    reactor.post_before_wait(std::move(start));
  else
    reactor.post(std::move(start));
}

DEEPSEEK_DECL void LiveCall::begin() {
  const auto self_kept = std::move(until_begun_);
  if (!core_) return;  // cancelled before it began
  core_->add(*this);
  // On the loop, not in launch(): a token cancelled meanwhile would race with the registration.
  if (token_.can_be_cancelled()) {
    std::weak_ptr<CallControl> weak = weak_from_this();
    registration_ = token_.on_cancel([weak] {
      if (const auto self = weak.lock()) self->cancel();
    });
  }
  if (refusal_) return on_end(std::move(refusal_));
  if (cancel_requested_.load()) return abort(Error(ErrorCode::cancelled, "cancelled by the caller"));
  const auto self = std::static_pointer_cast<LiveCall>(shared_from_this());
  core_->pipeline().start(call_, self);
}

DEEPSEEK_DECL void LiveCall::abort(Error reason) {
  if (ended_ || !core_) return;
  // The holder may be gone from its own callback while it runs, so run a copy.
  if (const auto on_abort = call_->on_abort) return on_abort(std::move(reason));
  on_end(std::move(reason));
}

inline void add_facts(ErrorDetails& details, const AttemptFacts& facts) {
  if (details.http_status == 0) details.http_status = facts.http_status;
  if (details.trace_id.empty()) details.trace_id = facts.trace_id;
  if (!details.retry_after) details.retry_after = facts.retry_after;
  if (facts.endpoint) details.endpoint = facts.endpoint->base_url;
}

DEEPSEEK_DECL void LiveCall::on_end(std::optional<Error> error) {
  if (std::exchange(ended_, true)) return;
  const auto keep = shared_from_this();
  CallFacts& facts = call_->facts;
  facts.total =
      std::chrono::duration_cast<std::chrono::microseconds>(core_->reactor().clock().steady_now() - call_->started);
  call_->ended = true;
  call_->release_holds();
  if (error) {
    error = error->with([&](ErrorDetails& details) {
      details.attempts = facts.attempts;
      if (details.endpoint.empty()) add_facts(details, facts);  // else it is about another server than was asked last
      describe(details);
    });
  }
  core_->tell_end(*call_, error);
  complete(std::move(error));
}

DEEPSEEK_DECL void LiveCall::pause(bool paused) {
  if (!ended_) call_->pause(paused);
}

DEEPSEEK_DECL void LiveCall::finish_with(Task completion) {
  const auto run = [](Task& task) {
    try {
      task();
    } catch (...) {
    }
    task = nullptr;  // the user's captures go before the call is reported as gone
  };
  Executor* const executor = core_->options().executor.get();
  if (!executor) {
    run(completion);
    return release();
  }
  executor->post([run, completion = std::move(completion), self = shared_from_this(), this]() mutable {
    run(completion);
    if (const auto reactor = reactor_.lock()) reactor->post([self, this] { release(); });
  });
}

DEEPSEEK_DECL void LiveCall::release() {
  if (!core_) return;
  const auto keep = shared_from_this();
  finished_.store(true, std::memory_order_release);
  registration_.reset();
  core_->remove(*this);
  if (hosted_) core_->reactor().end_hosted();
  call_.reset();
  core_.reset();
}

DEEPSEEK_DECL CallInfo LiveCall::take_info() {
  CallFacts& facts = call_->facts;
  CallInfo info;
  info.attempts = facts.attempts;
  info.retries = facts.retries;
  info.hedges = facts.hedges;
  if (!facts.cache_level.empty()) info.cache = facts.cache_level;
  if (facts.endpoint) info.endpoint = facts.endpoint->base_url;
  info.degraded = facts.degraded;
  if (facts.degraded_because) info.degraded_because = to_string(*facts.degraded_because);
  info.resumed = facts.resumed;
  info.trace_id = std::move(facts.trace_id);
  info.http_status = facts.http_status;
  info.http_version = facts.http_version;
  info.reused_connection = facts.http.reused_connection;
  info.timings = {facts.http.dns,        facts.http.connect, facts.http.tls,
                  facts.http.first_byte, facts.first_token,  facts.total};
  return info;
}

// --- replies -----------------------------------------------------------------------------------------

DEEPSEEK_DECL void ReplyCall::on_frame(const Frame& frame) {
  if (!wanted(frame)) return;
  const ChatChunk* chunk = decoder_->chunks();
  for (std::size_t left = decoder_->chunk_count(); left > 0; --left) on_chunk(*chunk++);
}

DEEPSEEK_DECL void ReplyCall::describe(ErrorDetails& details) {
  details.bytes_delivered = call().operation.stream ? decoder_->answer_bytes() : 0;
  if (decoder_->answer_bytes() == 0 && decoder_->reply().id.empty()) return;
  fill_info(decoder_->reply());
  details.partial = std::make_shared<const ChatReply>(std::move(decoder_->reply()));
}

DEEPSEEK_DECL void ReplyCall::fill_info(ChatReply& reply) {
  CallInfo all = take_info();
  all.end_mark_missing = reply.info.end_mark_missing;  // the decoder's own findings
  all.reasoning_only = reply.info.reasoning_only;
  reply.info = std::move(all);
}

DEEPSEEK_DECL void ReplyCall::complete(std::optional<Error> error) {
  if (error) return on_result(Result<ChatReply>(*std::move(error)));
  fill_info(decoder_->reply());
  on_reply(std::move(decoder_->reply()));
}

// --- preparing ---------------------------------------------------------------------------------------

DEEPSEEK_DECL std::optional<Error> check_timeouts(const Timeouts& t) {
  for (const auto value : {t.dns, t.connect, t.tls, t.first_byte, t.first_token, t.between_tokens, t.idle, t.total})
    if (value.count() < 0 || value > std::chrono::hours(24 * 365))
      return Error(ErrorCode::invalid_argument, "a timeout is negative or longer than a year", "use 0 for none");
  return std::nullopt;
}

DEEPSEEK_DECL Error refused(ClientCore& core, Call& call, Error error) {
  call.started = core.reactor().clock().steady_now();
  core.tell_end(call, error);
  return error;
}

/// Those of `own` replace those of the same name.
DEEPSEEK_DECL std::vector<HttpHeader> merged_headers(const std::vector<HttpHeader>& common,
                                                     const std::vector<HttpHeader>& own) {
  std::vector<HttpHeader> merged;
  merged.reserve(common.size() + own.size());
  merged = common;
  for (const HttpHeader& header : own) {
    const auto same = [&header](const HttpHeader& known) { return same_header_name(known.name, header.name); };
    merged.erase(std::remove_if(merged.begin(), merged.end(), same), merged.end());
    merged.push_back(header);
  }
  return merged;
}

/// A call with everything but its body.
DEEPSEEK_DECL Result<CallPtr> make_call(ClientCore& core, const Operation& operation, const CallOptions& options) {
  if (core.forked()) return forked_error();
  const Timeouts& timeouts = options.timeouts ? *options.timeouts : core.options().timeouts;
  auto call = std::make_shared<Call>();
  call->operation = operation;
  if (auto error = check_timeouts(timeouts)) return refused(core, *call, *std::move(error));
  call->timeouts = timeouts;
  call->limits = core.options().size_limits;
  call->headers = merged_headers(core.options().headers, options.headers);
  call->priority = options.priority;
  call->cache = options.cache;
  call->deadline = options.deadline;
  if (timeouts.total.count() > 0) {
    const TimePoint total = core.reactor().clock().steady_now() + timeouts.total;
    call->deadline = call->deadline ? std::min(*call->deadline, total) : total;
  }
  return call;
}

/// The steps that chat and FIM share.
template <class Request, class Encode>
Result<Prepared> prepare_with(ClientCore& core, const Request& request, bool stream, const CallOptions& options,
                              Encode&& encode_body) {
  auto call = make_call(core, operation_of(request, stream), options);
  if (!call) return std::move(call).error();
  (*call)->model = model_of(request, core.options().model);
  if (core.options().lint)
    if (auto error = lint(request, LintContext{core.deepseek(), core.options().model}))
      return refused(core, **call, *std::move(error));
  auto body = encode_body();
  if (!body) return refused(core, **call, std::move(body).error());
  describe_request(request, *body, **call);
  (*call)->body = *std::move(body);
  // A stream may live for minutes, and its request with it, in case it must be sent again.
  if (stream && (*call)->body.capacity() > (*call)->body.size() + 256) (*call)->body.shrink_to_fit();
  auto decoder = make_reply_decoder(stream);
  (*call)->decoder = decoder;
  return Prepared{*std::move(call), std::move(decoder)};
}

DEEPSEEK_DECL Result<Prepared> prepare(ClientCore& core, const ChatRequest& request, bool stream,
                                       const CallOptions& options) {
  return prepare_with(core, request, stream, options, [&] { return encode(request, core.options().model, stream); });
}

DEEPSEEK_DECL Result<Prepared> prepare(ClientCore& core, const CompletionRequest& request, bool stream,
                                       const CallOptions& options) {
  return prepare_with(core, request, stream, options, [&] { return encode(request, stream); });
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
