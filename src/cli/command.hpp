// One subcommand: its options, its help, its work.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "cli/args.hpp"
#include "cli/output.hpp"

namespace deepseek::cli {

struct Command {
  const char* name;
  const char* arguments;                         ///< after the name, in the usage line
  const char* summary;                           ///< one line
  const char* notes;                             ///< after the options; may be empty
  std::span<const OptionSpec> options;           ///< beside those of all commands
  int (*run)(const Args& args, Output& output);  ///< returns the exit code
  bool connects = true;                          ///< takes the options of the connection
};

extern const Command chat_command;
extern const Command fim_command;
extern const Command models_command;
extern const Command balance_command;
extern const Command doctor_command;
extern const Command cache_command;

/// The command's own options, then those of the connection if it has one, then those of all commands.
std::vector<OptionSpec> all_options(const Command& command);

/// Everything about one command; complete, because it is made from the option table.
std::string help_of(const Command& command);

/// Prints a usage error with a pointer to the help. Returns its exit code.
int usage_failure(const Command& command, const Error& error);
/// Shows why a command without a streamed reply failed: on standard error, or as {"error":{...}}. Returns the exit
/// code.
int show_failure(Output& output, const Error& failure, bool json);
/// The exit code of a finished output: `code`, unless standard output failed.
int finish(const Output& output, int code);

}  // namespace deepseek::cli
