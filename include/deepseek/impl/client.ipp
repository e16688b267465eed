#pragma once
#include <deepseek/client.hpp>

#include <deepseek/detail/call.hpp>
#include <deepseek/http/curl.hpp>
#include <deepseek/transport/detail/http_transport.hpp>
#include <deepseek/transport/http.hpp>

#include <cstdlib>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- waiting face ------------------------------------------------------------------------------------

/// Drives the loop, or sleeps, until the call has put its result down.
template <class Waiting, class T>
Result<T> wait_for_result(Waiting& call, Waiter& waiter, std::optional<Result<T>>& result, const CancelToken& token) {
  const auto core = call.shared_core();  // the loop outlives the wait
  call.launch(token, true);
  core->reactor().wait(waiter);
  return *std::move(result);
}

/// A whole reply for a thread that waits.
class WaitingCall final : public ReplyCall {
 public:
  WaitingCall(std::shared_ptr<ClientCore> core, CallPtr call, std::shared_ptr<ReplyDecoder> decoder)
      : ReplyCall(std::move(core), std::move(call), std::move(decoder), false) {}
  Result<ChatReply> run(const CancelToken& token) { return wait_for_result(*this, waiter_, result_, token); }

 private:
  void on_chunk(const ChatChunk&) override {}
  void on_reply(ChatReply&& reply) override { hand_to_waiter(waiter_, result_, std::move(reply)); }
  void on_result(Result<ChatReply>&& result) override { hand_to_waiter(waiter_, result_, std::move(result)); }
  std::optional<Result<ChatReply>> result_;
  Waiter waiter_;
};

// --- handler face ------------------------------------------------------------------------------------

/// Runs user code on the I/O thread, or on the given executor with owned copies of the chunks. An
/// exception of the user's cancels the call; it cannot cross libcurl.
class HandlerCall final : public ReplyCall {
 public:
  HandlerCall(std::shared_ptr<ClientCore> core, CallPtr call, std::shared_ptr<ReplyDecoder> decoder,
              ChatHandler handler)
      : ReplyCall(std::move(core), std::move(call), std::move(decoder), true), handler_(std::move(handler)) {
    if (Executor* const executor = this->core().options().executor.get()) relay_ = std::make_unique<Relay>(*executor);
  }

 private:
  void on_chunk(const ChatChunk& chunk) override {
    if (!handler_.on_chunk) return;
    if (relay_)
      queue_chunk(chunk);
    else
      run_chunk(chunk);
  }

  // The handler is destroyed after its completion, even if the user keeps the CallHandle.
  void on_result(Result<ChatReply>&& result) override {
    finish_with([this, result = std::move(result)]() mutable {
      const ChatHandler handler = std::exchange(handler_, ChatHandler());
      if (handler.on_end) handler.on_end(std::move(result));
    });
  }

  void run_chunk(const ChatChunk& chunk) noexcept {
    try {
      handler_.on_chunk(chunk);
    } catch (...) {
      cancel();
    }
  }

  void queue_chunk(const ChatChunk& chunk) {
    bool full = false;
    bool posted = false;
    {
      std::lock_guard<std::mutex> lock(relay_->mutex);
      relay_->incoming.append(chunk);
      full = !relay_->paused && relay_->incoming.bytes() > this->core().options().stream_buffer_bytes;
      relay_->paused = relay_->paused || full;
      posted = std::exchange(relay_->drain_posted, true);
    }
    if (full) pause(true);
    if (!posted) relay_->executor.post([self = shared_from_this(), this] { drain(); });
  }

  // On the executor. The end is posted after the last drain, and an executor keeps the order.
  void drain() {
    bool resume = false;
    {
      std::lock_guard<std::mutex> lock(relay_->mutex);
      relay_->draining.clear();
      relay_->draining.swap(relay_->incoming);
      relay_->drain_posted = false;
      resume = std::exchange(relay_->paused, false);
    }
    const auto reactor = reactor_.lock();
    if (resume && reactor) reactor->post([self = shared_from_this(), this] { pause(false); });
    while (const ChatChunk* chunk = relay_->draining.next()) run_chunk(*chunk);
  }

  /// What the loop and the user's executor share.
  struct Relay {
    explicit Relay(Executor& where) : executor(where) {}
    Executor& executor;   // not owned: this object may end on the executor, which must not end itself
    ChunkBatch draining;  // executor only
    std::mutex mutex;
    ChunkBatch incoming;        // guarded
    bool drain_posted = false;  // guarded
    bool paused = false;        // guarded
  };

