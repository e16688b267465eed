#pragma once
#include <deepseek/model/detail/chat_reply_decoder.hpp>

#include <algorithm>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Bytes at the end of a reply in which an overlap is looked for.
inline constexpr std::size_t seam_window = 256;

DEEPSEEK_DECL std::optional<std::size_t> ReplySeam::repeated(std::string_view next, bool more) const {
  const std::string_view text = before.choices.front().message.content;
  const std::string_view tail = text.substr(text.size() - std::min(text.size(), seam_window));
  if (tail.size() < overlap) return 0;
  // A text that repeats itself anyway says nothing about where its next repetition comes from.
  const std::size_t last = tail.size() - overlap;
  if (last != 0 && tail.rfind(tail.substr(last), last - 1) != std::string_view::npos) return 0;
  for (std::size_t size = tail.size(); size >= overlap; --size) {
    const std::string_view end = tail.substr(tail.size() - size);
    if (end.substr(0, next.size()) != next.substr(0, size)) continue;
    if (next.size() >= size) return size;
    if (more) return std::nullopt;
  }
  return 0;
}

DEEPSEEK_DECL std::optional<AnswerSoFar> ChatReplyDecoder::so_far() const {
  if (!stream_ || malformed_ != nullptr || error_ || reply_.choices.size() != 1) return std::nullopt;
  const ChatChoice& choice = reply_.choices.front();
  const Message& message = choice.message;
  const bool text_alone = message.tool_calls.empty() && message.parts.empty() && !message.content.empty();
  if (choice.index != 0 || !choice.finish_reason.empty() || !text_alone) return std::nullopt;
  return AnswerSoFar{message.content,
                     message.reasoning_content ? std::string_view(*message.reasoning_content) : std::string_view()};
}

DEEPSEEK_DECL void ChatReplyDecoder::go_on(std::size_t overlap) {
  auto seam = std::make_unique<ReplySeam>();
  add_up();
  seam->before = std::move(reply_);
  seam->answer_bytes = answer_bytes_;
  seam->overlap = std::max<std::size_t>(overlap, 1);
  seam_ = std::move(seam);
  reset();
}

DEEPSEEK_DECL void ChatReplyDecoder::reset() {
  auto seam = std::move(seam_);
  *this = ChatReplyDecoder(stream_);
  if (!seam) return;
  seam->open = true;
  seam->added_up = false;
  // What the replies say of themselves is the second one's to tell; of the first one there is its text.
  answer_bytes_ = seam->answer_bytes;
  ChatChoice& choice = reply_.choices.emplace_back();
  choice.message = seam->before.choices.front().message;
  seam_ = std::move(seam);
}

/// A frame at the beginning of a second reply. Its text is held back for as long as it may be what ended the first
/// one; then what is new of it is shown at once.
DEEPSEEK_DECL FrameKind ChatReplyDecoder::at_seam(std::string_view data) {
  const std::size_t start = seam_->before.choices.front().message.content.size();
  const std::size_t known = reply_.choices.front().message.content.size();
  const FrameKind kind = by_reading(data);
  const ChatChoice& choice = reply_.choices.front();
  answer_bytes_ -= choice.message.content.size() - known;  // until it is shown
  if (kind != FrameKind::token && kind != FrameKind::data) return kind;
  const std::string_view next = std::string_view(choice.message.content).substr(start);
  const auto repeated = next.empty() ? std::nullopt : seam_->repeated(next, choice.finish_reason.empty());
  ChunkFields* shown = nullptr;
  for (std::size_t i = 0; i != shown_count_; ++i) {
    ChunkFields& fields = ChunkAccess::fields(chunks_[i]);
    if (fields.choice != 0) continue;
    fields.content = {};
    shown = &fields;
  }
  if (!repeated) return kind;
  seam_->open = false;
  seam_->shown = next.substr(*repeated);
  answer_bytes_ += seam_->shown.size();
  if (shown) shown->content = seam_->shown;
  reply_.choices.front().message.content.erase(start, *repeated);
  return kind;
}

/// What was still held back at the end was shown to nobody, so it is no part of the answer.
DEEPSEEK_DECL void ChatReplyDecoder::close_seam() {
  const ChatReply& before = seam_->before;
  if (std::exchange(seam_->open, false))
    reply_.choices.front().message.content.resize(before.choices.front().message.content.size());
  if (!reply_.id.empty()) return;
  reply_.id = before.id;  // the second one never began to speak
  reply_.object = before.object;
  reply_.created = before.created;
  reply_.model = before.model;
  reply_.system_fingerprint = before.system_fingerprint;
}

DEEPSEEK_DECL void ChatReplyDecoder::add_up() {
  if (!seam_ || std::exchange(seam_->added_up, true) || !seam_->before.usage) return;
  if (!reply_.usage) {
    reply_.usage = seam_->before.usage;
    return;
  }
  const Usage& before = *seam_->before.usage;
  Usage& sum = *reply_.usage;
  sum.prompt_tokens += before.prompt_tokens;
  sum.completion_tokens += before.completion_tokens;
  sum.total_tokens += before.total_tokens;
  sum.prompt_cache_hit_tokens += before.prompt_cache_hit_tokens;
  sum.prompt_cache_miss_tokens += before.prompt_cache_miss_tokens;
  sum.reasoning_tokens += before.reasoning_tokens;
  sum.raw = RawJson();  // neither server sent such an object
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
