// What a cache hit costs, from the call to its end, for a request of 1 KB and an answer of 4 KB.
//
//   bench_cache [ROUNDS] [--folder DIR] [--redis ADDRESS] [--only NAME]
//
// Prints one line per row: its name, nanoseconds per hit (the best of the rounds) and what it is. With --only and
// ROUNDS 1 it does as little else as it can, for a tool that counts instructions.
#include <hiredis/hiredis.h>
#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/component/redis.hpp>
#include <deepseek/component/sqlite.hpp>
#include <deepseek/core/detail/reactor.hpp>
#include <deepseek/model/detail/codec.hpp>
#include <deepseek/model/detail/request_codec.hpp>
#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/detail/cache_entry.hpp>
#include <deepseek/policy/detail/cache_key.hpp>
#include <deepseek/policy/pipeline.hpp>

namespace {

using namespace deepseek;
using Steady = std::chrono::steady_clock;

constexpr std::chrono::hours day(24);

const std::string request_body =
    R"({"model":"deepseek-flash","messages":[{"role":"system","content":"You are terse."},{"role":"user","content":")" +
    std::string(900, 'q') + R"("}],"temperature":0.2,"max_tokens":512})";
const std::string reply_body =
    R"({"id":"r","object":"chat.completion","created":1,"model":"deepseek-flash","choices":[{"index":0,"finish_reason":"stop","logprobs":null,"message":{"role":"assistant","content":")" +
    std::string(3800, 'a') + R"("}}],"usage":{"prompt_tokens":250,"completion_tokens":900,"total_tokens":1150}})";

/// Answers what no cache did, once.
struct OneAnswer final : Transport {
  void attach(Loop&) override {}
  void start(CallPtr call, SinkPtr sink) override {
    const FrameKind kind = call->decoder->inspect(reply_body);
    sink->on_frame({reply_body, kind, false});
    sink->on_end(call->decoder->conclude(true));
  }
};

struct Ending final : CallSink {
  void on_frame(const Frame& frame) override { bytes += frame.data.size(); }
  void on_end(std::optional<Error> error) override {
    failed = failed || error;
    ended = true;
    if (then) then();
  }
  std::size_t bytes = 0;
  bool ended = false;
  bool failed = false;
  Function<void()> then;
};

CallPtr make_call() {
  auto call = std::make_shared<Call>();
  call->operation.name = "chat";
  call->operation.path = "/chat/completions";
  call->body = request_body;
  call->model = "deepseek-flash";
  call->codec = &detail::chat_request_codec();
  call->decoder = detail::make_reply_decoder(false);
  return call;
}

struct Bench {
  explicit Bench(const CacheOptions& options)
      : reactor(std::make_shared<detail::Reactor>(std::make_shared<Clock>())),
        pipeline(std::make_unique<Pipeline>(std::vector<std::shared_ptr<Policy>>{make_cache_policy(
                                                options, {"https://api.deepseek.com"}, std::make_shared<Clock>())},
                                            std::make_shared<OneAnswer>(), *reactor)) {}
  ~Bench() {
    reactor->stop();
    pipeline.reset();
  }
  /// One call on the loop, as a waiting thread makes it.
  bool one(const CallPtr& call, std::string_view level) {
    const auto sink = std::make_shared<Ending>();
    detail::Waiter waiter;
    sink->then = [this, &waiter] { reactor->signal(waiter); };
    reactor->post_before_wait([&] { pipeline->start(call, sink); });
    reactor->wait(waiter);
    return !sink->failed && call->facts.cache_level == level;
  }
  std::shared_ptr<detail::Reactor> reactor;
  std::unique_ptr<Pipeline> pipeline;
};

struct Settings {
  int rounds = 30;
  std::string only;
  std::string folder;
  std::string redis;
};

/// One line of the table: nanoseconds of one `work`, the best of the rounds. `prepare` makes what each needs and is not
/// counted.
struct Row {
  const char* name;
  const char* what;
  double best = 1e18;

  template <class Prepare, class Work>
  void round(const Settings& settings, int count, Prepare prepare, Work work) {
    if (!settings.only.empty() && settings.only != name) return;
    auto all = prepare(count);
    const auto before = Steady::now();
    for (auto& one : all) {
      if (!work(one)) {
        std::fprintf(stderr, "bench_cache: %s failed\n", name);
        std::exit(1);
      }
      one = {};  // a program gives its memory back too; else each answer would be paid with a page fault
    }
    best = std::min(best, std::chrono::duration<double, std::nano>(Steady::now() - before).count() / count);
  }
  void print() const {
    if (best < 1e18) std::printf("%-16s %9.0f ns  %s\n", name, best, what);
  }
};

template <class Prepare, class Work>
void measure(const Settings& settings, const char* name, const char* what, int count, Prepare prepare, Work work) {
  Row row{name, what};
  for (int round = 0; round < settings.rounds; ++round) row.round(settings, count, prepare, work);
  row.print();
}

std::vector<CallPtr> calls(int count) {
  std::vector<CallPtr> all;
  for (int i = 0; i < count; ++i) all.push_back(make_call());
  return all;
}

std::vector<int> numbers(int count) { return std::vector<int>(static_cast<std::size_t>(count)); }

