// Command-line arguments: a table of options, exact names only, errors that name the option and never its value.
#pragma once
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <deepseek/result.hpp>

namespace deepseek::cli {

struct OptionSpec {
  const char* name;   ///< without the dashes
  const char* value;  ///< what stands for its value in the help; null: a switch
  const char* help;   ///< lines of the help are broken at '\n'
  bool repeatable = false;
};

/// What was given. Options know their table, so a misspelt has() is caught by the parser's own test.
class Args {
 public:
  bool has(std::string_view name) const { return value(name) != nullptr; }
  /// The value (empty for a switch), or null if the option was not given.
  const std::string* value(std::string_view name) const;
  std::string value_or(std::string_view name, std::string fallback) const;
  std::vector<std::string> values(std::string_view name) const;
  const std::vector<std::string>& positionals() const { return positionals_; }

 private:
  friend Result<Args> parse_args(std::span<const std::string>, std::span<const OptionSpec>);
  std::vector<std::pair<std::string, std::string>> options_;
  std::vector<std::string> positionals_;
};

/// Reads `--name value`, `--name=value`, `--` and positionals. `-h` is `--help`. Fails with
/// invalid_argument on an unknown or abbreviated name, a missing or unwanted value, and an option given twice.
Result<Args> parse_args(std::span<const std::string> arguments, std::span<const OptionSpec> specs);

/// A whole number between `least` and `most`; `name` is the option, for the message.
Result<std::int64_t> parse_integer(std::string_view name, std::string_view text, std::int64_t least, std::int64_t most);
/// Decimal seconds above zero, at most a year.
Result<std::chrono::milliseconds> parse_seconds(std::string_view name, std::string_view text);

/// "--a and --b exclude each other", if both were given.
Result<void> exclude(const Args& args, std::string_view a, std::string_view b);

}  // namespace deepseek::cli
