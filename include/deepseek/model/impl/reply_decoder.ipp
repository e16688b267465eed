#pragma once
#include <deepseek/model/detail/chat_reply_decoder.hpp>

#include <deepseek/model/detail/json_index.hpp>
#include <deepseek/model/detail/plain_text.hpp>
#include <deepseek/model/detail/service_error.hpp>

#include <deepseek/model/impl/chunk_template.ipp>
#include <deepseek/model/impl/event_shape.ipp>
#include <deepseek/model/impl/json_index.ipp>
#include <deepseek/model/impl/json_text.ipp>
#include <deepseek/model/impl/reply_calls.ipp>
#include <deepseek/model/impl/reply_end.ipp>
#include <deepseek/model/impl/reply_members.ipp>
#include <deepseek/model/impl/reply_seam.ipp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// The path of nearly every event: one function, since each call on it counts.
DEEPSEEK_DECL FrameKind ChatReplyDecoder::inspect(std::string_view data) {
  ++frames_;
  std::string_view body;
  const bool repeats = shown_template_ != nullptr && shown_template_->match(data, body);
  if (!repeats && !find_template(data, body)) return seam_ && seam_->open ? at_seam(data) : by_reading(data);
  if (!is_plain_ascii(body) && !decode_body(body)) return by_reading(data);
  ChunkAccess::fields(chunks_.front()).raw = data;
  *varying_view_ = body;
  growing_->append(body);
  answer_bytes_ += body.size();
  return body.empty() ? FrameKind::data : FrameKind::token;
}

