#pragma once
#include <deepseek/detail/chunk_batch.hpp>
#include <deepseek/model/detail/chunk_access.hpp>

#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL ChunkBatch::Span ChunkBatch::keep(std::string_view text) {
  const Span span{static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(text.size())};
  bytes_.append(text);
  return span;
}

DEEPSEEK_DECL ChunkBatch::Span ChunkBatch::keep(std::string_view text, std::string_view raw, const Span& raw_span) {
  if (text.empty()) return {};
  const auto offset = static_cast<std::size_t>(text.data() - raw.data());  // huge if it lies before raw
  if (offset < raw.size() && text.size() <= raw.size() - offset)
    return {raw_span.offset + static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(text.size())};
  return keep(text);
}

DEEPSEEK_DECL void ChunkBatch::add_envelope(const ChunkFields& from, const Span& raw_span) {
  last_envelope_ = from.usage ? 0 : from.envelope;
  Envelope& to = envelopes_.emplace_back();
  to.finish_reason = keep(from.finish_reason, from.raw, raw_span);
  to.id = keep(from.id, from.raw, raw_span);
  to.model = keep(from.model, from.raw, raw_span);
  to.system_fingerprint = keep(from.system_fingerprint, from.raw, raw_span);
  to.role = keep(from.role, from.raw, raw_span);
  to.title = keep(from.title, from.raw, raw_span);
  to.logprobs = keep(from.logprobs, from.raw, raw_span);
  to.created = from.created;
  to.choice = from.choice;
  if (!from.usage) return;
  usages_.push_back(*from.usage);
  to.usage = static_cast<std::uint32_t>(usages_.size());
}

DEEPSEEK_DECL void ChunkBatch::add_calls(const ChunkFields& from, Record& to) {
  to.first_call = static_cast<std::uint32_t>(calls_.size());
  to.call_count = static_cast<std::uint32_t>(from.tool_call_count);
  for (std::size_t i = 0; i < from.tool_call_count; ++i) {
    const ToolCallDelta& call = from.tool_calls[i];
    calls_.push_back({call.index, keep(call.id, from.raw, to.raw), keep(call.name, from.raw, to.raw),
                      keep(call.arguments, from.raw, to.raw)});
  }
}

DEEPSEEK_DECL void ChunkBatch::append(const ChatChunk& chunk) {
  const ChunkFields& from = ChunkAccess::fields(chunk);
  Record& to = records_.emplace_back();
  to.raw = keep(from.raw);
  to.content = keep(from.content, from.raw, to.raw);
  to.reasoning_content = keep(from.reasoning_content, from.raw, to.raw);
  if (from.envelope == 0 || from.envelope != last_envelope_) add_envelope(from, to.raw);
  to.envelope = static_cast<std::uint32_t>(envelopes_.size() - 1);
  if (from.tool_call_count > 0) add_calls(from, to);
}

DEEPSEEK_DECL void ChunkBatch::show_envelope(std::uint32_t index) {
  shown_envelope_ = index;
  const Envelope& from = envelopes_[index];
  ChunkFields& to = ChunkAccess::fields(current_);
  to.finish_reason = view(from.finish_reason);
  to.id = view(from.id);
  to.model = view(from.model);
  to.system_fingerprint = view(from.system_fingerprint);
  to.role = view(from.role);
  to.title = view(from.title);
  to.logprobs = view(from.logprobs);
  to.created = from.created;
  to.choice = from.choice;
  to.usage = from.usage ? &usages_[from.usage - 1] : nullptr;
}

DEEPSEEK_DECL const ChatChunk* ChunkBatch::next() {
  if (empty()) return nullptr;
  const Record& from = records_[position_++];
  if (from.envelope != shown_envelope_) show_envelope(from.envelope);
  ChunkFields& to = ChunkAccess::fields(current_);
  to.raw = view(from.raw);
  to.content = view(from.content);
  to.reasoning_content = view(from.reasoning_content);
  to.tool_call_count = from.call_count;
  if (from.call_count == 0) return &current_;
  deltas_.clear();
  for (std::uint32_t i = 0; i < from.call_count; ++i) {
    const CallRecord& call = calls_[from.first_call + i];
    deltas_.push_back({call.index, view(call.id), view(call.name), view(call.arguments)});
  }
  to.tool_calls = deltas_.data();
  return &current_;
}

DEEPSEEK_DECL void ChunkBatch::clear() {
  bytes_.clear();
  records_.clear();
  envelopes_.clear();
  calls_.clear();
  usages_.clear();
  position_ = 0;
  last_envelope_ = 0;
  shown_envelope_ = no_envelope;
}

DEEPSEEK_DECL void ChunkBatch::swap(ChunkBatch& other) noexcept {
  bytes_.swap(other.bytes_);
  records_.swap(other.records_);
  envelopes_.swap(other.envelopes_);
  calls_.swap(other.calls_);
  usages_.swap(other.usages_);
  std::swap(position_, other.position_);
  std::swap(last_envelope_, other.last_envelope_);
  shown_envelope_ = other.shown_envelope_ = no_envelope;  // the views of what is shown lie in the old bytes
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
