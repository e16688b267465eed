#pragma once
#include <deepseek/conversation.hpp>

#include <algorithm>

#include <deepseek/detail/tool_calls.hpp>
#include <deepseek/impl/tools.ipp>

DEEPSEEK_BEGIN_NAMESPACE

// --- what is saved: plain structs with a Schema, read and written like any user's ---

namespace detail {

struct SavedPart {
  std::string type, text, url, detail, file_id, file_data, filename, raw;
};
struct SavedCall {
  int index = 0;
  std::string id, type, name, arguments, extra;
};
struct SavedMessage {
  std::string role, content;
  std::vector<SavedPart> parts;
  std::optional<std::string> reasoning_content;
  std::vector<SavedCall> tool_calls;
  std::string tool_call_id, name;
  bool prefix = false;
  std::string extra;
};
struct SavedConversation {
  int deepseek_conversation = 1;  ///< the format's version
  std::vector<SavedMessage> messages;
};

}  // namespace detail

template <>
struct Schema<detail::SavedPart> {
  using P = detail::SavedPart;
  static constexpr auto fields =
      std::make_tuple(deepseek::field("type", &P::type), deepseek::field("text", &P::text),
                      deepseek::field("url", &P::url), deepseek::field("detail", &P::detail),
                      deepseek::field("file_id", &P::file_id), deepseek::field("file_data", &P::file_data),
                      deepseek::field("filename", &P::filename), deepseek::field("raw", &P::raw));
};
template <>
struct Schema<detail::SavedCall> {
  using C = detail::SavedCall;
  static constexpr auto fields =
      std::make_tuple(deepseek::field("index", &C::index), deepseek::field("id", &C::id),
                      deepseek::field("type", &C::type), deepseek::field("name", &C::name),
                      deepseek::field("arguments", &C::arguments), deepseek::field("extra", &C::extra));
};
template <>
struct Schema<detail::SavedMessage> {
  using M = detail::SavedMessage;
  static constexpr auto fields = std::make_tuple(
      deepseek::field("role", &M::role), deepseek::field("content", &M::content), deepseek::field("parts", &M::parts),
      deepseek::field("reasoning_content", &M::reasoning_content), deepseek::field("tool_calls", &M::tool_calls),
      deepseek::field("tool_call_id", &M::tool_call_id), deepseek::field("name", &M::name),
      deepseek::field("prefix", &M::prefix), deepseek::field("extra", &M::extra));
};
template <>
struct Schema<detail::SavedConversation> {
  using S = detail::SavedConversation;
  static constexpr auto fields =
      std::make_tuple(deepseek::field("deepseek_conversation", &S::deepseek_conversation).minimum(1).maximum(1),
                      deepseek::field("messages", &S::messages));
};

namespace detail {

DEEPSEEK_DECL SavedMessage to_saved(const Message& message) {
  SavedMessage saved;
  saved.role = message.role;
  saved.content = message.content;
  saved.reasoning_content = message.reasoning_content;
  saved.tool_call_id = message.tool_call_id;
  saved.name = message.name;
  saved.prefix = message.prefix;
  saved.extra = message.extra.text();
  for (const ContentPart& part : message.parts) {
    saved.parts.push_back(
        {part.type, part.text, part.url, part.detail, part.file_id, part.file_data, part.filename, part.raw.text()});
  }
  for (const ToolCall& call : message.tool_calls) {
    saved.tool_calls.push_back({call.index, call.id, call.type, call.name, call.arguments, call.extra.text()});
  }
  return saved;
}

DEEPSEEK_DECL Message from_saved(SavedMessage&& saved) {
  Message message;
  message.role = std::move(saved.role);
  message.content = std::move(saved.content);
  message.reasoning_content = std::move(saved.reasoning_content);
  message.tool_call_id = std::move(saved.tool_call_id);
  message.name = std::move(saved.name);
  message.prefix = saved.prefix;
  message.extra = RawJson(std::move(saved.extra));
  for (SavedPart& part : saved.parts) {
    message.parts.push_back({std::move(part.type), std::move(part.text), std::move(part.url), std::move(part.detail),
                             std::move(part.file_id), std::move(part.file_data), std::move(part.filename),
                             RawJson(std::move(part.raw))});
  }
  for (SavedCall& call : saved.tool_calls) {
    message.tool_calls.push_back({call.index, std::move(call.id), std::move(call.type), std::move(call.name),
                                  std::move(call.arguments), RawJson(std::move(call.extra))});
  }
  return message;
}

/// Thinking is on unless it was switched off in one of two ways.
inline bool thinking_wanted(const std::optional<std::string>& thinking, const std::optional<std::string>& effort) {
  return thinking != thinking::disabled && effort != effort::none;
}

/// Results are matched to calls by id, and some servers send none, or the same one twice.
DEEPSEEK_DECL void make_call_ids_distinct(std::vector<ToolCall>& calls) {
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto same = [&](const ToolCall& earlier) { return earlier.id == calls[i].id; };
    const auto here = calls.begin() + static_cast<std::ptrdiff_t>(i);
    if (calls[i].id.empty() || std::any_of(calls.begin(), here, same)) {
      calls[i].id += "call_" + std::to_string(i) + "_" + std::to_string(calls.size());
    }
  }
}

