#pragma once
#include <deepseek/core/metric_list.hpp>
#include <deepseek/policy/observe.hpp>

#include <deepseek/core/detail/process.hpp>
#include <deepseek/core/detail/redact.hpp>
#include <deepseek/core/detail/splitmix.hpp>
#include <deepseek/policy/detail/end_watch.hpp>
#include <deepseek/policy/detail/endpoint_memo.hpp>
#include <deepseek/policy/detail/server_name.hpp>
#include <deepseek/policy/detail/trace_context.hpp>
#include <deepseek/transport/detail/url.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- trace context -------------------------------------------------------------------------------------

inline constexpr std::size_t trace_at = 3;  // behind "00-"
inline constexpr std::size_t trace_size = 32;
inline constexpr std::size_t span_at = trace_at + trace_size + 1;
inline constexpr std::size_t span_size = 16;
inline constexpr std::size_t traceparent_size = span_at + span_size + 3;

DEEPSEEK_DECL bool is_trace_id(std::string_view id) noexcept {
  const bool hex =
      std::all_of(id.begin(), id.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  return hex && id.find_first_not_of('0') != std::string_view::npos;
}

DEEPSEEK_DECL TraceIds parse_traceparent(std::string_view header) noexcept {
  if (header.size() != traceparent_size || header.substr(0, trace_at) != "00-") return {};
  if (header[span_at - 1] != '-' || header[span_at + span_size] != '-') return {};
  const TraceIds ids = {header.substr(trace_at, trace_size), header.substr(span_at, span_size)};
  return is_trace_id(ids.trace) && is_trace_id(ids.span) ? ids : TraceIds();
}

DEEPSEEK_DECL HttpHeader* find_traceparent(std::vector<HttpHeader>& headers) noexcept {
  constexpr std::string_view name = "traceparent";
  const auto is_letter = [](char c, char lower) { return c == lower || c + ('a' - 'A') == lower; };
  for (HttpHeader& header : headers)
    if (header.name.size() == name.size() && std::equal(name.begin(), name.end(), header.name.begin(),
                                                        [&](char lower, char c) { return is_letter(c, lower); }))
      return &header;
  return nullptr;
}

DEEPSEEK_DECL void TraceIdSource::write_hex(char* into) noexcept {
  std::uint64_t word = splitmix64(state_);
  if (word == 0) word = 1;  // an id of zeros alone is not valid
  for (std::size_t i = 0; i < span_size; ++i, word >>= 4) into[i] = "0123456789abcdef"[word & 15];
}

DEEPSEEK_DECL std::string TraceIdSource::make_traceparent() {
  std::string header(traceparent_size, '-');
  header.replace(0, 2, "00");
  write_hex(header.data() + trace_at);
  write_hex(header.data() + trace_at + span_size);
  write_hex(header.data() + span_at);
  header.replace(span_at + span_size + 1, 2, "01");
  return header;
}

DEEPSEEK_DECL void TraceIdSource::renew_span(std::string& header) { write_hex(header.data() + span_at); }

// --- names ---------------------------------------------------------------------------------------------

DEEPSEEK_DECL ServerName server_name_of(const Endpoint& endpoint) {
  const Result<BaseUrl> base = parse_base_url(endpoint.base_url);
  if (!base) return {"other", 0, "other"};
  ServerName name;
  name.host = base->host;
  name.port = base->port;
  const bool brackets = name.port != 0 && name.host.find(':') != std::string::npos;
  name.label = brackets ? '[' + name.host + ']' : name.host;
  if (name.port != 0) name.label += ':' + std::to_string(name.port);
  return name;
}

/// As the OpenTelemetry conventions call it.
DEEPSEEK_DECL std::string_view operation_word(const Call& call) noexcept {
  return call.operation.name == "completion" ? std::string_view("text_completion") : call.operation.name;
}

DEEPSEEK_DECL std::string_view status_class(int status) noexcept {
  static constexpr std::string_view classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
  return classes[status >= 100 && status < 600 ? status / 100 : 0];
}

inline std::string_view error_word(const std::optional<Error>& error) noexcept {
  return error ? std::string_view(to_string(error->code())) : std::string_view();
}

inline std::int64_t nanoseconds(std::chrono::nanoseconds time) noexcept { return time.count(); }
inline double seconds(std::chrono::nanoseconds time) noexcept { return std::chrono::duration<double>(time).count(); }

inline bool wants(const ObserveOptions& options, LogLevel level) noexcept {
  return options.log && level >= options.log_level;
}
inline bool watches_ends(const ObserveOptions& options) noexcept { return options.metrics || options.log; }

/// What the functions below want: `options` with a clock.
inline ObserveOptions with_clock(ObserveOptions options) {
  if (!options.clock) options.clock = std::make_shared<Clock>();
  return options;
}

// --- what both policies share --------------------------------------------------------------------------

/// Of one client. On its loop.
class Observation {
 public:
  explicit Observation(const ObserveOptions& wanted) : options(with_clock(wanted)), trace_ids(random_number()) {}

  const ServerName& server_of(const std::shared_ptr<const Endpoint>& endpoint);

  void count_attempt(const Call& call, const std::optional<Error>& error, TimePoint begun, TimePoint ended);
  void log_attempt(Call& call, const std::optional<Error>& error, int number, TimePoint begun, TimePoint ended);

  const ObserveOptions options;
  TraceIdSource trace_ids;

 private:
  EndpointMemo<ServerName> known_;
};

DEEPSEEK_DECL const ServerName& Observation::server_of(const std::shared_ptr<const Endpoint>& endpoint) {
  return known_.of(endpoint, [&] { return endpoint ? server_name_of(*endpoint) : ServerName{"other", 0, "other"}; });
}

DEEPSEEK_DECL void count_call(MetricSink& sink, const Call& call, const std::optional<Error>& error,
                              std::chrono::nanoseconds took) {
  const std::string_view operation = operation_word(call);
  const CallFacts& facts = call.facts;
  sink.observe(metric::operation_duration, {operation, call.model, error_word(error)}, seconds(took));
  if (facts.retries > 0) sink.add(metric::retries, {operation}, facts.retries);
  if (facts.failovers > 0) sink.add(metric::failovers, {operation}, facts.failovers);
  if (facts.hedges > 0) sink.add(metric::hedges, {operation}, facts.hedges);
  if (facts.resumed > 0) sink.add(metric::resumptions, {operation}, facts.resumed);
  if (!facts.cache_level.empty()) sink.add(metric::cache_lookups, {facts.cache_level}, 1);
  if (!facts.degraded.empty()) sink.add(metric::degraded, {facts.degraded}, 1);
}

DEEPSEEK_DECL void Observation::count_attempt(const Call& call, const std::optional<Error>& error, TimePoint begun,
                                              TimePoint ended) {
  MetricSink& sink = *options.metrics;
  const std::string_view operation = operation_word(call);
  const std::string_view server = server_of(call.endpoint).label;
  const AttemptFacts& facts = call.facts;
  sink.add(metric::attempts, {server, status_class(facts.http_status), error_word(error)}, 1);
  if (facts.first_token.count() > 0) {
    const TimePoint first = call.started + facts.first_token;
    sink.observe(metric::time_to_first_token, {operation, call.model, server},
                 seconds(std::max(first - begun, Duration(0))));
    const std::uint64_t more = facts.usage.completion > 0 ? facts.usage.completion - 1 : 0;
    if (!error && more > 0)
      sink.observe(metric::time_per_output_token, {operation, call.model, server},
                   seconds(std::max(ended - first, Duration(0))) / static_cast<double>(more));
  }
  const TokenUsage& usage = facts.usage;
  if (!usage.told()) return;
  const auto number = [](std::uint64_t tokens) { return static_cast<double>(tokens); };
  sink.observe(metric::token_usage, {operation, call.model, "input"}, number(usage.prompt));
  sink.observe(metric::token_usage, {operation, call.model, "output"}, number(usage.completion));
  const auto count = [&](std::string_view kind, std::uint64_t tokens) {
    if (tokens > 0) sink.add(metric::tokens, {call.model, kind}, number(tokens));
  };
  // A server may claim more cached tokens than tokens.
  count("prompt", usage.prompt - std::min(usage.prompt, usage.cached_prompt));
  count("prompt_cached", usage.cached_prompt);
  count("completion", usage.completion - std::min(usage.completion, usage.reasoning));
  count("reasoning", usage.reasoning);
}

/// The service's name for the attempt, unless a transport took for it what must not be seen.
DEEPSEEK_DECL std::string_view loggable_request_id(const Call& call) noexcept {
  const std::string& id = call.facts.trace_id;
  return tells_credential(id, call.authorization) ? std::string_view() : std::string_view(id);
}

DEEPSEEK_DECL void add_outcome(LogRecord& record, const std::optional<Error>& error, std::chrono::nanoseconds took) {
  record.text(LogField::outcome, error ? "failure" : "success");
  record.text(LogField::result, to_string(error ? error->outcome() : Outcome::complete));
  record.text(LogField::error_code, error_word(error));
  record.number(LogField::duration_ns, nanoseconds(took));
}

DEEPSEEK_DECL void add_usage(LogRecord& record, const std::optional<TokenUsage>& usage) {
  if (!usage) return;
  const auto add = [&record](LogField field, std::uint64_t tokens) {
    record.number(field, static_cast<std::int64_t>(tokens));
  };
  add(LogField::input_tokens, usage->prompt);
  add(LogField::output_tokens, usage->completion);
  add(LogField::cached_tokens, usage->cached_prompt);
  add(LogField::reasoning_tokens, usage->reasoning);
}

DEEPSEEK_DECL TraceIds trace_ids_of(Call& call) noexcept {
  const HttpHeader* const header = find_traceparent(call.headers);
  return header ? parse_traceparent(header->value) : TraceIds();
}

DEEPSEEK_DECL void log_call(const ObserveOptions& options, Call& call, const std::optional<Error>& error,
                            std::chrono::nanoseconds took) {
  const bool fine = !error || error->outcome() == Outcome::cancelled;
  const LogLevel level = fine ? LogLevel::info : LogLevel::error;
  if (!wants(options, level)) return;
  const CallFacts& facts = call.facts;
  LogRecord record(level, LogEvent::call_end, options.clock->wall_now());
  add_outcome(record, error, took);
  record.text(LogField::operation, operation_word(call));
  record.text(LogField::model, call.model);
  record.flag(LogField::streamed, call.operation.stream);
  if (facts.http_status != 0) record.number(LogField::status_code, facts.http_status);
  record.text(LogField::request_id, loggable_request_id(call));
  record.text(LogField::trace_id, trace_ids_of(call).trace);
  record.number(LogField::attempts, facts.attempts);
  record.number(LogField::retries, facts.retries);
  record.number(LogField::failovers, facts.failovers);
  record.number(LogField::hedges, facts.hedges);
  record.number(LogField::resumed, facts.resumed);
  record.text(LogField::cache_level, facts.cache_level);
  record.text(LogField::degraded, facts.degraded);
  if (facts.first_token.count() > 0) record.number(LogField::first_token_ns, nanoseconds(facts.first_token));
  add_usage(record, facts.usage);
  if (facts.waited.count() > 0) record.number(LogField::wait_ns, nanoseconds(facts.waited));
  if (!facts.currency.empty()) record.decimal(LogField::cost, facts.cost).text(LogField::currency, facts.currency);
  options.log->write(record);
}

/// Tells of a call's end, unless that has been told.
DEEPSEEK_DECL void tell_end(const ObserveOptions& options, Call& call, const std::optional<Error>& error) {
  if (std::exchange(call.end_told, true)) return;
  const auto took = std::max(options.clock->steady_now() - call.started, Duration(0));
  if (options.metrics) count_call(*options.metrics, call, error, took);
  if (options.log) log_call(options, call, error, took);
}

DEEPSEEK_DECL void Observation::log_attempt(Call& call, const std::optional<Error>& error, int number, TimePoint begun,
                                            TimePoint ended) {
  const bool fine = !error || error->outcome() == Outcome::cancelled;
  const LogLevel level = fine ? LogLevel::debug : LogLevel::warn;
  if (!wants(options, level)) return;
  const AttemptFacts& facts = call.facts;
  const ServerName& server = server_of(call.endpoint);
  LogRecord record(level, LogEvent::attempt_end, options.clock->wall_now());
  add_outcome(record, error, std::max(ended - begun, Duration(0)));
  record.text(LogField::operation, operation_word(call));
  record.text(LogField::model, call.model);
  record.number(LogField::attempt, number);
  record.text(LogField::server_address, server.host);
  if (server.port != 0) record.number(LogField::server_port, server.port);
  if (facts.http_status != 0) {
    record.number(LogField::status_code, facts.http_status);
    record.number(LogField::http_version, facts.http_version);
  }
  record.number(LogField::body_bytes, static_cast<std::int64_t>(facts.bytes_received));
  record.flag(LogField::reused_connection, facts.http.reused_connection);
  record.text(LogField::request_id, loggable_request_id(call));
  const TraceIds ids = trace_ids_of(call);
  record.text(LogField::trace_id, ids.trace);
  record.text(LogField::span_id, ids.span);
  options.log->write(record);
}

// --- the policies --------------------------------------------------------------------------------------

/// Once per operation.
class ObserveOperationPolicy final : public Policy {
 public:
  explicit ObserveOperationPolicy(std::shared_ptr<Observation> observation) : observation_(std::move(observation)) {}
  Phase phase() const override { return Phase::observe_operation; }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    if (observation_->options.traceparent) begin_trace(*call);
    if (watches_ends(observation_->options)) sink = std::make_shared<Watcher>(observation_, call, std::move(sink));
    next(std::move(call), std::move(sink));
  }

 private:
  // The header itself carries the trace from attempt to attempt.
  void begin_trace(Call& call) {
    HttpHeader* const header = find_traceparent(call.headers);
    if (!header)
      call.headers.push_back({"traceparent", observation_->trace_ids.make_traceparent()});
    else if (parse_traceparent(header->value).trace.empty())
      header->value = observation_->trace_ids.make_traceparent();
  }

  struct Watcher final : CallSink {
    Watcher(std::shared_ptr<Observation> observation, CallPtr call, SinkPtr sink)
        : sink_(std::move(sink)), observation_(std::move(observation)), call_(std::move(call)) {
      if (MetricSink* const metrics = observation_->options.metrics.get())
        metrics->add(metric::in_flight, {operation_word(*call_)}, 1);
    }
    ~Watcher() override { leave(); }
    void on_frame(const Frame& frame) override { sink_->on_frame(frame); }
    void on_end(std::optional<Error> error) override {
      if (const CallPtr call = leave()) tell_end(observation_->options, *call, error);
      if (const SinkPtr sink = std::exchange(sink_, nullptr)) sink->on_end(std::move(error));
    }

    /// The call is not in flight any more. Null: it left before.
    CallPtr leave() {
      CallPtr call = std::exchange(call_, nullptr);
      if (MetricSink* const metrics = observation_->options.metrics.get(); metrics && call)
        metrics->add(metric::in_flight, {operation_word(*call)}, -1);
      return call;
    }

    SinkPtr sink_;
    std::shared_ptr<Observation> observation_;
    CallPtr call_;  // null: ended
  };

  std::shared_ptr<Observation> observation_;
};

