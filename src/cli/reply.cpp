#include "cli/reply.hpp"

#include <nlohmann/json.hpp>

#include "cli/advice.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"

namespace deepseek::cli {

namespace {

/// A reply that stopped for another reason than its own end may hold a last call that was cut off.
bool is_whole(const ToolCall& call, std::string_view reason) {
  if (reason.empty()) return false;
  if (reason == finish_reason::tool_calls || reason == finish_reason::stop) return true;
  return nlohmann::json::accept(call.arguments);
}

void show_calls(ReplyPrinter& printer, const ChatReply& reply) {
  for (const ToolCall& call : reply.tool_calls())
    if (is_whole(call, reply.finish_reason())) printer.tool_call(call);
}

}  // namespace

std::unique_ptr<ReplyPrinter> make_printer(Output& output, bool json, std::shared_ptr<Ledger> ledger) {
  return json ? make_json_printer(output, std::move(ledger)) : make_text_printer(output, std::move(ledger));
}

void show_chunk(ReplyPrinter& printer, const ChatChunk& chunk) {
  if (chunk.choice() != 0) return;
  if (!chunk.reasoning_content().empty()) printer.reasoning(chunk.reasoning_content());
  if (!chunk.content().empty()) printer.content(chunk.content());
}

void show_text(ReplyPrinter& printer, const ChatReply& reply) {
  if (!reply.reasoning_content().empty()) printer.reasoning(reply.reasoning_content());
  if (!reply.content().empty()) printer.content(reply.content());
}

int show_end(ReplyPrinter& printer, const Output& output, const Result<ChatReply>& result) {
  const ChatReply* reply = result ? &*result : result.error().partial();
  if (reply) show_calls(printer, *reply);
  if (result)
    printer.end(result);
  else
    printer.end(in_flags(result.error()));
  return finish(output, result ? exit_code::complete : exit_code_of(result.error()));
}

int show_stream(ReplyPrinter& printer, const Output& output, Stream stream) {
  for (const ChatChunk& chunk : stream) {
    show_chunk(printer, chunk);
    if (!output.good()) stream.cancel();
  }
  return show_end(printer, output, stream.result());
}

int show_whole(ReplyPrinter& printer, const Output& output, const Result<ChatReply>& result) {
  const ChatReply* reply = result ? &*result : result.error().partial();
  if (reply) show_text(printer, *reply);
  return show_end(printer, output, result);
}

}  // namespace deepseek::cli
