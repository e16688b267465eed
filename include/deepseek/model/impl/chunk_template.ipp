#pragma once
#include <deepseek/model/detail/chunk_template.hpp>

#include <deepseek/model/detail/chunk_access.hpp>

#include <atomic>
#include <functional>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL void ChunkTemplate::learn(std::string_view event, std::string_view varying, const ChunkFields& fields) {
  forget();
  const char* const first = event.data();
  const char* const last = first + event.size();
  const auto before = static_cast<std::size_t>(varying.data() - first);
  text_.assign(event.substr(0, before));
  text_.append(event.substr(before + varying.size()));

  ChunkFields learned = fields;
  learned.raw = learned.content = learned.reasoning_content = {};
  learned.tool_calls = nullptr;
  learned.tool_call_count = 0;
  static std::atomic<std::uint64_t> last_envelope{0};
  learned.envelope = last_envelope.fetch_add(1, std::memory_order_relaxed) + 1;
  for (std::string_view* view : {&learned.id, &learned.model, &learned.system_fingerprint, &learned.role}) {
    if (view->empty()) continue;
    if (std::less<>()(view->data(), first) || !std::less<>()(view->data(), last)) return;
    auto offset = static_cast<std::size_t>(view->data() - first);
    if (offset > before) offset -= varying.size();
    *view = std::string_view(text_).substr(offset, view->size());
  }
  ChunkAccess::fields(chunk_) = learned;
  prefix_ = before;
  size_ = text_.size();
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