  ChatHandler handler_;
  std::unique_ptr<Relay> relay_;  // null: the handler runs on the I/O thread
};

DEEPSEEK_DECL CallHandle start_handler(const std::shared_ptr<ClientCore>& core, Result<Prepared> prepared,
                                       ChatHandler handler, const CallOptions& options) {
  if (core->forked()) {
    // There is no I/O thread in the child; saying nothing would be worse than saying it here.
    if (handler.on_end) handler.on_end(forked_error());
    return CallHandle();
  }
  const Prepared ready = prepared ? *prepared : Prepared{std::make_shared<Call>(), make_reply_decoder(true)};
  auto live = std::make_shared<HandlerCall>(core, ready.call, ready.decoder, std::move(handler));
  if (!prepared) live->refuse(prepared.error());
  live->launch(options.cancel, false);
  return CallHandle(std::move(live));
}

// --- pull face ---------------------------------------------------------------------------------------

DEEPSEEK_DECL Stream start_stream(const std::shared_ptr<ClientCore>& core, Result<Prepared> prepared,
                                  const CallOptions& options) {
  if (!prepared) return StreamAccess::refused(std::move(prepared).error());
  auto live = std::make_shared<PullCall>(core, prepared->call, prepared->decoder, false);
  live->launch(options.cancel, true);
  core->reactor().run_ready();
  return StreamAccess::make(std::move(live));
}

// --- waiting face ------------------------------------------------------------------------------------

DEEPSEEK_DECL Result<ChatReply> run_waiting(const std::shared_ptr<ClientCore>& core, Result<Prepared> prepared,
                                            const CallOptions& options) {
  if (!prepared) return std::move(prepared).error();
  if (core->reactor().on_loop()) return refused(*core, *prepared->call, wrong_thread_error());
  auto live = std::make_shared<WaitingCall>(core, prepared->call, prepared->decoder);
  return live->run(options.cancel);
}

// --- futures -----------------------------------------------------------------------------------------

/// A handler that keeps a promise; the future does not block when dropped.
template <class T>
Function<void(Result<T>)> keep_promise(std::future<Result<T>>& future) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  future = promise->get_future();
  return [promise](Result<T> result) { promise->set_value(std::move(result)); };
}

// --- other bodies ------------------------------------------------------------------------------------

/// A reply that is one JSON body, decoded by `decode`.
template <class T>
class BodyCall : public LiveCall {
 public:
  using Decode = Result<T> (*)(std::string_view);

  BodyCall(std::shared_ptr<ClientCore> core, CallPtr call, Decode decode, bool hosted)
      : LiveCall(std::move(core), call, hosted), decoder_(make_body_decoder()), decode_(decode) {
    call->decoder = decoder_;
  }

 protected:
  virtual void on_result(Result<T>&& result) = 0;
  void on_frame(const Frame&) override {}  // the decoder has it
  void complete(std::optional<Error> error) override {
    on_result(error ? Result<T>(*std::move(error)) : decode_(decoder_->body()));
  }

 private:
  std::shared_ptr<BodyDecoder> decoder_;
  Decode decode_;
};

template <class T>
class BodyHandlerCall final : public BodyCall<T> {
 public:
  using OnEnd = Function<void(Result<T>)>;
  BodyHandlerCall(std::shared_ptr<ClientCore> core, CallPtr call, typename BodyCall<T>::Decode decode, OnEnd on_end)
      : BodyCall<T>(std::move(core), std::move(call), decode, true), on_end_(std::move(on_end)) {}

 private:
  void on_result(Result<T>&& result) override {
    this->finish_with([this, result = std::move(result)]() mutable {
      const OnEnd on_end = std::exchange(on_end_, nullptr);
      if (on_end) on_end(std::move(result));
    });
  }
  OnEnd on_end_;
};

template <class T>
class WaitingBodyCall final : public BodyCall<T> {
 public:
  WaitingBodyCall(std::shared_ptr<ClientCore> core, CallPtr call, typename BodyCall<T>::Decode decode)
      : BodyCall<T>(std::move(core), std::move(call), decode, false) {}
  Result<T> run(const CancelToken& token) { return wait_for_result(*this, waiter_, result_, token); }

