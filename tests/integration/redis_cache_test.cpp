// The Redis level against a real redis-server, and against servers that are none.
#include "support/catch.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <atomic>
#include <mutex>
#include <thread>

#include <deepseek/client.hpp>
#include <deepseek/component/redis.hpp>
#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/detail/cache_entry.hpp>

#include "component/redis/connection.hpp"
#include "integration/redis_server.hpp"
#include "support/scripted_transport.hpp"

using namespace deepseek;
using namespace deepseek_tests;
using namespace std::chrono_literals;
using deepseek::detail::RedisConnection;
using deepseek::detail::RedisReply;

namespace {

CacheEntryPtr entry_of(std::string_view key, const std::string& frame, std::chrono::seconds life = 100s) {
  CacheEntryWriter writer;
  writer.add(frame);
  const WallTime now = std::chrono::system_clock::now();
  return writer.finish(key, {now, now + life, now + life});
}

std::string frame_of(const CacheEntryPtr& entry) {
  if (!entry) return "(none)";
  std::string_view frame;
  deepseek::detail::CacheFrames(*entry).next(frame);
  return std::string(frame);
}

/// Collects notices from any thread.
struct Notices {
  CacheNotice sink() {
    return [this](std::string_view level, std::string_view text) {
      const std::lock_guard<std::mutex> lock(mutex);
      all.push_back(std::string(level) + ": " + std::string(text));
    };
  }
  bool mention(const std::string& word) const {
    const std::lock_guard<std::mutex> lock(mutex);
    return std::any_of(all.begin(), all.end(),
                       [&](const std::string& text) { return text.find(word) != std::string::npos; });
  }
  mutable std::mutex mutex;
  std::vector<std::string> all;
};

/// One client's hand on a store, with a loop of its own.
struct Hand {
  explicit Hand(const std::shared_ptr<CacheStore>& its_store, CacheNotice notice = nullptr) : store(its_store) {
    REQUIRE_FALSE(store->check());
    session = store->open(loop.loop(), notice);
  }
  ~Hand() {
    loop.stop();
    session->flush(2s);
  }
  void put(const std::string& key, const std::string& frame, std::chrono::seconds life = 100s) {
    loop.run([&] { session->put(key, entry_of(key, frame, life)); });
  }
  std::string get(const std::string& key) {
    CacheEntryPtr found;
    loop.until_done([&](auto done) {
      session->find(key, [&found, done](CacheEntryPtr entry) {
        found = std::move(entry);
        done();
      });
    });
    return frame_of(found);
  }
  bool comes(const std::string& key, const std::string& frame) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (std::chrono::steady_clock::now() < until)
      if (get(key) == frame) return true;
    return false;
  }
  TestLoop loop;
  std::shared_ptr<CacheStore> store;
  std::unique_ptr<CacheSession> session;
};

RedisCacheOptions patient() {
  RedisCacheOptions options;
  options.lookup_timeout = 5s;
  return options;
}

/// A connection with a loop of its own.
struct Talker {
  explicit Talker(const RedisServer& server) : connection(server, loop.loop(), nullptr) {}
  ~Talker() { loop.stop(); }
  RedisReply ask(const std::vector<std::string_view>& words) {
    Result<RedisReply> answer = Error(ErrorCode::internal, "never answered");
    loop.until_done([&](auto done) {
      connection.command(words, loop.loop().now() + 5s, [&answer, done](Result<RedisReply> reply) {
        answer = std::move(reply);
        done();
      });
    });
    REQUIRE(answer.has_value());
    return *answer;
  }
  TestLoop loop;
  RedisConnection connection;
};

/// A server that says the same to everybody who connects, whatever he asks.
class SayingServer {
 public:
  explicit SayingServer(std::string text, bool closes = false) : text_(std::move(text)), closes_(closes) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at);
    ::listen(listener_, 16);
    socklen_t size = sizeof at;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~SayingServer() {
    stop_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  RedisServer server() const {
    RedisServer server;
    server.port = port_;
    server.connect_timeout = 1s;
    return server;
  }
  int connections() const { return connections_; }

 private:
  void serve() {
    while (!stop_) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      ++connections_;
      char buffer[1024];
      if (::recv(fd, buffer, sizeof buffer, 0) > 0) {
        for (std::size_t at = 0; at < text_.size();) {
          const ssize_t sent = ::send(fd, text_.data() + at, text_.size() - at, MSG_NOSIGNAL);
          if (sent <= 0) break;
          at += static_cast<std::size_t>(sent);
        }
        // Until the other side has had enough.
        while (!closes_ && !stop_ && ::recv(fd, buffer, sizeof buffer, 0) > 0) {
        }
      }
      ::close(fd);
    }
  }
  std::string text_;
  bool closes_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<int> connections_{0};
  std::thread thread_;
};

}  // namespace

