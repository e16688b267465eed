#include "component/sqlite/database.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

void Statement::Finalize::operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }

void Statement::bind(int index, std::int64_t value) { sqlite3_bind_int64(statement_.get(), index, value); }

void Statement::bind(int index, std::string_view blob) {
  sqlite3_bind_blob64(statement_.get(), index, blob.data(), blob.size(), SQLITE_STATIC);
}

int Statement::step() { return sqlite3_step(statement_.get()); }

std::int64_t Statement::number(int column) { return sqlite3_column_int64(statement_.get(), column); }

std::string_view Statement::blob(int column) {
  const auto* const data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data ? std::string_view(data, static_cast<std::size_t>(size)) : std::string_view();
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

int Statement::run() {
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = step();
  reset();
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

void Database::Close::operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }

namespace {

/// SQLite itself would let everybody read a new file. Those beside it take after it.
void make_private(const std::string& path) {
  const int made = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (made >= 0) ::close(made);
}

}  // namespace

int Database::open(const std::string& path, bool to_write) {
  if (to_write) make_private(path);
  sqlite3* opened = nullptr;
  const int mode = to_write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  // Each handle is used by one thread at a time: SQLite's own locks would cost without need.
  const int code = sqlite3_open_v2(path.c_str(), &opened, mode | SQLITE_OPEN_NOMUTEX, nullptr);
  database_.reset(opened);
  if (code != SQLITE_OK) return close(), code;
  sqlite3_extended_result_codes(opened, 1);
  return SQLITE_OK;
}

int Database::exec(const char* sql) { return sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr); }

int Database::prepare(const char* sql, Statement& statement) {
  sqlite3_stmt* prepared = nullptr;
  const int code = sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
  statement.statement_.reset(prepared);
  return code;
}

std::optional<std::int64_t> Database::number(const char* sql) {
  Statement statement;
  if (prepare(sql, statement) != SQLITE_OK || statement.step() != SQLITE_ROW) return std::nullopt;
  return statement.number(0);
}

std::optional<std::string> Database::text(const char* sql) {
  Statement statement;
  if (prepare(sql, statement) != SQLITE_OK || statement.step() != SQLITE_ROW) return std::nullopt;
  return std::string(statement.blob(0));
}

void Database::set_busy_timeout(int milliseconds) { sqlite3_busy_timeout(database_.get(), milliseconds); }

int Database::changes() const { return sqlite3_changes(database_.get()); }

int Database::error() const { return database_ ? sqlite3_extended_errcode(database_.get()) : SQLITE_CANTOPEN; }

Trouble trouble_of(int code) noexcept {
  if (code == SQLITE_IOERR_SHORT_READ || code == SQLITE_IOERR_CORRUPTFS) return Trouble::damaged;
  switch (code & 0xFF) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return Trouble::none;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return Trouble::busy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_ERROR:  // a table that is not there
    case SQLITE_SCHEMA:
      return Trouble::damaged;
    default:
      return Trouble::refused;
  }
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
