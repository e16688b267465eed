// Recognises the first events of a stream by those of a stream before. Private.
//
// A ChunkTemplate takes the id and the time of its stream for granted, so each stream would have to read its first
// events in full; short streams would do little else. A shape leaves those open too. It is only learned from an
// event that holds nothing but the parts named here, and it forgets what stood in the parts that vary.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What an event of some shape tells, as views into it. Absent parts are empty.
struct EventParts {
  enum Part : std::size_t { id, created, text, object, model, system_fingerprint, role, count };
  /// The first three vary from event to event.
  static constexpr bool varies(std::size_t part) noexcept { return part <= text; }

  std::string_view views[count]{};
};

class EventShape {
 public:
  enum class Text { none, content, reasoning };

  /// Learns from `event`, which was read in full. False, and nothing is learned, if a part does not lie in it.
  bool learn(std::string_view event, const EventParts& parts, Text text, bool reasoned);
  /// True if `event` is JSON that differs in the varying parts alone. Strings of plain ASCII, that is; whatever has
  /// more must be read.
  bool match(std::string_view event, EventParts& parts) const noexcept;

  Text text() const noexcept { return text_; }
  /// The event has a reasoning text, even if it is empty.
  bool reasoned() const noexcept { return reasoned_; }

 private:
  /// Longer events, and longer numbers than surely fit into 64 bits, are not worth it.
  static constexpr std::size_t largest = 2048;
  static constexpr std::size_t most_digits = 18;

  struct Place {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
    std::size_t part = 0;
  };
  static bool is_count(std::string_view digits) noexcept;

  std::string event_;                ///< empty: nothing learned; zeros in the places that vary
  Place places_[EventParts::count];  ///< in the order of the event
  std::size_t place_count_ = 0;
  Text text_ = Text::none;
  bool reasoned_ = false;
};

/// The shapes that this thread has met last.
class EventShapes {
 public:
  /// Null if no shape matches.
  const EventShape* find(std::string_view event, EventParts& parts) const noexcept;
  void learn(std::string_view event, const EventParts& parts, EventShape::Text text, bool reasoned);

 private:
  static constexpr std::size_t room = 4;
  EventShape shapes_[room];
  std::size_t oldest_ = 0;
};

EventShapes& event_shapes();

}  // namespace detail
DEEPSEEK_END_NAMESPACE