 private:
  void on_result(Result<T>&& result) override { this->hand_to_waiter(waiter_, result_, std::move(result)); }
  std::optional<Result<T>> result_;
  Waiter waiter_;
};

template <class T>
CallHandle start_body(const std::shared_ptr<ClientCore>& core, const Operation& operation,
                      Result<T> (*decode)(std::string_view), Function<void(Result<T>)> on_end,
                      const CallOptions& options) {
  if (core->forked()) {
    if (on_end) on_end(forked_error());
    return CallHandle();
  }
  auto call = make_call(*core, operation, options);
  auto live =
      std::make_shared<BodyHandlerCall<T>>(core, call ? *call : std::make_shared<Call>(), decode, std::move(on_end));
  if (!call) live->refuse(call.error());
  live->launch(options.cancel, false);
  return CallHandle(std::move(live));
}

template <class T>
Result<T> run_body(const std::shared_ptr<ClientCore>& core, const Operation& operation,
                   Result<T> (*decode)(std::string_view), const CallOptions& options) {
  auto call = make_call(*core, operation, options);
  if (!call) return std::move(call).error();
  if (core->reactor().on_loop()) return refused(*core, **call, wrong_thread_error());
  return std::make_shared<WaitingBodyCall<T>>(core, *std::move(call), decode)->run(options.cancel);
}

// --- creation ----------------------------------------------------------------------------------------

DEEPSEEK_DECL std::optional<Error> check_options(ClientOptions& options) {
  if (options.endpoints.empty())
    options.endpoints.push_back(Endpoint{default_base_url, Credential(), std::nullopt, false});
  if (auto error = check(options.retry)) return error;
  if (auto error = check(options.failover, options.endpoints)) return error;
  if (auto error = check(options.breaker)) return error;
  if (auto error = check(options.hedge)) return error;
  const auto ends_before = [&options](std::chrono::milliseconds limit) {
    return limit.count() > 0 && limit <= options.hedge.after;
  };
  const Timeouts& t = options.timeouts;
  if ((ends_before(t.first_byte) && ends_before(t.first_token)) || ends_before(t.total))
    return Error(ErrorCode::invalid_options,
                 "ClientOptions::hedge begins when timeouts.first_byte and first_token, or total, have struck already",
                 "set HedgeOptions::after below them");
  if (auto error = check(options.limits)) return error;
  // Not even looked at without need: a digest makes OpenSSL load what it has, five million instructions.
  if (options.cache.any())
    if (auto error = check(options.cache)) return error;
  if (auto error = check(options.single_flight)) return error;
  if (auto error = check(options.resume)) return error;
  if (auto error = check(options.degrade)) return error;
  if (options.degrade.uses_cache() && (!options.cache.any() || options.cache.keep_stale.count() == 0))
    return Error(ErrorCode::invalid_options, "a stale answer is wanted from a cache that keeps none",
                 "set CacheOptions::keep_stale and a level");
  if (options.limiter && options.limits.any())
    return Error(ErrorCode::invalid_options, "ClientOptions::limits and limiter contradict each other",
                 "a limiter brings its own limits: set one");
  if (options.transport && options.http_engine)
    return Error(ErrorCode::invalid_options, "ClientOptions::transport and http_engine contradict each other",
                 "an engine serves the HTTP transport only: set one");
  if (options.model.empty()) return Error(ErrorCode::invalid_options, "ClientOptions::model is empty");
  if (options.stream_buffer_bytes < 4 * KiB || options.stream_buffer_bytes > GiB)
    return Error(ErrorCode::invalid_options, "ClientOptions::stream_buffer_bytes is outside 4 KiB ... 1 GiB");
  const SizeLimits& l = options.size_limits;
  for (const auto limit :
       {l.header_bytes, l.line_bytes, l.event_bytes, l.body_bytes, l.stream_bytes, l.error_body_bytes})
    if (limit == 0) return Error(ErrorCode::invalid_options, "a limit is zero: nothing could be received");
  if (l.line_bytes > GiB || l.event_bytes > GiB || l.body_bytes > GiB)
    return Error(ErrorCode::invalid_options, "a limit on what is held in memory is larger than 1 GiB");
  for (const HttpHeader& header : options.headers)
    if (auto error = check_user_header(header))
      return Error(ErrorCode::invalid_options, "ClientOptions::headers: " + error->message());
  for (const auto& policy : options.policies)
    if (!policy) return Error(ErrorCode::invalid_options, "ClientOptions::policies holds a null policy");
  return check_timeouts(options.timeouts);
}

