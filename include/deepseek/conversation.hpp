// Conversation: a history that is kept as the service wants it back, and the loop that runs tools.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/client.hpp>
#include <deepseek/core/function.hpp>
#include <deepseek/tools.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// How a conversation asks. Empty optionals: not sent.
struct ConversationOptions {
  std::string system{};  ///< first message; empty: none
  std::string model{};   ///< empty: the client's
  std::optional<std::string> thinking{};
  std::optional<std::string> reasoning_effort{};
  std::optional<std::int64_t> max_tokens{};
  std::optional<double> temperature{};
  std::optional<double> top_p{};
  std::optional<std::string> user_id{};
  RawJson extra{};             ///< further members of each request, as one JSON object
  int max_rounds = 8;          ///< requests per ask(), at least 1
  int max_parallel_tools = 8;  ///< threads for the calls of one turn; 1: no threads
};

/// A conversation with one model. Every assistant turn is kept as it came, reasoning byte for byte, and
/// goes back that way. Not thread-safe: one thread at a time; a copy is a conversation of its own. Keeps
/// the client alive.
///
/// If ask() fails, the history is what it was before (tools may have run all the same); what the model had
/// said is in Error::partial().
class Conversation {
 public:
  explicit Conversation(DeepSeekClient client, ConversationOptions options = {});

  /// Adds a message, asks, and runs the tools that the model calls until it answers without a call. Calls
  /// of one turn run at the same time on threads made for it (one: on this thread); results go back in
  /// the order of the calls. A call that was cut off, is not JSON, or does not fit the tool's schema is
  /// never run: the model is told, and if the same tool is called badly again, ask() fails with
  /// schema_mismatch (tool_failed: a tool that does not exist). Fails with too_many_rounds after
  /// max_rounds requests. Without `tools` a reply with calls is returned as it is: answer each call with
  /// add(Message::tool(...)), the last one with ask(). What a tool throws is told to the model like an error it returns
  /// and leaves nobody; other errors are those of DeepSeekClient::chat (client.hpp). On the I/O thread: wrong_thread.
  Result<ChatReply> ask(std::string_view text, const Tools& tools = {}, const CallOptions& options = {});
  Result<ChatReply> ask(Message message, const Tools& tools = {}, const CallOptions& options = {});

  /// The same, streamed: on_chunk sees the chunks of every round, on this thread, each valid until it returns. An
  /// exception it throws cancels the call, leaves the history as it was, and passes through.
  Result<ChatReply> ask_stream(std::string_view text, const Function<void(const ChatChunk&)>& on_chunk,
                               const Tools& tools = {}, const CallOptions& options = {});
  Result<ChatReply> ask_stream(Message message, const Function<void(const ChatChunk&)>& on_chunk,
                               const Tools& tools = {}, const CallOptions& options = {});

  /// All messages so far, the system message included.
  const std::vector<Message>& history() const noexcept { return history_; }
  /// Appends a message without asking.
  void add(Message message);
  /// Forgets everything but the system message of the options.
  void clear();

  /// The history as JSON, byte-exact for load() (bytes that are not UTF-8 become U+FFFD). The format is
  /// this library's own.
  RawJson save() const;
  /// Replaces the history by a saved one; on an error (malformed_json, schema_mismatch, limit_exceeded beyond 256 MiB)
  /// nothing changes. The text may come from anywhere: what the service would not take is found by the lint and the
  /// encoder when the next ask() sends it.
  Result<void> load(const RawJson& saved);

 private:
  using ChunkFunction = Function<void(const ChatChunk&)>;
  Result<ChatReply> run(Message message, const ChunkFunction* on_chunk, const Tools& tools, const CallOptions& options);
  Result<ChatReply> send(const ChatRequest& request, const ChunkFunction* on_chunk, const CallOptions& options) const;
  ChatRequest make_request(const Tools& tools) const;

  DeepSeekClient client_;
  ConversationOptions options_;
  std::vector<Message> history_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/impl/conversation.ipp>
#endif