#define NEED_REDIS() \
  if (!RealRedis::installed()) SKIP_TEST("redis-server is not installed")

TEST_CASE("addresses of Redis are read or refused", "[redis]") {
  const auto read = [](std::string_view text) { return redis_server(text).value(); };
  REQUIRE(read("redis://127.0.0.1:6379/0").port == 6379);
  const RedisServer full = read("redis://us%65r:p%40ss%2f@redis.example:7000/12");
  REQUIRE(full.host == "redis.example");
  REQUIRE(full.port == 7000);
  REQUIRE(full.user == "user");
  REQUIRE(full.password == Secret(std::string("p@ss/")));
  REQUIRE(full.database == 12);
  REQUIRE_FALSE(full.tls);
  REQUIRE(read("rediss://:secret@host").tls);
  REQUIRE(read("rediss://:secret@host").user.empty());
  REQUIRE(read("rediss://:secret@host").password == Secret(std::string("secret")));
  REQUIRE(read("redis://[::1]:7000").host == "::1");
  REQUIRE(read("redis://[::1]").port == 6379);
  REQUIRE(read("redis://host/").database == 0);
  REQUIRE(read("unix:///run/redis.sock").unix_socket == "/run/redis.sock");
  REQUIRE(read("unix://u:p@/run/redis.sock?db=3").database == 3);
  REQUIRE(read("unix://u:p@/run/redis.sock?db=3").user == "u");
  const auto bad = GENERATE(values<const char*>({"",
                                                 "redis:",
                                                 "http://h",
                                                 "redis://",
                                                 "redis://:70000",
                                                 "redis://h:0",
                                                 "redis://h:70000",
                                                 "redis://h:x",
                                                 "redis://h/x",
                                                 "redis://h/-1",
                                                 "redis://a:b:c",
                                                 "redis://[::1",
                                                 "redis://[::1]x",
                                                 "redis://u:%zz@h",
                                                 "redis://u:%4@h",
                                                 "unix://relative",
                                                 "unix://",
                                                 "unix:///s?x=1",
                                                 "redis://h\r\n",
                                                 "rediss://u@h:1:2"}));
  INFO(bad);
  const auto refused = redis_server(bad);
  REQUIRE_FALSE(refused.has_value());
  REQUIRE(refused.error().code() == ErrorCode::invalid_options);
  REQUIRE(redis(bad)->check()->code() == ErrorCode::invalid_options);
}

TEST_CASE("options of the Redis level that make no sense are named", "[redis]") {
  const auto refused = [](auto change) {
    RedisServer server;
    RedisCacheOptions options;
    change(server, options);
    const auto error = redis(server, options)->check();
    return error && error->code() == ErrorCode::invalid_options;
  };
  REQUIRE_FALSE(refused([](auto&, auto&) {}));
  REQUIRE(refused([](auto& s, auto&) { s.port = 0; }));
  REQUIRE(refused([](auto& s, auto&) { s.host.clear(); }));
  REQUIRE(refused([](auto& s, auto&) { s.database = -1; }));
  REQUIRE(refused([](auto& s, auto&) { s.user = "u"; }));
  REQUIRE(refused([](auto& s, auto&) { s.connect_timeout = 0ms; }));
  REQUIRE(refused([](auto&, auto& o) { o.lookup_timeout = 0ms; }));
  REQUIRE(refused([](auto&, auto& o) { o.lookup_timeout = 1min; }));
  REQUIRE(refused([](auto&, auto& o) { o.max_unsent_bytes = 0; }));
  REQUIRE(refused([](auto& s, auto&) {
    s.tls = true;
    s.tls_options.ca_file = "/does/not/exist.pem";
  }));
  REQUIRE(refused([](auto& s, auto&) {
    s.tls = true;
    s.tls_options.pinned_public_key = "sha256//AAAA";
  }));
}

