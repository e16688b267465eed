// A command that asks the server for one thing and prints it.
#pragma once
#include <string>

#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"
#include "cli/options.hpp"

namespace deepseek::cli {

/// `ask(client, call_options)` returns a Result; `text(value)` and `json(value)` write what it holds.
template <class Ask, class Text, class Json>
int run_query(const Command& command, const Args& args, Output& output, Ask ask, Text text, Json json) {
  if (!args.positionals().empty())
    return usage_failure(command, Error(ErrorCode::invalid_argument, "there is an argument too many"));
  const auto connection = connection_from(args);
  if (!connection) return usage_failure(command, connection.error());
  const bool as_json = args.has("json");
  const auto client = make_client(*connection);
  if (!client) return show_failure(output, client.error(), as_json);
  const CancelSource source;
  const Interrupt interrupt(source);
  CallOptions call;
  call.cancel = source.token();
  const auto answer = ask(*client, call);
  if (!answer) return show_failure(output, answer.error(), as_json);
  output.write(as_json ? json(*answer) + '\n' : printable(text(*answer)));
  return finish(output, exit_code::complete);
}

}  // namespace deepseek::cli
