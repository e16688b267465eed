// ResponseReader: one HTTP response becomes frames and one outcome. Private.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <deepseek/transport/detail/sse.hpp>
#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class FrameTarget {
 public:
  virtual ~FrameTarget() = default;
  /// Returns false to hold back what follows.
  virtual bool take_frame(const Frame& frame) = 0;
};

struct ResponseHeaders;

/// Reads the response of one attempt: an event stream, a JSON body behind keep-alive blanks, or an error.
/// What came decides, not only what was asked for. Facts go into the call as they come.
class ResponseReader final : private SseVisitor {
 public:
  /// Both must outlive the reader.
  ResponseReader(Call& call, FrameTarget& target);

  void head(const HttpHead& head);
  /// Returns how many bytes were taken: all, unless the target holds back what follows.
  std::size_t data(std::string_view bytes);
  /// The outcome once nothing more comes; nothing if it is `complete`. Call it once.
  std::optional<Error> end(const HttpEnd& end);
  /// The outcome though the transfer goes on; only after settled(). Call it instead of end().
  std::optional<Error> outcome();

  /// True once no further byte can change the outcome: the end mark, an error, a limit.
  bool settled() const { return settled_; }
  /// True if what still comes is not worth the wait for a reusable connection.
  bool beyond_repair() const { return failure_.has_value(); }
  bool head_seen() const { return status_ != 0; }

  /// Adds what the response told of itself to an error made elsewhere.
  Error with_facts(const Error& error) const;

 private:
  enum class Mode {
    undecided,  // a stream was asked for: the first byte tells whether it came
    stream,
    body,
    error_body,
    ignored,
  };

  bool on_event(const SseEvent& event) override;
  void on_comment(std::string_view text) override;

  void choose_mode(const ResponseHeaders& headers);
  void refuse_redirect(std::string_view location);
  void refuse_interim();
  std::size_t read_undecided(std::string_view bytes);
  std::size_t read_stream(std::string_view bytes);
  void read_body(std::string_view bytes);
  void read_error_body(std::string_view bytes);
  std::string_view skip_blanks(std::string_view bytes);
  void fail(Error error);
  void exceed(const char* what);
  Error no_head(const HttpEnd& end) const;
  std::optional<Error> end_of_body(bool clean);
  std::optional<Error> conclude(bool clean);

  Call& call_;
  FrameTarget& target_;
  SseParser parser_;
  std::string body_;
  std::optional<Error> failure_;  // found by the reader itself
  std::uint64_t received_ = 0;
  Mode mode_ = Mode::undecided;
  FrameKind last_ = FrameKind::data;
  int status_ = 0;
  bool settled_ = false;
  bool asked_for_stream_ = false;
  bool says_stream_ = false;  // the content type
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/transport/impl/response_reader.ipp>
#endif