TEST_CASE("entries go to Redis and come back", "[redis]") {
  NEED_REDIS();
  const auto kind = GENERATE(RealRedis::Kind::plain, RealRedis::Kind::tls, RealRedis::Kind::acl);
  RealRedis server(kind);
  INFO(server.log());
  REQUIRE(server.up());
  RedisServer where = redis_server(server.address()).value();
  where.tls_options.ca_file = kind == RealRedis::Kind::tls ? server.ca_file() : "";
  if (kind == RealRedis::Kind::acl) {
    where.user = "cache";
    where.password = Secret(std::string("se%cret@:/"));
  }
  const bool by_socket = kind != RealRedis::Kind::tls && GENERATE(false, true);
  if (by_socket) where.unix_socket = server.socket();

  const auto store = redis(where, patient());
  Notices notices;
  const std::string large(3'000'000, 'L');
  {
    Hand hand(store, notices.sink());
    REQUIRE(hand.get("model:m:query:a:1") == "(none)");
    hand.put("model:m:query:a:1", "answer");
    REQUIRE(hand.get("model:m:query:a:1") == "answer");
    hand.put("model:m:query:b:1", large);
    REQUIRE(hand.get("model:m:query:b:1") == large);
    hand.put("model:m:query:a:1", std::string("\0\r\n$-1", 7));
    REQUIRE(hand.get("model:m:query:a:1") == std::string("\0\r\n$-1", 7));
    hand.put("model:m:query:c:1", "put last");  // and then the client goes
  }
  {
    Hand other(store);
    REQUIRE(other.get("model:m:query:c:1") == "put last");
  }
  const CacheStats stats = store->stats();
  REQUIRE(stats.hits == 4);
  REQUIRE(stats.misses == 1);
  REQUIRE(stats.failures == 0);
  REQUIRE(stats.writes == 4);
  REQUIRE(stats.dropped_writes == 0);
  REQUIRE(notices.all.empty());
  if (kind == RealRedis::Kind::acl) return;  // its user may not SCAN all

  Talker talker(where);
  REQUIRE(talker.ask({"SET", "somebody:else", "1"}).text == "OK");
  REQUIRE(store->clear().value() == 3);
  REQUIRE(talker.ask({"GET", "somebody:else"}).text == "1");
  Hand hand(store);
  REQUIRE(hand.get("model:m:query:a:1") == "(none)");
}

