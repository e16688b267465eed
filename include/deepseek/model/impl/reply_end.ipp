#pragma once
#include <deepseek/model/detail/chat_reply_decoder.hpp>

#include <deepseek/model/detail/service_error.hpp>

#include <algorithm>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL TokenUsage ChatReplyDecoder::usage() const {
  if (!reply_.usage) return {};
  const auto tokens = [](std::int64_t count) { return static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0)); };
  const Usage& said = *reply_.usage;
  return {tokens(said.prompt_tokens), tokens(said.prompt_cache_hit_tokens), tokens(said.completion_tokens),
          tokens(said.reasoning_tokens)};
}

DEEPSEEK_DECL void ChatReplyDecoder::gather_extras() {
  if (!std::exchange(extras_changed_, false)) return;
  reply_.extra = notes_->extra.json();
  const std::size_t choices = std::min(reply_.choices.size(), notes_->choices.size());
  for (std::size_t i = 0; i != choices; ++i) {
    ChatChoice& choice = reply_.choices[i];
    const ReplyNotes::Choice& known = notes_->choices[i];
    choice.extra = known.extra.json();
    choice.logprobs = known.logprobs.json();
    choice.message.extra = known.message_extra.json();
    std::vector<ToolCall>& calls = choice.message.tool_calls;
    for (std::size_t slot = 0; slot != std::min(calls.size(), known.calls.size()); ++slot)
      calls[slot].extra = known.calls[slot].extra.json();
  }
}

DEEPSEEK_DECL ChatReply& ChatReplyDecoder::reply() {
  hide_template();  // whoever asks may move the reply away
  if (seam_) {
    close_seam();
    add_up();
  }
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
  if (seam_) close_seam();
  put_in_order();
  forget_templates();
  shown_count_ = 0;
  auto error = judge_end(clean);
  return error ? error : judge_answer();
}

/// Did all of it come, and did it go well?
DEEPSEEK_DECL std::optional<Error> ChatReplyDecoder::judge_end(bool clean) {
  constexpr const char* keep = "what came before is kept in Error::partial()";
  constexpr const char* elsewhere = "check the base URL and what lies between";
  constexpr const char* again = "what came is kept in Error::partial(); repeat the request if it is safe to";
  if (malformed_ != nullptr && (stream_ || clean)) {
    const Error error = stream_
                            ? Error(ErrorCode::malformed_stream,
                                    "event " + std::to_string(malformed_frame_) + " of the stream cannot be decoded",
                                    malformed_frame_ > 1 ? keep : elsewhere)
                            : Error(ErrorCode::malformed_json, "the reply cannot be decoded", elsewhere);
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

}  // namespace detail
DEEPSEEK_END_NAMESPACE
