// deepseek fim: text between a prompt and a suffix.
#include <limits>

#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/input.hpp"
#include "cli/interrupt.hpp"
#include "cli/reply.hpp"
#include "cli/session.hpp"

namespace deepseek::cli {

namespace {

Result<void> check_fim(const Args& args) {
  if (!args.positionals().empty())
    return Error(ErrorCode::invalid_argument, "there is an argument without an option", "give the text with --prompt");
  if (!args.has("prompt")) return Error(ErrorCode::invalid_argument, "--prompt is missing");
  return {};
}

int run_fim(const Args& args, Output& output) {
  if (auto fine = check_fim(args); !fine) return usage_failure(fim_command, fine.error());
  auto connection = connection_from(args);
  if (!connection) return usage_failure(fim_command, connection.error());
  CompletionRequest request;
  if (const std::string* text = args.value("max-tokens")) {
    auto number = parse_integer("max-tokens", *text, 1, std::numeric_limits<std::int64_t>::max());
    if (!number) return usage_failure(fim_command, number.error());
    request.max_tokens = *number;
  }
  const auto ledger = std::make_shared<Ledger>();
  const auto printer = make_printer(output, args.has("json"), ledger);
  auto prompt = read_prompt(*args.value("prompt"));
  if (!prompt) return show_end(*printer, output, prompt.error());
  request.prompt = *std::move(prompt);
  request.suffix = args.value_or("suffix", "");
  request.model = connection->model;
  request.include_usage = true;
  auto session = open_session(*connection, ledger);
  if (!session) return show_end(*printer, output, session.error());
  const CancelSource source;
  const Interrupt interrupt(source);
  CallOptions call;
  call.cancel = source.token();
  if (args.has("no-stream")) return show_whole(*printer, output, session->client.complete(request, call));
  return show_stream(*printer, output, session->client.complete_stream(request, call));
}

constexpr OptionSpec fim_options[] = {
    {"prompt", "TEXT|-", "the text before the gap; -: standard input"},
    {"suffix", "TEXT", "the text after the gap"},
    {"model", "NAME", "default: deepseek-v4-pro"},
    {"max-tokens", "N", "the most tokens to write"},
    {"no-stream", nullptr, "wait for the whole text"},
    cache_option,
    metrics_port_option,
    hedge_after_option,
};

}  // namespace

const Command fim_command = {
    "fim",
    "--prompt TEXT",
    "Writes the text between a prompt and a suffix (DeepSeek's beta completions).",
    "--json prints the lines of deepseek chat --json.\n",
    fim_options,
    run_fim,
};

}  // namespace deepseek::cli