TEST_CASE("an entry in Redis ends with its time, and is read only if whole", "[redis]") {
  NEED_REDIS();
  RealRedis server;
  REQUIRE(server.up());
  RedisServer where = redis_server(server.address() + "/3").value();
  RedisCacheOptions options = patient();
  options.prefix = "app[1]:";
  const auto store = redis(where, options);
  Hand hand(store);
  hand.put("model:m:query:k:1", "answer", 50s);
  REQUIRE(hand.get("model:m:query:k:1") == "answer");
  Talker talker(where);
  const auto left = talker.ask({"PTTL", "app[1]:model:m:query:k:1"});
  REQUIRE(left.integer > 40'000);
  REQUIRE(left.integer <= 50'000);
  hand.put("model:m:query:dead:1", "answer", -5s);
  REQUIRE(hand.get("model:m:query:dead:1") == "(none)");
  REQUIRE(talker.ask({"DBSIZE"}).integer == 1);

  const std::string good = talker.ask({"GET", "app[1]:model:m:query:k:1"}).text;
  for (const std::string& bad : {good.substr(0, good.size() - 1), std::string("hello"), std::string(), good + "x"}) {
    REQUIRE(talker.ask({"SET", "app[1]:model:m:query:k:1", bad}).text == "OK");
    REQUIRE(hand.get("model:m:query:k:1") == "(none)");
  }
  REQUIRE(talker.ask({"LPUSH", "app[1]:model:m:query:list:1", "x"}).integer == 1);
  REQUIRE(hand.get("model:m:query:list:1") == "(none)");
  REQUIRE(store->stats().failures == 5);
  REQUIRE(store->clear().value() == 2);
}

TEST_CASE("who may not enter gets nothing, and is told so without the password", "[redis]") {
  NEED_REDIS();
  RealRedis server(RealRedis::Kind::acl);
  REQUIRE(server.up());
  RedisServer where = redis_server(server.address()).value();
  Notices notices;
  SECTION("a wrong password") {
    where.user = "cache";
    where.password = Secret(std::string("hunter2"));
    Hand hand(redis(where, patient()), notices.sink());
    REQUIRE(hand.get("model:k") == "(none)");
    REQUIRE(notices.mention("password is wrong"));
  }
  SECTION("none at all") {
    Hand hand(redis(where, patient()), notices.sink());
    REQUIRE(hand.get("model:k") == "(none)");
    REQUIRE(notices.mention("wants a password"));
  }
  SECTION("a user for other keys") {
    where.user = "blind";
    where.password = Secret(std::string("pass"));
    const auto store = redis(where, patient());
    Hand hand(store, notices.sink());
    hand.put("model:k", "x");
    REQUIRE(hand.get("model:k") == "(none)");
    REQUIRE(store->stats().failures == 1);
    REQUIRE(store->stats().dropped_writes == 1);
  }
  REQUIRE_FALSE(notices.mention("hunter2"));
}

TEST_CASE("Redis over TLS is verified", "[redis]") {
  NEED_REDIS();
  RealRedis server(RealRedis::Kind::tls);
  REQUIRE(server.up());
  RedisServer where = redis_server(server.address()).value();
  Notices notices;
  SECTION("an unknown authority") {
    Hand hand(redis(where, patient()), notices.sink());
    REQUIRE(hand.get("model:k") == "(none)");
    REQUIRE(notices.mention("certificate is not accepted"));
  }
  SECTION("an address that stands in the certificate, and a newer TLS") {
    where.tls_options.ca_file = server.ca_file();
    where.tls_options.require_tls13 = true;
    where.host = "127.0.0.1";
    Hand hand(redis(where, patient()), notices.sink());
    hand.put("model:k", "x");
    REQUIRE(hand.get("model:k") == "x");
  }
  SECTION("TLS to a port without") {
    RealRedis plain;
    REQUIRE(plain.up());
    where.port = plain.port();
    Hand hand(redis(where, patient()), notices.sink());
    REQUIRE(hand.get("model:k") == "(none)");
    REQUIRE(notices.mention("away"));
  }
}

TEST_CASE("a name is looked up, and one that does not exist costs nothing but misses", "[redis]") {
  NEED_REDIS();
  RealRedis server;
  REQUIRE(server.up());
  RedisServer where;
  where.port = server.port();
  where.host = "localhost";
  Hand hand(redis(where, patient()));
  hand.put("model:k", "x");
  REQUIRE(hand.get("model:k") == "x");
  where.host = "no-such-host.invalid";
  Notices notices;
  Hand other(redis(where, patient()), notices.sink());
  REQUIRE(other.get("model:k") == "(none)");
  REQUIRE(notices.mention("cannot be resolved"));
}

TEST_CASE("many commands at once keep their order", "[redis]") {
  NEED_REDIS();
  RealRedis server;
  REQUIRE(server.up());
  Talker talker(redis_server(server.address()).value());
  constexpr int count = 2000;
  std::vector<std::string> answers;
  talker.loop.until_done([&](auto done) {
    for (int i = 0; i < count; ++i) {
      talker.connection.command({"ECHO", std::to_string(i)}, talker.loop.loop().now() + 5s,
                                [&, done](Result<RedisReply> reply) {
                                  answers.push_back(reply ? reply->text : "error");
                                  if (answers.size() == count) done();
                                });
    }
    REQUIRE(answers.empty());
  });
  for (int i = 0; i < count; ++i) REQUIRE(answers[static_cast<std::size_t>(i)] == std::to_string(i));

  const auto script = talker.ask({"EVAL", "return {1, {'a', false}, redis.error_reply('NO way')}", "0"});
  REQUIRE(script.elements.size() == 3);
  REQUIRE(script.elements[0].integer == 1);
  REQUIRE(script.elements[1].elements[0].text == "a");
  REQUIRE(script.elements[1].elements[1].kind == RedisReply::Kind::nil);
  REQUIRE(script.elements[2].is_error());
  REQUIRE(talker.ask({"EVALSHA", "ffffffffffffffffffffffffffffffffffffffff", "0"}).text.rfind("NOSCRIPT", 0) == 0);
}

TEST_CASE("a server killed in mid-flight: misses at once, then back", "[redis]") {
  NEED_REDIS();
  RealRedis server;
  REQUIRE(server.up());
  Notices notices;
  const auto store = redis(redis_server(server.address()).value(), patient());
  Hand hand(store, notices.sink());
  hand.put("model:k", "x");
  REQUIRE(hand.get("model:k") == "x");

  // Lookups are on their way when it goes.
  constexpr int count = 50;
  int answered = 0;
  server.freeze();
  hand.loop.until_done([&](auto done) {
    for (int i = 0; i < count; ++i)
      hand.session->find("model:k", [&, done](CacheEntryPtr entry) {
        REQUIRE_FALSE(entry);
        if (++answered == count) done();
      });
    server.kill();
  });
  REQUIRE(answered == count);
  REQUIRE(notices.mention("Redis is away"));

  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) REQUIRE(hand.get("model:k") == "(none)");
  REQUIRE(std::chrono::steady_clock::now() - before < 1s);  // nobody waits for what is known to be away

  REQUIRE(server.start());
  REQUIRE(hand.loop.await([&] { return notices.mention("Redis is back"); }));
  hand.put("model:k", "y");
  REQUIRE(hand.get("model:k") == "y");
}

TEST_CASE("a server that hangs holds a lookup up for its deadline, and only one", "[redis]") {
  NEED_REDIS();
  RealRedis server;
  REQUIRE(server.up());
  RedisCacheOptions options;
  options.lookup_timeout = 100ms;
  Hand hand(redis(redis_server(server.address()).value(), options));
  hand.put("model:k", "x");
  REQUIRE(hand.comes("model:k", "x"));
  server.freeze();
  const auto before = std::chrono::steady_clock::now();
  REQUIRE(hand.get("model:k") == "(none)");
  const auto first = std::chrono::steady_clock::now() - before;
  REQUIRE(first >= 99ms);
  REQUIRE(first < 5s);  // the machine may be busy
  const auto later = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) REQUIRE(hand.get("model:k") == "(none)");
  REQUIRE(std::chrono::steady_clock::now() - later < 5s);  // one deadline each would be ten
  server.thaw();
  REQUIRE(hand.comes("model:k", "x"));
}

