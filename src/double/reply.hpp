// What a Reply holds: the words of the builder, as data.
#pragma once
#include <optional>

#include <deepseek/testing/double.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

using std::chrono::microseconds;
using std::chrono::milliseconds;

struct ScriptedCall {
  std::string name;
  std::string arguments;
};

/// How a reply is broken off, once so many bytes or events were written.
enum class Break { none, cut, reset, stall };
struct BreakAt {
  Break how = Break::none;
  bool events = false;  ///< counts events, not bytes
  std::uint64_t count = 0;
};

struct KeepAlive {
  milliseconds every{0};
  milliseconds total{0};
};

struct Drip {
  std::size_t bytes = 0;
  milliseconds every{0};
};

struct ReplySpec {
  enum class Kind { faithful, content, body, stream, garbage, drop, endless_headers, recorded };
  Kind kind = Kind::faithful;

  // Kind::content; members without a value are chosen as for a faithful answer.
  std::optional<std::string> text;
  std::optional<std::string> reasoning;
  std::vector<ScriptedCall> calls;
  std::vector<std::string> pieces;
  std::string finish;
  std::string title;
  std::string model;
  int blanks = 0;
  bool unchecked = false;

  // Kind::body, stream, garbage
  int status = 200;
  std::string content_type;
  std::string bytes;

  // Kind::recorded
  RecordedResponse recording;
  bool timing = true;

  milliseconds after{0};
  milliseconds after_head{0};
  milliseconds pace{0};
  KeepAlive keep_alive;
  Drip drip;

  BreakAt broken;
  milliseconds keep_alive_in_stall{0};
  bool no_done = false;
  bool no_finish = false;
  bool more_after_done = false;
  std::optional<std::size_t> malformed;
  std::optional<std::size_t> error_at;
  std::string error_message;
  std::size_t huge_event = 0;
  bool close = false;

  bool separate_usage = false;
  bool no_usage = false;
  std::vector<HttpHeader> headers;
  std::optional<std::chrono::seconds> retry_after_date;
  std::vector<std::size_t> chunk_sizes;
  bool close_delimited = false;
  std::string line_end = "\n";
  bool event_ids = false;

  bool has_content() const noexcept { return kind == Kind::faithful || kind == Kind::content; }
};

/// The JSON error envelope, with the type and code that the service uses for this status.
std::string error_body(int status, const std::string& message);
/// The known text of a status, or a plain one.
std::string known_message(int status);

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
