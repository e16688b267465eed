// What this library measures. Apart from metrics.hpp: few programs name a metric, all would pay for reading these.
#pragma once
#include <deepseek/core/metric.hpp>

DEEPSEEK_BEGIN_NAMESPACE

namespace metric {

inline constexpr double duration_bounds[] = {0.01, 0.02, 0.04, 0.08,  0.16,  0.32,  0.5,   0.64,
                                             1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84};
inline constexpr double first_token_bounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25,
                                                0.5,   0.75,  1.0,  2.5,  5.0,  7.5,  10.0, 30.0};
inline constexpr double per_token_bounds[] = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15,
                                              0.2,   0.3,  0.4,   0.5,  0.75,  1.0, 2.5};
inline constexpr double token_bounds[] = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576};
inline constexpr double wait_bounds[] = {0.0001, 0.001, 0.01, 0.1, 0.5, 1, 5, 30};

template <std::size_t N>
constexpr Metric histogram(std::string_view name, std::string_view help, const double (&bounds)[N],
                           std::string_view first, std::string_view second = {}, std::string_view third = {}) {
  return {name, help, MetricKind::histogram, {first, second, third}, bounds, N};
}

// Names and labels of the first four follow the OpenTelemetry conventions for generative AI. Durations are seconds.

/// A whole call as its caller sees it, over all attempts; a cache hit too, and a call that was refused or cancelled
/// before anything was sent. Each call that a client was asked for is counted once, at its end, whichever way it goes.
inline constexpr Metric operation_duration =
    histogram("gen_ai_client_operation_duration_seconds", "Duration of calls over all their attempts, in seconds.",
              duration_bounds, "gen_ai_operation_name", "gen_ai_request_model", "error_type");
/// Of one streamed attempt, from its start.
inline constexpr Metric time_to_first_token = histogram(
    "gen_ai_server_time_to_first_token_seconds", "Time from an attempt's start to its first token, in seconds.",
    first_token_bounds, "gen_ai_operation_name", "gen_ai_request_model", "server_address");
/// Of one streamed attempt that ended well: the mean over the tokens after the first.
inline constexpr Metric time_per_output_token =
    histogram("gen_ai_server_time_per_output_token_seconds", "Mean time per output token after the first, in seconds.",
              per_token_bounds, "gen_ai_operation_name", "gen_ai_request_model", "server_address");
/// Of one attempt; gen_ai_token_type is input or output.
inline constexpr Metric token_usage =
    histogram("gen_ai_client_token_usage", "Input and output tokens of attempts.", token_bounds,
              "gen_ai_operation_name", "gen_ai_request_model", "gen_ai_token_type");
/// kind: prompt_cached, prompt (not cached), completion (without reasoning), reasoning. They add up to the total.
inline constexpr Metric tokens = {
    "deepseek_tokens_total", "Tokens by kind.", MetricKind::counter, {"gen_ai_request_model", "kind"}};
/// currency: ISO 4217 in lower case.
inline constexpr Metric cost = {"deepseek_cost_total",
                                "Money spent by the price table.",
                                MetricKind::counter,
                                {"gen_ai_request_model", "currency"}};
inline constexpr Metric in_flight = {
    "deepseek_calls_in_flight", "Calls under way.", MetricKind::gauge, {"gen_ai_operation_name"}};
/// status_class: 1xx to 5xx, or none where no response head came. error_type: an error's word; empty: it ended well.
inline constexpr Metric attempts = {"deepseek_attempts_total",
                                    "Requests sent, by the class of their HTTP status and how they ended.",
                                    MetricKind::counter,
                                    {"server_address", "status_class", "error_type"}};
inline constexpr Metric retries = {
    "deepseek_retries_total", "Attempts made by the retry policy.", MetricKind::counter, {"gen_ai_operation_name"}};
inline constexpr Metric failovers = {
    "deepseek_failovers_total", "Moves to another endpoint.", MetricKind::counter, {"gen_ai_operation_name"}};
inline constexpr Metric hedges = {"deepseek_hedges_total",
                                  "Attempts sent while the first still ran.",
                                  MetricKind::counter,
                                  {"gen_ai_operation_name"}};
inline constexpr Metric resumptions = {"deepseek_resumptions_total",
                                       "Answers that broke off and were gone on with.",
                                       MetricKind::counter,
                                       {"gen_ai_operation_name"}};
/// level: memory, redis, disk, miss.
inline constexpr Metric cache_lookups = {
    "deepseek_cache_lookups_total", "Calls that asked the cache, by what answered.", MetricKind::counter, {"level"}};
inline constexpr Metric degraded = {
    "deepseek_degraded_total", "Answers that are less than was asked for.", MetricKind::counter, {"how"}};
/// 0 closed, 1 half-open, 2 open.
inline constexpr Metric breaker_state = {
    "deepseek_breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open.", MetricKind::gauge, {"server_address"}};
/// limit: requests, tokens, concurrency, shared. Attempts that did not have to wait are not in it.
inline constexpr Metric limiter_wait =
    histogram("deepseek_limiter_wait_seconds", "How long attempts waited for this client's own limits, in seconds.",
              wait_bounds, "limit");
/// Of all clients that tell the same sink: how many cannot ask for the limits they share with other processes.
inline constexpr Metric limits_local = {"deepseek_limits_local",
                                        "Clients that keep to their share of shared limits, which cannot be asked.",
                                        MetricKind::gauge};
/// result: ok, failed. error_type: an error's word; empty: it went well.
inline constexpr Metric token_refreshes = {"deepseek_token_refreshes_total",
                                           "Requests for a token, by how they ended.",
                                           MetricKind::counter,
                                           {"result", "error_type"}};
inline constexpr Metric token_refresh_duration =
    histogram("deepseek_token_refresh_duration_seconds",
              "Duration of requests for a token to the authorization server, in seconds.", duration_bounds, "result");
/// Calls that found no token they could use while one was being fetched. One request serves all that wait for it.
inline constexpr Metric token_waits = {"deepseek_token_waits_total", "Calls that had to wait for a token.",
                                       MetricKind::counter};
/// what: cache_write, metric. Of records that a log file gave up the log itself tells, and LogFile::counts().
inline constexpr Metric dropped = {
    "deepseek_dropped_total", "What was given up rather than waited for.", MetricKind::counter, {"what"}};
inline constexpr Metric resident_memory = {"deepseek_process_resident_memory_bytes", "Resident memory of this process.",
                                           MetricKind::gauge};
inline constexpr Metric memory_limit = {"deepseek_process_memory_limit_bytes",
                                        "Memory this process may use: of its control group, else of the machine.",
                                        MetricKind::gauge};

inline constexpr Metric build_info = {
    "deepseek_build_info", "1, labelled with this library's version.", MetricKind::gauge, {"version"}};

inline constexpr const Metric* all[] = {&operation_duration,
                                        &time_to_first_token,
                                        &time_per_output_token,
                                        &token_usage,
                                        &tokens,
                                        &cost,
                                        &in_flight,
                                        &attempts,
                                        &retries,
                                        &failovers,
                                        &hedges,
                                        &resumptions,
                                        &cache_lookups,
                                        &degraded,
                                        &breaker_state,
                                        &limiter_wait,
                                        &limits_local,
                                        &token_refreshes,
                                        &token_refresh_duration,
                                        &token_waits,
                                        &dropped,
                                        &resident_memory,
                                        &memory_limit};

}  // namespace metric

DEEPSEEK_END_NAMESPACE
