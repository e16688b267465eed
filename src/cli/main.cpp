// The deepseek command.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include <deepseek/version.hpp>

#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "double/command.hpp"

namespace deepseek::cli {

namespace {

constexpr const Command* commands[] = {&chat_command,    &fim_command,    &models_command,
                                       &balance_command, &doctor_command, &cache_command};

std::string general_help() {
  std::string text = "usage: deepseek COMMAND [options]\n\n";
  for (const Command* command : commands) text += fmt::format("  {:<10}{}\n", command->name, command->summary);
  text += fmt::format("  {:<10}{}\n", "double", "Runs a server on this machine that plays DeepSeek, for tests.");
  return text +
         "\ndeepseek COMMAND --help tells everything about a command; deepseek --version its version.\n"
         "Environment: DEEPSEEK_API_KEY, DEEPSEEK_BASE_URL, NO_COLOR.\n";
}

int run_command(const Command& command, std::span<const std::string> arguments) {
  Output output(STDOUT_FILENO);
  const auto options = all_options(command);
  const auto args = parse_args(arguments, options);
  if (!args) return usage_failure(command, args.error());
  if (args->has("help")) {
    output.write(help_of(command));
    return finish(output, exit_code::complete);
  }
  return command.run(*args, output);
}

int print(const std::string& text) {
  Output output(STDOUT_FILENO);
  output.write(text);
  return finish(output, exit_code::complete);
}

int complain(const std::string& what) {
  Output(STDERR_FILENO).write(printable(fmt::format("deepseek: {}\n  see deepseek --help\n", what)));
  return exit_code::usage;
}

/// A closed standard descriptor would be given to the next socket, and the answer be written into it.
void fill_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    // Write-only where the command reads and read-only where it writes, so that the use of it fails.
    if (fcntl(descriptor, F_GETFD) < 0) (void)!open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int run(int argc, char** argv) {
  fill_standard_descriptors();
  if (argc < 2) return complain("which command?");
  const std::string name = argv[1];
  if (name == "double") return test::run_double(argc - 1, argv + 1);
  // A reader that goes away is seen by the write; the call in flight is then cancelled in order.
  std::signal(SIGPIPE, SIG_IGN);
  if (name == "--help" || name == "-h" || name == "help") return print(general_help());
  if (name == "--version" || name == "-V") return print(fmt::format("deepseek {}\n", version));
  if (name == "serve") return complain("serve is not available in this version");
  const std::vector<std::string> arguments(argv + 2, argv + argc);
  for (const Command* command : commands)
    if (name == command->name) return run_command(*command, arguments);
  return complain(fmt::format("there is no such command: \"{}\"", name));
}

}  // namespace

}  // namespace deepseek::cli

int main(int argc, char** argv) {
  try {
    return deepseek::cli::run(argc, argv);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "deepseek: %s\n", exception.what());
    return deepseek::cli::exit_code::other;
  }
}
