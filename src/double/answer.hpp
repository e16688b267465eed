// Answers: what is said to a request, and its wire form.
#pragma once
#include <nlohmann/json.hpp>

#include "plan.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

using Json = nlohmann::ordered_json;

/// The service reads no request that is nested deeper; neither does a script or a schema need it.
inline constexpr int deepest_json = 128;
/// Parsed, or discarded if it is no JSON or nested too deep to be walked.
Json parse_json(std::string_view text);

/// A member of an object that nobody has checked: its value if it has the type, else nothing. `object` may be
/// any value.
std::string text_member(const Json& object, const char* name);
bool flag_member(const Json& object, const char* name);

/// A chat or FIM request as it came.
struct Ask {
  Json body;
  std::string_view raw;
  bool beta = false;
  bool fim = false;

  bool stream() const { return flag("stream"); }
  bool flag(const char* name) const;
  /// Thinking applies: on by default, never in FIM.
  bool thinks() const;
  const Json* find(const char* name) const;
  std::string text(const char* name) const;  ///< a string member, or empty
};

struct AnsweredCall {
  std::string id;
  std::string name;
  std::vector<std::string> pieces;  ///< of the arguments
};

/// A whole answer in tokens, so that limits, usage, log probabilities and deltas agree.
struct Answer {
  std::string id;
  std::string model;
  std::int64_t created = 0;
  bool thinking = false;
  std::vector<std::string> reasoning;
  std::vector<std::string> text;
  std::vector<AnsweredCall> calls;
  std::string finish = "stop";
  std::string title;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;
};

/// The answer that `spec` scripts, or a faithful one. `seed` makes ids differ between requests.
Answer make_answer(const Ask& ask, const ReplySpec& spec, std::uint64_t seed);
/// The answer as an event stream or a JSON body, with the faults of its content.
Body encode(const Ask& ask, const ReplySpec& spec, const Answer& answer);
Body json_body(int status, std::string text, std::string content_type = "application/json");

std::vector<std::string> split_tokens(std::string_view text);
/// About four bytes a token, over all strings of the prompt.
std::uint64_t count_prompt_tokens(const Ask& ask);
/// A value that satisfies a JSON Schema, chosen by its words ("city" gives "Oslo").
Json sample_of_schema(const Json& schema);
/// JSON text as the model writes it: ": " and ", " between parts.
std::string spaced_json(const Json& value);
/// The text of a message's content: a string, or its text parts together.
std::string content_text(const Json& message);

std::string hex_id(std::uint64_t seed, std::size_t digits);
std::string uuid(std::uint64_t seed);

std::string models_body();
std::string balance_body();

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
