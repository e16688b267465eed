// Rules: what the service refuses, in its own words.
#pragma once
#include "answer.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

struct Refusal {
  std::string message;
  int status = 400;
  /// The service sends refusals of its own under application/octet-stream, those of its JSON reader as JSON.
  bool octet_stream = true;
};
using Verdict = std::optional<Refusal>;

/// Reads a body into `ask`; a refusal if it is no JSON object.
Verdict read_ask(std::string_view body, Ask& ask);
/// Judges a chat or FIM request.
Verdict judge(const Ask& ask);

// The rules of one part each.
Verdict judge_messages(const Ask& ask);
Verdict judge_tools(const Ask& ask);
/// `path: invalid type: ..., expected ...` in the form of the service's JSON reader.
Refusal bad_type(const Ask& ask, const std::string& where, const Json& found, const std::string& expected);
Refusal unknown_variant(const Ask& ask, const std::string& where, const std::string& found,
                        const std::string& expected);
Refusal missing_field(const Ask& ask, const std::string& where, const std::string& name);

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