DEEPSEEK_DECL Result<std::shared_ptr<Transport>> make_transport(ClientOptions& options) {
  if (options.transport) return options.transport;
  if (options.http_engine) return make_http_transport(options.http_engine);
  CurlOptions curl;
  curl.tls = options.tls;
  curl.proxy = options.proxy;
  curl.version = options.http_version;
  curl.unix_socket = options.unix_socket;
  curl.resolve = options.resolve;
  auto engine = make_curl_engine(std::move(curl));
  if (!engine) return std::move(engine).error();
  return make_http_transport(*std::move(engine));
}

DEEPSEEK_DECL const std::shared_ptr<ClientCore>& ClientAccess::core(const DeepSeekClient& client) {
  return client.life_->core();
}

DEEPSEEK_DECL ChatRequest one_message(std::string_view prompt) {
  ChatRequest request;
  request.messages.push_back(Message::user(std::string(prompt)));
  return request;
}

}  // namespace detail

DEEPSEEK_DECL DeepSeekClient::DeepSeekClient(const DeepSeekClient&) noexcept = default;
DEEPSEEK_DECL DeepSeekClient::DeepSeekClient(DeepSeekClient&&) noexcept = default;
DEEPSEEK_DECL DeepSeekClient& DeepSeekClient::operator=(const DeepSeekClient&) noexcept = default;
DEEPSEEK_DECL DeepSeekClient& DeepSeekClient::operator=(DeepSeekClient&&) noexcept = default;
DEEPSEEK_DECL DeepSeekClient::~DeepSeekClient() = default;

DEEPSEEK_DECL DeepSeekClient::DeepSeekClient(std::shared_ptr<detail::ClientLife> life) : life_(std::move(life)) {}

DEEPSEEK_DECL Result<DeepSeekClient> DeepSeekClient::create(ClientOptions options) {
  if (auto error = detail::check_options(options)) return *std::move(error);
  auto transport = detail::make_transport(options);
  if (!transport) return std::move(transport).error();
  for (const Endpoint& endpoint : options.endpoints)
    if (auto error = (*transport)->check(endpoint)) return *std::move(error);
  if (!options.clock) options.clock = std::make_shared<Clock>();
  auto reactor = std::make_shared<detail::Reactor>(options.clock);
  if (!reactor->ok())
    return Error(ErrorCode::internal, "the process has no file descriptors left for a client",
                 "raise the limit on open files");
  auto core = std::make_shared<detail::ClientCore>(std::move(options), std::move(reactor), *std::move(transport));
  return DeepSeekClient(std::make_shared<detail::ClientLife>(std::move(core)));
}

DEEPSEEK_DECL std::string base_url_from_env() {
  const char* const set = std::getenv("DEEPSEEK_BASE_URL");
  return set && *set ? set : default_base_url;
}

DEEPSEEK_DECL Result<DeepSeekClient> DeepSeekClient::from_environment(ClientOptions options) {
  if (options.endpoints.empty())
    options.endpoints.push_back(Endpoint{base_url_from_env(), Credential(), std::nullopt, false});
  for (Endpoint& endpoint : options.endpoints)
    if (!endpoint.credential.present()) endpoint.credential = api_key_from_env("DEEPSEEK_API_KEY");
  return create(std::move(options));
}

DEEPSEEK_DECL Result<ChatReply> DeepSeekClient::chat(const ChatRequest& request, const CallOptions& options) const {
  const auto& core = life_->core();
  return detail::run_waiting(core, detail::prepare(*core, request, false, options), options);
}

DEEPSEEK_DECL Result<ChatReply> DeepSeekClient::chat(std::string_view prompt, const CallOptions& options) const {
  return chat(detail::one_message(prompt), options);
}

DEEPSEEK_DECL Stream DeepSeekClient::stream(const ChatRequest& request, const CallOptions& options) const {
  const auto& core = life_->core();
  return detail::start_stream(core, detail::prepare(*core, request, true, options), options);
}

DEEPSEEK_DECL Stream DeepSeekClient::stream(std::string_view prompt, const CallOptions& options) const {
  return stream(detail::one_message(prompt), options);
}

