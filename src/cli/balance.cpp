// deepseek balance: what is left on the account.
#include "cli/query.hpp"

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
  return run_query(
      balance_command, args, output,
      [](const DeepSeekClient& client, const CallOptions& call) { return client.balance(call); }, balance_table,
      [](const Balance& balance) { return json_line(balance.raw.view()); });
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
