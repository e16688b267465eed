#pragma once
#include <deepseek/model/detail/chat_reply_decoder.hpp>

#include <algorithm>
#include <cstring>
#include <limits>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// `key == name`, without a call.
template <std::size_t size>
bool is_word(std::string_view key, const char (&name)[size]) noexcept {
  return key.size() == size - 1 && std::memcmp(key.data(), name, size - 1) == 0;
}

DEEPSEEK_DECL bool is_root_member(std::string_view key) {
  return is_word(key, "choices") || is_word(key, "id") || is_word(key, "model") || is_word(key, "system_fingerprint") ||
         is_word(key, "object") || is_word(key, "created") || is_word(key, "usage") || is_word(key, "error");
}

DEEPSEEK_DECL bool is_choice_member(std::string_view key) {
  return is_word(key, "index") || is_word(key, "delta") || is_word(key, "message") || is_word(key, "text") ||
         is_word(key, "finish_reason") || is_word(key, "logprobs");
}

DEEPSEEK_DECL ReplyNotes::Choice& ReplyNotes::choice(std::size_t place) {
  if (choices.size() <= place) choices.resize(place + 1);
  return choices[place];
}

DEEPSEEK_DECL ReplyNotes::Call& ReplyNotes::call(std::size_t place, std::size_t slot) {
  std::vector<Call>& calls = choice(place).calls;
  if (calls.size() <= slot) calls.resize(slot + 1);
  return calls[slot];
}

DEEPSEEK_DECL ReplyNotes& ChatReplyDecoder::notes() {
  if (!notes_) notes_ = std::make_unique<ReplyNotes>();
  return *notes_;
}

/// The text of a string, valid until the next frame.
DEEPSEEK_DECL std::string_view ChatReplyDecoder::view(JsonValue value) {
  if (!value.is_escaped()) return value.body();
  scratch_.reserve(frame_size_);  // views into it must survive what is appended later
  return decode_string_body(value.body(), scratch_);
}

/// Appends the text of a string to what is kept of the reply. Only a stream shows it beside that.
DEEPSEEK_DECL std::string_view ChatReplyDecoder::add_text(JsonValue value, std::string& kept) {
  const std::size_t before = kept.size();
  std::string_view shown;
  if (!stream_ && value.is_escaped()) {
    append_string_body(value.body(), kept);
  } else {
    shown = view(value);
    kept.append(shown);
  }
  answer_bytes_ += kept.size() - before;
  return shown;
}

DEEPSEEK_DECL bool ChatReplyDecoder::read_root(JsonValue root, FrameState& frame) {
  JsonValue choices;
  JsonValue usage;
  for (JsonMembers members(root); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (is_word(key, "choices")) {
      choices = value;
    } else if (is_word(key, "id")) {
      frame.common.id = view(value);
    } else if (is_word(key, "model")) {
      frame.common.model = view(value);
    } else if (is_word(key, "system_fingerprint")) {
      frame.common.system_fingerprint = view(value);
    } else if (is_word(key, "object")) {
      frame.object = view(value);
    } else if (is_word(key, "created")) {
      frame.created = value.raw();
      value.get(frame.common.created);
    } else if (is_word(key, "usage")) {
      usage = value;
    } else if (is_word(key, "error")) {
      frame.error = frame.error || value.is_object() || !value.body().empty();
    } else {
      frame.strangers = true;
      frame.error = frame.error || (is_word(key, "type") && is_word(value.body(), "error"));
    }
  }
  if (frame.error || is_word(frame.object, "error")) return frame.error = true;
  if (frame.strangers) keep_strangers(root, notes().extra, is_root_member);
  if (usage.is_object()) {
    read_usage(usage);
    frame.common.usage = &*reply_.usage;
    frame.repeatable = false;
  }
  keep_common(frame);
  return read_choices(choices, frame);
}

/// What all frames of a reply say alike: the first that says it counts.
DEEPSEEK_DECL void ChatReplyDecoder::keep_common(const FrameState& frame) {
  const auto keep_first = [](std::string& kept, std::string_view value) {
    if (kept.empty()) kept = value;
  };
  keep_first(reply_.id, frame.common.id);
  keep_first(reply_.object, frame.object);
  keep_first(reply_.model, frame.common.model);
  keep_first(reply_.system_fingerprint, frame.common.system_fingerprint);
  if (reply_.created == 0) reply_.created = frame.common.created;
}

DEEPSEEK_DECL void ChatReplyDecoder::keep_strangers(JsonValue object, MemberBag& bag,
                                                    bool (*known)(std::string_view key)) {
  for (JsonMembers members(object); members.next();) {
    if (known(members.key()) || !bag.set(members.raw_key(), members.value())) continue;
    extras_changed_ = true;
    forget_templates();
  }
}

DEEPSEEK_DECL void read_detail(JsonValue details, std::string_view name, std::int64_t& count) {
  for (JsonMembers members(details); members.next();)
    if (members.key() == name) members.value().get(count);
}

DEEPSEEK_DECL void ChatReplyDecoder::read_usage(JsonValue value) {
  Usage& usage = reply_.usage.emplace();
  std::int64_t cached = -1;
  std::int64_t hit = -1;
  std::int64_t miss = -1;
  for (JsonMembers members(value); members.next();) {
    const std::string_view key = members.key();
    const JsonValue count = members.value();
    if (is_word(key, "prompt_tokens")) count.get(usage.prompt_tokens);
    if (is_word(key, "completion_tokens")) count.get(usage.completion_tokens);
    if (is_word(key, "total_tokens")) count.get(usage.total_tokens);
    if (is_word(key, "prompt_cache_hit_tokens")) count.get(hit);
    if (is_word(key, "prompt_cache_miss_tokens")) count.get(miss);
    if (is_word(key, "prompt_tokens_details")) read_detail(count, "cached_tokens", cached);
    if (is_word(key, "completion_tokens_details")) read_detail(count, "reasoning_tokens", usage.reasoning_tokens);
  }
  if (hit < 0) hit = std::max<std::int64_t>(cached, 0);
  if (miss < 0) miss = usage.prompt_tokens > hit ? usage.prompt_tokens - hit : 0;
  usage.prompt_cache_hit_tokens = hit;
  usage.prompt_cache_miss_tokens = miss;
  usage.raw = RawJson(std::string(value.raw()));
}

