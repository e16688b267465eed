// A conversation on a terminal.
#pragma once
#include <deepseek/conversation.hpp>

#include "cli/ledger.hpp"
#include "cli/output.hpp"

namespace deepseek::cli {

/// Reads questions from standard input until it ends or /quit; returns the exit code.
int run_repl(const DeepSeekClient& client, ConversationOptions options, bool stream, Output& output,
             std::shared_ptr<Ledger> ledger);

}  // namespace deepseek::cli
