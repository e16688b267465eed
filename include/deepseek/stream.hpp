// Stream: pull the chunks of one reply.
#pragma once
#include <cstddef>
#include <memory>

#include <deepseek/model/chat.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

namespace detail {
class PullCall;
struct StreamAccess;
}  // namespace detail

/// A streamed reply, pulled by one thread at a time. Single pass: begin() may be called once. For coroutines:
/// coro::Stream in <deepseek/coro.hpp>.
///
/// The end of the loop says nothing about how the stream ended; only result() does. A chunk and its
/// views live until the next step; a copy owns. Dropping the stream cancels the call.
///
/// While nothing but waiting calls is live on the client, next() reads the socket itself, without a
/// thread hop, and time the consumer spends between two steps counts for no clock but the absolute
/// deadline, which is then checked at the next step.
class Stream {
 public:
  class iterator {
   public:
    // From <vector>; <iterator> itself would pull in the streams: 0.1 s a file.
    using iterator_category = std::input_iterator_tag;
    using value_type = ChatChunk;
    using difference_type = std::ptrdiff_t;
    using pointer = const ChatChunk*;
    using reference = const ChatChunk&;
    iterator() = default;
    reference operator*() const noexcept { return *chunk_; }
    pointer operator->() const noexcept { return chunk_; }
    iterator& operator++() {
      chunk_ = stream_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.chunk_ == b.chunk_; }
    friend bool operator!=(const iterator& a, const iterator& b) noexcept { return a.chunk_ != b.chunk_; }

   private:
    friend class Stream;
    explicit iterator(Stream* stream) : stream_(stream), chunk_(stream->next()) {}
    Stream* stream_ = nullptr;
    const ChatChunk* chunk_ = nullptr;
  };

  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  /// Waits for the next chunk; null at the end, whatever the outcome. Null at once on the I/O thread
  /// (result() then says wrong_thread).
  const ChatChunk* next();
  iterator begin() { return iterator(this); }
  iterator end() noexcept { return {}; }

  /// Waits for the rest of the stream, dropping chunks nobody pulled (their text is in the reply), and
  /// tells how it ended. May be called again.
  Result<ChatReply> result();
  /// Stops the call now. Safe from any thread. result() then says cancelled, with the partial reply.
  void cancel() noexcept;

 private:
  friend struct detail::StreamAccess;
  explicit Stream(std::shared_ptr<detail::PullCall> call);
  explicit Stream(Error refusal);
  std::shared_ptr<detail::PullCall> call_;
  std::shared_ptr<const Error> refusal_;  // why it never began
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/client.hpp>  // its bodies need the whole client
#endif
