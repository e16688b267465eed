// deepseek chat: one question, or a conversation.
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "cli/advice.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/input.hpp"
#include "cli/interrupt.hpp"
#include "cli/repl.hpp"
#include "cli/reply.hpp"
#include "cli/session.hpp"

namespace deepseek::cli {

namespace {

Error usage(std::string message, std::string advice = {}) {
  return Error(ErrorCode::invalid_argument, std::move(message), std::move(advice));
}

bool interactive(const Args& args) { return args.positionals().empty(); }

/// Options that belong to one question and have no meaning for a conversation.
Result<void> check_conversation(const Args& args) {
  if (isatty(STDIN_FILENO) != 1)
    return usage("there is no prompt", "give one as an argument, or - to read it from standard input");
  for (const char* name : {"json", "tools", "file", "image"})
    if (args.has(name)) return usage(std::string("--") + name + " needs a prompt");
  return {};
}

Result<void> check_thinking(const Args& args) {
  if (auto fine = exclude(args, "no-thinking", "effort"); !fine) return fine;
  const std::string* effort = args.value("effort");
  if (effort && effort->empty()) return usage("--effort is empty", "low, high and max are known");
  return {};
}

/// It can be read once.
Result<void> check_standard_input(const Args& args) {
  const std::vector<std::string> files = args.values("file");
  auto uses = std::count(files.begin(), files.end(), "-");
  if (!interactive(args) && args.positionals().front() == "-") ++uses;
  if (uses > 1) return usage("standard input is asked for twice", "- can be the prompt, or one --file");
  return {};
}

Result<void> check_chat(const Args& args) {
  if (args.positionals().size() > 1) return usage("there is more than one prompt", "put the prompt in quotes");
  if (auto fine = check_thinking(args); !fine) return fine;
  if (auto fine = check_standard_input(args); !fine) return fine;
  return interactive(args) ? check_conversation(args) : Result<void>();
}

Result<std::optional<std::int64_t>> max_tokens_of(const Args& args) {
  const std::string* text = args.value("max-tokens");
  if (!text) return std::optional<std::int64_t>();
  auto number = parse_integer("max-tokens", *text, 1, std::numeric_limits<std::int64_t>::max());
  if (!number) return number.error();
  return std::optional<std::int64_t>(*number);
}

/// The prompt with its files; parts only where something is no text, because any server reads a string.
Result<Message> user_message(const Args& args) {
  auto text = read_prompt(args.positionals().front());
  if (!text) return text.error();
  std::vector<ContentPart> parts;
  for (const std::string& name : args.values("file")) {
    if (is_file_id(name)) {
      parts.push_back(ContentPart::file(name));
      continue;
    }
    auto block = fenced_file(name);
    if (!block) return block.error();
    *text += "\n\n" + *block;
  }
  for (const std::string& name : args.values("image")) {
    auto part = image_part(name);
    if (!part) return part.error();
    parts.push_back(*std::move(part));
  }
  if (parts.empty()) return Message::user(*std::move(text));
  parts.insert(parts.begin(), ContentPart::text_part(*std::move(text)));
  return Message::user(std::move(parts));
}

Result<ChatRequest> make_request(const Args& args) {
  ChatRequest request;
  if (const std::string* system = args.value("system")) request.messages.push_back(Message::system(*system));
  auto message = user_message(args);
  if (!message) return message.error();
  request.messages.push_back(*std::move(message));
  if (const std::string* path = args.value("tools")) {
    auto json = read_file(*path, max_text_bytes);
    if (!json) return json.error();
    auto tools = parse_tools(*json);
    if (!tools) return tools.error();
    request.tools = *std::move(tools);
  }
  if (args.has("no-thinking")) request.thinking = thinking::disabled;
  if (const std::string* effort = args.value("effort")) request.reasoning_effort = *effort;
  // Servers other than DeepSeek count tokens of a stream only when asked.
  request.include_usage = true;
  return request;
}

int converse(const Args& args, const ConnectionOptions& connection, std::optional<std::int64_t> max_tokens,
             Output& output) {
  const auto ledger = std::make_shared<Ledger>();
  auto session = open_session(connection, ledger);
  if (!session) {
    print_error(in_flags(session.error()));
    return exit_code_of(session.error());
  }
  ConversationOptions options;
  options.system = args.value_or("system", "");
  options.max_tokens = max_tokens;
  if (args.has("no-thinking")) options.thinking = thinking::disabled;
  if (const std::string* effort = args.value("effort")) options.reasoning_effort = *effort;
  return run_repl(session->client, std::move(options), !args.has("no-stream"), output, ledger);
}

int ask(const Args& args, const ConnectionOptions& connection, std::optional<std::int64_t> max_tokens, Output& output) {
  const auto ledger = std::make_shared<Ledger>();
  const auto printer = make_printer(output, args.has("json"), ledger);
  auto request = make_request(args);
  if (!request) return show_end(*printer, output, request.error());
  request->max_tokens = max_tokens;
  auto session = open_session(connection, ledger);
  if (!session) return show_end(*printer, output, session.error());
  const CancelSource source;
  const Interrupt interrupt(source);
  CallOptions call;
  call.cancel = source.token();
  if (args.has("no-stream")) return show_whole(*printer, output, session->client.chat(*request, call));
  return show_stream(*printer, output, session->client.stream(*request, call));
}

int run_chat(const Args& args, Output& output) {
  if (auto fine = check_chat(args); !fine) return usage_failure(chat_command, fine.error());
  auto connection = connection_from(args);
  if (!connection) return usage_failure(chat_command, connection.error());
  auto max_tokens = max_tokens_of(args);
  if (!max_tokens) return usage_failure(chat_command, max_tokens.error());
  if (interactive(args)) return converse(args, *connection, *max_tokens, output);
  return ask(args, *connection, *max_tokens, output);
}

constexpr OptionSpec chat_options[] = {
    {"model", "NAME", "default: deepseek-flash"},
    {"system", "TEXT", "instructions that come before the conversation"},
    {"max-tokens", "N", "the most tokens to write, reasoning included"},
    {"no-thinking", nullptr, "answer without reasoning"},
    {"effort", "LEVEL",
     "how much to reason: none, low, high, max; other servers have other words, which are\nsent as they are"},
    {"file", "PATH|-|ID",
     "add a text file or standard input (-) to the prompt, or a file of the service by its\nid (file-...); repeatable",
     true},
    {"image", "PATH|URL", "add a picture; repeatable", true},
    {"tools", "FILE", "the API's tools array; calls are printed, never run"},
    {"no-stream", nullptr, "wait for the whole answer"},
    cache_option,
    metrics_port_option,
    hedge_after_option,
};

}  // namespace

const Command chat_command = {
    "chat",
    "[PROMPT]",
    "Asks a question and shows the answer as it comes. Without a prompt on a terminal: a conversation.",
    "A prompt of - is read from standard input. Put -- before a prompt that begins with a dash.\n"
    "Standard input is read for - alone, so that scripts may run this command inside a loop that reads it:\n"
    "git diff | deepseek chat \"Review this.\" --file -\n"
    "\n"
    "--json prints one JSON object a line: reasoning and content as they arrive, a tool_call when it is\n"
    "whole, and one end line with outcome, finish_reason, model, id, usage, error, attempts and cache.\n"
    "Without it reasoning is shown on a terminal only, and outcome, tokens, times, cache, attempts and cost (of\n"
    "models whose prices are known) go to standard error.\n",
    chat_options,
    run_chat,
};

}  // namespace deepseek::cli
