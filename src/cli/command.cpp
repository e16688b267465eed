#include "cli/command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "cli/advice.hpp"
#include "cli/exit_code.hpp"
#include "cli/options.hpp"

namespace deepseek::cli {

namespace {

constexpr std::size_t help_column = 28;

std::string option_help(const OptionSpec& option) {
  std::string left = fmt::format("  --{}{}{}", option.name, option.value ? " " : "", option.value ? option.value : "");
  left.resize(std::max(left.size() + 2, help_column), ' ');
  for (const char* c = option.help; *c; ++c) {
    left += *c;
    if (*c == '\n') left.append(help_column, ' ');
  }
  return left + '\n';
}

constexpr const char* key_help =
    "\n"
    "The key is read from DEEPSEEK_API_KEY or --api-key-file, never from an argument; it goes to each --endpoint.\n"
    "--oauth-* fetch a token instead of it, and need all but --oauth-scopes.\n";

constexpr const char* exit_help =
    "\n"
    "Exit codes: 0 complete, 1 other, 2 usage or refused before sending, 3 credentials or balance,\n"
    "4 too many requests or no capacity, 5 other answer of the service that is an error, 6 network or\n"
    "timeout, 7 truncated, empty or malformed, 8 filtered, 130 cancelled, 141 the reader of standard output\n"
    "went away.\n";

}  // namespace

std::vector<OptionSpec> all_options(const Command& command) {
  std::vector<OptionSpec> all(command.options.begin(), command.options.end());
  const auto append = [&](std::span<const OptionSpec> more) { all.insert(all.end(), more.begin(), more.end()); };
  if (command.connects) append(connection_options());
  append(general_options());
  return all;
}

std::string help_of(const Command& command) {
  std::string text = fmt::format("usage: deepseek {}{}{} [options]\n\n{}\n\n", command.name,
                                 *command.arguments ? " " : "", command.arguments, command.summary);
  for (const OptionSpec& option : all_options(command)) text += option_help(option);
  if (*command.notes) text += fmt::format("\n{}", command.notes);
  if (command.connects) text += key_help;
  return text + exit_help;
}

int usage_failure(const Command& command, const Error& error) {
  std::string text = fmt::format("deepseek {}: {}\n", command.name, error.message());
  text += error.advice().empty() ? fmt::format("  see deepseek {} --help\n", command.name)
                                 : fmt::format("  {}\n", error.advice());
  Output(STDERR_FILENO).write(printable(text));
  return exit_code::usage;
}

int show_failure(Output& output, const Error& failure, bool json) {
  const Error error = in_flags(failure);
  if (json)
    output.write("{\"error\":" + json_error(error) + "}\n");
  else
    print_error(error);
  return finish(output, exit_code_of(error));
}

int finish(const Output& output, int code) { return output.good() ? code : output.failure_exit_code(); }

}  // namespace deepseek::cli
