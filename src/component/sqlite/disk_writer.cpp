#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>

#include <deepseek/core/detail/socket.hpp>
#include <deepseek/policy/detail/cache_entry.hpp>

#include "component/sqlite/disk_cache.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

constexpr std::uint64_t page_bytes = 4096;
constexpr int most_set_aside = 8;
constexpr std::chrono::milliseconds rest_time{10'000};
constexpr std::chrono::milliseconds busy_time{200};

constexpr const char* schema =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE entry(id INTEGER PRIMARY KEY, used INTEGER NOT NULL, keep_until INTEGER NOT NULL,"
    "  value BLOB NOT NULL);"
    "CREATE INDEX entry_used ON entry(used);"
    "CREATE INDEX entry_keep ON entry(keep_until);"
    "PRAGMA application_id = 1146311235;"
    "COMMIT;";

std::int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::int64_t seconds_of(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

std::int64_t row_of(std::string_view name) noexcept { return static_cast<std::int64_t>(cache_checksum(0, name)); }

// The format stands in the file's name: programs with different ones do not set each other's database aside.
DiskWriter::DiskWriter(std::string folder, const DiskCacheOptions& options)
    : folder_(std::move(folder)), path_(folder_ + "/replies-1.db"), options_(options), cipher_(options.keys) {}

DiskWriter::~DiskWriter() { close(); }

void DiskWriter::close() {
  generation_.store(0, std::memory_order_release);
  for (Statement* statement : {&insert_, &remove_, &touch_, &expire_, &evict_, &pages_, &free_pages_})
    *statement = Statement();
  database_.close();
  if (lock_ >= 0) ::close(std::exchange(lock_, -1));
}

bool DiskWriter::lock_shared() {
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) return false;
  lock_ = ::open((folder_ + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return lock_ >= 0 && ::flock(lock_, LOCK_SH | LOCK_NB) == 0;
}

bool DiskWriter::lock_alone() { return lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) == 0; }

/// Nothing is written for a while. What is open may still be read.
void DiskWriter::rest(const std::string& why) {
  rest_until_ = Clock::now() + rest_time;
  if (!std::exchange(resting_, true)) notice_ = "nothing is kept on the disk for now: " + why;
}

void DiskWriter::give_up(const std::string& why) {
  close();
  rest(why);
}

bool DiskWriter::open() {
  if (Clock::now() < rest_until_) return false;
  if (database_) return true;
  if (!lock_shared()) return give_up("the cache's folder: " + system_error_text(errno)), false;
  switch (open_database()) {
    case Trouble::none:
      break;
    case Trouble::busy:  // another process makes the database at this moment
      close();
      rest_until_ = Clock::now() + busy_time;
      return false;
    case Trouble::damaged:
      set_aside("it is damaged or not this cache's");
      return static_cast<bool>(database_);
    case Trouble::refused:
      return give_up("the database cannot be opened for writing"), false;
  }
  generation_.store(++opened_, std::memory_order_release);
  return true;
}

Trouble DiskWriter::open_database() {
  if (const int code = database_.open(path_, true); code != SQLITE_OK) return trouble_of(code);
  database_.set_busy_timeout(2'000);
  const auto tables = database_.number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return trouble_of(database_.error());
  if (*tables == 0)
    if (const Trouble trouble = set_up(); trouble != Trouble::none) return trouble;
  const auto id = database_.number("PRAGMA application_id");
  if (!id) return trouble_of(database_.error());
  if (*id != application_id) return Trouble::damaged;
  const auto mode = database_.text("PRAGMA journal_mode=WAL");
  if (!mode || *mode != "wal") return mode ? Trouble::refused : trouble_of(database_.error());
  database_.exec("PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=8388608; PRAGMA secure_delete=FAST");
  const std::uint64_t pages = options_.max_bytes / page_bytes;
  database_.number(("PRAGMA max_page_count=" + std::to_string(pages)).c_str());
  return prepare_all();
}

Trouble DiskWriter::set_up() {
  database_.exec(("PRAGMA page_size=" + std::to_string(page_bytes)).c_str());
  const int code = database_.exec(schema);
  if (code == SQLITE_OK) return Trouble::none;
  database_.exec("ROLLBACK");
  // Another process may have been faster: then ours failed and theirs is there.
  return database_.number("PRAGMA application_id") == application_id ? Trouble::none : trouble_of(code);
}

Trouble DiskWriter::prepare_all() {
  const std::pair<const char*, Statement*> all[] = {
      {"INSERT OR REPLACE INTO entry(id, used, keep_until, value) VALUES(?1, ?2, ?3, ?4)", &insert_},
      {"DELETE FROM entry WHERE id = ?1", &remove_},
      {"UPDATE entry SET used = ?2 WHERE id = ?1 AND used < ?2", &touch_},
      {"DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE keep_until < ?1 ORDER BY keep_until LIMIT 64)",
       &expire_},
      {"DELETE FROM entry WHERE id IN (SELECT id FROM entry ORDER BY used LIMIT 16)", &evict_},
      {"PRAGMA page_count", &pages_},
      {"PRAGMA freelist_count", &free_pages_},
  };
  for (const auto& [sql, statement] : all)
    if (const int code = database_.prepare(sql, *statement); code != SQLITE_OK) return trouble_of(code);
  return Trouble::none;
}

void DiskWriter::set_aside(const char* why) {
  close();
  if (++set_aside_ > most_set_aside) return give_up("its databases are damaged again and again");
  if (!lock_shared() || !lock_alone()) return give_up("its database is damaged, and another process uses it");
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto stamp = std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  const std::string away = path_ + ".bad-" + stamp;
  // The log first: a database without its log is old, a log without its database is none.
  for (const char* part : {"-wal", "-shm", ""}) {
    if (std::rename((path_ + part).c_str(), (away + part).c_str()) == 0 || errno == ENOENT) continue;
    return give_up("its database is damaged and cannot be renamed: " + system_error_text(errno));
  }
  // Another process may come in between, and find either nothing or a sound new database.
  ::flock(lock_, LOCK_SH | LOCK_NB);
  if (open_database() != Trouble::none) return give_up("no new database can be made");
  generation_.store(++opened_, std::memory_order_release);
  notice_ = "the database on the disk was set aside as " + away + ": " + why;
}

bool DiskWriter::in_trouble(int code) {
  switch (trouble_of(code)) {
    case Trouble::damaged:
      set_aside("it is damaged");
      break;
    case Trouble::refused:
      if ((code & 0xFF) != SQLITE_FULL) close();
      rest(std::string("writing failed: ") + sqlite3_errstr(code));
      break;
    default:
      break;  // another process writes for too long: this batch is lost, no more
  }
  return false;
}

bool DiskWriter::write(const std::vector<Item>& items, const std::vector<std::int64_t>& used) {
  if (!open()) return false;
  if (const int code = database_.exec("BEGIN IMMEDIATE"); code != SQLITE_OK) return in_trouble(code);
  int code = SQLITE_OK;
  if (write_all(items, used, code)) code = database_.exec("COMMIT");
  if (code == SQLITE_OK) {
    if (std::exchange(resting_, false)) notice_ = "the disk is used again";
    return true;
  }
  database_.exec("ROLLBACK");
  return in_trouble(code);
}

bool DiskWriter::write_all(const std::vector<Item>& items, const std::vector<std::int64_t>& used, int& code) {
  const std::int64_t now = seconds_now();
  expire_.bind(1, now);
  if ((code = expire_.run()) != SQLITE_OK) return false;
  for (const std::int64_t id : used) {
    touch_.bind(1, id);
    touch_.bind(2, now);
    if ((code = touch_.run()) != SQLITE_OK) return false;
  }
  std::string room;
  for (const Item& item : items) {
    if (!item.entry) {
      remove_.bind(1, row_of(item.name));
      if ((code = remove_.run()) != SQLITE_OK) return false;
      continue;
    }
    const auto value = cipher_.seal(item.name, item.entry->bytes(), room);
    if (!value || value->size() > options_.max_bytes / 4) continue;
    if ((code = make_room(value->size())) != SQLITE_OK) return false;
    insert_.bind(1, row_of(item.name));
    insert_.bind(2, now);
    insert_.bind(3, seconds_of(item.entry->times().keep_until) + 1);
    insert_.bind(4, *value);
    if ((code = insert_.run()) != SQLITE_OK) return false;
  }
  return true;
}

/// Room below max_page_count for a value and what the indexes may need for it.
int DiskWriter::make_room(std::uint64_t bytes) {
  const auto number = [](Statement& statement) {
    const std::int64_t value = statement.step() == SQLITE_ROW ? statement.number(0) : 0;
    statement.reset();
    return static_cast<std::uint64_t>(value);
  };
  const std::uint64_t wanted = bytes / (page_bytes - 4) + 16;
  const std::uint64_t most = options_.max_bytes / page_bytes;
  // Not without end: a database that was allowed to be larger shrinks over several batches.
  for (int turns = 0; turns < 64 && number(pages_) - number(free_pages_) + wanted > most; ++turns) {
    if (const int code = evict_.run(); code != SQLITE_OK) return code;
    if (database_.changes() == 0) return SQLITE_OK;
  }
  return SQLITE_OK;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
