// Chat completions: request, reply and chunk. Field names and meaning: api-docs.deepseek.com,
// api/create-chat-completion; quirks are noted where they bite.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/model/message.hpp>
#include <deepseek/model/tools.hpp>
#include <deepseek/model/usage.hpp>

DEEPSEEK_BEGIN_NAMESPACE

namespace thinking {
inline constexpr const char* enabled = "enabled";
inline constexpr const char* disabled = "disabled";
}  // namespace thinking

namespace effort {
inline constexpr const char* none = "none";  ///< switches thinking off
inline constexpr const char* low = "low";
inline constexpr const char* high = "high";
inline constexpr const char* max = "max";
}  // namespace effort

namespace finish_reason {
inline constexpr const char* stop = "stop";
inline constexpr const char* length = "length";
inline constexpr const char* tool_calls = "tool_calls";
inline constexpr const char* content_filter = "content_filter";
inline constexpr const char* insufficient_system_resource = "insufficient_system_resource";
inline constexpr const char* aborted = "aborted";
}  // namespace finish_reason

namespace models {
inline constexpr const char* flash = "deepseek-flash";
inline constexpr const char* v4_pro = "deepseek-v4-pro";
}  // namespace models

/// A chat request. An empty optional is not sent; there is no `stream` field: the verb decides.
struct ChatRequest {
  std::vector<Message> messages{};
  std::string model{};                            ///< empty: ClientOptions::model
  std::optional<std::string> thinking{};          ///< enabled (the service's default), disabled
  std::optional<std::string> reasoning_effort{};  ///< none, low, high, max
  std::optional<std::int64_t> max_tokens{};       ///< 1 ... 393216; reasoning counts
  std::optional<std::string> response_format{};   ///< text, json_object (the prompt must say "json")
  std::vector<std::string> stop{};                ///< up to 16
  std::optional<bool> include_usage{};            ///< stream_options; sent on streams only
  std::optional<double> temperature{};            ///< 0 ... 2; no effect while thinking
  std::optional<double> top_p{};                  ///< (0, 1]
  std::vector<Tool> tools{};                      ///< up to 128
  std::optional<ToolChoice> tool_choice{};
  std::optional<bool> logprobs{};
  std::optional<int> top_logprobs{};          ///< 0 ... 20, needs logprobs
  std::optional<std::string> user_id{};       ///< [a-zA-Z0-9_-]{1,512}: isolates cache and scheduling
  std::optional<double> frequency_penalty{};  ///< -2 ... 2; accepted without effect
  std::optional<double> presence_penalty{};   ///< -2 ... 2; accepted without effect
  std::optional<std::string> safety_check{};  ///< level: low, high
  std::optional<bool> title{};                ///< ask for a conversation title
  RawJson extra{};                            ///< further top-level members, as one JSON object
};

/// One alternative of a reply. DeepSeek sends one; other servers may send `n`.
struct ChatChoice {
  int index = 0;
  Message message{};
  std::string finish_reason{};  ///< empty: none came
  RawJson logprobs{};           ///< {"content":[...],"reasoning_content":[...]} as sent; streams: joined
  RawJson extra{};              ///< unknown members of the choice
};

/// Where the time of a call went; zero: that phase did not happen. All since the call began except
/// dns, connect and tls, which are durations of their own.
struct Timings {
  std::chrono::microseconds dns{0};
  std::chrono::microseconds connect{0};
  std::chrono::microseconds tls{0};
  std::chrono::microseconds first_byte{0};
  std::chrono::microseconds first_token{0};
  std::chrono::microseconds total{0};
};

/// Facts about how a reply came.
struct CallInfo {
  int attempts = 1;
  std::string trace_id{};  ///< x-ds-trace-id
  int http_status = 0;
  int http_version = 0;  ///< 11, 20; 0: not HTTP
  bool reused_connection = false;
  bool end_mark_missing = false;  ///< a stream that ended well, but without [DONE]
  bool reasoning_only = false;    ///< complete, but only reasoning came
  std::string cache = "off";      ///< off, miss, or the level that answered: memory, redis, disk
  int retries = 0;                ///< of the attempts, those that repeated a failed one
  int hedges = 0;                 ///< of the attempts, those made beside one that was slow to answer
  std::string endpoint{};         ///< base URL of the server that answered; empty: none was asked
  std::string degraded{};  ///< how it is less than was asked for (a fallback model, a stale copy); empty: it is not
  std::string degraded_because{};  ///< the error of the answer that was asked for, one line; empty: it is not
  int resumed = 0;                 ///< how often the answer broke off and was gone on with
  Timings timings{};
};

