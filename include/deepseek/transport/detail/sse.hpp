// Event-stream parsing (WHATWG HTML, "interpreting an event stream"). Private.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// One dispatched event. Borrowed: valid until on_event() returns.
struct SseEvent {
  std::string_view type;  ///< "message" unless an event field said otherwise
  std::string_view data;
  std::string_view last_event_id;
};

class SseVisitor {
 public:
  virtual ~SseVisitor() = default;
  /// Returns false to stop behind this event: feed() then leaves the rest of its block.
  virtual bool on_event(const SseEvent& event) = 0;
  /// A comment line without its colon: how servers say that they live.
  virtual void on_comment(std::string_view text) = 0;
};

/// In bytes. A longer line or event ends the parse.
struct SseLimits {
  std::uint64_t line_bytes = 16 * 1024 * 1024;   ///< one line of any kind, without its end
  std::uint64_t event_bytes = 16 * 1024 * 1024;  ///< the data of one event
};

enum class SseStatus {
  more,     ///< the whole block was taken
  stopped,  ///< the visitor stopped it
  line_too_long,
  event_too_long,
};

/// A push parser, linear in its input. The same bytes give the same calls however they are cut. A line
/// end acts at once: a CR does not wait for the LF that may follow. An event that lies whole inside a
/// block is handed out as a view into it; only what a block leaves unfinished is copied, into buffers
/// that are kept.
class SseParser {
 public:
  explicit SseParser(SseLimits limits = {});

  /// Reads `block` and drops from its front what was taken. After a status that ends in too_long the
  /// parser must not be fed again.
  SseStatus feed(std::string_view& block, SseVisitor& visitor);

  /// The last valid retry field, in milliseconds.
  std::optional<std::uint64_t> retry() const { return retry_; }
  /// The id in force at the last blank line.
  const std::string& last_event_id() const { return last_id_; }

 private:
  const char* skip_bom(const char* at, const char* end);
  bool fits(std::string_view value) const { return value.size() <= limits_.event_bytes; }
  const char* take_usual_events(const char* at, const char* end, SseVisitor& visitor, SseStatus& status);
  SseStatus take_line(std::string_view line, bool in_block, SseVisitor& visitor);
  SseStatus take_field(std::string_view name, std::string_view value, bool in_block);
  SseStatus add_data(std::string_view value, bool in_block);
  SseStatus dispatch(SseVisitor& visitor);
  void keep_view();

  SseLimits limits_;
  std::uint64_t usual_bytes_;  // data that fits both limits behind "data: "
  std::string carry_;          // an unfinished line from blocks before
  std::string data_;           // data lines of the event so far, joined by LF
  std::string_view view_;      // instead of data_: the only data line so far, still inside the block
  std::string type_;
  bool id_changed_ = false;
  std::string id_;
  std::string last_id_;
  std::optional<std::uint64_t> retry_;
  int bom_ = 0;           // bytes of a byte order mark seen at the start; 3: settled
  bool skip_lf_ = false;  // the last line ended in CR
  bool pending_ = false;  // a field of an unfinished event was taken
  bool has_data_ = false;
  bool data_in_view_ = false;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/transport/impl/sse.ipp>
#endif