TEST_CASE("a server that closes idle connections costs no miss", "[redis]") {
  NEED_REDIS();
  RealRedis server;
  REQUIRE(server.up());
  const RedisServer where = redis_server(server.address()).value();
  Hand hand(redis(where, patient()));
  hand.put("model:k", "x");
  REQUIRE(hand.get("model:k") == "x");
  Talker talker(where);
  REQUIRE_FALSE(talker.ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}).is_error());
  TestLoop().await(
      [until = std::chrono::steady_clock::now() + 600ms] { return std::chrono::steady_clock::now() > until; });
  REQUIRE(hand.get("model:k") == "x");
}

TEST_CASE("what is no Redis is an error, never more", "[redis]") {
  struct Row {
    const char* name;
    std::string text;
    bool closes;
  };
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "*1\r\n";
  const Row rows[] = {
      {"HTTP", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", true},
      {"nothing", "", true},
      {"silence", "", false},
      {"binary", std::string("\0\xFF\x16\x03\x01\x02", 6) + std::string(5000, '\xA5'), false},
      {"a huge array", "*2147483647\r\n", false},
      {"a large array", "+PONG\r\n*9999999\r\n", false},
      {"a bad length", "$-7\r\n", false},
      {"a length beyond all", "$9223372036854775807\r\nabc", false},
      {"a number that is none", ":12x\r\n", false},
      {"a nest too deep", deep, false},
      {"half a reply", "$10\r\nabc", true},
      {"more than asked", "+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n", false},
      {"pong, then garbage", "+PONG\r\n\x01\x02\x03", false},
      {"a line without end", "+" + std::string(200'000, 'x'), false},
      {"an echo of secrets", "-ERR unknown command 'AUTH', with args: 'hunter2'\r\n", false},
      {"another kind of reply", "+PONG\r\n*2\r\n:1\r\n:2\r\n", false},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    SayingServer saying(row.text, row.closes);
    RedisServer where = saying.server();
    where.user = "u";
    where.password = Secret(std::string("hunter2"));
    if (std::string(row.name) != "an echo of secrets") where.user.clear(), where.password = Secret();
    RedisCacheOptions options;
    options.lookup_timeout = 300ms;
    Notices notices;
    Hand hand(redis(where, options), notices.sink());
    for (int i = 0; i < 3; ++i) REQUIRE(hand.get("model:k") == "(none)");
    hand.loop.run([&] { hand.session->put("model:k", entry_of("model:k", "x")); });
    REQUIRE_FALSE(notices.mention("hunter2"));
    REQUIRE(saying.connections() >= 1);
  }
}

TEST_CASE("a reply larger than allowed breaks the connection", "[redis]") {
  NEED_REDIS();
  RealRedis server;
  REQUIRE(server.up());
  const RedisServer where = redis_server(server.address()).value();
  TestLoop loop;
  RedisConnection::Limits limits;
  limits.reply_bytes = 100'000;
  RedisConnection connection(where, loop.loop(), nullptr, limits);
  const std::string large(200'000, 'x');
  bool failed = false;
  loop.until_done([&](auto done) {
    connection.command({"ECHO", large}, loop.loop().now() + 5s, [&failed, done](Result<RedisReply> reply) {
      failed = !reply;
      done();
    });
  });
  REQUIRE(failed);
}

TEST_CASE("a client is answered from Redis, across processes' worth of clients", "[redis]") {
  NEED_REDIS();
  RealRedis server;
  REQUIRE(server.up());
  const auto transport = std::make_shared<ScriptedTransport>();
  transport->answer({stream_event(R"({"role":"assistant","content":"Hel"})"), stream_event(R"({"content":"lo"})"),
                     stream_event(R"({"content":""})", "stop"), "[DONE]"});
  const auto make = [&](const std::shared_ptr<ScriptedTransport>& its_transport,
                        const std::shared_ptr<CacheStore>& store) {
    ClientOptions options;
    options.endpoints = {{"https://api.deepseek.com", api_key("test-key")}};
    options.transport = its_transport;
    options.cache.redis = store;
    return DeepSeekClient::create(std::move(options)).value();
  };
  const auto read = [](const DeepSeekClient& client) {
    Stream stream = client.stream("hi");
    std::vector<std::string> pieces;
    for (const ChatChunk& chunk : stream) pieces.emplace_back(chunk.content());
    const auto result = stream.result();
    REQUIRE(result.has_value());
    pieces.push_back(result->info.cache);
    return pieces;
  };
  std::vector<std::string> first;
  {
    const auto client = make(transport, redis(server.address(), patient()));
    first = read(client);
  }
  const auto silent = std::make_shared<ScriptedTransport>();
  const auto store = redis("unix://" + server.socket(), patient());
  const auto client = make(silent, store);
  REQUIRE(first.back() == "miss");
  first.back() = "redis";
  REQUIRE(read(client) == first);
  REQUIRE(silent->requests().empty());
  REQUIRE(store->stats().hits == 1);
}

TEST_CASE("threads that wait for calls of one client are all answered from Redis", "[redis][concurrent]") {
  NEED_REDIS();
  RealRedis server;
  REQUIRE(server.up());
  const auto transport = std::make_shared<ScriptedTransport>();
  transport->answer(reply_body(R"({"role":"assistant","content":"kept"})"));
  ClientOptions options;
  options.endpoints = {{"https://api.deepseek.com", api_key("test-key")}};
  options.transport = transport;
  options.cache.redis = redis("unix://" + server.socket(), patient());
  const DeepSeekClient client = DeepSeekClient::create(options).value();
  REQUIRE(client.chat("hi").value().content() == "kept");
  std::atomic<int> answered{0};
  const auto ask = [&] {
    for (int i = 0; i < 50; ++i) {
      const auto reply = client.chat("hi");
      if (reply && reply->content() == "kept" && reply->info.cache == "redis") ++answered;
    }
  };
  ask();
  CHECK(answered == 50);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(ask);
  for (auto& thread : threads) thread.join();
  CHECK(answered == 200);
  CHECK(transport->requests().size() == 1);
}
