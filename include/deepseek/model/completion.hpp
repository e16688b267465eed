// FIM completions (beta): text between a prompt and a suffix. api-docs.deepseek.com, api/create-completion.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/core/raw_json.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// A FIM request; answered by a ChatReply whose content() is the text. Thinking does not apply.
struct CompletionRequest {
  std::string prompt{};  ///< required
  std::string suffix{};  ///< text after the gap; empty: not sent
  std::string model{};   ///< empty: deepseek-v4-pro, the one the reference lists
  std::optional<std::int64_t> max_tokens{};
  std::optional<double> temperature{};
  std::optional<double> top_p{};
  std::vector<std::string> stop{};  ///< up to 16
  std::optional<bool> include_usage{};
  std::optional<bool> echo{};     ///< the prompt comes back too
  std::optional<int> logprobs{};  ///< 0 ... 20: an integer here, a bool in chat
  std::optional<double> frequency_penalty{};
  std::optional<double> presence_penalty{};
  RawJson extra{};
};

DEEPSEEK_END_NAMESPACE
