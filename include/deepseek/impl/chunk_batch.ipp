#pragma once
#include <deepseek/detail/chunk_batch.hpp>
#include <deepseek/model/detail/chunk_access.hpp>

#include <cstring>
#include <functional>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL ChunkBatch::Span ChunkBatch::keep(std::string_view text) {
  const Span span{static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(text.size())};
  bytes_.append(text);
  return span;
}

DEEPSEEK_DECL ChunkBatch::Span ChunkBatch::keep(std::string_view text, std::string_view raw, const Span& raw_span,
                                                const Span& before) {
  if (text.empty()) return {};
  const std::less_equal<const char*> not_after;
  if (not_after(raw.data(), text.data()) && not_after(text.data() + text.size(), raw.data() + raw.size()))
    return {raw_span.offset + static_cast<std::uint32_t>(text.data() - raw.data()), static_cast<std::uint32_t>(text.size())};
  if (before.size == text.size() && std::memcmp(bytes_.data() + before.offset, text.data(), text.size()) == 0) return before;
  return keep(text);
}

DEEPSEEK_DECL void ChunkBatch::append(const ChatChunk& chunk) {
  const ChunkFields& from = ChunkAccess::fields(chunk);
  const Record before = records_.empty() ? Record() : records_.back();
  Record& to = records_.emplace_back();
  to.raw = keep(from.raw);
  const auto put = [&](Span Record::* member, std::string_view text) { to.*member = keep(text, from.raw, to.raw, before.*member); };
  put(&Record::content, from.content);
  put(&Record::reasoning_content, from.reasoning_content);
  put(&Record::finish_reason, from.finish_reason);
  put(&Record::id, from.id);
  put(&Record::model, from.model);
  put(&Record::system_fingerprint, from.system_fingerprint);
  put(&Record::role, from.role);
  put(&Record::title, from.title);
  put(&Record::logprobs, from.logprobs);
  to.created = from.created;
  to.choice = from.choice;
  to.first_call = static_cast<std::uint32_t>(calls_.size());
  to.call_count = static_cast<std::uint32_t>(from.tool_call_count);
  for (std::size_t i = 0; i < from.tool_call_count; ++i) {
    const ToolCallDelta& call = from.tool_calls[i];
    const Span none;
    calls_.push_back({call.index, keep(call.id, from.raw, to.raw, none), keep(call.name, from.raw, to.raw, none),
                      keep(call.arguments, from.raw, to.raw, none)});
  }
  if (!from.usage) return;
  usages_.push_back(*from.usage);
  to.usage = static_cast<std::uint32_t>(usages_.size());
}

DEEPSEEK_DECL const ChatChunk* ChunkBatch::next() {
  if (empty()) return nullptr;
  const Record& from = records_[position_++];
  ChunkFields& to = ChunkAccess::fields(current_);
  to.raw = view(from.raw);
  to.content = view(from.content);
  to.reasoning_content = view(from.reasoning_content);
  to.finish_reason = view(from.finish_reason);
  to.id = view(from.id);
  to.model = view(from.model);
  to.system_fingerprint = view(from.system_fingerprint);
  to.role = view(from.role);
  to.title = view(from.title);
  to.logprobs = view(from.logprobs);
  to.created = from.created;
  to.choice = from.choice;
  deltas_.clear();
  for (std::uint32_t i = 0; i < from.call_count; ++i) {
    const CallRecord& call = calls_[from.first_call + i];
    deltas_.push_back({call.index, view(call.id), view(call.name), view(call.arguments)});
  }
  to.tool_calls = deltas_.data();
  to.tool_call_count = deltas_.size();
  to.usage = from.usage ? &usages_[from.usage - 1] : nullptr;
  return &current_;
}

DEEPSEEK_DECL void ChunkBatch::clear() {
  bytes_.clear();
  records_.clear();
  calls_.clear();
  usages_.clear();
  position_ = 0;
}

DEEPSEEK_DECL void ChunkBatch::swap(ChunkBatch& other) noexcept {
  bytes_.swap(other.bytes_);
  records_.swap(other.records_);
  calls_.swap(other.calls_);
  usages_.swap(other.usages_);
  std::swap(position_, other.position_);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
