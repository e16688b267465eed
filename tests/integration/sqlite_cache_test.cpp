// The disk level: what survives, what is set aside, and processes that are killed while they write.
#include "support/catch.hpp"

#include <sqlite3.h>
#include <sys/file.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

#include <deepseek/client.hpp>
#include <deepseek/component/sqlite.hpp>
#include <deepseek/policy/detail/cache_entry.hpp>

#include "integration/child.hpp"
#include "support/fake_loop.hpp"
#include "support/scripted_transport.hpp"

using namespace deepseek;
using namespace deepseek_tests;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

CacheEntryPtr entry_of(std::string_view key, const std::string& frame, std::chrono::seconds life = 1000s) {
  CacheEntryWriter writer;
  writer.add(frame);
  const WallTime now = std::chrono::system_clock::now();
  return writer.finish(key, {now, now + life, now + life});
}

std::string frame_of(const CacheEntryPtr& entry) {
  if (!entry) return "(none)";
  std::string_view frame;
  detail::CacheFrames(*entry).next(frame);
  return std::string(frame);
}

struct Notices {
  CacheNotice sink() {
    return [this](std::string_view, std::string_view text) {
      const std::lock_guard<std::mutex> lock(mutex);
      all.emplace_back(text);
    };
  }
  bool mention(const std::string& word) const {
    const std::lock_guard<std::mutex> lock(mutex);
    return std::any_of(all.begin(), all.end(),
                       [&](const std::string& text) { return text.find(word) != std::string::npos; });
  }
  std::string joined() const {
    const std::lock_guard<std::mutex> lock(mutex);
    std::string text;
    for (const std::string& one : all) text += one + "\n";
    return text;
  }
  mutable std::mutex mutex;
  std::vector<std::string> all;
};

/// One client's hand on a store.
struct Hand {
  explicit Hand(const std::shared_ptr<CacheStore>& its_store, CacheNotice notice = nullptr)
      : store(its_store), session(store->open(loop, notice)) {}
  void put(const std::string& key, const std::string& frame, std::chrono::seconds life = 1000s) {
    session->put(key, entry_of(key, frame, life));
  }
  std::string get(const std::string& key) { return frame_of(session->find(key)); }
  void flush() { session->flush(10s); }
  FakeLoop loop;
  std::shared_ptr<CacheStore> store;
  std::unique_ptr<CacheSession> session;
};

std::string database_of(const TempFolder& folder) { return folder.file("replies-1.db"); }

