// The cache level in Redis.
#include <deepseek/component/redis.hpp>

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "component/redis/connection.hpp"
#include "component/redis/stream.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds write_timeout{2'000};

/// What all sessions of one store count together.
struct RedisCounts {
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> misses{0};
  std::atomic<std::uint64_t> failures{0};
  std::atomic<std::uint64_t> writes{0};
  std::atomic<std::uint64_t> dropped{0};
  std::atomic<std::uint64_t> untold{0};  // of those dropped

  void drop(std::uint64_t number) {
    dropped.fetch_add(number, std::memory_order_relaxed);
    untold.fetch_add(number, std::memory_order_relaxed);
  }
};

void count(std::atomic<std::uint64_t>& number) { number.fetch_add(1, std::memory_order_relaxed); }

class RedisSession final : public CacheSession {
 public:
  RedisSession(const RedisServer& server, const RedisCacheOptions& options, Loop& loop, const CacheNotice& notice,
               std::shared_ptr<RedisCounts> counts)
      : options_(options),
        loop_(loop),
        counts_(std::move(counts)),
        connection_(server, loop, notice_of(notice), limits_of(options)) {
    connection_.connect();
  }

  bool immediate() const noexcept override { return false; }

  void find(std::string_view key, Function<void(CacheEntryPtr)> done) override {
    const std::string name = name_of(key);
    connection_.command({"GET", name}, loop_.now() + options_.lookup_timeout,
                        [this, key = std::string(key), done = std::move(done)](Result<RedisReply> reply) {
                          done(entry_of(key, std::move(reply)));
                        });
    connection_.look_out();
  }

  void put(std::string_view key, CacheEntryPtr entry) override {
    const auto left = entry->times().keep_until - std::chrono::system_clock::now();
    const auto life = std::chrono::duration_cast<milliseconds>(left).count();
    if (life <= 0) return;
    connection_.command({"SET", name_of(key), entry->bytes(), "PX", std::to_string(life)}, loop_.now() + write_timeout,
                        [counts = counts_](Result<RedisReply> reply) {
                          if (reply && !reply->is_error()) return count(counts->writes);
                          counts->drop(1);
                        });
  }

  void flush(milliseconds most) override { counts_->drop(connection_.drain(most)); }

 private:
  static RedisConnection::Notice notice_of(const CacheNotice& notice) {
    if (!notice) return nullptr;
    return [notice](std::string_view text) { notice("redis", text); };
  }
  static RedisConnection::Limits limits_of(const RedisCacheOptions& options) {
    RedisConnection::Limits limits;
    limits.unsent_bytes = options.max_unsent_bytes;
    return limits;
  }
  std::string name_of(std::string_view key) const {
    std::string name;
    name.reserve(options_.prefix.size() + key.size());
    return (name += options_.prefix) += key;
  }

  CacheEntryPtr entry_of(std::string_view key, Result<RedisReply> reply) {
    if (reply && reply->kind == RedisReply::Kind::nil) return count(counts_->misses), nullptr;
    CacheEntryPtr entry;
    if (reply && reply->kind == RedisReply::Kind::text) entry = CacheEntry::read(key, std::move(reply->text));
    if (!entry) count(counts_->failures);
    count(entry ? counts_->hits : counts_->misses);
    return entry;
  }

  const RedisCacheOptions options_;
  Loop& loop_;
  std::shared_ptr<RedisCounts> counts_;
  RedisConnection connection_;
};

/// For work without a client: whoever has it runs the tasks, and drain() does the rest.
class TaskLoop final : public Loop {
 public:
  void post(Task task) override { tasks_.push_back(std::move(task)); }
  TimerId schedule(TimePoint, Task) override { return 1; }
  void unschedule(TimerId) override {}
  TimePoint now() const override { return std::chrono::steady_clock::now(); }
  void run() {
    for (Task& task : std::exchange(tasks_, {})) task();
  }

 private:
  std::vector<Task> tasks_;
};

