// Token usage, as the service counts it.
#pragma once
#include <cstdint>

#include <deepseek/core/raw_json.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Counts of tokens. A server that does not count something leaves it zero.
struct Usage {
  std::int64_t prompt_tokens = 0;      ///< hit + miss
  std::int64_t completion_tokens = 0;  ///< reasoning included
  std::int64_t total_tokens = 0;
  std::int64_t prompt_cache_hit_tokens = 0;  ///< or prompt_tokens_details.cached_tokens where only that is sent
  std::int64_t prompt_cache_miss_tokens = 0;
  std::int64_t reasoning_tokens = 0;  ///< completion_tokens_details.reasoning_tokens
  RawJson raw{};                      ///< the object as sent
};

DEEPSEEK_END_NAMESPACE
