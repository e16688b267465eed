#pragma once
#include <deepseek/core/log.hpp>

#include <deepseek/core/detail/plain.hpp>
#include <deepseek/core/detail/platform.hpp>
#include <deepseek/core/detail/process.hpp>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- the list ------------------------------------------------------------------------------------------

/// What a field's value may be.
enum class LogRule { number, decimal, flag, version, word, name, id };

struct LogFieldRow {
  LogField field;
  const char* name;
  LogRule rule;
};

inline constexpr LogFieldRow log_fields[] = {
    {LogField::outcome, "event.outcome", LogRule::word},
    {LogField::duration_ns, "event.duration", LogRule::number},
    {LogField::error_code, "error.code", LogRule::word},
    {LogField::result, "deepseek.outcome", LogRule::word},
    {LogField::operation, "gen_ai.operation.name", LogRule::word},
    {LogField::model, "gen_ai.request.model", LogRule::name},
    {LogField::input_tokens, "gen_ai.usage.input_tokens", LogRule::number},
    {LogField::output_tokens, "gen_ai.usage.output_tokens", LogRule::number},
    {LogField::cached_tokens, "deepseek.tokens.cached", LogRule::number},
    {LogField::reasoning_tokens, "deepseek.tokens.reasoning", LogRule::number},
    {LogField::status_code, "http.response.status_code", LogRule::number},
    {LogField::http_version, "http.version", LogRule::version},
    {LogField::body_bytes, "http.response.body.bytes", LogRule::number},
    {LogField::request_id, "http.request.id", LogRule::id},
    {LogField::server_address, "server.address", LogRule::name},
    {LogField::server_port, "server.port", LogRule::number},
    {LogField::trace_id, "trace.id", LogRule::id},
    {LogField::span_id, "span.id", LogRule::id},
    {LogField::streamed, "deepseek.stream", LogRule::flag},
    {LogField::attempt, "deepseek.attempt", LogRule::number},
    {LogField::attempts, "deepseek.attempts", LogRule::number},
    {LogField::retries, "deepseek.retries", LogRule::number},
    {LogField::failovers, "deepseek.failovers", LogRule::number},
    {LogField::hedges, "deepseek.hedges", LogRule::number},
    {LogField::resumed, "deepseek.resumed", LogRule::number},
    {LogField::cache_level, "deepseek.cache", LogRule::word},
    {LogField::degraded, "deepseek.degraded", LogRule::word},
    {LogField::first_token_ns, "deepseek.first_token", LogRule::number},
    {LogField::reused_connection, "deepseek.reused_connection", LogRule::flag},
    {LogField::wait_ns, "deepseek.wait", LogRule::number},
    {LogField::cost, "deepseek.cost", LogRule::decimal},
    {LogField::currency, "deepseek.currency", LogRule::word},
    {LogField::state, "deepseek.state", LogRule::word},
    {LogField::count, "deepseek.count", LogRule::number},
};

constexpr bool log_fields_are_in_order() {
  std::size_t index = 0;
  for (const LogFieldRow& row : log_fields)
    if (static_cast<std::size_t>(row.field) != index++) return false;
  return true;
}
static_assert(log_fields_are_in_order(), "a field is looked up by its number");

struct LogEventRow {
  LogEvent event;
  const char* word;
  const char* message;
};

inline constexpr LogEventRow log_events[] = {
    {LogEvent::call_end, "call_end", "A call ended."},
    {LogEvent::attempt_end, "attempt_end", "An attempt ended."},
    {LogEvent::breaker_changed, "breaker_changed", "A circuit breaker changed its state."},
    {LogEvent::token_refreshed, "token_refreshed", "A token was fetched."},
    {LogEvent::token_failed, "token_failed", "No token could be fetched."},
    {LogEvent::cache_dropped, "cache_dropped", "Writes to the cache were given up."},
    {LogEvent::cache_set_aside, "cache_set_aside", "A cache file was damaged or foreign and was moved away."},
    {LogEvent::cache_failed, "cache_failed", "A level of the cache cannot be used for now."},
    {LogEvent::limits_changed, "limits_changed", "Shared limits came within reach or went out of it."},
    {LogEvent::log_dropped, "log_dropped", "Log records were given up because the disk was slow or full."},
};

DEEPSEEK_DECL const LogEventRow& row_of(LogEvent event) noexcept {
  for (const LogEventRow& row : log_events)
    if (row.event == event) return row;
  return log_events[0];
}