void local_levels(const Settings& settings) {
  CacheOptions options;
  options.memory_bytes = 16 * 1024 * 1024;
  const auto find = [&](const std::shared_ptr<CacheStore>& store, const char* name, int count) {
    detail::CacheKeys keys(CacheDigest::sha256, {"https://api.deepseek.com"}, {});
    const auto reactor = std::make_shared<detail::Reactor>(std::make_shared<Clock>());
    const auto session = store->open(*reactor, nullptr);
    const CallPtr call = make_call();
    CacheEntryWriter writer;
    writer.add(reply_body);
    const WallTime now = std::chrono::system_clock::now();
    session->put(keys.key_of(*call), writer.finish(keys.key_of(*call), {now, now + day, now + day}));
    session->flush(std::chrono::seconds(5));
    measure(settings, name, "key and lookup alone", count, numbers,
            [&](int) { return session->find(keys.key_of(*call)) != nullptr; });
    reactor->stop();
  };
  find(memory_store(options.memory_bytes), "memory_find", 20'000);
  const auto row = [&](const CacheOptions& with, const char* name, const char* level, const char* what, int count) {
    Bench bench(with);
    bench.one(make_call(), level);  // kept
    const auto sink = std::make_shared<Ending>();
    measure(settings, name, what, count, calls, [&](const CallPtr& call) {
      bench.pipeline->start(call, sink);
      return !sink->failed && call->facts.cache_level == level;
    });
  };
  row(options, "memory", "memory", "hit: key, lookup, answer decoded, end", 1'000);
  if (settings.folder.empty()) return;
  CacheOptions disk;
  disk.disk = sqlite(settings.folder);
  find(disk.disk, "disk_find", 5'000);
  {
    Bench warm(disk);
    warm.one(make_call(), "disk");
  }
  row(disk, "disk", "disk", "hit: key, lookup, answer decoded, end", 1'000);
  DiskCacheOptions secret;
  secret.keys = {{1, Secret(std::string(32, 'k'))}};
  disk.disk = sqlite(settings.folder + "-encrypted", secret);
  {
    Bench warm(disk);
    warm.one(make_call(), "disk");
  }
  row(disk, "disk_encrypted", "disk", "the same with AES-256-GCM", 1'000);
}

void parts(const Settings& settings) {
  detail::CacheKeys keys(CacheDigest::sha256, {"https://api.deepseek.com"}, {});
  const CallPtr call = make_call();
  const std::unique_ptr<EVP_MD, void (*)(EVP_MD*)> digest(EVP_MD_fetch(nullptr, "SHA256", nullptr), EVP_MD_free);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  measure(settings, "sha256", "of 1 KB: the floor of a key", 20'000, numbers, [&](int) {
    unsigned char sum[EVP_MAX_MD_SIZE];
    return EVP_DigestInit_ex2(context.get(), digest.get(), nullptr) == 1 &&
           EVP_DigestUpdate(context.get(), request_body.data(), request_body.size()) == 1 &&
           EVP_DigestFinal_ex(context.get(), sum, nullptr) == 1;
  });
  measure(settings, "key", "of a request of 1 KB", 20'000, numbers, [&](int) { return !keys.key_of(*call).empty(); });
  measure(settings, "decode", "of an answer of 4 KB: what any reply costs", 1'000, calls, [](const CallPtr& one) {
    one->decoder->inspect(reply_body);
    return !one->decoder->conclude(true);
  });
}

void redis_level(const Settings& settings) {
  if (settings.redis.empty()) return;
  const RedisServer server = redis_server(settings.redis).value();
  CacheOptions options;
  RedisCacheOptions patient;
  patient.lookup_timeout = std::chrono::seconds(5);
  options.redis = redis(server, patient);
  Bench bench(options);
  bench.one(make_call(), "redis");
  detail::CacheKeys keys(CacheDigest::sha256, {"https://api.deepseek.com"}, {});
  const std::string key = keys.key_of(*make_call());

  const std::unique_ptr<redisContext, void (*)(redisContext*)> bare(server.unix_socket.empty()
                                                                        ? redisConnect(server.host.c_str(), server.port)
                                                                        : redisConnectUnix(server.unix_socket.c_str()),
                                                                    redisFree);
  bench.one(make_call(), "redis");
  const auto session = options.redis->open(*bench.reactor, nullptr);
  const CallPtr asked = make_call();
  // In turn, so that all see the same machine.
  Row get{"bare_get", "hiredis, blocking: GET of the same entry"};
  Row find{"redis_find", "key and lookup alone, by a waiting thread"};
  Row hit{"redis", "hit: key, lookup, answer decoded, end, by a waiting thread"};
  for (int round = 0; round < settings.rounds; ++round) {
    get.round(settings, 1'000, numbers, [&](int) {
      auto* reply = static_cast<redisReply*>(redisCommand(bare.get(), "GET %b", key.data(), key.size()));
      const bool good = reply && reply->type == REDIS_REPLY_STRING;
      freeReplyObject(reply);
      return good;
    });
    find.round(settings, 1'000, numbers, [&](int) {
      CacheEntryPtr found;
      detail::Waiter waiter;
      bench.reactor->post_before_wait([&] {
        session->find(keys.key_of(*asked), [&](CacheEntryPtr entry) {
          found = std::move(entry);
          bench.reactor->signal(waiter);
        });
      });
      bench.reactor->wait(waiter);
      return found != nullptr;
    });
    hit.round(settings, 1'000, calls, [&](const CallPtr& call) { return bench.one(call, "redis"); });
  }
  for (const Row& row : {get, find, hit}) row.print();
}

}  // namespace

int main(int count, char** words) {
  Settings settings;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const bool more = i + 1 < count;
    if (word == "--folder" && more)
      settings.folder = words[++i];
    else if (word == "--redis" && more)
      settings.redis = words[++i];
    else if (word == "--only" && more)
      settings.only = words[++i];
    else
      settings.rounds = std::max(1, std::atoi(words[i]));
  }
  parts(settings);
  local_levels(settings);
  redis_level(settings);
}
