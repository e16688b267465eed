// What lies in a cache: entries and their checksum, the memory store.
#include "support/catch.hpp"

#include <atomic>
#include <thread>

#include <deepseek/policy/cache_store.hpp>
#include <deepseek/policy/detail/cache_entry.hpp>

#include "support/fake_loop.hpp"

using namespace deepseek;
using namespace std::chrono_literals;

namespace {

const CacheTimes some_times{WallTime(1000h), WallTime(1001h), WallTime(1002h)};

CacheEntryPtr entry_of(std::string_view key, const std::vector<std::string>& frames) {
  CacheEntryWriter writer;
  for (const std::string& frame : frames) writer.add(frame);
  return writer.finish(key, some_times);
}

std::vector<std::string> frames_of(const CacheEntry& entry) {
  std::vector<std::string> all;
  detail::CacheFrames frames(entry);
  for (std::string_view frame; frames.next(frame);) all.emplace_back(frame);
  return all;
}

struct Memory {
  explicit Memory(std::uint64_t bytes) : store(memory_store(bytes)), session(store->open(loop, nullptr)) {}
  bool has(std::string_view key) { return session->find(key) != nullptr; }
  void put(std::string_view key, std::size_t bytes) { session->put(key, entry_of(key, {std::string(bytes, 'v')})); }
  deepseek_tests::FakeLoop loop;
  std::shared_ptr<CacheStore> store;
  std::unique_ptr<CacheSession> session;
};

}  // namespace

TEST_CASE("an entry comes back as it was, frame by frame", "[policy][cache]") {
  const std::vector<std::string> frames = {"first", "", std::string(100'000, 'x'), std::string("\0\xFF\n", 3),
                                           "[DONE]"};
  const CacheEntryPtr made = entry_of("key", frames);
  const CacheEntryPtr read = CacheEntry::read("key", made->bytes());
  REQUIRE(read);
  REQUIRE(frames_of(*read) == frames);
  REQUIRE(read->times().written == some_times.written);
  REQUIRE(read->times().fresh_until == some_times.fresh_until);
  REQUIRE(read->times().keep_until == some_times.keep_until);
  REQUIRE(frames_of(*entry_of("key", {})).empty());
}

TEST_CASE("a damaged entry is never read", "[policy][cache]") {
  const std::string good = entry_of("key", {"some frame", "another one that is a little longer", "e"})->bytes();
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      if (i == 6 || i == 7) continue;  // below
      INFO("byte " << i << " bit " << bit);
      REQUIRE_FALSE(CacheEntry::read("key", bad));
    }
  }
  for (std::size_t size = 0; size < good.size(); ++size) REQUIRE_FALSE(CacheEntry::read("key", good.substr(0, size)));
  REQUIRE_FALSE(CacheEntry::read("key", good + "x"));
  REQUIRE_FALSE(CacheEntry::read("kez", good));  // another entry's bytes
  std::string swapped = good;
  std::swap(swapped[50], swapped[60]);
  REQUIRE_FALSE(CacheEntry::read("key", swapped));
}

TEST_CASE("the checksum covers the bytes that mean nothing yet", "[policy][cache]") {
  std::string bytes = entry_of("key", {"f"})->bytes();
  bytes[6] = 1;
  REQUIRE_FALSE(CacheEntry::read("key", bytes));
}

TEST_CASE("a refusal is kept with what the service said", "[policy][cache]") {
  CacheEntryWriter writer;
  const Error error = Error(ErrorCode::bad_request, "too long", "cut it").with([](ErrorDetails& details) {
    details.http_status = 422;
    details.service = {"msg", "type", "code", "param"};
  });
  writer.add_negative(error);
  const CacheEntryPtr entry = writer.finish("key", some_times);
  REQUIRE(detail::is_negative(*entry));
  const Error back = detail::negative_error(*entry);
  REQUIRE(back.code() == ErrorCode::bad_request);
  REQUIRE(back.outcome() == Outcome::http_error);
  REQUIRE(back.http_status() == 422);
  REQUIRE(back.message() == "too long");
  REQUIRE(back.service().param == "param");
  REQUIRE_FALSE(detail::is_negative(*entry_of("key", {"f"})));
}