// --- the line ------------------------------------------------------------------------------------------

/// `width` digits, zeros in front.
DEEPSEEK_DECL void append_log_digits(std::string& text, std::uint64_t number, int width) {
  char digits[20];
  for (int i = width; i-- > 0; number /= 10) digits[i] = static_cast<char>('0' + number % 10);
  text.append(digits, static_cast<std::size_t>(width));
}

/// 2026-11-24T02:23:14.123456Z. Time before 1970 or beyond the year 9999 is shown as the nearest of the two.
DEEPSEEK_DECL void append_log_timestamp(std::string& text, WallTime time) {
  constexpr std::int64_t most_seconds = 253402300799;  // 9999-12-31T23:59:59
  const std::int64_t micros =
      std::clamp<std::int64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count(),
                               0, most_seconds * 1'000'000);
  const auto seconds = static_cast<std::uint64_t>(micros / 1'000'000);
  // Days since 0000-03-01, in eras of 400 years: leap days fall on the ends of years then.
  const std::uint64_t days = seconds / 86400 + 719468;
  const std::uint64_t era = days / 146097;
  const std::uint64_t day_of_era = days % 146097;
  const std::uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::uint64_t march_month = (5 * day_of_year + 2) / 153;
  const std::uint64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
  append_log_digits(text, era * 400 + year_of_era + (month <= 2 ? 1 : 0), 4);
  append_log_digits(text += '-', month, 2);
  append_log_digits(text += '-', day_of_year - (153 * march_month + 2) / 5 + 1, 2);
  append_log_digits(text += 'T', seconds / 3600 % 24, 2);
  append_log_digits(text += ':', seconds / 60 % 60, 2);
  append_log_digits(text += ':', seconds % 60, 2);
  append_log_digits(text += '.', static_cast<std::uint64_t>(micros % 1'000'000), 6);
  text += 'Z';
}

DEEPSEEK_DECL bool fits_log_rule(LogRule rule, const LogRecord::Item& item) noexcept {
  switch (rule) {
    case LogRule::number:
    case LogRule::version:
      return item.kind == LogRecord::Kind::number;
    case LogRule::decimal:
      return item.kind == LogRecord::Kind::decimal && std::isfinite(item.decimal);
    case LogRule::flag:
      return item.kind == LogRecord::Kind::flag;
    case LogRule::word:
      return item.kind == LogRecord::Kind::text && is_plain_word(item.text());
    case LogRule::name:
      return item.kind == LogRecord::Kind::text && is_plain_name(item.text());
    case LogRule::id:
      return item.kind == LogRecord::Kind::text && is_plain_id(item.text());
  }
  return false;
}

template <class Number>
void append_log_number(std::string& text, Number number) {
  char digits[32];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

DEEPSEEK_DECL void append_log_value(std::string& text, LogRule rule, const LogRecord::Item& item) {
  switch (rule) {
    case LogRule::number:
      return append_log_number(text, item.number);
    case LogRule::decimal:
      return append_log_number(text, item.decimal);
    case LogRule::flag:
      text += item.number != 0 ? "true" : "false";
      return;
    case LogRule::version:
      text += item.number == 10 ? "\"1.0\"" : item.number == 11 ? "\"1.1\"" : item.number == 20 ? "\"2\"" : "\"other\"";
      return;
    default:
      text += '"';
      text.append(item.text()) += '"';  // its rule lets nothing through that JSON escapes
  }
}

}  // namespace detail

DEEPSEEK_DECL const char* to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "error";
}

DEEPSEEK_DECL const char* to_string(LogEvent event) noexcept { return detail::row_of(event).word; }

DEEPSEEK_DECL void append_json_line(std::string& text, const LogRecord& record) {
  const detail::LogEventRow& event = detail::row_of(record.event());
  text += "{\"@timestamp\":\"";
  detail::append_log_timestamp(text, record.time());
  text.append("\",\"log.level\":\"").append(to_string(record.level()));
  text.append("\",\"message\":\"").append(event.message);
  text.append("\",\"ecs.version\":\"9.4.0\",\"log.logger\":\"deepseek\",\"event.dataset\":\"deepseek.client\"");
  text.append(",\"event.action\":\"").append(event.word) += '"';
  int withheld = 0;
  for (const LogRecord::Item& item : record) {
    const auto index = static_cast<std::size_t>(item.field);
    if (index >= std::size(detail::log_fields) || !detail::fits_log_rule(detail::log_fields[index].rule, item)) {
      ++withheld;
      continue;
    }
    text.append(",\"").append(detail::log_fields[index].name).append("\":");
    detail::append_log_value(text, detail::log_fields[index].rule, item);
  }
  if (withheld > 0) detail::append_log_number(text.append(",\"deepseek.withheld\":"), withheld);
  text += "}\n";
}

