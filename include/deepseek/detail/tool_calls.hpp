// Private: runs the tool calls of one assistant turn.
#pragma once
#include <optional>
#include <vector>

#include <deepseek/model/message.hpp>
#include <deepseek/tools.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

struct ToolAnswer {
  Message message{};               ///< role tool, ready to be sent
  std::optional<Error> refused{};  ///< the call was not run
};

/// One answer per call, in the order of the calls; returns when all are there. `cut_off`: the turn ended
/// by the token limit, so its last call is never run, whole as it may look.
std::vector<ToolAnswer> answer_tool_calls(const Tools& tools, const Message& turn, bool cut_off, int max_parallel);

}  // namespace detail
DEEPSEEK_END_NAMESPACE