/// Once per attempt.
class ObserveAttemptPolicy final : public Policy {
 public:
  explicit ObserveAttemptPolicy(std::shared_ptr<Observation> observation) : observation_(std::move(observation)) {}
  Phase phase() const override { return Phase::observe_attempt; }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    if (observation_->options.traceparent)
      if (HttpHeader* const header = find_traceparent(call->headers); header && !trace_ids_of(*call).span.empty())
        observation_->trace_ids.renew_span(header->value);
    if (watches_ends(observation_->options)) sink = std::make_shared<Watcher>(observation_, call, std::move(sink));
    next(std::move(call), std::move(sink));
  }

 private:
  struct Watcher final : CallSink {
    Watcher(std::shared_ptr<Observation> observation, CallPtr call, SinkPtr sink)
        : sink_(std::move(sink)),
          observation_(std::move(observation)),
          call_(std::move(call)),
          begun_(observation_->options.clock->steady_now()),
          number_(call_->facts.attempts + 1) {}
    void on_frame(const Frame& frame) override { sink_->on_frame(frame); }
    void on_end(std::optional<Error> error) override {
      if (const CallPtr call = std::exchange(call_, nullptr)) {
        const TimePoint ended = observation_->options.clock->steady_now();
        if (observation_->options.metrics) observation_->count_attempt(*call, error, begun_, ended);
        if (observation_->options.log) observation_->log_attempt(*call, error, number_, begun_, ended);
      }
      if (const SinkPtr sink = std::exchange(sink_, nullptr)) sink->on_end(std::move(error));
    }

    SinkPtr sink_;
    std::shared_ptr<Observation> observation_;
    CallPtr call_;  // null: ended
    TimePoint begun_;
    int number_;
  };

  std::shared_ptr<Observation> observation_;
};

DEEPSEEK_DECL EndWatch make_end_watch(const ObserveOptions& options) {
  if (!watches_ends(options)) return {};
  return [options = with_clock(options)](Call& call, const std::optional<Error>& error) {
    tell_end(options, call, error);
  };
}

}  // namespace detail

DEEPSEEK_DECL std::vector<std::shared_ptr<Policy>> make_observe_policies(const ObserveOptions& options) {
  if (!options.metrics && !options.log && !options.traceparent) return {};
  const auto observation = std::make_shared<detail::Observation>(options);
  return {std::make_shared<detail::ObserveOperationPolicy>(observation),
          std::make_shared<detail::ObserveAttemptPolicy>(observation)};
}

DEEPSEEK_END_NAMESPACE