// --- small sinks ---------------------------------------------------------------------------------------

namespace detail {

class NullLog final : public LogSink {
 public:
  void write(const LogRecord&) noexcept override {}
};

class CallbackLog final : public LogSink {
 public:
  explicit CallbackLog(Function<void(const LogRecord&)> take) : take_(std::move(take)) {}
  void write(const LogRecord& record) noexcept override {
    if (!take_) return;
    try {
      take_(record);
    } catch (...) {
    }
  }

 private:
  Function<void(const LogRecord&)> take_;
};

}  // namespace detail

DEEPSEEK_DECL std::shared_ptr<LogSink> make_null_log() { return std::make_shared<detail::NullLog>(); }

DEEPSEEK_DECL std::shared_ptr<LogSink> make_callback_log(Function<void(const LogRecord&)> take) {
  return std::make_shared<detail::CallbackLog>(std::move(take));
}

// --- the file ------------------------------------------------------------------------------------------

struct LogFile::State {
  /// Takes lines until it is told to stop and none is left. On the thread.
  void run();
  /// Lines of `batch` that were given up.
  std::uint64_t write_batch(std::string_view batch);
  bool write_piece(std::string_view piece);
  bool make_room(std::uint64_t bytes);
  bool pause_after_error();

  LogFileOptions options;
  unsigned generation = detail::fork_generation();
  detail::AppendFile file;  // the thread's, once it runs
  std::string path;
  std::thread thread;
  std::atomic<std::uint64_t> written{0};
  std::atomic<std::uint64_t> dropped{0};
  std::atomic<std::uint64_t> errors{0};
  std::atomic<std::uint64_t> rotations{0};

  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable drained;
  std::string queue;         // guarded
  std::size_t in_hand = 0;   // guarded: bytes that the thread is writing
  std::uint64_t silent = 0;  // guarded: dropped since the last record that said so
  bool stopping = false;     // guarded
  bool done = false;         // guarded: the thread touches nothing any more
};

DEEPSEEK_DECL void LogFile::State::run() {
  detail::mask_signals_here();
  std::string batch;
  std::unique_lock<std::mutex> lock(mutex);
  while (true) {
    wake.wait(lock, [this] { return stopping || !queue.empty(); });
    if (queue.empty()) break;
    batch.clear();
    batch.swap(queue);
    in_hand = batch.size();
    lock.unlock();
    const auto lines = static_cast<std::uint64_t>(std::count(batch.begin(), batch.end(), '\n'));
    const std::uint64_t lost = write_batch(batch);
    written += lines - lost;
    dropped += lost;
    lock.lock();
    in_hand = 0;
    drained.notify_all();
  }
  done = true;
  drained.notify_all();
}

DEEPSEEK_DECL std::uint64_t LogFile::State::write_batch(std::string_view batch) {
  // Each write ends with a line: writes of other processes to the same file fall between lines.
  constexpr std::size_t piece_bytes = 64 * 1024;
  while (!batch.empty()) {
    std::size_t size = batch.size();
    if (size > piece_bytes) {
      const std::size_t cut = batch.rfind('\n', piece_bytes - 1);
      size = (cut == std::string_view::npos ? batch.find('\n') : cut) + 1;
    }
    if (!write_piece(batch.substr(0, size)))
      return static_cast<std::uint64_t>(std::count(batch.begin(), batch.end(), '\n'));
    batch.remove_prefix(size);
  }
  return 0;
}

/// False if it was given up because the sink ends.
DEEPSEEK_DECL bool LogFile::State::write_piece(std::string_view piece) {
  bool begun = false;  // a line that is half written is finished where it was begun
  while (!piece.empty()) {
    int error = 0;
    const bool ready = begun || make_room(piece.size());
    if (ready) {
      const std::size_t count = file.append(piece, error);
      begun = begun || count > 0;
      piece.remove_prefix(count);
    }
    if (piece.empty()) break;
    ++errors;
    if (!pause_after_error()) return false;
  }
  return true;
}