TEST_CASE("times say what an entry is good for", "[policy][cache]") {
  REQUIRE(some_times.fresh(WallTime(1000h)));
  REQUIRE_FALSE(some_times.fresh(WallTime(1001h)));
  REQUIRE(some_times.kept(WallTime(1001h)));
  REQUIRE_FALSE(some_times.kept(WallTime(1002h)));
  REQUIRE_FALSE(some_times.fresh(WallTime(999h)));  // the clock jumped back
  REQUIRE(some_times.fresh(WallTime(1000h) - 4min));
}

TEST_CASE("memory: the entry not used for longest goes first", "[policy][cache]") {
  Memory memory(64 * 1024);
  for (const char* key : {"a", "b", "c"}) memory.put(key, 20'000);
  REQUIRE((memory.has("a") && memory.has("b") && memory.has("c")));
  REQUIRE(memory.has("a"));
  memory.put("d", 20'000);  // b was used before c and a
  REQUIRE_FALSE(memory.has("b"));
  REQUIRE((memory.has("a") && memory.has("c") && memory.has("d")));
  REQUIRE(memory.store->stats().entries == 3);
  REQUIRE(memory.store->stats().bytes <= 64 * 1024);

  memory.put("huge", 100'000);
  REQUIRE_FALSE(memory.has("huge"));
  REQUIRE(memory.store->stats().dropped_writes == 1);
  REQUIRE(memory.has("a"));  // nothing had to go for what does not fit

  memory.put("a", 10);
  REQUIRE(memory.store->stats().entries == 3);
  REQUIRE(memory.store->clear().value() == 3);
  REQUIRE(memory.store->stats().entries == 0);
  REQUIRE(memory.store->stats().bytes == 0);
  REQUIRE_FALSE(memory.has("a"));
}

TEST_CASE("memory: many small entries never take more than allowed", "[policy][cache]") {
  constexpr std::uint64_t most = 8 * 1024 * 1024;
  Memory memory(most);
  for (int i = 0; i < 20'000; ++i) memory.put("key" + std::to_string(i), static_cast<std::size_t>(i % 3000));
  const CacheStats stats = memory.store->stats();
  REQUIRE(stats.bytes <= most);
  REQUIRE(stats.bytes > most / 2);
  REQUIRE(stats.writes == 20'000);
  REQUIRE(memory.has("key19999"));
}

TEST_CASE("memory: a hit copies nothing", "[policy][cache]") {
  Memory memory(1024 * 1024);
  const CacheEntryPtr entry = entry_of("key", {std::string(1000, 'x')});
  memory.session->put("key", entry);
  REQUIRE(memory.session->find("key") == entry);
}

TEST_CASE("memory: many threads, many clients", "[policy][cache][concurrent]") {
  const auto store = memory_store(256 * 1024);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      deepseek_tests::FakeLoop loop;
      const auto session = store->open(loop, nullptr);
      for (int i = 0; i < 3000; ++i) {
        const std::string key = "key" + std::to_string((i * 7 + t) % 200);
        if (const CacheEntryPtr entry = session->find(key)) {
          if (!CacheEntry::read(key, entry->bytes())) ++wrong;
        } else {
          session->put(key, entry_of(key, {std::string(static_cast<std::size_t>(i % 2000), 'v')}));
        }
        if (i % 1000 == 999) (void)store->clear();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(wrong == 0);
  REQUIRE(store->stats().bytes <= 256 * 1024);
}

TEST_CASE("memory: a size that holds nothing is refused", "[policy][cache]") {
  REQUIRE(memory_store(0)->check()->code() == ErrorCode::invalid_options);
  REQUIRE(memory_store(1024)->check());
  REQUIRE_FALSE(memory_store(64 * 1024)->check());
}
