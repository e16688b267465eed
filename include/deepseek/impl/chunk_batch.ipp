#pragma once
#include <deepseek/detail/chunk_batch.hpp>
#include <deepseek/model/detail/chunk_access.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Makes room for so many bytes more.
DEEPSEEK_DECL void ChunkBatch::grow(std::size_t bytes) {
  constexpr std::size_t least = 4096;
  const std::size_t capacity = std::max({size_ + bytes, 2 * capacity_, least});
  std::unique_ptr<char[]> larger(new char[capacity]);
  if (size_ != 0) std::memcpy(larger.get(), bytes_.get(), size_);
  bytes_ = std::move(larger);
  capacity_ = capacity;
}

inline ChunkBatch::Span ChunkBatch::keep(std::string_view text) {
  if (text.size() > capacity_ - size_) grow(text.size());
  const Span span{static_cast<std::uint32_t>(size_), static_cast<std::uint32_t>(text.size())};
  if (!text.empty()) std::memcpy(bytes_.get() + size_, text.data(), text.size());
  size_ += text.size();
  return span;
}

inline ChunkBatch::Span ChunkBatch::keep(std::string_view text, std::string_view raw, const Span& raw_span) {
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

DEEPSEEK_DECL std::uint32_t ChunkBatch::add_calls(const ChunkFields& from, const Span& raw_span) {
  call_runs_.push_back({static_cast<std::uint32_t>(calls_.size()), static_cast<std::uint32_t>(from.tool_call_count)});
  for (std::size_t i = 0; i < from.tool_call_count; ++i) {
    const ToolCallDelta& call = from.tool_calls[i];
    calls_.push_back({call.index, keep(call.id, from.raw, raw_span), keep(call.name, from.raw, raw_span),
                      keep(call.arguments, from.raw, raw_span)});
  }
  return static_cast<std::uint32_t>(call_runs_.size());
}

DEEPSEEK_DECL void ChunkBatch::append(const ChatChunk& chunk) {
  const ChunkFields& from = ChunkAccess::fields(chunk);
  Record to;
  to.raw = keep(from.raw);
  to.content = keep(from.content, from.raw, to.raw);
  to.reasoning_content = keep(from.reasoning_content, from.raw, to.raw);
  if (from.envelope == 0 || from.envelope != last_envelope_) add_envelope(from, to.raw);
  to.envelope = static_cast<std::uint32_t>(envelopes_.size() - 1);
  if (from.tool_call_count > 0) to.calls = add_calls(from, to.raw);
  records_.push_back(to);
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

DEEPSEEK_DECL void ChunkBatch::show_calls(std::uint32_t run) {
  ChunkFields& to = ChunkAccess::fields(current_);
  const CallRun calls = run == 0 ? CallRun() : call_runs_[run - 1];
  deltas_.clear();
  for (std::uint32_t i = 0; i < calls.count; ++i) {
    const CallRecord& call = calls_[calls.first + i];
    deltas_.push_back({call.index, view(call.id), view(call.name), view(call.arguments)});
  }
  to.tool_calls = deltas_.data();
  to.tool_call_count = calls.count;
}

DEEPSEEK_DECL const ChatChunk* ChunkBatch::next() {
  if (empty()) return nullptr;
  const Record& from = records_[position_++];
  if (from.envelope != shown_envelope_) show_envelope(from.envelope);
  ChunkFields& to = ChunkAccess::fields(current_);
  to.raw = view(from.raw);
  to.content = view(from.content);
  to.reasoning_content = view(from.reasoning_content);
  if ((from.calls | to.tool_call_count) != 0) show_calls(from.calls);
  return &current_;
}

DEEPSEEK_DECL void ChunkBatch::clear() {
  size_ = 0;
  records_.clear();
  envelopes_.clear();
  call_runs_.clear();
  calls_.clear();
  usages_.clear();
  position_ = 0;
  last_envelope_ = 0;
  shown_envelope_ = no_envelope;
}

DEEPSEEK_DECL void ChunkBatch::swap(ChunkBatch& other) noexcept {
  bytes_.swap(other.bytes_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
  records_.swap(other.records_);
  envelopes_.swap(other.envelopes_);
  call_runs_.swap(other.call_runs_);
  calls_.swap(other.calls_);
  usages_.swap(other.usages_);
  std::swap(position_, other.position_);
  std::swap(last_envelope_, other.last_envelope_);
  shown_envelope_ = other.shown_envelope_ = no_envelope;  // the views of what is shown lie in the old bytes
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