/// Remembers which tools were called badly when they were called last.
class BadCalls {
 public:
  /// The index of a call whose tool was called badly for the second time in a row, or nothing.
  std::optional<std::size_t> note(const std::vector<ToolCall>& calls, const std::vector<ToolAnswer>& answers) {
    const std::vector<std::string> before = bad_;
    for (const ToolCall& call : calls) bad_.erase(std::remove(bad_.begin(), bad_.end(), call.name), bad_.end());
    for (std::size_t i = 0; i < calls.size(); ++i) {
      if (!answers[i].refused) continue;
      if (std::find(before.begin(), before.end(), calls[i].name) != before.end()) return i;
      bad_.push_back(calls[i].name);
    }
    return std::nullopt;
  }

 private:
  std::vector<std::string> bad_;
};

/// Cuts the history back unless the ask succeeds, exceptions of user code included.
class HistoryGuard {
 public:
  explicit HistoryGuard(std::vector<Message>& history) : history_(history), size_(history.size()) {}
  HistoryGuard(const HistoryGuard&) = delete;
  HistoryGuard& operator=(const HistoryGuard&) = delete;
  ~HistoryGuard() {
    if (!kept_) history_.resize(size_);
  }
  void keep() { kept_ = true; }

 private:
  std::vector<Message>& history_;
  std::size_t size_;
  bool kept_ = false;
};

DEEPSEEK_DECL Error with_partial(const Error& error, const ChatReply& reply) {
  return error.with([&](ErrorDetails& details) { details.partial = std::make_shared<const ChatReply>(reply); });
}

DEEPSEEK_DECL Error refused_call_error(const Error& refusal, const std::string& name) {
  const bool unknown = refusal.code() == ErrorCode::tool_failed;
  return Error(unknown ? ErrorCode::tool_failed : ErrorCode::schema_mismatch,
               "the model called the tool \"" + name.substr(0, 128) + "\" badly twice in a row: " + refusal.message(),
               unknown ? "name the tools in the system message"
                       : "raise max_tokens, use Tools::strict(), or simplify the schema");
}

/// The assistant turn as the history keeps it.
DEEPSEEK_DECL Message kept_turn(const ChatReply& reply) {
  Message turn = reply.message();
  if (turn.role.empty()) turn.role = role::assistant;
  make_call_ids_distinct(turn.tool_calls);
  return turn;
}

}  // namespace detail

DEEPSEEK_DECL Conversation::Conversation(DeepSeekClient client, ConversationOptions options)
    : client_(std::move(client)), options_(std::move(options)) {
  clear();
}

DEEPSEEK_DECL void Conversation::add(Message message) { history_.push_back(std::move(message)); }

DEEPSEEK_DECL void Conversation::clear() {
  history_.clear();
  if (!options_.system.empty()) history_.push_back(Message::system(options_.system));
}

DEEPSEEK_DECL ChatRequest Conversation::make_request(const Tools& tools) const {
  ChatRequest request;
  request.messages = history_;
  request.model = options_.model;
  request.thinking = options_.thinking;
  request.reasoning_effort = options_.reasoning_effort;
  request.max_tokens = options_.max_tokens;
  request.temperature = options_.temperature;
  request.top_p = options_.top_p;
  request.user_id = options_.user_id;
  request.extra = options_.extra;
  request.tools = tools.definitions();
  if (request.tools.empty() || !detail::thinking_wanted(options_.thinking, options_.reasoning_effort)) return request;
  // With tools the service wants reasoning on every earlier turn; one that never had any takes "".
  for (Message& message : request.messages) {
    if (message.role == role::assistant && !message.reasoning_content) message.reasoning_content.emplace();
  }
  return request;
}