/// Sends one command and waits for its reply.
Result<RedisReply> ask(RedisConnection& connection, TaskLoop& loop, const std::vector<std::string_view>& words) {
  Result<RedisReply> answer = Error(ErrorCode::connect_failed, "Redis cannot be reached");
  connection.command(words, TimePoint::max(), [&answer](Result<RedisReply> reply) { answer = std::move(reply); });
  connection.drain(milliseconds(5'000));
  loop.run();
  if (answer && answer->is_error()) return Error(ErrorCode::unsupported, "Redis refuses to clear the cache");
  return answer;
}

/// Every mark of a glob pattern stands for itself.
std::string quoted_pattern(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("*?[]\\^-").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

class RedisStore final : public CacheStore {
 public:
  RedisStore(Result<RedisServer> server, RedisCacheOptions options)
      : server_(std::move(server)), options_(std::move(options)) {}

  std::string_view level() const noexcept override { return "redis"; }

  std::optional<Error> check() const override {
    if (!server_) return server_.error();
    const auto bad = [](const char* what) { return Error(ErrorCode::invalid_options, what); };
    if (server_->port < 1 || server_->port > 65'535) return bad("RedisServer::port is outside 1 ... 65535");
    if (server_->database < 0) return bad("RedisServer::database is negative");
    if (server_->unix_socket.empty() && server_->host.empty()) return bad("RedisServer::host is empty");
    if (server_->connect_timeout.count() < 1 || server_->connect_timeout > std::chrono::minutes(1))
      return bad("RedisServer::connect_timeout is outside 1 ms ... 1 min");
    if (!server_->user.empty() && server_->password.empty()) return bad("a user of Redis is named without a password");
    if (options_.lookup_timeout.count() < 1 || options_.lookup_timeout > std::chrono::seconds(10))
      return bad("RedisCacheOptions::lookup_timeout is outside 1 ms ... 10 s");
    if (options_.max_unsent_bytes < 64 * 1024) return bad("RedisCacheOptions::max_unsent_bytes is below 64 KiB");
    if (!server_->tls) return std::nullopt;
    const auto tls = RedisTls::make(server_->tls_options);
    return tls ? std::nullopt : std::optional<Error>(tls.error());
  }

  std::unique_ptr<CacheSession> open(Loop& loop, const CacheNotice& notice) override {
    return std::make_unique<RedisSession>(*server_, options_, loop, notice, counts_);
  }

  CacheStats stats() const override {
    CacheStats stats;
    stats.hits = counts_->hits.load(std::memory_order_relaxed);
    stats.misses = counts_->misses.load(std::memory_order_relaxed);
    stats.failures = counts_->failures.load(std::memory_order_relaxed);
    stats.writes = counts_->writes.load(std::memory_order_relaxed);
    stats.dropped_writes = counts_->dropped.load(std::memory_order_relaxed);
    return stats;
  }

  std::uint64_t take_dropped_writes() noexcept override {
    return counts_->untold.exchange(0, std::memory_order_relaxed);
  }

  /// Only what looks like a key of the cache: other programs' data may lie beside it.
  Result<std::uint64_t> clear() override {
    if (auto error = check()) return *error;
    TaskLoop loop;
    RedisConnection connection(*server_, loop, nullptr);
    const std::string pattern = quoted_pattern(options_.prefix) + "model:*:query:*";
    std::string cursor = "0";
    std::uint64_t cleared = 0;
    do {
      const auto page = ask(connection, loop, {"SCAN", cursor, "MATCH", pattern, "COUNT", "1000"});
      if (!page) return page.error();
      if (page->elements.size() != 2) return Error(ErrorCode::internal, "Redis answers a SCAN with something else");
      cursor = page->elements[0].text;
      std::vector<std::string_view> words = {"UNLINK"};
      for (const RedisReply& name : page->elements[1].elements) words.push_back(name.text);
      if (words.size() == 1) continue;
      const auto gone = ask(connection, loop, words);
      if (!gone) return gone.error();
      cleared += static_cast<std::uint64_t>(gone->integer);
    } while (cursor != "0");
    return cleared;
  }

 private:
  const Result<RedisServer> server_;
  const RedisCacheOptions options_;
  const std::shared_ptr<RedisCounts> counts_ = std::make_shared<RedisCounts>();
};

}  // namespace
}  // namespace detail

std::shared_ptr<CacheStore> redis(std::string_view address, RedisCacheOptions options) {
  return std::make_shared<detail::RedisStore>(redis_server(address), std::move(options));
}

std::shared_ptr<CacheStore> redis(RedisServer server, RedisCacheOptions options) {
  return std::make_shared<detail::RedisStore>(std::move(server), std::move(options));
}

DEEPSEEK_END_NAMESPACE
