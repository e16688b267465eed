#pragma once
#include <deepseek/model/detail/chunk_template.hpp>

#include <atomic>
#include <functional>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Where `view`, which lies in `event`, is to be found in text_.
DEEPSEEK_DECL bool ChunkTemplate::locate(std::string_view view, std::string_view event, std::size_t varying_size,
                                         Span& span) const noexcept {
  span = Span();
  if (view.empty()) return true;
  const char* const first = event.data();
  if (std::less<>()(view.data(), first) || !std::less<>()(view.data(), first + event.size())) return false;
  auto offset = static_cast<std::size_t>(view.data() - first);
  if (offset > prefix_) offset -= varying_size;
  span = {static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(view.size())};
  return true;
}

DEEPSEEK_DECL void ChunkTemplate::learn(std::string_view event, std::string_view varying, const ChunkFields& fields) {
  forget();
  if (event.size() > largest) return;
  const auto before = static_cast<std::size_t>(varying.data() - event.data());
  prefix_ = static_cast<std::uint32_t>(before);
  const auto place = [&](std::string_view view, Span& span) { return locate(view, event, varying.size(), span); };
  if (!place(fields.id, id_) || !place(fields.model, model_) || !place(fields.role, role_) ||
      !place(fields.system_fingerprint, system_fingerprint_))
    return;
  text_.clear();
  text_.reserve(event.size() - varying.size());
  text_.append(event.substr(0, before));
  text_.append(event.substr(before + varying.size()));
  size_ = static_cast<std::uint32_t>(text_.size());
  created_ = fields.created;
  choice_index_ = fields.choice;
  static std::atomic<std::uint64_t> last_envelope{0};
  envelope_ = last_envelope.fetch_add(1, std::memory_order_relaxed) + 1;
}

DEEPSEEK_DECL void ChunkTemplate::show(ChunkFields& fields) const noexcept {
  fields = ChunkFields();
  fields.id = view(id_);
  fields.model = view(model_);
  fields.system_fingerprint = view(system_fingerprint_);
  fields.role = view(role_);
  fields.created = created_;
  fields.choice = choice_index_;
  fields.envelope = envelope_;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