DEEPSEEK_DECL Result<ChatReply> Conversation::send(const ChatRequest& request, const ChunkFunction* on_chunk,
                                                   const CallOptions& options) const {
  if (!on_chunk) return client_.chat(request, options);
  Stream stream = client_.stream(request, options);
  for (const ChatChunk& chunk : stream) {
    if (*on_chunk) (*on_chunk)(chunk);
  }
  return stream.result();
}

DEEPSEEK_DECL Result<ChatReply> Conversation::run(Message message, const ChunkFunction* on_chunk, const Tools& tools,
                                                  const CallOptions& options) {
  if (Result<void> usable = tools.status(); !usable) return usable.error();
  if (options_.max_rounds < 1) return Error(ErrorCode::invalid_argument, "max_rounds must be at least 1");
  detail::HistoryGuard guard(history_);
  history_.push_back(std::move(message));
  detail::BadCalls bad_calls;
  for (int round = 1;; ++round) {
    Result<ChatReply> reply = send(make_request(tools), on_chunk, options);
    if (!reply) return reply;
    const Message turn = detail::kept_turn(*reply);
    history_.push_back(turn);
    if (turn.tool_calls.empty() || tools.empty()) {
      guard.keep();
      return reply;
    }
    if (round >= options_.max_rounds) {
      return detail::with_partial(
          Error(ErrorCode::too_many_rounds, "the model still calls tools after " + std::to_string(round) + " requests",
                "raise ConversationOptions::max_rounds"),
          *reply);
    }
    if (options.cancel.cancelled()) return detail::with_partial(Error(ErrorCode::cancelled, "cancelled"), *reply);
    const bool cut_off = reply->finish_reason() == finish_reason::length;
    std::vector<detail::ToolAnswer> answers =
        detail::answer_tool_calls(tools, turn, cut_off, options_.max_parallel_tools);
    if (const std::optional<std::size_t> bad = bad_calls.note(turn.tool_calls, answers)) {
      return detail::with_partial(detail::refused_call_error(*answers[*bad].refused, turn.tool_calls[*bad].name),
                                  *reply);
    }
    for (detail::ToolAnswer& answer : answers) history_.push_back(std::move(answer.message));
  }
}

DEEPSEEK_DECL Result<ChatReply> Conversation::ask(std::string_view text, const Tools& tools,
                                                  const CallOptions& options) {
  return run(Message::user(std::string(text)), nullptr, tools, options);
}
DEEPSEEK_DECL Result<ChatReply> Conversation::ask(Message message, const Tools& tools, const CallOptions& options) {
  return run(std::move(message), nullptr, tools, options);
}
DEEPSEEK_DECL Result<ChatReply> Conversation::ask_stream(std::string_view text, const ChunkFunction& on_chunk,
                                                         const Tools& tools, const CallOptions& options) {
  return run(Message::user(std::string(text)), &on_chunk, tools, options);
}
DEEPSEEK_DECL Result<ChatReply> Conversation::ask_stream(Message message, const ChunkFunction& on_chunk,
                                                         const Tools& tools, const CallOptions& options) {
  return run(std::move(message), &on_chunk, tools, options);
}

DEEPSEEK_DECL RawJson Conversation::save() const {
  detail::SavedConversation saved;
  for (const Message& message : history_) saved.messages.push_back(detail::to_saved(message));
  return to_json(saved);
}

DEEPSEEK_DECL Result<void> Conversation::load(const RawJson& saved) {
  // More than any request can carry; reading it would cost many times as much memory.
  constexpr std::size_t largest = 256u << 20;
  if (saved.view().size() > largest)
    return Error(ErrorCode::limit_exceeded, "the saved conversation is larger than 256 MiB");
  Result<detail::SavedConversation> parsed = from_json<detail::SavedConversation>(saved.view());
  if (!parsed) return parsed.error();
  std::vector<Message> history;
  for (detail::SavedMessage& message : parsed->messages) history.push_back(detail::from_saved(std::move(message)));
  history_ = std::move(history);
  return {};
}

DEEPSEEK_END_NAMESPACE