DEEPSEEK_DECL bool ChatReplyDecoder::read_choices(JsonValue choices, FrameState& frame) {
  if (!choices.is_nothing() && !choices.is_array()) return false;
  ChunkFields unshown;  // of a whole body, which has no chunks
  std::size_t count = 0;
  for (JsonItems items(choices); items.next(); ++count) {
    if (count == max_choices || !items.value().is_object()) return false;
    if (stream_) make_room(count + 1);
    if (!read_choice(items.value(), frame, stream_ ? ChunkAccess::fields(chunks_[count]) : unshown)) return false;
  }
  frame.repeatable = frame.repeatable && count == 1;
  if (!stream_) return true;
  if (count == 0) {
    make_room(++count);  // a frame of usage alone is a chunk too
    ChunkAccess::fields(chunks_.front()) = frame.common;
  }
  // The pieces of tool calls may have moved while they were gathered.
  const ToolCallDelta* delta = deltas_.data();
  for (std::size_t i = 0; i != count; ++i) {
    ChunkFields& fields = ChunkAccess::fields(chunks_[i]);
    fields.tool_calls = delta;
    delta += fields.tool_call_count;
  }
  shown_ = chunks_.data();
  shown_count_ = count;
  return true;
}

DEEPSEEK_DECL std::size_t ChatReplyDecoder::place_of(std::int64_t index) {
  for (std::size_t i = 0; i != reply_.choices.size(); ++i)
    if (reply_.choices[i].index == index) return i;
  ChatChoice& choice = reply_.choices.emplace_back();
  choice.index = static_cast<int>(index);
  choice.message.role = role::assistant;
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
    if (is_word(key, "index")) {
      value.get(index);
    } else if (is_word(key, "delta") || (is_word(key, "message") && !value.is_nothing())) {
      message = value;
    } else if (is_word(key, "text")) {
      text = value;
    } else if (is_word(key, "finish_reason")) {
      fields.finish_reason = view(value);
    } else if (is_word(key, "logprobs")) {
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
    MemberBag& kept = notes().choice(place).logprobs;
    for (JsonMembers parts(logprobs); parts.next();) kept.join(parts.raw_key(), parts.value());
    extras_changed_ = true;
  }
  if (!fields.finish_reason.empty() || !fields.logprobs.empty()) frame.repeatable = false;
  frame.strangers = frame.strangers || strangers;
  if (strangers) keep_strangers(choice, notes().choice(place).extra, is_choice_member);
  return read_message(message, place, frame, fields) && read_content(text, place, frame, fields);
}

DEEPSEEK_DECL void ChatReplyDecoder::keep_role(std::string_view role, std::size_t place) {
  std::string& kept = reply_.choices[place].message.role;
  if (role.empty() || role == kept) return;
  kept = role;
  forget_templates();
}

DEEPSEEK_DECL bool ChatReplyDecoder::read_message(JsonValue message, std::size_t place, FrameState& frame,
                                                  ChunkFields& fields) {
  JsonValue other_reasoning;
  for (JsonMembers members(message); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (is_word(key, "content")) {
      if (!read_content(value, place, frame, fields)) return false;
    } else if (is_word(key, "reasoning_content")) {
      if (!read_reasoning(value, place, frame, fields)) return false;
    } else if (is_word(key, "tool_calls")) {
      if (!read_calls(value, place, frame, fields)) return false;
    } else if (is_word(key, "role")) {
      fields.role = view(value);
      keep_role(fields.role, place);
    } else if (is_word(key, "name")) {
      if (value.is_string()) reply_.choices[place].message.name = value.text();
      frame.repeatable = frame.repeatable && !value.is_string();
    } else if (is_word(key, "title")) {
      fields.title = view(value);
      if (!fields.title.empty()) reply_.title = fields.title;
      frame.repeatable = frame.repeatable && fields.title.empty();
    } else if (frame.strangers = true; notes().choice(place).message_extra.join(members.raw_key(), value)) {
      extras_changed_ = true;
      frame.repeatable = frame.repeatable && value.is_nothing();
      forget_templates();
      if (is_word(key, "reasoning") && value.is_string() && !value.body().empty()) other_reasoning = value;
    }
  }
  // What other servers (vLLM, OpenRouter) call it; it stays in `extra` too, and goes back to them from there. Some send
  // the same text under both names.
  if (other_reasoning.is_nothing() || !fields.reasoning_content.empty()) return true;
  return read_reasoning(other_reasoning, place, frame, fields);
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
  fields.content = add_text(value, message.content);
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
  scratch_.reserve(frame_size_);  // as view() has it
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

DEEPSEEK_DECL bool ChatReplyDecoder::read_reasoning(JsonValue value, std::size_t place, FrameState& frame,
                                                    ChunkFields& fields) {
  if (value.is_nothing()) return true;
  if (!value.is_string()) return false;
  frame.reasoned = true;
  auto& kept = reply_.choices[place].message.reasoning_content;
  if (!kept) kept.emplace();
  if (value.body().empty()) return true;
  fields.reasoning_content = add_text(value, *kept);
  varies(frame, reasoning, value.body(), place, 0);
  return true;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
