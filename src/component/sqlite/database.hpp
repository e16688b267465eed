// Database and Statement: SQLite's handles with an end of their own. Private to the component.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

struct sqlite3;
struct sqlite3_stmt;

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class Statement {
 public:
  Statement() = default;
  explicit operator bool() const noexcept { return statement_ != nullptr; }

  void bind(int index, std::int64_t value);
  void bind(int index, std::string_view blob);  // borrowed until run() or reset()
  /// SQLITE_ROW, SQLITE_DONE or an error's code.
  int step();
  std::int64_t number(int column);
  std::string_view blob(int column);  // borrowed until step() or reset()
  void reset();
  /// Steps to the end and resets. The first error's code, or SQLITE_OK.
  int run();

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  /// SQLITE_OK or an error's code; then the database stays closed.
  int open(const std::string& path, bool to_write);
  void close() { database_.reset(); }
  explicit operator bool() const noexcept { return database_ != nullptr; }

  int exec(const char* sql);
  int prepare(const char* sql, Statement& statement);
  /// The first column of the first row; nothing on an error.
  std::optional<std::int64_t> number(const char* sql);
  std::optional<std::string> text(const char* sql);
  void set_busy_timeout(int milliseconds);
  int changes() const;
  /// The code of the error that came last.
  int error() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const noexcept;
  };
  std::unique_ptr<sqlite3, Close> database_;
};

/// What an error's code means for a cache.
enum class Trouble {
  none,
  busy,     // another process is at it
  damaged,  // the file is no database, or a broken one
  refused,  // a full disk, no permission, a failing device
};
Trouble trouble_of(int code) noexcept;

/// Stands in every database of this cache (PRAGMA application_id).
inline constexpr std::int64_t application_id = 0x44535243;  // "DSRC"

}  // namespace detail
DEEPSEEK_END_NAMESPACE
