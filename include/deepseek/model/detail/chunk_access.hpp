// The codec's way into a ChatChunk. Private.
#pragma once
#include <deepseek/model/chat.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

struct ChunkAccess {
  static ChunkFields& fields(ChatChunk& chunk) noexcept { return chunk.fields_; }
  static const ChunkFields& fields(const ChatChunk& chunk) noexcept { return chunk.fields_; }
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
