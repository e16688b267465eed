#pragma once
#include <deepseek/model/detail/event_shape.hpp>

#include <deepseek/model/detail/plain_text.hpp>

#include <algorithm>
#include <cstring>
#include <functional>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// A number without sign, fraction or leading zero.
DEEPSEEK_DECL bool EventShape::is_count(std::string_view digits) noexcept {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (digits.empty() || digits.size() > most_digits || (digits.size() > 1 && digits.front() == '0')) return false;
  return std::all_of(digits.begin(), digits.end(), is_digit);
}

DEEPSEEK_DECL bool EventShape::learn(std::string_view event, const EventParts& parts, Text text, bool reasoned) {
  event_.clear();
  place_count_ = 0;
  if (event.size() > largest) return false;
  const std::string_view created = parts.views[EventParts::created];
  if (!created.empty() && !is_count(created)) return false;
  for (std::size_t part = 0; part != EventParts::count; ++part) {
    const std::string_view view = parts.views[part];
    if (view.empty()) continue;
    const char* const end = event.data() + event.size();
    if (std::less<>()(view.data(), event.data()) || !std::less<>()(view.data(), end)) return false;
    places_[place_count_++] = {static_cast<std::uint32_t>(view.data() - event.data()),
                               static_cast<std::uint32_t>(view.size()), part};
  }
  std::sort(places_, places_ + place_count_, [](const Place& a, const Place& b) { return a.offset < b.offset; });
  event_ = event;
  for (std::size_t i = 0; i != place_count_; ++i)
    if (EventParts::varies(places_[i].part)) event_.replace(places_[i].offset, places_[i].size, places_[i].size, '\0');
  text_ = text;
  reasoned_ = reasoned;
  return true;
}

DEEPSEEK_DECL bool EventShape::match(std::string_view event, EventParts& parts) const noexcept {
  if (event_.empty()) return false;
  const char* at = event.data();
  const char* const end = at + event.size();
  std::size_t known = 0;  // how much of event_ is compared
  const auto repeats = [&](std::size_t size) {
    if (static_cast<std::size_t>(end - at) < size || std::memcmp(at, event_.data() + known, size) != 0) return false;
    at += size;
    known += size;
    return true;
  };
  for (std::size_t i = 0; i != place_count_; ++i) {
    const Place& place = places_[i];
    std::string_view& view = parts.views[place.part];
    if (!EventParts::varies(place.part)) {
      if (!repeats(place.offset + place.size - known)) return false;
      view = std::string_view(at - place.size, place.size);
      continue;
    }
    if (!repeats(place.offset - known)) return false;
    // Where it ends is right if what was behind it follows: the quote, or what no number goes on with.
    const bool number = place.part == EventParts::created;
    const char* const stop =
        number ? std::find_if(at, end, [](char c) { return c < '0' || c > '9'; }) : skip_plain(at, end);
    view = std::string_view(at, static_cast<std::size_t>(stop - at));
    if (number && !is_count(view)) return false;
    at = stop;
    known += place.size;
  }
  return event_.size() - known == static_cast<std::size_t>(end - at) && repeats(event_.size() - known);
}

DEEPSEEK_DECL const EventShape* EventShapes::find(std::string_view event, EventParts& parts) const noexcept {
  for (const EventShape& shape : shapes_) {
    parts = EventParts();
    if (shape.match(event, parts)) return &shape;
  }
  return nullptr;
}

DEEPSEEK_DECL void EventShapes::learn(std::string_view event, const EventParts& parts, EventShape::Text text,
                                      bool reasoned) {
  if (shapes_[oldest_].learn(event, parts, text, reasoned)) oldest_ = (oldest_ + 1) % room;
}

DEEPSEEK_DECL EventShapes& event_shapes() {
  thread_local EventShapes shapes;
  return shapes;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
