// deepseek balance: what is left on the account.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"
#include "cli/options.hpp"

namespace deepseek::cli {

namespace {

std::string balance_table(const Balance& balance) {
  std::vector<std::vector<std::string>> rows = {{"CURRENCY", "TOTAL", "GRANTED", "TOPPED UP"}};
  for (const BalanceInfo& info : balance.balance_infos)
    rows.push_back({info.currency, info.total_balance, info.granted_balance, info.topped_up_balance});
  const char* note = balance.is_available ? "" : "The balance does not suffice for requests.\n";
  return table(rows) + note;
}

int run_balance(const Args& args, Output& output) {
  if (!args.positionals().empty())
    return usage_failure(balance_command, Error(ErrorCode::invalid_argument, "there is an argument too many"));
  auto connection = connection_from(args);
  if (!connection) return usage_failure(balance_command, connection.error());
  auto client = make_client(*connection);
  if (!client) return show_failure(output, client.error(), args.has("json"));
  const CancelSource source;
  const Interrupt interrupt(source);
  CallOptions call;
  call.cancel = source.token();
  const auto balance = client->balance(call);
  if (!balance) return show_failure(output, balance.error(), args.has("json"));
  output.write(args.has("json") ? json_line(balance->raw.view()) + '\n' : printable(balance_table(*balance)));
  return finish(output, exit_code::complete);
}

}  // namespace

const Command balance_command = {
    "balance",
    "",
    "Shows the balance of the account (DeepSeek only).",
    "--json prints the service's object on one line; after a failure {\"error\":{...}}.\n",
    {},
    run_balance,
};

}  // namespace deepseek::cli
