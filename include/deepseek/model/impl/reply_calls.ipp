#pragma once
#include <deepseek/model/detail/chat_reply_decoder.hpp>

#include <deepseek/model/impl/reply_members.ipp>

#include <algorithm>
#include <limits>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL bool is_call_member(std::string_view key) {
  return is_word(key, "index") || is_word(key, "id") || is_word(key, "type") || is_word(key, "function");
}

DEEPSEEK_DECL CallPiece ChatReplyDecoder::read_call(JsonValue call) {
  CallPiece piece;
  piece.whole = call;
  for (JsonMembers members(call); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (is_word(key, "index")) {
      value.get(piece.index);
    } else if (is_word(key, "id")) {
      piece.delta.id = view(value);
    } else if (is_word(key, "type")) {
      piece.type = view(value);
    } else if (is_word(key, "function")) {
      piece.function = value;
    } else {
      piece.strangers = true;
      piece.plain = piece.plain && value.is_nothing();
    }
  }
  if (piece.index < 0 || piece.index > std::numeric_limits<int>::max() / 2) piece.index = -1;
  for (JsonMembers members(piece.function); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (is_word(key, "name")) {
      piece.delta.name = view(value);
    } else if (is_word(key, "arguments") && !value.is_nothing()) {
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
  calls.emplace_back().index = index >= 0 ? static_cast<int>(index) : next;
  if (stream_) notes().call(place, calls.size() - 1).wire_index = piece.index;
  forget_template(arguments);
  return calls.size() - 1;
}

/// The call a piece belongs to; a new one if it must be. Other servers leave out or repeat what DeepSeek
/// sends once: an index may be missing, an id blank, or all calls may come under index 0.
DEEPSEEK_DECL std::size_t ChatReplyDecoder::slot_of(const CallPiece& piece, std::size_t place) {
  if (!stream_) return add_call(piece, place);
  const std::vector<ToolCall>& calls = reply_.choices[place].message.tool_calls;
  if (calls.empty()) return add_call(piece, place);
  const auto& known = notes().choice(place).calls;
  const auto with_id = [&]() -> std::size_t {
    std::size_t i = calls.size();
    while (i != 0 && calls[i - 1].id != piece.delta.id) --i;
    return i;  // one past it; 0: none
  };
  const bool named = !piece.delta.name.empty();
  if (piece.index >= 0) {
    std::size_t i = calls.size();
    while (i != 0 && known[i - 1].wire_index != piece.index) --i;
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
  return named ? add_call(piece, place) : calls.size() - 1;
}

DEEPSEEK_DECL void ChatReplyDecoder::add_piece(const CallPiece& piece, std::size_t place, std::size_t slot) {
  ToolCall& call = reply_.choices[place].message.tool_calls[slot];
  if (call.id.empty()) call.id = piece.delta.id;
  if (call.name.empty()) call.name = piece.delta.name;
  if (!piece.type.empty()) call.type = piece.type;
  call.arguments.append(piece.delta.arguments);
  answer_bytes_ += piece.delta.arguments.size();
  deltas_.push_back(piece.delta);
  deltas_.back().index = call.index;
  if (!piece.strangers) return;
  MemberBag& extra = notes().call(place, slot).extra;
  for (JsonMembers members(piece.whole); members.next();)
    if (!is_call_member(members.key()) && extra.join(members.raw_key(), members.value())) extras_changed_ = true;
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
    add_piece(piece, place, slot);
    ++pieces;
    if (!says_nothing) frame.token = true;
    if (!piece.plain) frame.repeatable = false;
    if (!piece.arguments_body.empty()) varies(frame, arguments, piece.arguments_body, place, slot);
  }
  fields.tool_call_count += pieces;
  if (pieces > 1) frame.repeatable = false;
  return true;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