/// A whole reply, or what came of it (Error::partial()). FIM completions answer in the same type:
/// content() is the inserted text.
struct ChatReply {
  std::string id{};
  std::string object{};
  std::int64_t created = 0;
  std::string model{};  ///< the name that answered; may differ from the one asked for
  std::string system_fingerprint{};
  std::vector<ChatChoice> choices{};
  std::optional<Usage> usage{};
  std::string title{};
  RawJson extra{};  ///< unknown top-level members
  CallInfo info{};

  // The first choice, which is the only one on DeepSeek. Empty if there is none.
  const std::string& content() const noexcept;
  const std::string& reasoning_content() const noexcept;
  const std::vector<ToolCall>& tool_calls() const noexcept;
  const std::string& finish_reason() const noexcept;
  /// The assistant turn as received, ready to be appended to ChatRequest::messages.
  const Message& message() const noexcept;
};

/// A piece of a tool call. id, type and name come once per call.
struct ToolCallDelta {
  int index = 0;
  std::string_view id{};
  std::string_view name{};
  std::string_view arguments{};
};

namespace detail {
struct ChunkAccess;

/// Plain views over one decoded chunk; who owns the bytes is the holder's business.
struct ChunkFields {
  std::string_view raw{};
  std::string_view content{};
  std::string_view reasoning_content{};
  std::string_view finish_reason{};
  std::string_view id{};
  std::string_view model{};
  std::string_view system_fingerprint{};
  std::string_view role{};
  std::string_view title{};
  std::string_view logprobs{};
  const ToolCallDelta* tool_calls = nullptr;
  std::size_t tool_call_count = 0;
  const Usage* usage = nullptr;
  std::int64_t created = 0;
  int choice = 0;
  /// Not 0: every chunk with this number has the same bytes in all members but raw, content,
  /// reasoning_content and the tool calls.
  std::uint64_t envelope = 0;
};
}  // namespace detail

/// A view of a run of tool-call pieces.
class ToolCallDeltas {
 public:
  ToolCallDeltas(const ToolCallDelta* first, std::size_t count) : first_(first), count_(count) {}
  const ToolCallDelta* begin() const noexcept { return first_; }
  const ToolCallDelta* end() const noexcept { return first_ + count_; }
  std::size_t size() const noexcept { return count_; }
  bool empty() const noexcept { return count_ == 0; }
  const ToolCallDelta& operator[](std::size_t i) const noexcept { return first_[i]; }

 private:
  const ToolCallDelta* first_;
  std::size_t count_;
};

/// One event of a stream: views into the read buffer, valid until the next chunk or the end of the
/// callback. A copy owns its bytes and lives as long as it likes. Absent members are empty.
class ChatChunk {
 public:
  ChatChunk() = default;
  ChatChunk(const ChatChunk& other);
  ChatChunk& operator=(const ChatChunk& other);

  std::string_view content() const noexcept { return fields_.content; }
  std::string_view reasoning_content() const noexcept { return fields_.reasoning_content; }
  ToolCallDeltas tool_calls() const noexcept { return {fields_.tool_calls, fields_.tool_call_count}; }
  std::string_view finish_reason() const noexcept { return fields_.finish_reason; }
  /// Rides on the last chunk; null elsewhere.
  const Usage* usage() const noexcept { return fields_.usage; }
  std::string_view role() const noexcept { return fields_.role; }
  std::string_view id() const noexcept { return fields_.id; }
  std::string_view model() const noexcept { return fields_.model; }
  std::string_view system_fingerprint() const noexcept { return fields_.system_fingerprint; }
  std::int64_t created() const noexcept { return fields_.created; }
  std::string_view title() const noexcept { return fields_.title; }
  std::string_view logprobs() const noexcept { return fields_.logprobs; }  ///< JSON
  int choice() const noexcept { return fields_.choice; }
  /// The event's JSON as received: for what this library does not know.
  std::string_view raw() const noexcept { return fields_.raw; }

 private:
  friend struct detail::ChunkAccess;
  detail::ChunkFields fields_{};
  std::shared_ptr<const void> owned_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/chat.ipp>
#endif