/// Looks for another template than the one that is shown, and shows it.
DEEPSEEK_DECL bool ChatReplyDecoder::find_template(std::string_view data, std::string_view& body) {
  for (std::size_t i = 0; i != varying_count; ++i) {
    ChunkTemplate* const known = templates_[i].get();
    if (known == nullptr || known == shown_template_ || !known->match(data, body)) continue;
    return show(*known, static_cast<Varying>(i));
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

/// Lets the first chunk be one of `known`. False if its text has no place in the reply: it was moved out.
DEEPSEEK_DECL bool ChatReplyDecoder::show(ChunkTemplate& known, Varying varying) {
  hide_template();
  if (known.choice >= reply_.choices.size()) return false;
  Message& message = reply_.choices[known.choice].message;
  ChunkFields& fields = ChunkAccess::fields(chunks_.front());
  known.show(fields);
  switch (varying) {
    case content:
      varying_view_ = &fields.content;
      growing_ = &message.content;
      break;
    case reasoning:
      varying_view_ = &fields.reasoning_content;
      growing_ = &*message.reasoning_content;
      break;
    default:
      deltas_.assign(1, ToolCallDelta());
      deltas_.front().index = known.call_index;
      fields.tool_calls = deltas_.data();
      fields.tool_call_count = 1;
      varying_view_ = &deltas_.front().arguments;
      growing_ = &message.tool_calls[known.slot].arguments;
  }
  shown_template_ = &known;
  shown_ = chunks_.data();
  shown_count_ = 1;
  return true;
}

DEEPSEEK_DECL void ChatReplyDecoder::learn(const FrameState& frame) {
  if (!stream_ || (seam_ && seam_->open) || !frame.repeatable || frame.varying_strings != 1) return;
  const ChunkFields& fields = ChunkAccess::fields(chunks_.front());
  if (frame.varying != arguments && fields.tool_call_count != 0) return;
  auto& known = templates_[frame.varying];
  if (!known) known = std::make_unique<ChunkTemplate>();
  known->learn(frame.data, frame.varying_body, fields);
  known->choice = frame.choice;
  known->slot = frame.slot;
  if (frame.varying == arguments) known->call_index = fields.tool_calls->index;
}

DEEPSEEK_DECL void ChatReplyDecoder::forget_template(Varying varying) noexcept {
  if (templates_[varying]) templates_[varying]->forget();
}

DEEPSEEK_DECL void ChatReplyDecoder::forget_templates() noexcept {
  hide_template();
  for (const Varying each : {content, reasoning, arguments}) forget_template(each);
}

/// Copying a chunk would copy what its views show, so a larger array takes over the views alone.
DEEPSEEK_DECL void ChatReplyDecoder::make_room(std::size_t chunks) {
  if (chunks <= chunks_.size()) return;
  std::vector<ChatChunk> larger(chunks == 1 ? 1 : 2 * chunks);
  for (std::size_t i = 0; i != chunks_.size(); ++i) ChunkAccess::fields(larger[i]) = ChunkAccess::fields(chunks_[i]);
  chunks_.swap(larger);
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
  error_ = std::make_unique<ServiceError>();
  read_service_error(root, *error_);
  forget_templates();
  return FrameKind::error;
}

/// Without a template: reads the JSON text.
DEEPSEEK_DECL FrameKind ChatReplyDecoder::by_reading(std::string_view data) {
  hide_template();
  shown_count_ = 0;
  const std::string_view text = json_trim(data);
  if (stream_ && (done_ || text == "[DONE]")) {
    done_ = true;
    forget_templates();
    return FrameKind::end;
  }
  if (text.empty()) return FrameKind::data;
  if (FrameKind kind; stream_ && by_shape(data, kind)) return kind;
  JsonIndex index;
  if (index.read(text)) return by_reading(data, index.root());
  if (const char* fault = json_fault(text)) return malformed(fault);
  return by_reading(data, JsonValue(text));
}

DEEPSEEK_DECL FrameKind ChatReplyDecoder::by_reading(std::string_view data, JsonValue root) {
  if (!root.is_object()) return malformed("it is not a JSON object");
  FrameState frame;
  frame.data = data;
  frame.common.raw = data;
  frame_size_ = data.size();
  scratch_.clear();
  deltas_.clear();
  if (!read_root(root, frame)) return malformed("it has not the shape of a reply");
  if (frame.error) return service_error(root);
  whole_ = true;
  learn(frame);
  learn_shape(frame);
  return stream_ && frame.token ? FrameKind::token : FrameKind::data;
}

/// Without a template, but as an event of an earlier stream: the same that reading does, with most of it known.
DEEPSEEK_DECL bool ChatReplyDecoder::by_shape(std::string_view data, FrameKind& kind) {
  EventParts parts;
  const EventShape* const shape = event_shapes().find(data, parts);
  if (shape == nullptr || reply_.choices.size() >= max_choices) return false;
  FrameState frame;
  frame.data = data;
  frame.object = parts.views[EventParts::object];
  frame.common.raw = data;
  frame.common.id = parts.views[EventParts::id];
  frame.common.model = parts.views[EventParts::model];
  frame.common.system_fingerprint = parts.views[EventParts::system_fingerprint];
  JsonValue(parts.views[EventParts::created]).get(frame.common.created);
  keep_common(frame);

  make_room(1);
  ChunkFields& fields = ChunkAccess::fields(chunks_.front());
  fields = frame.common;
  fields.role = parts.views[EventParts::role];
  const std::size_t place = place_of(0);
  keep_role(fields.role, place);
  Message& message = reply_.choices[place].message;
  if (shape->reasoned() && !message.reasoning_content) message.reasoning_content.emplace();
  if (const std::string_view text = parts.views[EventParts::text]; !text.empty()) {
    const bool is_content = shape->text() == EventShape::Text::content;
    (is_content ? fields.content : fields.reasoning_content) = text;
    (is_content ? message.content : *message.reasoning_content).append(text);
    answer_bytes_ += text.size();
    varies(frame, is_content ? content : reasoning, text, place, 0);
  }
  shown_ = chunks_.data();
  shown_count_ = 1;
  whole_ = true;
  learn(frame);
  kind = frame.token ? FrameKind::token : FrameKind::data;
  return true;
}

/// Only the first events of a stream: later ones have a template, or vary in ways that a shape does not know.
DEEPSEEK_DECL void ChatReplyDecoder::learn_shape(const FrameState& frame) {
  constexpr std::uint64_t first_events = 4;
  if (!stream_ || frames_ > first_events || !frame.repeatable || frame.strangers || frame.varying_strings > 1) return;
  const ChunkFields& fields = ChunkAccess::fields(chunks_.front());
  if (fields.choice != 0 || fields.tool_call_count != 0) return;
  EventParts parts;
  parts.views[EventParts::id] = fields.id;
  parts.views[EventParts::created] = frame.created;
  parts.views[EventParts::text] = frame.varying_body;
  parts.views[EventParts::object] = frame.object;
  parts.views[EventParts::model] = fields.model;
  parts.views[EventParts::system_fingerprint] = fields.system_fingerprint;
  parts.views[EventParts::role] = fields.role;
  auto text = EventShape::Text::none;
  if (frame.varying_strings == 1)
    text = frame.varying == content ? EventShape::Text::content : EventShape::Text::reasoning;
  event_shapes().learn(frame.data, parts, text, frame.reasoned);
}

DEEPSEEK_DECL std::shared_ptr<ReplyDecoder> make_reply_decoder(bool stream) {
  return std::make_shared<ChatReplyDecoder>(stream);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
