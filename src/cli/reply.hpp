// Runs a call to its end while its reply is shown.
#pragma once
#include <memory>

#include <deepseek/client.hpp>

#include "cli/output.hpp"

namespace deepseek::cli {

/// The JSON lines, or text for people.
std::unique_ptr<ReplyPrinter> make_printer(Output& output, bool json, std::shared_ptr<Ledger> ledger);

/// Shows what a chunk holds, tool calls apart: those are shown when they are whole.
void show_chunk(ReplyPrinter& printer, const ChatChunk& chunk);
/// Shows a reply that came in one piece.
void show_text(ReplyPrinter& printer, const ChatReply& reply);
/// Shows the whole tool calls and the end; returns the exit code.
int show_end(ReplyPrinter& printer, const Output& output, const Result<ChatReply>& result);

/// Pulls the stream dry. A broken output cancels it.
int show_stream(ReplyPrinter& printer, const Output& output, Stream stream);
int show_whole(ReplyPrinter& printer, const Output& output, const Result<ChatReply>& result);

}  // namespace deepseek::cli
