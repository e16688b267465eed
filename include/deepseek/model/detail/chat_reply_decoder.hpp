// The decoder of chat and FIM replies. Private.
//
// impl/reply_decoder.ipp takes the frames and knows the short ways through them, impl/reply_members.ipp reads a
// frame member by member, impl/reply_calls.ipp its tool calls, impl/reply_seam.ipp goes on with a second reply,
// impl/reply_end.ipp judges what it all came to.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/model/detail/chunk_access.hpp>
#include <deepseek/model/detail/chunk_template.hpp>
#include <deepseek/model/detail/codec.hpp>
#include <deepseek/model/detail/event_shape.hpp>
#include <deepseek/model/detail/json_text.hpp>
#include <deepseek/model/detail/member_bag.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What a hostile reply may make this library allocate beyond the size of its own text.
inline constexpr std::size_t max_choices = 128;
inline constexpr std::size_t max_tool_calls = 1024;     ///< of one choice, and pieces in one frame
inline constexpr std::size_t max_content_parts = 4096;  ///< of one message

/// A piece of a tool call as read, before it is known which call it belongs to.
struct CallPiece {
  std::int64_t index = -1;  ///< -1: none came
  ToolCallDelta delta{};
  std::string_view type{};
  JsonValue function{};
  JsonValue whole{};
  std::string_view arguments_body{};  ///< as sent, for the template; null data unless a string
  bool plain = true;                  ///< nothing but index and arguments
  bool strangers = false;             ///< members that this library does not know
};

/// What is known of a reply beside what stands in its structs. Most replies have none of it.
struct ReplyNotes {
  struct Call {
    std::int64_t wire_index = -1;  ///< the newest call with an index owns its later pieces
    MemberBag extra{};
  };
  struct Choice {
    MemberBag extra{};
    MemberBag message_extra{};
    MemberBag logprobs{};
    std::vector<Call> calls{};
  };
  MemberBag extra{};
  std::vector<Choice> choices{};

  Choice& choice(std::size_t place);
  Call& call(std::size_t place, std::size_t slot);
};

/// Where a second reply goes on with the first, and what reset() goes back to.
struct ReplySeam {
  ChatReply before{};  ///< the first reply
  std::uint64_t answer_bytes = 0;
  std::size_t overlap = 0;  ///< shortest that counts
  bool open = true;         ///< text of the second reply is held back: it may be an overlap
  bool added_up = false;    ///< the usage of both stands in the reply
  std::string shown{};      ///< what the chunk at the seam shows

  /// Bytes at the beginning of `next` that only repeat the end of the first reply; nothing: more of it must be known,
  /// and more may come.
  std::optional<std::size_t> repeated(std::string_view next, bool more) const;
};

class ChatReplyDecoder final : public ReplyDecoder {
 public:
  explicit ChatReplyDecoder(bool stream) : stream_(stream) {}

  FrameKind inspect(std::string_view data) override;
  std::optional<Error> conclude(bool clean) override;
  Error error_from_body(int status, std::string_view body) override { return decode_error(status, body); }
  TokenUsage usage() const override;
  void reset() override;
  std::optional<AnswerSoFar> so_far() const override;
  void go_on(std::size_t overlap) override;
  std::shared_ptr<Decoder> another() const override { return std::make_shared<ChatReplyDecoder>(stream_); }

  ChatReply& reply() override;
  std::uint64_t answer_bytes() const override { return answer_bytes_; }

 private:
  enum Varying : std::size_t { content, reasoning, arguments, varying_count };

  /// What one frame told; only valid while it is decoded.
  struct FrameState {
    std::string_view data{};
    ChunkFields common{};
    std::string_view object{};
    std::string_view created{};  ///< as sent
    bool token = false;
    bool error = false;
    bool strangers = false;  ///< members that this library does not know
    bool reasoned = false;   ///< a reasoning text, perhaps an empty one
    // How the template may be learned: exactly one string that can vary, and nothing that must be seen again.
    bool repeatable = true;
    std::size_t varying_strings = 0;
    Varying varying = content;
    std::string_view varying_body{};
    std::size_t choice = 0;
    std::size_t slot = 0;
  };

