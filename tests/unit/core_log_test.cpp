// Log records: the list of what may be written, the line, and the file.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

#include <nlohmann/json.hpp>

#include <deepseek/core/log.hpp>

using namespace deepseek;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

WallTime at(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

std::string line_of(const LogRecord& record) {
  std::string text;
  append_json_line(text, record);
  return text;
}

LogRecord some_record(std::int64_t count = 1) {
  LogRecord record(LogLevel::info, LogEvent::call_end, at(1'700'000'000'000'000));
  record.number(LogField::count, count);
  return record;
}

/// A folder of its own that goes with the test.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "deepseek-log-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("a record is one line of JSON that begins with its date", "[core][log]") {
  LogRecord record(LogLevel::warn, LogEvent::attempt_end, at(1'732'414'994'123'456));
  record.text(LogField::outcome, "failure").text(LogField::error_code, "rate_limited");
  record.number(LogField::status_code, 429).number(LogField::http_version, 11).number(LogField::duration_ns, 5);
  record.text(LogField::model, "deepseek-flash").text(LogField::server_address, "api.deepseek.com");
  record.text(LogField::request_id, "0f7c0f7c0f7c0f7c").decimal(LogField::cost, 0.25);
  record.flag(LogField::streamed, true);
  const std::string line = line_of(record);
  INFO(line);
  CHECK(line.rfind(R"({"@timestamp":"2024-11-24T02:23:14.123456Z","log.level":"warn","message":")", 0) == 0);
  CHECK(line.back() == '\n');
  CHECK(std::count(line.begin(), line.end(), '\n') == 1);
  const auto json = nlohmann::json::parse(line);
  CHECK(json["event.action"] == "attempt_end");
  CHECK(json["event.outcome"] == "failure");
  CHECK(json["error.code"] == "rate_limited");
  CHECK(json["http.response.status_code"] == 429);
  CHECK(json["http.version"] == "1.1");
  CHECK(json["event.duration"] == 5);
  CHECK(json["gen_ai.request.model"] == "deepseek-flash");
  CHECK(json["server.address"] == "api.deepseek.com");
  CHECK(json["http.request.id"] == "0f7c0f7c0f7c0f7c");
  CHECK(json["deepseek.cost"] == 0.25);
  CHECK(json["deepseek.stream"] == true);
  CHECK_FALSE(json.contains("deepseek.withheld"));
}

TEST_CASE("dates are right in leap years and at the ends", "[core][log]") {
  struct Row {
    std::int64_t seconds;
    const char* text;
  };
  const Row row = GENERATE(values<Row>({{0, "1970-01-01T00:00:00.000000Z"},
                                        {951'782'400, "2000-02-29T00:00:00.000000Z"},
                                        {951'868'799, "2000-02-29T23:59:59.000000Z"},
                                        {1'709'251'199, "2024-02-29T23:59:59.000000Z"},
                                        {1'709'251'200, "2024-03-01T00:00:00.000000Z"},
                                        {4'107'542'399, "2100-02-28T23:59:59.000000Z"},
                                        {4'107'542'400, "2100-03-01T00:00:00.000000Z"},
                                        {1'735'689'599, "2024-12-31T23:59:59.000000Z"},
                                        {-5, "1970-01-01T00:00:00.000000Z"}}));
  const std::string line = line_of(LogRecord(LogLevel::info, LogEvent::call_end, at(row.seconds * 1'000'000)));
  CHECK(line.find(std::string("\"@timestamp\":\"") + row.text + "\"") != std::string::npos);
}

TEST_CASE("what does not fit its field is withheld and counted", "[core][log]") {
  struct Row {
    LogField field;
    std::string text;
  };
  const Row row = GENERATE(values<Row>({
      {LogField::error_code, "sk-0123456789"},
      {LogField::error_code, "Bearer abc"},
      {LogField::operation, "two words"},
      {LogField::operation, std::string(41, 'a')},
      {LogField::model, "sk-0123456789abcdef"},
      {LogField::model, "tell me a secret"},
      {LogField::model, "quote\""},
      {LogField::model, "line\nbreak"},
      {LogField::model, std::string(97, 'm')},
      {LogField::server_address, "user@host"},
      {LogField::server_address, "host?key=1"},
      {LogField::request_id, "sk-0123456789abcdef"},
      {LogField::request_id, std::string(65, 'a')},
      {LogField::trace_id, "not hex"},
      {LogField::status_code, "200"},
      {LogField::streamed, "true"},
      {LogField::cost, "0.1"},
      {static_cast<LogField>(9999), "plain"},
      {static_cast<LogField>(-1), "plain"},
  }));
  LogRecord record = some_record();
  record.text(row.field, row.text);
  const std::string line = line_of(record);
  INFO(line);
  CHECK(nlohmann::json::parse(line)["deepseek.withheld"] == 1);
  CHECK(line.find(row.text) == std::string::npos);
}

TEST_CASE("numbers stay numbers", "[core][log]") {
  LogRecord record = some_record();
  record.decimal(LogField::cost, std::nan("")).decimal(LogField::count, 1.5).number(LogField::model, 5);
  CHECK(nlohmann::json::parse(line_of(record))["deepseek.withheld"] == 3);
  const auto json =
      nlohmann::json::parse(line_of(some_record(std::numeric_limits<std::int64_t>::min()).text(LogField::state, "")));
  CHECK(json["deepseek.count"] == std::numeric_limits<std::int64_t>::min());
  CHECK_FALSE(json.contains("deepseek.state"));  // an empty text is no field
}

TEST_CASE("a record never grows beyond its size", "[core][log]") {
  LogRecord record = some_record();
  for (int i = 0; i < 100; ++i) record.number(LogField::attempt, i);
  CHECK(std::distance(record.begin(), record.end()) == LogRecord::most_fields);
}

TEST_CASE("a callback takes records, and what it throws stops there", "[core][log]") {
  int taken = 0;
  const auto sink = make_callback_log([&taken](const LogRecord& record) {
    CHECK(record.event() == LogEvent::call_end);
    if (++taken == 2) throw 1;
  });
  for (int i = 0; i < 3; ++i) sink->write(some_record());
  CHECK(taken == 3);
  make_callback_log(nullptr)->write(some_record());
  make_null_log()->write(some_record());
}

TEST_CASE("a log file holds every record once, in order, and is kept from others", "[core][log][concurrent]") {
  Folder folder;
  const fs::path path = folder.path / "a.log";
  {
    std::ofstream(path) << "before\n";
    const auto file = LogFile::open(path.string()).value();
    for (int i = 0; i < 1000; ++i) file->write(some_record(i));
    REQUIRE(file->flush(10s));
    CHECK(file->counts().written == 1000);
    CHECK(file->counts().dropped == 0);
    for (int i = 1000; i < 1100; ++i) file->write(some_record(i));
  }  // writes the rest
  const auto lines = lines_of(path);
  REQUIRE(lines.size() == 1101);
  CHECK(lines[0] == "before");
  for (int i = 0; i < 1100; ++i)
    CHECK(nlohmann::json::parse(lines[static_cast<std::size_t>(i + 1)])["deepseek.count"] == i);

  const fs::path fresh = folder.path / "b.log";
  (void)LogFile::open(fresh.string()).value();
  struct stat info{};
  REQUIRE(::stat(fresh.c_str(), &info) == 0);
  CHECK((info.st_mode & 0027) == 0);
}

TEST_CASE("threads and other writers of the same file leave each other's lines whole", "[core][log][concurrent]") {
  Folder folder;
  const std::string path = (folder.path / "a.log").string();
  {
    const auto first = LogFile::open(path).value();
    const auto second = LogFile::open(path).value();
    std::vector<std::thread> threads;
    for (const auto& file : {first, first, second, second})
      threads.emplace_back([file] {
        for (int i = 0; i < 500; ++i) file->write(some_record(i));
      });
    for (std::thread& thread : threads) thread.join();
  }
  const auto lines = lines_of(path);
  CHECK(lines.size() == 2000);
  for (const std::string& line : lines) CHECK(nlohmann::json::accept(line));
}

TEST_CASE("a full file is moved away, and only so many are kept", "[core][log]") {
  Folder folder;
  const fs::path path = folder.path / "a.log";
  LogFileOptions options;
  options.max_bytes = 4096;
  options.keep = 2;
  const auto file = LogFile::open(path.string(), options).value();
  for (int i = 0; i < 200; ++i) {
    file->write(some_record(i));
    if (i % 10 == 9) REQUIRE(file->flush(10s));
  }
  CHECK(file->counts().rotations >= 5);
  CHECK(file->counts().errors == 0);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path)) {
    names.push_back(entry.path().filename().string());
    CHECK(entry.file_size() <= 4096);
  }
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"a.log", "a.log.1", "a.log.2"});
  const auto last = lines_of(path);
  REQUIRE_FALSE(last.empty());
  CHECK(nlohmann::json::parse(last.back())["deepseek.count"] == 199);
  const auto before = lines_of(folder.path / "a.log.1");
  CHECK(nlohmann::json::parse(before.back())["deepseek.count"] == 199 - static_cast<int>(last.size()));
}

TEST_CASE("a file that somebody else moved away is opened anew", "[core][log]") {
  Folder folder;
  const fs::path path = folder.path / "a.log";
  const auto file = LogFile::open(path.string()).value();
  file->write(some_record(1));
  REQUIRE(file->flush(10s));
  fs::rename(path, folder.path / "moved");
  file->write(some_record(2));
  REQUIRE(file->flush(10s));
  CHECK(lines_of(folder.path / "moved").size() == 1);
  CHECK(lines_of(path).size() == 1);
}

TEST_CASE("a disk that takes nothing costs records, never the writer", "[core][log]") {
  if (!fs::exists("/dev/full")) SKIP_TEST("no /dev/full here");
  LogFileOptions options;
  options.queue_bytes = 4096;
  const auto file = LogFile::open("/dev/full", options).value();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) file->write(some_record(i));
  CHECK(std::chrono::steady_clock::now() - begin < 1s);
  CHECK(file->counts().dropped > 50);
  CHECK_FALSE(file->flush(50ms));
  CHECK(file->counts().errors >= 1);
  CHECK(file->counts().written == 0);
}

TEST_CASE("the log says how many records it gave up once there is room", "[core][log]") {
  Folder folder;
  const fs::path path = folder.path / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK_FALSE(LogFile::open(path.string()).has_value());  // nobody reads

  std::ifstream reader;
  std::thread opener([&] { reader.open(path); });
  LogFileOptions options;
  options.queue_bytes = 128 * 1024;
  Result<std::shared_ptr<LogFile>> file = LogFile::open(path.string(), options);
  while (!file) {
    std::this_thread::yield();
    file = LogFile::open(path.string(), options);
  }
  opener.join();
  // A pipe takes 64 KiB; the rest waits, then is given up.
  int sent = 0;
  while ((*file)->counts().dropped == 0) (*file)->write(some_record(sent++));
  std::uint64_t said = 0;
  std::string line;
  int seen = 0;
  while (said == 0 && std::getline(reader, line)) {
    const auto json = nlohmann::json::parse(line);
    if (json["event.action"] == "log_dropped")
      said = json["deepseek.count"];
    else if (seen++ > 10)
      (*file)->write(some_record());
  }
  CHECK(said >= 1);
  reader.close();  // what is still queued meets a broken pipe: an error like others
}

TEST_CASE("a log file that cannot be is refused with a reason", "[core][log]") {
  const auto missing = LogFile::open("/nonexistent/folder/a.log");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code() == ErrorCode::io_error);
  CHECK_FALSE(missing.error().cause().empty());
  LogFileOptions options;
  options.queue_bytes = 10;
  CHECK(LogFile::open("/dev/null", options).error().code() == ErrorCode::invalid_options);
  options = {};
  options.keep = -1;
  CHECK(LogFile::open("/dev/null", options).error().code() == ErrorCode::invalid_options);
  options = {};
  options.max_bytes = 1;
  CHECK(LogFile::open("/dev/null", options).error().code() == ErrorCode::invalid_options);
}

TEST_CASE("in a forked child a log file drops, and its end does not wait", "[core][log]") {
  Folder folder;
  const fs::path path = folder.path / "a.log";
  auto file = LogFile::open(path.string()).value();
  file->write(some_record(1));
  REQUIRE(file->flush(10s));
  const pid_t child = ::fork();
  if (child == 0) {
    file->write(some_record(2));
    const bool right = !file->flush(1ms) && file->counts().dropped == 1;
    file.reset();
    const auto own = LogFile::open(path.string());
    bool wrote = false;
    if (own) {
      (*own)->write(some_record(3));
      wrote = (*own)->flush(std::chrono::seconds(10));
    }
    ::_exit(right && wrote ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(lines_of(path).size() == 2);
}