DEEPSEEK_DECL CallHandle DeepSeekClient::chat_async(const ChatRequest& request, ChatHandler handler,
                                                    const CallOptions& options) const {
  const auto& core = life_->core();
  return detail::start_handler(core, detail::prepare(*core, request, true, options), std::move(handler), options);
}

DEEPSEEK_DECL CallHandle DeepSeekClient::chat_whole_async(const ChatRequest& request,
                                                          Function<void(Result<ChatReply>)> on_end,
                                                          const CallOptions& options) const {
  const auto& core = life_->core();
  return detail::start_handler(core, detail::prepare(*core, request, false, options),
                               ChatHandler{{}, std::move(on_end)}, options);
}

DEEPSEEK_DECL std::future<Result<ChatReply>> DeepSeekClient::chat_future(const ChatRequest& request,
                                                                         const CallOptions& options) const {
  std::future<Result<ChatReply>> future;
  chat_whole_async(request, detail::keep_promise(future), options);
  return future;
}

DEEPSEEK_DECL Result<ChatReply> DeepSeekClient::complete(const CompletionRequest& request,
                                                         const CallOptions& options) const {
  const auto& core = life_->core();
  return detail::run_waiting(core, detail::prepare(*core, request, false, options), options);
}

DEEPSEEK_DECL Stream DeepSeekClient::complete_stream(const CompletionRequest& request,
                                                     const CallOptions& options) const {
  const auto& core = life_->core();
  return detail::start_stream(core, detail::prepare(*core, request, true, options), options);
}

DEEPSEEK_DECL CallHandle DeepSeekClient::complete_async(const CompletionRequest& request, ChatHandler handler,
                                                        const CallOptions& options) const {
  const auto& core = life_->core();
  return detail::start_handler(core, detail::prepare(*core, request, true, options), std::move(handler), options);
}

DEEPSEEK_DECL CallHandle DeepSeekClient::complete_whole_async(const CompletionRequest& request,
                                                              Function<void(Result<ChatReply>)> on_end,
                                                              const CallOptions& options) const {
  const auto& core = life_->core();
  return detail::start_handler(core, detail::prepare(*core, request, false, options),
                               ChatHandler{{}, std::move(on_end)}, options);
}

DEEPSEEK_DECL std::future<Result<ChatReply>> DeepSeekClient::complete_future(const CompletionRequest& request,
                                                                             const CallOptions& options) const {
  std::future<Result<ChatReply>> future;
  complete_whole_async(request, detail::keep_promise(future), options);
  return future;
}

DEEPSEEK_DECL std::future<Result<ModelList>> DeepSeekClient::models_future(const CallOptions& options) const {
  std::future<Result<ModelList>> future;
  models_async(detail::keep_promise(future), options);
  return future;
}

DEEPSEEK_DECL std::future<Result<Balance>> DeepSeekClient::balance_future(const CallOptions& options) const {
  std::future<Result<Balance>> future;
  balance_async(detail::keep_promise(future), options);
  return future;
}

DEEPSEEK_DECL Result<ModelList> DeepSeekClient::models(const CallOptions& options) const {
  return detail::run_body<ModelList>(life_->core(), detail::models_operation(), &detail::decode_models, options);
}

DEEPSEEK_DECL CallHandle DeepSeekClient::models_async(Function<void(Result<ModelList>)> on_end,
                                                      const CallOptions& options) const {
  return detail::start_body<ModelList>(life_->core(), detail::models_operation(), &detail::decode_models,
                                       std::move(on_end), options);
}

DEEPSEEK_DECL Result<Balance> DeepSeekClient::balance(const CallOptions& options) const {
  return detail::run_body<Balance>(life_->core(), detail::balance_operation(), &detail::decode_balance, options);
}

DEEPSEEK_DECL CallHandle DeepSeekClient::balance_async(Function<void(Result<Balance>)> on_end,
                                                       const CallOptions& options) const {
  return detail::start_body<Balance>(life_->core(), detail::balance_operation(), &detail::decode_balance,
                                     std::move(on_end), options);
}

// --- handle ------------------------------------------------------------------------------------------

DEEPSEEK_DECL void CallHandle::cancel() const noexcept {
  if (control_) control_->cancel();
}

DEEPSEEK_DECL bool CallHandle::finished() const noexcept { return !control_ || control_->finished(); }

DEEPSEEK_END_NAMESPACE