  ChatReplyDecoder& operator=(ChatReplyDecoder&&) = default;

  // Frames: reply_decoder.ipp
  bool find_template(std::string_view data, std::string_view& body);
  bool decode_body(std::string_view& body);
  FrameKind by_reading(std::string_view data);
  FrameKind by_reading(std::string_view data, JsonValue root);
  bool by_shape(std::string_view data, FrameKind& kind);
  void learn_shape(const FrameState& frame);
  FrameKind malformed(const char* why);
  FrameKind service_error(JsonValue root);
  void learn(const FrameState& frame);
  bool show(ChunkTemplate& known, Varying varying);
  void hide_template() noexcept { shown_template_ = nullptr; }
  void forget_template(Varying varying) noexcept;
  void forget_templates() noexcept;
  void make_room(std::size_t chunks);

  // Members: reply_members.ipp
  bool read_root(JsonValue root, FrameState& frame);
  void keep_common(const FrameState& frame);
  bool read_choices(JsonValue choices, FrameState& frame);
  bool read_choice(JsonValue choice, FrameState& frame, ChunkFields& fields);
  bool read_message(JsonValue message, std::size_t place, FrameState& frame, ChunkFields& fields);
  bool read_content(JsonValue value, std::size_t place, FrameState& frame, ChunkFields& fields);
  bool read_parts(JsonValue parts, Message& message, ChunkFields& fields);
  bool read_reasoning(JsonValue value, std::size_t place, FrameState& frame, ChunkFields& fields);
  void keep_role(std::string_view role, std::size_t place);
  void read_usage(JsonValue value);
  std::string_view add_text(JsonValue value, std::string& kept);
  std::size_t place_of(std::int64_t index);
  void keep_strangers(JsonValue object, MemberBag& bag, bool (*known)(std::string_view key));
  std::string_view view(JsonValue value);
  void varies(FrameState& frame, Varying varying, std::string_view body, std::size_t place, std::size_t slot);
  ReplyNotes& notes();

  // Tool calls: reply_calls.ipp
  bool read_calls(JsonValue calls, std::size_t place, FrameState& frame, ChunkFields& fields);
  CallPiece read_call(JsonValue call);
  void add_piece(const CallPiece& piece, std::size_t place, std::size_t slot);
  std::size_t slot_of(const CallPiece& piece, std::size_t place);
  std::size_t add_call(const CallPiece& piece, std::size_t place);

  // A second reply: reply_seam.ipp
  FrameKind at_seam(std::string_view data);
  void close_seam();
  void add_up();

  // The end: reply_end.ipp
  void gather_extras();
  void put_in_order();
  std::optional<Error> judge_end(bool clean);
  std::optional<Error> judge_answer();

  bool stream_;
  bool done_ = false;   ///< the end mark came
  bool whole_ = false;  ///< a body was read to its end
  bool extras_changed_ = false;
  const char* malformed_ = nullptr;
  std::uint64_t frames_ = 0;
  std::uint64_t malformed_frame_ = 0;
  std::uint64_t answer_bytes_ = 0;
  ChatReply reply_;
  std::unique_ptr<ReplyNotes> notes_;
  std::unique_ptr<ServiceError> error_;
  std::unique_ptr<ReplySeam> seam_;  ///< null: the reply is one

  // The chunks of a frame, and what its strings became without their escapes.
  std::vector<ChatChunk> chunks_;
  std::vector<ToolCallDelta> deltas_;
  std::string scratch_;
  std::size_t frame_size_ = 0;

  std::unique_ptr<ChunkTemplate> templates_[varying_count];
  // The template whose members the first chunk shows now, the view that changes with each event, and the text of
  // the reply that grows by it. The last two are null or dangle without the first.
  ChunkTemplate* shown_template_ = nullptr;
  std::string_view* varying_view_ = nullptr;
  std::string* growing_ = nullptr;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