std::vector<std::string> set_aside_in(const TempFolder& folder) {
  std::vector<std::string> names;
  for (const auto& one : fs::directory_iterator(folder.path())) {
    const std::string name = one.path().filename().string();
    if (name.find(".db.bad-") != std::string::npos && name.find("-wal") == std::string::npos &&
        name.find("-shm") == std::string::npos)
      names.push_back(name);
  }
  return names;
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

/// Every database file of the folder, as one text.
std::string all_content(const TempFolder& folder) {
  std::string all;
  for (const auto& one : fs::directory_iterator(folder.path())) all += content_of(one.path().string());
  return all;
}

int fill(const std::string& path, const char* sql) {
  sqlite3* database = nullptr;
  int code = sqlite3_open(path.c_str(), &database);
  if (code == SQLITE_OK) code = sqlite3_exec(database, sql, nullptr, nullptr, nullptr);
  sqlite3_close(database);
  return code;
}

/// The first column of the first row, as text.
std::string ask(const std::string& path, const char* sql) {
  sqlite3* database = nullptr;
  std::string answer = "(failed)";
  if (sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK) {
    sqlite3_busy_timeout(database, 5000);
    const auto take = [](void* into, int, char** values, char**) {
      *static_cast<std::string*>(into) = values[0] ? values[0] : "";
      return 0;
    };
    sqlite3_exec(database, sql, take, &answer, nullptr);
  }
  sqlite3_close(database);
  return answer;
}

std::string key_of(int number) { return "model:m:query:" + std::to_string(number) + ":9"; }
std::string text_of(int number) {
  return std::to_string(number) + " " + std::string(static_cast<std::size_t>(number * 37 % 9000), 'x');
}

/// Runs `work` in a forked child, which then ends without anybody's destructors.
template <class Work>
int fork_child(Work work) {
  const int pid = ::fork();
  if (pid != 0) return pid;
  int code = 1;
  try {
    code = work();
  } catch (...) {
  }
  ::_exit(code);
}

int wait_for(int pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

DiskKey key_with(std::uint32_t id, char fill) { return {id, Secret(std::string(32, fill))}; }

}  // namespace

TEST_CASE("what is put on the disk is there at once, and after the process", "[sqlite]") {
  TempFolder folder;
  const std::string where = folder.file("made");
  const std::string large(3'000'000, 'L');
  {
    const auto store = sqlite(where);
    REQUIRE_FALSE(store->check());
    REQUIRE(store->level() == "disk");
    Hand hand(store);
    REQUIRE(hand.session->immediate());
    REQUIRE(hand.get("k") == "(none)");
    hand.put("k", "answer");
    REQUIRE(hand.get("k") == "answer");
    hand.put("k", std::string("\0 newer", 7));
    REQUIRE(hand.get("k") == std::string("\0 newer", 7));
    hand.put("large", large);
    hand.put("old", "x", -5s);
    hand.flush();
    REQUIRE(hand.get("k") == std::string("\0 newer", 7));
    REQUIRE(store->stats().writes == 4);
    REQUIRE(store->stats().hits == 3);
    REQUIRE(store->stats().misses == 1);
  }
  const auto store = sqlite(where);
  Hand hand(store);
  REQUIRE(hand.get("k") == std::string("\0 newer", 7));
  REQUIRE(hand.get("large") == large);
  hand.put("another", "x");
  hand.flush();
  REQUIRE(hand.get("old") == "(none)");  // taken away when something was written
  REQUIRE(store->stats().entries == 3);
  REQUIRE(store->stats().bytes > 3'000'000);
  REQUIRE(store->clear().value() == 3);
  REQUIRE(hand.get("k") == "(none)");
  REQUIRE(store->stats().entries == 0);
  REQUIRE(fs::file_size(where + "/replies-1.db") < 100'000);
  for (const std::string& path : {where, where + "/replies-1.db", where + "/lock"}) {
    const auto mode = fs::status(path).permissions() & fs::perms::all;
    REQUIRE((mode & (fs::perms::group_all | fs::perms::others_all)) == fs::perms::none);
  }
}

TEST_CASE("what waits to be written is written when the client goes", "[sqlite]") {
  TempFolder folder;
  {
    Hand hand(sqlite(folder.path()));
    for (int i = 0; i < 500; ++i) hand.put(key_of(i), text_of(i));
    hand.session->flush(10s);
  }
  Hand hand(sqlite(folder.path()));
  for (int i = 0; i < 500; ++i) REQUIRE(hand.get(key_of(i)) == text_of(i));
}

TEST_CASE("the disk level stays within its bounds", "[sqlite]") {
  TempFolder folder;
  DiskCacheOptions options;
  options.max_bytes = 2 * 1024 * 1024;
  Hand hand(sqlite(folder.path(), options));
  hand.put("kept in use", "here");
  hand.flush();
  for (int i = 0; i < 3000; ++i) {
    hand.put(key_of(i), std::string(4000, 'v'));
    if (i % 50 == 49) {
      hand.flush();
      REQUIRE(fs::file_size(database_of(folder)) <= options.max_bytes);
    }
  }
  REQUIRE(hand.get(key_of(2999)) != "(none)");
  REQUIRE(hand.get(key_of(0)) == "(none)");
  REQUIRE(hand.store->stats().dropped_writes == 0);
  REQUIRE(hand.store->stats().bytes > options.max_bytes / 2);
  hand.put("far too large", std::string(1024 * 1024, 'x'));
  hand.flush();
  REQUIRE(hand.get("far too large") == "(none)");
  REQUIRE(hand.get(key_of(2999)) != "(none)");
  hand.session.reset();
  hand.store.reset();
  REQUIRE(ask(database_of(folder), "PRAGMA integrity_check") == "ok");
}

TEST_CASE("more than may wait is dropped and counted", "[sqlite]") {
  TempFolder folder;
  DiskCacheOptions options;
  options.max_pending_bytes = 64 * 1024;
  Hand hand(sqlite(folder.path(), options));
  for (int i = 0; i < 200; ++i) hand.put(key_of(i), std::string(60'000, 'x'));
  hand.flush();
  const CacheStats stats = hand.store->stats();
  REQUIRE(stats.writes + stats.dropped_writes == 200);
  REQUIRE(stats.dropped_writes > 0);
  REQUIRE(stats.writes > 0);
}

TEST_CASE("encrypted entries need their key", "[sqlite]") {
  TempFolder folder;
  DiskCacheOptions options;
  options.keys = {key_with(1, 'a')};
  {
    Hand hand(sqlite(folder.path(), options));
    hand.put("k", "the secret answer");
    hand.flush();
    REQUIRE(hand.get("k") == "the secret answer");
  }
  REQUIRE(all_content(folder).find("secret answer") == std::string::npos);
  SECTION("no key") { REQUIRE(Hand(sqlite(folder.path())).get("k") == "(none)"); }
  SECTION("another key with another id") {
    options.keys = {key_with(2, 'b')};
    Hand hand(sqlite(folder.path(), options));
    REQUIRE(hand.get("k") == "(none)");
    REQUIRE(hand.store->stats().failures == 0);
  }
  SECTION("a new key beside the old one") {
    options.keys = {key_with(2, 'b'), key_with(1, 'a')};
    Hand hand(sqlite(folder.path(), options));
    REQUIRE(hand.get("k") == "the secret answer");
  }
  SECTION("a wrong key with the right id: as good as damaged") {
    options.keys = {key_with(1, 'b')};
    Hand hand(sqlite(folder.path(), options));
    REQUIRE(hand.get("k") == "(none)");
    REQUIRE(hand.store->stats().failures == 1);
  }
  SECTION("an entry moved under another key") {
    REQUIRE(fill(database_of(folder), "UPDATE entry SET id = id + 0") == SQLITE_OK);
    const auto other = std::to_string(static_cast<std::int64_t>(detail::cache_checksum(0, "other")));
    REQUIRE(fill(database_of(folder), ("UPDATE entry SET id = " + other).c_str()) == SQLITE_OK);
    Hand hand(sqlite(folder.path(), options));
    REQUIRE(hand.get("other") == "(none)");
    REQUIRE(hand.store->stats().failures == 1);
  }
  SECTION("an entry without encryption is not taken where there are keys") {
    {
      Hand plain(sqlite(folder.path()));
      plain.put("plain", "x");
      plain.flush();
    }
    Hand hand(sqlite(folder.path(), options));
    REQUIRE(hand.get("plain") == "(none)");
  }
}

TEST_CASE("a damaged entry is not answered, and goes", "[sqlite]") {
  TempFolder folder;
  {
    Hand hand(sqlite(folder.path()));
    hand.put("k", "answer");
    hand.put("whole", "answer");
    hand.flush();
  }
  const auto row = std::to_string(static_cast<std::int64_t>(detail::cache_checksum(0, "k")));
  const std::string damage = GENERATE(values<std::string>(
      {"substr(value, 1, length(value) - 1)", "x''", "NULL || 'text'", "value || x'00'", "zeroblob(100)"}));
  INFO(damage);
  const bool changed =
      fill(database_of(folder), ("UPDATE entry SET value = CAST(" + damage + " AS BLOB) WHERE id = " + row).c_str()) ==
      SQLITE_OK;
  if (!changed) return;  // a null, which the table itself refuses
  Hand hand(sqlite(folder.path()));
  REQUIRE(hand.get("k") == "(none)");
  REQUIRE(hand.store->stats().failures == 1);
  hand.flush();
  REQUIRE(hand.store->stats().entries == 1);
  REQUIRE(hand.get("whole") == "answer");
}

TEST_CASE("a file that is no such database is set aside, and that is said", "[sqlite]") {
  TempFolder folder;
  const int kind = GENERATE(0, 1, 2, 3, 4);
  if (kind >= 3) {
    Hand hand(sqlite(folder.path()));
    for (int i = 0; i < 300; ++i) hand.put(key_of(i), text_of(i));
    hand.flush();
  }
  switch (kind) {
    case 0:
      write_file(database_of(folder), "this is not a database, but it is somebody's");
      break;
    case 1:
      write_file(database_of(folder), std::string(100'000, '\xA5'));
      break;
    case 2:
      REQUIRE(fill(database_of(folder), "CREATE TABLE important(x); INSERT INTO important VALUES(1)") == SQLITE_OK);
      break;
    case 3:  // cut in the middle
      fs::resize_file(database_of(folder), fs::file_size(database_of(folder)) / 2);
      break;
    default: {  // every page's head overwritten
      std::string text = content_of(database_of(folder));
      for (std::size_t at = 4096; at + 64 < text.size(); at += 4096) text.replace(at, 64, std::string(64, '\xEE'));
      write_file(database_of(folder), text);
    }
  }
  const std::string before = content_of(database_of(folder));
  Notices notices;
  const auto store = sqlite(folder.path());
  Hand hand(store, notices.sink());
  for (int i = 0; i < 300; ++i) {
    const std::string got = hand.get(key_of(i));
    REQUIRE((got == "(none)" || got == text_of(i)));
  }
  hand.put("k", "answer");
  hand.flush();
  // The damage may have been met only now.
  hand.put("k", "answer");
  hand.flush();
  INFO(kind << "\n" << notices.joined());
  REQUIRE(notices.mention("set aside"));
  REQUIRE(set_aside_in(folder).size() == 1);
  if (kind < 3) REQUIRE(content_of(folder.file(set_aside_in(folder)[0])) == before);
  REQUIRE(hand.get("k") == "answer");
}

TEST_CASE("a database that is damaged while it is open is replaced", "[sqlite]") {
  TempFolder folder;
  Notices notices;
  Hand hand(sqlite(folder.path()), notices.sink());
  Hand other(hand.store);
  for (int i = 0; i < 2000; ++i) hand.put(key_of(i), text_of(i));
  hand.flush();
  {
    std::fstream file(database_of(folder), std::ios::in | std::ios::out | std::ios::binary);
    for (int page = 1; page < 2000; ++page) {
      file.seekp(page * 4096);
      file << std::string(512, '\x99');
    }
  }
  for (int i = 0; i < 2000; ++i) {
    const std::string got = other.get(key_of(i));
    REQUIRE((got == "(none)" || got == text_of(i)));
  }
  for (int round = 0; round < 4; ++round) {
    hand.put("k", "answer");
    hand.flush();
  }
  INFO(notices.joined());
  REQUIRE(notices.mention("set aside"));
  REQUIRE(hand.get("k") == "answer");
  REQUIRE(other.get("k") == "answer");
}

TEST_CASE("a damaged database that another process uses is left where it is", "[sqlite]") {
  TempFolder folder;
  write_file(database_of(folder), "not a database");
  const int lock = ::open(folder.file("lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(::flock(lock, LOCK_SH) == 0);
  Notices notices;
  Hand hand(sqlite(folder.path()), notices.sink());
  hand.put("k", "x");
  hand.flush();
  REQUIRE(notices.mention("another process"));
  REQUIRE(set_aside_in(folder).empty());
  REQUIRE(hand.get("k") == "(none)");
  ::close(lock);
}

TEST_CASE("a folder that cannot be used leaves the calls alone", "[sqlite]") {
  TempFolder folder;
  write_file(folder.file("file"), "x");
  const std::string where = GENERATE(values<std::string>({"/proc/deepseek-cache", "file", "file/inner"}));
  Notices notices;
  const auto store = sqlite(where.front() == '/' ? where : folder.file(where));
  REQUIRE_FALSE(store->check());
  Hand hand(store, notices.sink());
  REQUIRE(notices.mention("nothing is kept on the disk for now"));
  hand.put("k", "x");
  hand.flush();
  REQUIRE(hand.get("k") == "(none)");
  REQUIRE(store->stats().dropped_writes == 1);
  REQUIRE(notices.all.size() == 1);
  if (where == "/proc/deepseek-cache")
    REQUIRE(store->clear().value() == 0);
  else
    REQUIRE_FALSE(store->clear().has_value());
}

TEST_CASE("stats say what is wrong with a database, and leave it alone", "[sqlite]") {
  TempFolder folder;
  const auto filled = [&] {
    Hand hand(sqlite(folder.path()));
    for (int i = 0; i < 300; ++i) hand.put(key_of(i), text_of(i));
    hand.flush();
  };
  std::string word;
  SECTION("not a database") {
    write_file(database_of(folder), std::string(10'000, 'x'));
    word = "damaged";
  }
  SECTION("somebody else's") {
    REQUIRE(fill(database_of(folder), "CREATE TABLE entry(id); INSERT INTO entry VALUES(1)") == SQLITE_OK);
    word = "not this cache's";
  }
  SECTION("cut in the middle") {
    filled();
    fs::resize_file(database_of(folder), fs::file_size(database_of(folder)) / 2);
    word = "damaged";
  }
  SECTION("a folder in its place") {
    fs::create_directories(database_of(folder));
    word = "cannot be read";
  }
  const std::string before = fs::is_directory(database_of(folder)) ? "" : content_of(database_of(folder));
  const auto store = sqlite(folder.path());
  const CacheStats stats = store->stats();
  REQUIRE(stats.trouble.has_value());
  INFO(to_string(*stats.trouble));
  CHECK(stats.trouble->code() == ErrorCode::io_error);
  CHECK(stats.trouble->message().find(word) != std::string::npos);
  CHECK(stats.trouble->message().find(folder.path()) == std::string::npos);
  CHECK(stats.entries == 0);
  CHECK(stats.bytes == 0);
  CHECK(set_aside_in(folder).empty());
  if (!fs::is_directory(database_of(folder))) CHECK(content_of(database_of(folder)) == before);
}

TEST_CASE("stats of a sound cache, or of none yet, tell of no trouble", "[sqlite]") {
  TempFolder folder;
  const auto store = sqlite(folder.file("cache"));
  CHECK_FALSE(store->stats().trouble.has_value());  // nothing has been made
  CHECK_FALSE(fs::exists(folder.file("cache")));    // nor is it by asking
  fs::create_directories(folder.file("cache"));
  write_file(folder.file("cache/replies-1.db"), "");  // as another process has just made it
  CHECK_FALSE(store->stats().trouble.has_value());
  Hand hand(store);
  hand.put("k", "answer");
  hand.flush();
  CHECK_FALSE(store->stats().trouble.has_value());
  CHECK(store->stats().entries == 1);
  const auto nowhere = sqlite(folder.file("cache/replies-1.db"));  // a file in the folder's place
  REQUIRE(nowhere->stats().trouble.has_value());
  CHECK(nowhere->stats().trouble->message().find("folder") != std::string::npos);
}

TEST_CASE("a full disk costs what is put, not what is there", "[sqlite]") {
  TempFolder folder;
  {
    Hand hand(sqlite(folder.path()));
    hand.put("before", "answer");
    hand.flush();
  }
  const int pid = fork_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{200'000, 200'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    Notices notices;
    Hand hand(sqlite(folder.path()), notices.sink());
    if (hand.get("before") != "answer") return 2;
    for (int i = 0; i < 500; ++i) hand.put(key_of(i), std::string(8000, 'x'));
    hand.flush();
    const CacheStats stats = hand.store->stats();
    if (stats.dropped_writes == 0) return 3;
    if (!notices.mention("nothing is kept on the disk for now")) return 4;
    if (notices.all.size() != 1) return 5;
    return 0;
  });
  REQUIRE(wait_for(pid) == 0);
  Hand hand(sqlite(folder.path()));
  REQUIRE(hand.get("before") == "answer");
  REQUIRE(set_aside_in(folder).empty());
}

TEST_CASE("writers killed at any moment leave a sound database", "[sqlite][kill]") {
  TempFolder folder;
  std::mt19937 random(20261124);
  std::size_t found = 0;
  for (int round = 0; round < 30; ++round) {
    int ready[2];
    REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
    int pids[2];
    for (int& pid : pids) {
      const unsigned seed = static_cast<unsigned>(random());
      pid = fork_child([&folder, seed, &ready]() -> int {
        DiskCacheOptions options;
        options.max_bytes = 2 * 1024 * 1024;  // so that entries go as well
        Hand hand(sqlite(folder.path(), options));
        std::mt19937 own(seed);
        for (int i = 0;; ++i) {
          const int number = static_cast<int>(own() % 1000);
          const std::string got = hand.get(key_of(number));
          if (got != "(none)" && got != text_of(number)) return 1;
          hand.put(key_of(number), text_of(number));
          if (i % 16 == 15) hand.flush();
          if (i == 32) (void)!::write(ready[1], "x", 1);
        }
      });
    }
    // Killed at a time of its own choosing, once both are at it.
    char byte;
    for (int i = 0; i < 2; ++i) REQUIRE(::read(ready[0], &byte, 1) == 1);
    pollfd never{-1, 0, 0};
    ::poll(&never, 1, static_cast<int>(random() % 25));
    for (const int pid : pids) ::kill(pid, SIGKILL);
    for (const int pid : pids) REQUIRE(wait_for(pid) == -SIGKILL);
    ::close(ready[0]);
    ::close(ready[1]);

    Notices notices;
    Hand hand(sqlite(folder.path()), notices.sink());
    INFO("round " << round << " " << notices.joined());
    REQUIRE(notices.all.empty());
    for (int i = 0; i < 1000; ++i) {
      const std::string got = hand.get(key_of(i));
      if (got == "(none)") continue;
      REQUIRE(got == text_of(i));
      ++found;
    }
    REQUIRE(hand.store->stats().failures == 0);
    REQUIRE(ask(database_of(folder), "PRAGMA integrity_check") == "ok");
  }
  REQUIRE(found > 1000);
  REQUIRE(set_aside_in(folder).empty());
}

TEST_CASE("several processes share a folder", "[sqlite]") {
  TempFolder folder;
  std::vector<int> pids;
  for (int child = 0; child < 3; ++child) {
    pids.push_back(fork_child([&folder, child] {
      Notices notices;
      const auto store = sqlite(folder.path());
      Hand hand(store, notices.sink());
      for (int i = 0; i < 300; ++i) {
        hand.put(key_of(i), text_of(i));
        hand.put(key_of(1000 * (child + 1) + i), text_of(i));
        const std::string got = hand.get(key_of((i * 7) % 300));
        if (got != "(none)" && got != text_of((i * 7) % 300)) return 2;
      }
      hand.session->flush(60s);
      const CacheStats stats = store->stats();
      if (stats.failures != 0) return 3;
      return stats.writes + stats.dropped_writes == 600 ? 0 : 4;
    }));
  }
  for (const int pid : pids) REQUIRE(wait_for(pid) == 0);
  Hand hand(sqlite(folder.path()));
  int found = 0;
  for (int i = 0; i < 300; ++i) found += hand.get(key_of(i)) == text_of(i);
  REQUIRE(found > 250);  // a batch may be lost where processes begin the database at one moment
  REQUIRE(set_aside_in(folder).empty());
}

TEST_CASE("a client is answered from the disk, and then from memory", "[sqlite]") {
  TempFolder folder;
  const auto make = [&](const std::shared_ptr<ScriptedTransport>& transport) {
    ClientOptions options;
    options.endpoints = {{"https://api.deepseek.com", api_key("test-key")}};
    options.transport = transport;
    options.retry.max_attempts = 1;
    options.cache.memory_bytes = MiB;
    options.cache.disk = sqlite(folder.path());
    return DeepSeekClient::create(std::move(options)).value();
  };
  const auto served = std::make_shared<ScriptedTransport>();
  served->answer(reply_body(R"({"role":"assistant","content":"Hello"})"));
  {
    const auto client = make(served);
    const auto first = client.chat("hi");
    REQUIRE(first.has_value());
    REQUIRE(first->info.cache == "miss");
    REQUIRE(client.chat("hi").value().info.cache == "memory");
  }
  const auto silent = std::make_shared<ScriptedTransport>();
  const auto client = make(silent);
  for (const char* level : {"disk", "memory"}) {
    const auto reply = client.chat("hi");
    REQUIRE(reply.has_value());
    REQUIRE(reply->content() == "Hello");
    REQUIRE(reply->info.cache == level);
    REQUIRE(reply->info.attempts == 0);
  }
  REQUIRE_FALSE(client.chat("something else").has_value());
  REQUIRE_FALSE(client.stream("hi").result().has_value());  // a streamed answer is another
  CallOptions off;
  off.cache = CacheUse::off;
  REQUIRE_FALSE(client.chat("hi", off).has_value());
  REQUIRE(silent->requests().size() == 3);
}

TEST_CASE("many threads on one store", "[sqlite][concurrent]") {
  TempFolder folder;
  const auto store = sqlite(folder.path());
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Hand hand(store);
      for (int i = 0; i < 200; ++i) {
        const int number = (i * 11 + t) % 100;
        const std::string got = hand.get(key_of(number));
        if (got == "(none)")
          hand.put(key_of(number), text_of(number));
        else if (got != text_of(number))
          ++wrong;
        if (i % 50 == 0) (void)store->stats();
      }
      hand.flush();
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(wrong == 0);
}

TEST_CASE("a forked child opens its own", "[sqlite]") {
  TempFolder folder;
  const auto store = sqlite(folder.path());
  Hand hand(store);
  hand.put("k", "parent");
  hand.flush();
  const int pid = fork_child([&] {
    Hand own(store);
    if (own.get("k") != "parent") return 2;
    own.put("c", "child");
    own.flush();
    return own.get("c") == "child" ? 0 : 3;
  });
  REQUIRE(wait_for(pid) == 0);
  REQUIRE(hand.get("c") == "child");
  hand.put("k", "again");
  hand.flush();
  REQUIRE(hand.get("k") == "again");
}

TEST_CASE("options of the disk level that make no sense are named", "[sqlite]") {
  const auto refused = [](auto change) {
    DiskCacheOptions options;
    change(options);
    const auto error = sqlite("folder", options)->check();
    return error && error->code() == ErrorCode::invalid_options;
  };
  REQUIRE_FALSE(refused([](auto&) {}));
  REQUIRE(refused([](auto& o) { o.max_bytes = 0; }));
  REQUIRE(refused([](auto& o) { o.max_bytes = ~std::uint64_t{0}; }));
  REQUIRE(refused([](auto& o) { o.max_pending_bytes = 0; }));
  REQUIRE(refused([](auto& o) { o.keys = {{1, Secret(std::string("short"))}}; }));
  REQUIRE(refused([](auto& o) { o.keys = {key_with(1, 'a'), key_with(1, 'b')}; }));
  REQUIRE(sqlite("")->check());
}
