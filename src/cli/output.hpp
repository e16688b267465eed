// What the command prints: text for people, one JSON object a line for programs.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/model/chat.hpp>
#include <deepseek/result.hpp>

#include "cli/ledger.hpp"

namespace deepseek::cli {

/// Writes to one descriptor, unbuffered: every write is seen at once by the reader.
class Output {
 public:
  explicit Output(int descriptor);
  void write(std::string_view text);
  /// False once a write failed; later writes do nothing.
  bool good() const { return failure_ == 0; }
  /// The exit code of a failed output: quiet for a broken pipe, otherwise with a line on standard error.
  int failure_exit_code() const;
  bool terminal() const { return terminal_; }
  /// Escape sequences are wanted: a terminal, not a dumb one, and NO_COLOR is not set.
  bool colour() const { return colour_; }

 private:
  int descriptor_;
  int failure_ = 0;
  bool terminal_;
  bool colour_;
};

/// A JSON string, quotes included; bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);
/// A JSON string, or null if it is empty.
std::string json_string_or_null(std::string_view text);
/// Foreign JSON on one line: line breaks between tokens become blanks, nothing else changes.
std::string json_line(std::string_view json);
/// The error as an object; absent facts are null.
std::string json_error(const Error& error);
/// The last line of `chat --json`, line break included. `cache`: what the cache said, for a failure without a reply.
std::string end_line(const Result<ChatReply>& result, std::string_view cache = "off");

/// Text of a stranger for a terminal: control characters and escape sequences lose their power.
std::string printable(std::string_view text);

/// Columns as wide as their widest cell (in code points), two blanks between; the first row is the head.
std::string table(const std::vector<std::vector<std::string>>& rows);

/// "deepseek: what happened" and, on a second line, the advice; both on standard error.
void print_error(const Error& error);

/// "deepseek: what a person should know", on standard error.
void print_note(std::string_view text);

/// Receives one reply, piece by piece, then its end.
class ReplyPrinter {
 public:
  virtual ~ReplyPrinter() = default;
  virtual void reasoning(std::string_view text) = 0;
  virtual void content(std::string_view text) = 0;
  virtual void tool_call(const ToolCall& call) = 0;
  virtual void end(const Result<ChatReply>& result) = 0;
};

std::unique_ptr<ReplyPrinter> make_json_printer(Output& output, std::shared_ptr<Ledger> ledger);
/// Reasoning only where it can be told from the answer, which is a terminal.
std::unique_ptr<ReplyPrinter> make_text_printer(Output& output, std::shared_ptr<Ledger> ledger);

}  // namespace deepseek::cli
