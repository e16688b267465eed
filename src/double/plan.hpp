// A plan: the exact bytes of one reply, when each part is written, and how it ends.
#pragma once
#include <stdexcept>

#include "reply.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

/// Written at once, `delay` after the step before.
struct Step {
  microseconds delay{0};
  std::string bytes;
  bool event = false;  ///< counts for *_after_events
};

/// A reply in more steps is refused: planning it would take the server's thread and the machine's memory.
inline constexpr std::size_t most_steps = 1'000'000;

/// Thrown while a reply is planned.
class TooManySteps : public std::length_error {
 public:
  TooManySteps() : std::length_error("the scripted reply has more than " + std::to_string(most_steps) + " pieces") {}
};

/// Appends; throws TooManySteps if `to` is full.
void add_step(std::vector<Step>& to, Step step);

struct Plan {
  enum class End {
    reuse,  ///< the connection waits for the next request
    close,  ///< orderly, with a TLS close notify
    cut,    ///< FIN, without one
    reset,  ///< RST
    hang,   ///< nothing more; `repeat` for ever, if it has bytes
  };
  std::vector<Step> steps;
  End end = End::reuse;
  Step repeat;
  bool one_by_one = false;  ///< one write per step; otherwise steps without delay may share one
};

/// A body in parts, not yet framed. A part with `event` is one event of a stream.
struct Body {
  std::vector<Step> parts;
  std::string content_type = "application/json";
  int status = 200;
  bool sse = false;
};

/// Frames `body` as HTTP/1.1 and applies every fault of `spec`. `keep` is false if the client asked to close.
Plan make_plan(const ReplySpec& spec, Body body, bool keep, const std::string& trace_id);
/// The plans of replies that are not HTTP bodies: garbage, drop, endless headers, recordings.
Plan raw_plan(const ReplySpec& spec, bool keep);
Plan replay_plan(const RecordedResponse& response, bool timing, bool keep);

/// Cuts the text of an event stream after each blank line.
std::vector<Step> split_events(std::string_view stream);
/// One chunk of the chunked coding.
std::string http_chunk(const std::string& data);
std::string http_date(std::chrono::seconds from_now);

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
