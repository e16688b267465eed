// Logs: records of what happened, made of listed fields only, and the sinks that take them.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <deepseek/core/clock.hpp>
#include <deepseek/core/function.hpp>
#include <deepseek/core/log_level.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// What happened. Each has a word (`event.action`) and a fixed sentence (`message`).
enum class LogEvent {
  call_end,         ///< a call, over all its attempts
  attempt_end,      ///< one request
  breaker_changed,  ///< state, server_address
  token_refreshed,  ///< duration_ns, count: calls that waited for it
  token_failed,     ///< the same, and error_code, status_code
  cache_dropped,    ///< writes given up: cache_level, count
  cache_set_aside,  ///< a damaged or foreign cache file was moved away
  cache_failed,     ///< a level of the cache cannot be used for now: cache_level
  limits_changed,   ///< state: local (the shared limits cannot be asked, this process keeps to its share) or shared
  log_dropped,      ///< records given up because the sink was slow: count
};

/// What a record may hold; nothing else is ever written. The comments name the ECS field.
enum class LogField {
  outcome,            ///< word: event.outcome, success or failure
  duration_ns,        ///< number: event.duration
  error_code,         ///< word: error.code
  result,             ///< word: deepseek.outcome, see Outcome
  operation,          ///< word: gen_ai.operation.name
  model,              ///< name: gen_ai.request.model
  input_tokens,       ///< number: gen_ai.usage.input_tokens
  output_tokens,      ///< number: gen_ai.usage.output_tokens
  cached_tokens,      ///< number: deepseek.tokens.cached, of the input
  reasoning_tokens,   ///< number: deepseek.tokens.reasoning, of the output
  status_code,        ///< number: http.response.status_code
  http_version,       ///< number: http.version, 10, 11 or 20
  body_bytes,         ///< number: http.response.body.bytes
  request_id,         ///< id: http.request.id, as the service named it
  server_address,     ///< name: server.address
  server_port,        ///< number: server.port
  trace_id,           ///< id: trace.id
  span_id,            ///< id: span.id
  streamed,           ///< flag: deepseek.stream
  attempt,            ///< number: deepseek.attempt, from 1
  attempts,           ///< number: deepseek.attempts
  retries,            ///< number: deepseek.retries
  failovers,          ///< number: deepseek.failovers
  hedges,             ///< number: deepseek.hedges
  resumed,            ///< number: deepseek.resumed, times that an answer broke off and was gone on with
  cache_level,        ///< word: deepseek.cache
  degraded,           ///< word: deepseek.degraded
  first_token_ns,     ///< number: deepseek.first_token
  reused_connection,  ///< flag: deepseek.reused_connection
  wait_ns,            ///< number: deepseek.wait, for this client's own limits
  cost,               ///< decimal: deepseek.cost
  currency,           ///< word: deepseek.currency
  state,              ///< word: deepseek.state
  count,              ///< number: deepseek.count
};

/// One thing that happened. Texts are borrowed until the sink's write() returns. What does not fit its field (a number
/// in a word's place, a text that is more than a word, name or id) is withheld when the record is written, and counted
/// in deepseek.withheld. Cheap to make: no allocation, no formatting.
class LogRecord {
 public:
  static constexpr std::size_t most_fields = 32;

  enum class Kind { number, decimal, flag, text };
  struct Item {
    struct Chars {
      const char* data;
      std::size_t size;
    };
    LogField field;
    Kind kind;
    union {
      std::int64_t number;  ///< a flag too
      double decimal;
      Chars chars;
    };
    std::string_view text() const { return {chars.data, chars.size}; }
  };

  LogRecord(LogLevel level, LogEvent event, WallTime time) : time_(time), level_(level), event_(event) {}

  LogLevel level() const noexcept { return level_; }
  LogEvent event() const noexcept { return event_; }
  WallTime time() const noexcept { return time_; }
  const Item* begin() const noexcept { return items_; }
  const Item* end() const noexcept { return items_ + size_; }

  LogRecord& number(LogField field, std::int64_t value) noexcept {
    if (Item* item = next(field, Kind::number)) item->number = value;
    return *this;
  }
  LogRecord& decimal(LogField field, double value) noexcept {
    if (Item* item = next(field, Kind::decimal)) item->decimal = value;
    return *this;
  }
  LogRecord& flag(LogField field, bool value) noexcept {
    if (Item* item = next(field, Kind::flag)) item->number = value ? 1 : 0;
    return *this;
  }
  /// Nothing is added for an empty text.
  LogRecord& text(LogField field, std::string_view value) noexcept {
    if (value.empty()) return *this;
    if (Item* item = next(field, Kind::text)) item->chars = {value.data(), value.size()};
    return *this;
  }

 private:
  Item* next(LogField field, Kind kind) noexcept {
    if (size_ == most_fields) return nullptr;
    items_[size_].field = field;
    items_[size_].kind = kind;
    return &items_[size_++];
  }

  WallTime time_;
  LogLevel level_;
  LogEvent event_;
  std::size_t size_ = 0;
  Item items_[most_fields];  // set up to size_
};

/// The level's word in ECS, for example "warn".
const char* to_string(LogLevel level) noexcept;
/// The event's word, for example "call_end".
const char* to_string(LogEvent event) noexcept;

/// The record as one line of JSON in ECS fields, `@timestamp` first, with a line feed at the end.
void append_json_line(std::string& text, const LogRecord& record);

/// Takes records. write() is called from the loops of clients, from threads whose call is refused before it is sent,
/// and from those that fetch tokens: several at once. It must not block, must not throw, and must not keep the record.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(const LogRecord& record) noexcept = 0;
};

/// Takes records and forgets them.
std::shared_ptr<LogSink> make_null_log();

/// Hands records to `take`, as LogSink::write() says. What it throws is swallowed.
std::shared_ptr<LogSink> make_callback_log(Function<void(const LogRecord&)> take);

struct LogFileOptions {
  /// The file is moved to FILE.1 before it would grow beyond this. 0: never. Bytes.
  std::uint64_t max_bytes = 64ull * 1024 * 1024;
  /// How many moved files are kept: FILE.1 is the newest. 0 to 1000.
  int keep = 5;
  /// Lines that may wait for the disk. Beyond that records are dropped and counted. Bytes, at least 4096.
  std::uint64_t queue_bytes = 4ull * 1024 * 1024;
};

/// What became of the records so far.
struct LogFileCounts {
  std::uint64_t written = 0;    ///< records
  std::uint64_t dropped = 0;    ///< records: the queue was full, or the process is a fork of the one that opened it
  std::uint64_t errors = 0;     ///< failed writes and moves; a write is tried again every second
  std::uint64_t rotations = 0;  ///< by this process
};

/// Appends JSON lines to a file. write() formats and queues; one thread, started by the first record, does the disk's
/// work, so a slow or full disk never holds a client up. Lines are whole even if several processes share the file; a
/// file that somebody else moved away is opened anew. Mode 0640. In a forked child it drops everything: open another.
class LogFile final : public LogSink {
 public:
  static Result<std::shared_ptr<LogFile>> open(const std::string& path, const LogFileOptions& options = {});
  /// Writes what is queued, for at most 2 s.
  ~LogFile() override;
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  void write(const LogRecord& record) noexcept override;
  /// Waits until all records so far are written; false if that takes longer than `wait`.
  bool flush(std::chrono::milliseconds wait);
  LogFileCounts counts() const;

 private:
  struct State;
  explicit LogFile(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/log.ipp>
#endif
