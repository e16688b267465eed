#pragma once
#include <deepseek/model/detail/codec.hpp>

#include <deepseek/model/detail/chunk_access.hpp>
#include <deepseek/model/detail/chunk_template.hpp>
#include <deepseek/model/detail/json_text.hpp>
#include <deepseek/model/detail/member_bag.hpp>
#include <deepseek/model/detail/service_error.hpp>

#include <algorithm>
#include <cstring>
#include <limits>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What a hostile reply may make this library allocate beyond the size of its own text.
inline constexpr std::size_t max_choices = 128;
inline constexpr std::size_t max_tool_calls = 1024;     ///< of one choice, and pieces in one frame
inline constexpr std::size_t max_content_parts = 4096;  ///< of one message

/// True if each of eight bytes is ASCII above the control characters, and neither a quote nor a backslash.
inline bool are_plain(std::uint64_t bytes) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101u;
  const std::uint64_t quote = bytes ^ (ones * '"');
  const std::uint64_t slash = bytes ^ (ones * '\\');
  // A byte with its high bit clear has it set after the subtraction only if it was too small.
  const std::uint64_t marked = bytes | (bytes - ones * 0x20) | (quote - ones) | (slash - ones);
  return (marked & (ones * 0x80)) == 0;
}

template <class Word>
std::uint64_t load(const char* at) noexcept {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

/// The same for a whole string: nearly every piece of a stream is such text. Reads nothing beyond it.
inline bool is_plain_ascii(std::string_view text) noexcept {
  const char* at = text.data();
  const std::size_t size = text.size();
  const char* const end = at + size;
  if (size >= 8) {
    for (; end - at > 8; at += 8)
      if (!are_plain(load<std::uint64_t>(at))) return false;
    return are_plain(load<std::uint64_t>(end - 8));
  }
  if (size >= 4) return are_plain(load<std::uint32_t>(at) | load<std::uint32_t>(end - 4) << 32);
  if (size == 0) return true;
  constexpr std::uint64_t harmless = 0x6161616161000000u;
  return are_plain(harmless | load<std::uint8_t>(at) | load<std::uint8_t>(at + size / 2) << 8 |
                   load<std::uint8_t>(end - 1) << 16);
}

/// A piece of a tool call as read, before it is known which call it belongs to.
struct CallPiece {
  std::int64_t index = -1;  ///< -1: none came
  ToolCallDelta delta = {};
  std::string_view type = {};
  JsonValue function = {};
  JsonValue whole = {};
  std::string_view arguments_body = {};  ///< as sent, for the template; null data unless a string
  bool plain = true;                     ///< nothing but index and arguments
};

/// What is known of one choice beside what stands in the reply.
struct ChoiceState {
  struct CallState {
    std::int64_t wire_index = -1;  ///< the newest call with an index owns its later pieces
    MemberBag extra = {};
  };
  MemberBag extra = {};
  MemberBag message_extra = {};
  MemberBag logprobs = {};
  std::vector<CallState> calls = {};
};

template <std::size_t count>
bool is_one_of(std::string_view key, const std::string_view (&names)[count]) noexcept {
  for (const std::string_view name : names)
    if (key == name) return true;
  return false;
}

DEEPSEEK_DECL bool is_root_member(std::string_view key) {
  constexpr std::string_view names[] = {"choices", "id",      "model", "system_fingerprint",
                                        "object",  "created", "usage", "error"};
  return is_one_of(key, names);
}

DEEPSEEK_DECL bool is_choice_member(std::string_view key) {
  constexpr std::string_view names[] = {"index", "delta", "message", "text", "finish_reason", "logprobs"};
  return is_one_of(key, names);
}

class ChatReplyDecoder final : public ReplyDecoder {
 public:
  explicit ChatReplyDecoder(bool stream) : stream_(stream) {}

  FrameKind inspect(std::string_view data) override;
  std::optional<Error> conclude(bool clean) override;
  Error error_from_body(int status, std::string_view body) override { return decode_error(status, body); }
  void reset() override { *this = ChatReplyDecoder(stream_); }

  ChatReply& reply() override;
  std::uint64_t answer_bytes() const override { return answer_bytes_; }

 private:
  enum Varying : std::size_t { content, reasoning, arguments, varying_count };

  /// What one frame told; only valid while it is decoded.
  struct FrameState {
    std::string_view data = {};
    ChunkFields common = {};
    bool token = false;
    bool error = false;
    // How the template may be learned: exactly one string that can vary, and nothing that must be seen again.
    bool repeatable = true;
    std::size_t varying_strings = 0;
    Varying varying = content;
    std::string_view varying_body = {};
    std::size_t choice = 0;
    std::size_t slot = 0;
  };

  ChatReplyDecoder& operator=(ChatReplyDecoder&&) = default;

  bool find_template(std::string_view data, std::size_t& which, std::string_view& body);
  bool decode_body(std::string_view& body);
  FrameKind by_reading(std::string_view data);
  FrameKind malformed(const char* why);
  FrameKind service_error(JsonValue root);
  bool read_root(JsonValue root, FrameState& frame);
  bool read_choices(JsonValue choices, FrameState& frame);
  bool read_choice(JsonValue choice, FrameState& frame, ChunkFields& fields);
  bool read_message(JsonValue message, std::size_t place, FrameState& frame, ChunkFields& fields);
  bool read_content(JsonValue value, std::size_t place, FrameState& frame, ChunkFields& fields);
  bool read_parts(JsonValue parts, Message& message, ChunkFields& fields);
  void read_reasoning(JsonValue value, std::size_t place, FrameState& frame, ChunkFields& fields);
  bool read_calls(JsonValue calls, std::size_t place, FrameState& frame, ChunkFields& fields);
  CallPiece read_call(JsonValue call);
  std::size_t slot_of(const CallPiece& piece, std::size_t place);
  std::size_t add_call(const CallPiece& piece, std::size_t place);
  std::size_t place_of(std::int64_t index);
  void read_usage(JsonValue value);
  void keep_strangers(JsonValue object, MemberBag& bag, bool (*known)(std::string_view key));
  void make_room(std::size_t chunks);
  void learn(const FrameState& frame);
  void forget_templates();
  std::string_view view(JsonValue value) { return decode_string_body(value.body(), scratch_); }
  void varies(FrameState& frame, Varying varying, std::string_view body, std::size_t place, std::size_t slot);
  void gather_extras();
  void put_in_order();
  std::optional<Error> judge_end(bool clean);
  std::optional<Error> judge_answer();

  bool stream_;
  bool done_ = false;   ///< the end mark came
  bool whole_ = false;  ///< a body was read to its end
  bool extras_changed_ = false;
  const char* malformed_ = nullptr;
  std::uint64_t frames_ = 0;
  std::uint64_t malformed_frame_ = 0;
  std::uint64_t answer_bytes_ = 0;
  std::optional<ServiceError> error_;
  ChatReply reply_;
  std::vector<ChoiceState> states_;  ///< one for each of reply_.choices
  MemberBag extra_;

  std::vector<ChatChunk> chunks_;
  std::vector<ToolCallDelta> deltas_;
  std::string scratch_;  ///< unescaped strings of the frame
  ChunkTemplate templates_[varying_count];
  std::size_t newest_template_ = 0;
};

// The path of nearly every event: one function, since each call on it counts.
DEEPSEEK_DECL FrameKind ChatReplyDecoder::inspect(std::string_view data) {
  ++frames_;
  std::string_view body;
  std::size_t which = newest_template_;
  if (!templates_[which].match(data, body) && !find_template(data, which, body)) return by_reading(data);
  if (!is_plain_ascii(body) && !decode_body(body)) return by_reading(data);
  ChunkTemplate& known = templates_[which];
  if (known.choice >= reply_.choices.size()) return by_reading(data);  // the reply was moved out
  ChunkFields& fields = ChunkAccess::fields(known.chunk());
  fields.raw = data;
  Message& message = reply_.choices[known.choice].message;
  switch (static_cast<Varying>(which)) {
    case content:
      fields.content = body;
      message.content.append(body);
      break;
    case reasoning:
      fields.reasoning_content = body;
      message.reasoning_content->append(body);
      break;
    default:
      known.call().arguments = body;
      message.tool_calls[known.slot].arguments.append(body);
  }
  answer_bytes_ += body.size();
  shown_ = &known.chunk();
  shown_count_ = 1;
  return body.empty() ? FrameKind::data : FrameKind::token;
}

/// Another template than the newest; becomes the newest.
DEEPSEEK_DECL bool ChatReplyDecoder::find_template(std::string_view data, std::size_t& which, std::string_view& body) {
  for (which = 0; which != varying_count; ++which) {
    if (which == newest_template_ || !templates_[which].match(data, body)) continue;
    newest_template_ = which;
    return true;
  }
  return false;
}

/// Decodes a string that is more than plain ASCII, into scratch_ if need be; false if it is no string.
DEEPSEEK_DECL bool ChatReplyDecoder::decode_body(std::string_view& body) {
  const StringBody kind = classify_string_body(body);
  if (kind == StringBody::invalid) return false;
  if (kind != StringBody::escaped) return true;
  scratch_.clear();
  body = decode_string_body(body, scratch_);
  return true;
}

DEEPSEEK_DECL FrameKind ChatReplyDecoder::malformed(const char* why) {
  forget_templates();
  if (malformed_ == nullptr) {
    malformed_ = why;
    malformed_frame_ = frames_;
  }
  shown_count_ = 0;
  return FrameKind::malformed;
}

DEEPSEEK_DECL FrameKind ChatReplyDecoder::service_error(JsonValue root) {
  error_.emplace();
  read_service_error(root, *error_);
  forget_templates();
  return FrameKind::error;
}

DEEPSEEK_DECL void ChatReplyDecoder::forget_templates() {
  for (ChunkTemplate& known : templates_) known.forget();
}

DEEPSEEK_DECL FrameKind ChatReplyDecoder::by_reading(std::string_view data) {
  shown_count_ = 0;
  const std::string_view text = json_trim(data);
  if (stream_ && (done_ || text == "[DONE]")) {
    done_ = true;
    forget_templates();
    return FrameKind::end;
  }
  if (text.empty()) return FrameKind::data;
  if (const char* fault = json_fault(text)) return malformed(fault);
  const JsonValue root(text);
  if (!root.is_object()) return malformed("it is not a JSON object");

  FrameState frame;
  frame.data = data;
  frame.common.raw = data;
  scratch_.clear();
  scratch_.reserve(text.size());  // views into it must survive what is appended later
  deltas_.clear();
  if (!read_root(root, frame)) return malformed("it has not the shape of a reply");
  if (frame.error) return service_error(root);
  whole_ = true;
  learn(frame);
  return stream_ && frame.token ? FrameKind::token : FrameKind::data;
}

DEEPSEEK_DECL bool ChatReplyDecoder::read_root(JsonValue root, FrameState& frame) {
  JsonValue choices;
  JsonValue usage;
  std::string_view object;
  bool strangers = false;
  for (JsonMembers members(root); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (key == "choices") {
      choices = value;
    } else if (key == "id") {
      frame.common.id = view(value);
    } else if (key == "model") {
      frame.common.model = view(value);
    } else if (key == "system_fingerprint") {
      frame.common.system_fingerprint = view(value);
    } else if (key == "object") {
      object = view(value);
    } else if (key == "created") {
      value.get(frame.common.created);
    } else if (key == "usage") {
      usage = value;
    } else if (key == "error") {
      frame.error = frame.error || value.is_object() || !value.body().empty();
    } else {
      strangers = true;
      frame.error = frame.error || (key == "type" && value.body() == "error");
    }
  }
  if (frame.error || object == "error") return frame.error = true;
  if (strangers) keep_strangers(root, extra_, is_root_member);
  if (usage.is_object()) {
    read_usage(usage);
    frame.common.usage = &*reply_.usage;
    frame.repeatable = false;
  }
  const auto keep_first = [](std::string& kept, std::string_view value) {
    if (kept.empty()) kept = value;
  };
  keep_first(reply_.id, frame.common.id);
  keep_first(reply_.object, object);
  keep_first(reply_.model, frame.common.model);
  keep_first(reply_.system_fingerprint, frame.common.system_fingerprint);
  if (reply_.created == 0) reply_.created = frame.common.created;
  return read_choices(choices, frame);
}

DEEPSEEK_DECL void ChatReplyDecoder::keep_strangers(JsonValue object, MemberBag& bag,
                                                    bool (*known)(std::string_view key)) {
  for (JsonMembers members(object); members.next();) {
    if (known(members.key()) || !bag.set(members.raw_key(), members.value())) continue;
    extras_changed_ = true;
    forget_templates();
  }
}

DEEPSEEK_DECL void ChatReplyDecoder::read_usage(JsonValue value) {
  Usage usage;
  std::int64_t cached = -1;
  std::int64_t hit = -1;
  std::int64_t miss = -1;
  for (JsonMembers members(value); members.next();) {
    const std::string_view key = members.key();
    const JsonValue count = members.value();
    if (key == "prompt_tokens") count.get(usage.prompt_tokens);
    if (key == "completion_tokens") count.get(usage.completion_tokens);
    if (key == "total_tokens") count.get(usage.total_tokens);
    if (key == "prompt_cache_hit_tokens") count.get(hit);
    if (key == "prompt_cache_miss_tokens") count.get(miss);
    const bool of_prompt = key == "prompt_tokens_details";
    if (!of_prompt && key != "completion_tokens_details") continue;
    for (JsonMembers details(count); details.next();) {
      if (of_prompt && details.key() == "cached_tokens") details.value().get(cached);
      if (!of_prompt && details.key() == "reasoning_tokens") details.value().get(usage.reasoning_tokens);
    }
  }
  if (hit < 0) hit = std::max<std::int64_t>(cached, 0);
  if (miss < 0) miss = usage.prompt_tokens > hit ? usage.prompt_tokens - hit : 0;
  usage.prompt_cache_hit_tokens = hit;
  usage.prompt_cache_miss_tokens = miss;
  usage.raw = RawJson(std::string(value.raw()));
  reply_.usage = std::move(usage);
}

DEEPSEEK_DECL bool ChatReplyDecoder::read_choices(JsonValue choices, FrameState& frame) {
  if (!choices.is_nothing() && !choices.is_array()) return false;
  ChunkFields unshown = frame.common;  // of a whole body, which has no chunks
  if (stream_) {
    make_room(1);  // a frame of usage alone is a chunk too
    ChunkAccess::fields(chunks_.front()) = frame.common;
  }
  std::size_t count = 0;
  for (JsonItems items(choices); items.next(); ++count) {
    if (count == max_choices || !items.value().is_object()) return false;
    if (stream_) make_room(count + 1);
    if (!read_choice(items.value(), frame, stream_ ? ChunkAccess::fields(chunks_[count]) : unshown)) return false;
  }
  frame.repeatable = frame.repeatable && count == 1;
  // The pieces of tool calls may have moved while they were gathered.
  const ToolCallDelta* delta = deltas_.data();
  for (std::size_t i = 0; stream_ && i != count; ++i) {
    ChunkFields& fields = ChunkAccess::fields(chunks_[i]);
    fields.tool_calls = delta;
    delta += fields.tool_call_count;
  }
  shown_ = chunks_.data();
  shown_count_ = stream_ ? std::max<std::size_t>(count, 1) : 0;
  return true;
}

/// Copying a chunk would copy what its views show, so a larger array takes over the views alone.
DEEPSEEK_DECL void ChatReplyDecoder::make_room(std::size_t chunks) {
  if (chunks <= chunks_.size()) return;
  std::vector<ChatChunk> larger(chunks == 1 ? 1 : 2 * chunks);
  for (std::size_t i = 0; i != chunks_.size(); ++i) ChunkAccess::fields(larger[i]) = ChunkAccess::fields(chunks_[i]);
  chunks_.swap(larger);
}

DEEPSEEK_DECL std::size_t ChatReplyDecoder::place_of(std::int64_t index) {
  for (std::size_t i = 0; i != reply_.choices.size(); ++i)
    if (reply_.choices[i].index == index) return i;
  ChatChoice choice;
  choice.index = static_cast<int>(index);
  choice.message.role = role::assistant;
  reply_.choices.push_back(std::move(choice));
  states_.emplace_back();
  return reply_.choices.size() - 1;
}

DEEPSEEK_DECL bool ChatReplyDecoder::read_choice(JsonValue choice, FrameState& frame, ChunkFields& fields) {
  std::int64_t index = 0;
  JsonValue message;
  JsonValue text;
  JsonValue logprobs;
  bool strangers = false;
  fields = frame.common;
  for (JsonMembers members(choice); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (key == "index") {
      value.get(index);
    } else if (key == "delta" || (key == "message" && !value.is_nothing())) {
      message = value;
    } else if (key == "text") {
      text = value;
    } else if (key == "finish_reason") {
      fields.finish_reason = view(value);
    } else if (key == "logprobs") {
      logprobs = value;
    } else {
      strangers = strangers || !is_choice_member(key);
    }
  }
  if (!message.is_nothing() && !message.is_object()) return false;
  if (index < 0 || index > std::numeric_limits<int>::max()) index = 0;
  const std::size_t place = place_of(index);
  if (place >= max_choices) return false;

  fields.choice = static_cast<int>(index);
  if (!fields.finish_reason.empty()) reply_.choices[place].finish_reason = fields.finish_reason;
  if (!logprobs.is_nothing()) {
    fields.logprobs = logprobs.raw();
    for (JsonMembers parts(logprobs); parts.next();) states_[place].logprobs.join(parts.raw_key(), parts.value());
    extras_changed_ = true;
  }
  if (!fields.finish_reason.empty() || !fields.logprobs.empty()) frame.repeatable = false;
  if (strangers) keep_strangers(choice, states_[place].extra, is_choice_member);
  return read_message(message, place, frame, fields) && read_content(text, place, frame, fields);
}

DEEPSEEK_DECL bool ChatReplyDecoder::read_message(JsonValue message, std::size_t place, FrameState& frame,
                                                  ChunkFields& fields) {
  for (JsonMembers members(message); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (key == "content") {
      if (!read_content(value, place, frame, fields)) return false;
    } else if (key == "reasoning_content") {
      if (!value.is_nothing() && !value.is_string()) return false;
      read_reasoning(value, place, frame, fields);
    } else if (key == "tool_calls") {
      if (!read_calls(value, place, frame, fields)) return false;
    } else if (key == "role") {
      fields.role = view(value);
      std::string& kept = reply_.choices[place].message.role;
      if (fields.role.empty() || fields.role == kept) continue;
      kept = fields.role;
      forget_templates();
    } else if (key == "name") {
      if (value.is_string()) reply_.choices[place].message.name = value.text();
      frame.repeatable = frame.repeatable && !value.is_string();
    } else if (key == "title") {
      fields.title = view(value);
      if (!fields.title.empty()) reply_.title = fields.title;
      frame.repeatable = frame.repeatable && fields.title.empty();
    } else if (states_[place].message_extra.join(members.raw_key(), value)) {
      extras_changed_ = true;
      frame.repeatable = frame.repeatable && value.is_nothing();
      forget_templates();
    }
  }
  return true;
}

DEEPSEEK_DECL void ChatReplyDecoder::varies(FrameState& frame, Varying varying, std::string_view body,
                                            std::size_t place, std::size_t slot) {
  ++frame.varying_strings;
  frame.token = true;
  frame.varying = varying;
  frame.varying_body = body;
  frame.choice = place;
  frame.slot = slot;
}

DEEPSEEK_DECL bool ChatReplyDecoder::read_content(JsonValue value, std::size_t place, FrameState& frame,
                                                  ChunkFields& fields) {
  if (value.is_nothing()) return true;
  Message& message = reply_.choices[place].message;
  if (value.is_array()) {
    const std::size_t before = message.content.size();
    if (!read_parts(value, message, fields)) return false;
    answer_bytes_ += message.content.size() - before;
    frame.token = true;
    frame.repeatable = false;
    return true;
  }
  if (!value.is_string()) return false;
  if (value.body().empty()) return true;
  fields.content = view(value);
  message.content.append(fields.content);
  answer_bytes_ += fields.content.size();
  varies(frame, content, value.body(), place, 0);
  return true;
}

DEEPSEEK_DECL ContentPart read_part(JsonValue value) {
  ContentPart part;
  if (value.is_string()) {
    part.text = value.text();
    return part;
  }
  part.type.clear();
  bool known = true;
  for (JsonMembers members(value); members.next();) {
    if (members.key() == "type") {
      part.type = members.value().text();
    } else if (members.key() == "text" && members.value().is_string()) {
      part.text = members.value().text();
    } else {
      known = false;
    }
  }
  if (!known || part.type != "text") part.raw = RawJson(std::string(value.raw()));
  return part;
}

/// Parts of text are content too. In a stream the pieces of one text become one part.
DEEPSEEK_DECL bool ChatReplyDecoder::read_parts(JsonValue parts, Message& message, ChunkFields& fields) {
  const std::size_t first = scratch_.size();
  for (JsonItems items(parts); items.next();) {
    ContentPart part = read_part(items.value());
    if (part.type == "text") {
      message.content += part.text;
      scratch_ += part.text;
    }
    const bool plain = part.type == "text" && part.raw.empty();
    if (plain && stream_ && !message.parts.empty() && message.parts.back().type == "text" &&
        message.parts.back().raw.empty()) {
      message.parts.back().text += part.text;
      continue;
    }
    if (message.parts.size() >= max_content_parts) return false;
    message.parts.push_back(std::move(part));
  }
  fields.content = std::string_view(scratch_).substr(first);
  return true;
}

DEEPSEEK_DECL void ChatReplyDecoder::read_reasoning(JsonValue value, std::size_t place, FrameState& frame,
                                                    ChunkFields& fields) {
  if (value.is_nothing()) return;
  auto& kept = reply_.choices[place].message.reasoning_content;
  if (!kept) kept.emplace();
  if (value.body().empty()) return;
  fields.reasoning_content = view(value);
  kept->append(fields.reasoning_content);
  answer_bytes_ += fields.reasoning_content.size();
  varies(frame, reasoning, value.body(), place, 0);
}

DEEPSEEK_DECL CallPiece ChatReplyDecoder::read_call(JsonValue call) {
  CallPiece piece;
  piece.whole = call;
  for (JsonMembers members(call); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (key == "index") {
      value.get(piece.index);
    } else if (key == "id") {
      piece.delta.id = view(value);
    } else if (key == "type") {
      piece.type = view(value);
    } else if (key == "function") {
      piece.function = value;
    } else if (!value.is_nothing()) {
      piece.plain = false;
    }
  }
  if (piece.index < 0 || piece.index > std::numeric_limits<int>::max() / 2) piece.index = -1;
  for (JsonMembers members(piece.function); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (key == "name") {
      piece.delta.name = view(value);
    } else if (key == "arguments" && !value.is_nothing()) {
      // Some servers send the arguments as an object instead of as text.
      piece.delta.arguments = value.is_string() ? view(value) : value.raw();
      piece.arguments_body = value.body();
      piece.plain = piece.plain && value.is_string();
    }
  }
  piece.plain = piece.plain && piece.index >= 0 && piece.delta.id.empty() && piece.delta.name.empty();
  return piece;
}

DEEPSEEK_DECL std::size_t ChatReplyDecoder::add_call(const CallPiece& piece, std::size_t place) {
  std::vector<ToolCall>& calls = reply_.choices[place].message.tool_calls;
  std::int64_t index = piece.index;
  int next = 0;
  for (const ToolCall& call : calls) {
    next = std::max(next, call.index + 1);
    if (call.index == index) index = -1;  // taken: two calls under one index
  }
  ToolCall call;
  call.index = index >= 0 ? static_cast<int>(index) : next;
  calls.push_back(std::move(call));
  states_[place].calls.push_back({piece.index, {}});
  templates_[arguments].forget();
  return calls.size() - 1;
}

/// The call a piece belongs to; a new one if it must be. Other servers leave out or repeat what DeepSeek
/// sends once: an index may be missing, an id blank, or all calls may come under index 0.
DEEPSEEK_DECL std::size_t ChatReplyDecoder::slot_of(const CallPiece& piece, std::size_t place) {
  if (!stream_) return add_call(piece, place);
  const std::vector<ToolCall>& calls = reply_.choices[place].message.tool_calls;
  const auto& states = states_[place].calls;
  const auto with_id = [&]() -> std::size_t {
    std::size_t i = calls.size();
    while (i != 0 && calls[i - 1].id != piece.delta.id) --i;
    return i;  // one past it; 0: none
  };
  const bool named = !piece.delta.name.empty();
  if (piece.index >= 0) {
    std::size_t i = calls.size();
    while (i != 0 && states[i - 1].wire_index != piece.index) --i;
    if (i == 0) return add_call(piece, place);
    const std::string& id = calls[i - 1].id;
    if (!named || piece.delta.id.empty() || id.empty() || id == piece.delta.id) return i - 1;
    const std::size_t same = with_id();
    return same != 0 ? same - 1 : add_call(piece, place);
  }
  if (!piece.delta.id.empty()) {
    if (const std::size_t same = with_id(); same != 0) return same - 1;
    return add_call(piece, place);
  }
  if (calls.empty() || named) return add_call(piece, place);
  return calls.size() - 1;
}

DEEPSEEK_DECL bool ChatReplyDecoder::read_calls(JsonValue calls, std::size_t place, FrameState& frame,
                                                ChunkFields& fields) {
  if (calls.is_nothing()) return true;
  if (!calls.is_array()) return false;
  std::size_t pieces = 0;
  for (JsonItems items(calls); items.next();) {
    if (!items.value().is_object()) return false;
    const CallPiece piece = read_call(items.value());
    const bool says_nothing = piece.delta.id.empty() && piece.delta.name.empty() && piece.delta.arguments.empty();
    if (says_nothing && piece.index < 0) continue;
    const std::size_t slot = slot_of(piece, place);
    if (slot >= max_tool_calls || deltas_.size() >= max_tool_calls) return false;

    ToolCall& call = reply_.choices[place].message.tool_calls[slot];
    if (call.id.empty()) call.id = piece.delta.id;
    if (call.name.empty()) call.name = piece.delta.name;
    if (!piece.type.empty()) call.type = piece.type;
    call.arguments.append(piece.delta.arguments);
    answer_bytes_ += piece.delta.arguments.size();
    for (JsonMembers members(piece.whole); members.next();) {
      const std::string_view key = members.key();
      if (key == "index" || key == "id" || key == "type" || key == "function") continue;
      if (states_[place].calls[slot].extra.join(members.raw_key(), members.value())) extras_changed_ = true;
    }
    deltas_.push_back(piece.delta);
    deltas_.back().index = call.index;
    ++pieces;
    if (!says_nothing) frame.token = true;
    if (!piece.plain) frame.repeatable = false;
    if (!piece.arguments_body.empty()) varies(frame, arguments, piece.arguments_body, place, slot);
  }
  fields.tool_call_count += pieces;
  if (pieces > 1) frame.repeatable = false;
  return true;
}

DEEPSEEK_DECL void ChatReplyDecoder::learn(const FrameState& frame) {
  if (!stream_ || !frame.repeatable || frame.varying_strings != 1) return;
  ChunkTemplate& known = templates_[frame.varying];
  ChunkFields& fields = ChunkAccess::fields(chunks_.front());
  if (frame.varying != arguments && fields.tool_call_count != 0) return;
  known.learn(frame.data, frame.varying_body, fields);
  known.choice = frame.choice;
  known.slot = frame.slot;
  newest_template_ = frame.varying;
  if (frame.varying != arguments) return;
  known.call() = ToolCallDelta();
  known.call().index = fields.tool_calls->index;
  ChunkAccess::fields(known.chunk()).tool_calls = &known.call();
  ChunkAccess::fields(known.chunk()).tool_call_count = 1;
}

DEEPSEEK_DECL void ChatReplyDecoder::gather_extras() {
  if (!extras_changed_) return;
  extras_changed_ = false;
  reply_.extra = extra_.json();
  for (std::size_t i = 0; i != reply_.choices.size(); ++i) {
    ChatChoice& choice = reply_.choices[i];
    const ChoiceState& state = states_[i];
    choice.extra = state.extra.json();
    choice.logprobs = state.logprobs.json();
    choice.message.extra = state.message_extra.json();
    for (std::size_t call = 0; call < choice.message.tool_calls.size(); ++call)
      choice.message.tool_calls[call].extra = state.calls[call].extra.json();
  }
}

DEEPSEEK_DECL ChatReply& ChatReplyDecoder::reply() {
  gather_extras();
  return reply_;
}

/// By index, as promised; they came in any order.
DEEPSEEK_DECL void ChatReplyDecoder::put_in_order() {
  const auto by_index = [](const auto& a, const auto& b) { return a.index < b.index; };
  std::sort(reply_.choices.begin(), reply_.choices.end(), by_index);
  for (ChatChoice& choice : reply_.choices) {
    auto& calls = choice.message.tool_calls;
    std::sort(calls.begin(), calls.end(), by_index);
  }
}

DEEPSEEK_DECL std::optional<Error> ChatReplyDecoder::conclude(bool clean) {
  gather_extras();
  put_in_order();
  forget_templates();
  shown_count_ = 0;
  auto error = judge_end(clean);
  return error ? error : judge_answer();
}

/// Did all of it come, and did it go well?
DEEPSEEK_DECL std::optional<Error> ChatReplyDecoder::judge_end(bool clean) {
  constexpr const char* keep = "what came before is kept in Error::partial()";
  constexpr const char* again = "what came is kept in Error::partial(); repeat the request if it is safe to";
  if (malformed_ != nullptr && (stream_ || clean)) {
    const Error error =
        stream_ ? Error(ErrorCode::malformed_stream,
                        "event " + std::to_string(malformed_frame_) + " of the stream cannot be decoded", keep)
                : Error(ErrorCode::malformed_json, "the reply cannot be decoded",
                        "check the base URL and what lies between");
    return error.with([this](ErrorDetails& details) { details.cause = malformed_; });
  }
  if (error_) return error_in_reply(*error_, stream_);

  bool all_finished = !reply_.choices.empty();
  for (const ChatChoice& choice : reply_.choices) {
    if (choice.finish_reason == finish_reason::content_filter)
      return Error(ErrorCode::filtered, "the service's content check ended the answer",
                   "withdraw what was already shown; repeating the same request does not help");
    if (choice.finish_reason == finish_reason::insufficient_system_resource ||
        choice.finish_reason == finish_reason::aborted)
      return Error(ErrorCode::no_capacity, "the service broke off for lack of capacity", again);
    all_finished = all_finished && !choice.finish_reason.empty();
  }
  if (!stream_) {
    // A body that was read to its closing brace is whole, even if a server gave no finish_reason with it.
    if (whole_ && (clean || all_finished)) return std::nullopt;
    if (clean) return Error(ErrorCode::empty_reply, "the reply has no body", again);
    return Error(ErrorCode::truncated, "the reply was cut off", again);
  }
  if (!all_finished) return Error(ErrorCode::truncated, "the stream ended before the answer did", again);
  if (!clean && !done_) return Error(ErrorCode::truncated, "the connection broke before the stream's end", again);
  reply_.info.end_mark_missing = !done_;
  return std::nullopt;
}

/// Is there an answer in it?
DEEPSEEK_DECL std::optional<Error> ChatReplyDecoder::judge_answer() {
  bool answered = false;
  bool reasoned = false;
  for (const ChatChoice& choice : reply_.choices) {
    const Message& message = choice.message;
    answered = answered || !message.content.empty() || !message.parts.empty() || !message.tool_calls.empty();
    reasoned = reasoned || (message.reasoning_content && !message.reasoning_content->empty());
  }
  if (!answered && !reasoned)
    return Error(ErrorCode::empty_reply, "the reply holds no answer, no reasoning and no tool call",
                 "repeat the request, or change the prompt");
  reply_.info.reasoning_only = !answered;
  return std::nullopt;
}

DEEPSEEK_DECL std::shared_ptr<ReplyDecoder> make_reply_decoder(bool stream) {
  return std::make_shared<ChatReplyDecoder>(stream);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
