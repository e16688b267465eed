// ChunkBatch: owned copies of chunks, without an allocation per chunk. Private.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include <deepseek/model/chat.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Copies of chunks in the order they came, in buffers that are reused from batch to batch. A reader and
/// a writer swap two of them under a lock and so share nothing. Not thread-safe.
class ChunkBatch {
 public:
  void append(const ChatChunk& chunk);
  /// The next chunk, or null. Valid until the next call of any member.
  const ChatChunk* next();
  bool empty() const noexcept { return position_ == records_.size(); }
  /// Bytes of chunks held.
  std::uint64_t bytes() const noexcept { return size_; }
  void clear();
  void swap(ChunkBatch& other) noexcept;

 private:
  struct Span {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
  };
  /// The members that seldom change from chunk to chunk.
  struct Envelope {
    Span finish_reason, id, model, system_fingerprint, role, title, logprobs;
    std::int64_t created = 0;
    std::int32_t choice = 0;
    std::uint32_t usage = 0;  // 1 + index into usages_; 0: none
  };
  struct Record {
    Span raw, content, reasoning_content;
    std::uint32_t envelope = 0;  // index into envelopes_
    std::uint32_t calls = 0;     // 1 + index into call_runs_; 0: none
  };
  struct CallRun {
    std::uint32_t first = 0;  // index into calls_
    std::uint32_t count = 0;
  };
  struct CallRecord {
    int index = 0;
    Span id, name, arguments;
  };

  Span keep(std::string_view text);
  /// Text that usually lies in `raw`: nothing is copied then.
  Span keep(std::string_view text, std::string_view raw, const Span& raw_span);
  void grow(std::size_t bytes);
  void add_envelope(const ChunkFields& from, const Span& raw_span);
  std::uint32_t add_calls(const ChunkFields& from, const Span& raw_span);
  void show_envelope(std::uint32_t index);
  void show_calls(std::uint32_t run);
  std::string_view view(const Span& span) const noexcept { return {bytes_.get() + span.offset, span.size}; }

  // Not a string, which would look after a terminator with each event.
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::vector<Record> records_;
  std::vector<Envelope> envelopes_;
  std::uint64_t last_envelope_ = 0;  // ChunkFields::envelope of envelopes_.back()
  std::vector<CallRun> call_runs_;
  std::vector<CallRecord> calls_;
  std::vector<Usage> usages_;
  std::size_t position_ = 0;
  // The chunk handed out.
  static constexpr std::uint32_t no_envelope = 0xffffffff;
  std::uint32_t shown_envelope_ = no_envelope;
  std::vector<ToolCallDelta> deltas_;
  ChatChunk current_;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/impl/chunk_batch.ipp>
#endif