/// Opens the file anew if it was moved away, or moves it if `bytes` more would be too much. False: that failed.
DEEPSEEK_DECL bool LogFile::State::make_room(std::uint64_t bytes) {
  if (!file.is_open() || file.replaced()) return file.open(path) == 0;
  if (options.max_bytes == 0 || !file.regular()) return true;
  const std::uint64_t size = file.size();
  if (size == 0 || size + bytes <= options.max_bytes) return true;
  if (file.rotate(options.keep) != 0) {
    ++errors;  // a folder without write permission: better a long log than none
    return file.is_open();
  }
  ++rotations;
  return true;
}

/// Waits a second. False: the sink ends.
DEEPSEEK_DECL bool LogFile::State::pause_after_error() {
  std::unique_lock<std::mutex> lock(mutex);
  return !wake.wait_for(lock, std::chrono::seconds(1), [this] { return stopping; });
}

DEEPSEEK_DECL LogFile::LogFile(std::shared_ptr<State> state) : state_(std::move(state)) {}

DEEPSEEK_DECL Result<std::shared_ptr<LogFile>> LogFile::open(const std::string& path, const LogFileOptions& options) {
  if (options.keep < 0 || options.keep > 1000)
    return Error(ErrorCode::invalid_options, "LogFileOptions::keep is outside 0 ... 1000");
  if (options.queue_bytes < 4096 || options.queue_bytes > 1024ull * 1024 * 1024)
    return Error(ErrorCode::invalid_options, "LogFileOptions::queue_bytes is outside 4096 bytes ... 1 GiB");
  if (options.max_bytes != 0 && options.max_bytes < 4096)
    return Error(ErrorCode::invalid_options, "LogFileOptions::max_bytes is neither 0 nor at least 4096");
  auto state = std::make_shared<State>();
  state->options = options;
  state->path = path;
  if (const int error = state->file.open(path); error != 0) {
    ErrorDetails details;
    details.code = ErrorCode::io_error;
    details.message = "the log file cannot be opened";
    details.cause = std::generic_category().message(error);
    return Error(std::move(details));
  }
  return std::shared_ptr<LogFile>(new LogFile(std::move(state)));
}

DEEPSEEK_DECL LogFile::~LogFile() {
  State& state = *state_;
  if (detail::fork_generation() != state.generation) {
    new std::shared_ptr<State>(std::move(state_));  // the thread and perhaps a locked mutex are the parent's
    return;
  }
  if (!state.thread.joinable()) return;
  std::unique_lock<std::mutex> lock(state.mutex);
  state.stopping = true;
  state.wake.notify_all();
  const bool done = state.drained.wait_for(lock, std::chrono::seconds(2), [&state] { return state.done; });
  lock.unlock();
  if (done)
    state.thread.join();
  else
    state.thread.detach();  // the disk hangs; the thread keeps its state
}

DEEPSEEK_DECL void LogFile::write(const LogRecord& record) noexcept {
  State& state = *state_;
  if (detail::fork_generation() != state.generation) {
    ++state.dropped;
    return;
  }
  try {
    std::string line;
    line.reserve(768);
    append_json_line(line, record);
    const std::lock_guard<std::mutex> lock(state.mutex);
    if (state.queue.size() + state.in_hand + line.size() > state.options.queue_bytes) {
      ++state.dropped;
      ++state.silent;
      return;
    }
    if (!state.thread.joinable()) state.thread = std::thread([kept = state_] { kept->run(); });
    if (state.silent > 0) {
      LogRecord missing(LogLevel::warn, LogEvent::log_dropped, record.time());
      missing.number(LogField::count, static_cast<std::int64_t>(state.silent));
      append_json_line(state.queue, missing);
      state.silent = 0;
    }
    state.queue += line;
    state.wake.notify_one();
  } catch (...) {
    ++state.dropped;  // no memory, or no thread to be had
  }
}

DEEPSEEK_DECL bool LogFile::flush(std::chrono::milliseconds wait) {
  State& state = *state_;
  if (detail::fork_generation() != state.generation) return false;
  std::unique_lock<std::mutex> lock(state.mutex);
  return state.drained.wait_for(lock, wait, [&state] { return state.queue.empty() && state.in_hand == 0; });
}

DEEPSEEK_DECL LogFileCounts LogFile::counts() const {
  const State& state = *state_;
  return {state.written.load(), state.dropped.load(), state.errors.load(), state.rotations.load()};
}

DEEPSEEK_END_NAMESPACE
