// Rules of the request's top level.
#include "rules.hpp"

#include <algorithm>

#include "json_depth.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

constexpr std::int64_t most_output_tokens = 393'216;
constexpr std::uint64_t context_tokens = 1'048'565;  // what the service reports, 11 below the nominal window

/// "line L column C" just behind the place of `found` in the body, as the service's reader counts.
std::string place_of(const Ask& ask, const std::string& found) {
  auto at = ask.raw.find('"' + found + '"');
  at = at == ask.raw.npos ? ask.raw.size() : at + found.size() + 2;
  const auto before = ask.raw.substr(0, at);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto last = before.rfind('\n');
  const auto column = last == before.npos ? before.size() : before.size() - last - 1;
  return " at line " + std::to_string(line) + " column " + std::to_string(column);
}

Refusal unreadable(const std::string& what) {
  return {"Failed to deserialize the JSON body into the target type: " + what, 400, false};
}

std::string kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return value.get<bool>() ? "boolean `true`" : "boolean `false`";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "integer `" + value.dump() + "`";
    case Json::value_t::number_float:
      return "floating point `" + value.dump() + "`";
    case Json::value_t::string:
      return "string " + value.dump(-1, ' ', false, Json::error_handler_t::replace);
    case Json::value_t::array:
      return "sequence";
    default:
      return "map";
  }
}

Verdict range(const Ask& ask, const char* name, double least, double most, bool open = false, bool whole = false) {
  const auto* value = ask.find(name);
  if (value == nullptr) return std::nullopt;
  if (whole ? !value->is_number_integer() : !value->is_number())
    return bad_type(ask, name, *value, whole ? "u32" : "f32");
  const auto number = value->get<double>();
  if (number > most || number < least || (open && number <= least)) {
    return Refusal{std::string("Invalid ") + name + " value, the valid range of " + name + " is " + (open ? "(" : "[") +
                   Json(least).dump() + ", " + Json(most).dump() + "]"};
  }
  return std::nullopt;
}

Verdict of_type(const Ask& ask, const char* name, bool (Json::*is)() const noexcept, const char* expected) {
  const auto* value = ask.find(name);
  if (value == nullptr || (value->*is)()) return std::nullopt;
  return bad_type(ask, name, *value, expected);
}

Verdict judge_model(const Ask& ask) {
  static constexpr const char* known[] = {"deepseek-flash", "deepseek-v4-pro", "deepseek-v4-flash",
                                          "deepseek-v4-flash-vision-exp"};
  const auto* model = ask.find("model");
  if (model == nullptr) return missing_field(ask, "", "model");
  if (!model->is_string()) return bad_type(ask, "model", *model, "a string");
  if (std::find(std::begin(known), std::end(known), model->get<std::string>()) != std::end(known)) return std::nullopt;
  return Refusal{"The supported API model names are deepseek-v4-pro or deepseek-v4-flash, but you passed " +
                 model->get<std::string>() + "."};
}

Verdict judge_stop(const Ask& ask) {
  const auto* stop = ask.find("stop");
  if (stop == nullptr || stop->is_string()) return std::nullopt;
  if (!stop->is_array()) return bad_type(ask, "stop", *stop, "a string or a sequence");
  if (stop->size() > 16) return Refusal{"Invalid 'stop': at most 16 stop sequences are supported"};
  for (const auto& word : *stop) {
    if (!word.is_string()) return bad_type(ask, "stop", word, "a string");
  }
  return std::nullopt;
}

Verdict judge_sampling(const Ask& ask) {
  if (auto verdict = range(ask, "temperature", 0, 2)) return verdict;
  if (auto verdict = range(ask, "top_p", 0, 1, true)) return verdict;
  if (auto verdict = range(ask, "frequency_penalty", -2, 2)) return verdict;
  if (auto verdict = range(ask, "presence_penalty", -2, 2)) return verdict;
  if (auto verdict = range(ask, "max_tokens", 1, most_output_tokens, false, true)) return verdict;
  return judge_stop(ask);
}

Verdict judge_streaming(const Ask& ask) {
  if (auto verdict = of_type(ask, "stream", &Json::is_boolean, "a boolean")) return verdict;
  const auto* options = ask.find("stream_options");
  if (options == nullptr) return std::nullopt;
  if (!options->is_object()) return bad_type(ask, "stream_options", *options, "struct StreamOptions");
  const auto usage = options->find("include_usage");
  if (usage != options->end() && !usage->is_boolean()) {
    return bad_type(ask, "stream_options.include_usage", *usage, "a boolean");
  }
  if (!ask.stream()) return Refusal{"The 'stream_options' parameter is only allowed when 'stream' is enabled."};
  return std::nullopt;
}

Verdict judge_logprobs(const Ask& ask) {
  if (ask.fim) return range(ask, "logprobs", 0, 20, false, true);
  if (auto verdict = of_type(ask, "logprobs", &Json::is_boolean, "a boolean")) return verdict;
  if (auto verdict = range(ask, "top_logprobs", 0, 20, false, true)) return verdict;
  if (ask.find("top_logprobs") != nullptr && !ask.flag("logprobs")) {
    return Refusal{"Invalid 'top_logprobs': 'logprobs' must be set to true when 'top_logprobs' is used"};
  }
  return std::nullopt;
}

Verdict judge_user(const Ask& ask) {
  const auto* user = ask.find("user_id");
  if (user == nullptr) return std::nullopt;
  if (!user->is_string()) return bad_type(ask, "user_id", *user, "a string");
  const auto& text = user->get_ref<const std::string&>();
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  if (plain && !text.empty() && text.size() <= 512) return std::nullopt;
  if (plain && !text.empty()) return Refusal{"Invalid 'user_id': string too long, at most 512 characters"};
  return Refusal{"Invalid 'user_id': string does not match pattern '^[a-zA-Z0-9\\-_]+$'"};
}

/// An object with one word: thinking, response_format, safety_check.
Verdict judge_word(const Ask& ask, const char* name, const char* member, std::initializer_list<const char*> allowed) {
  const auto* value = ask.find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) return bad_type(ask, name, *value, "a map");
  const auto word = value->find(member);
  if (word == value->end()) return missing_field(ask, name, member);
  if (!word->is_string()) return bad_type(ask, std::string(name) + '.' + member, *word, "a string");
  std::string expected;
  for (const auto* option : allowed) {
    if (*word == option) return std::nullopt;
    expected += (expected.empty() ? "`" : "` or `") + std::string(option);
  }
  return unknown_variant(ask, std::string(name) + '.' + member, word->get<std::string>(), expected + "`");
}

Verdict judge_thinking(const Ask& ask) {
  if (auto verdict = judge_word(ask, "thinking", "type", {"enabled", "disabled"})) return verdict;
  const auto* effort = ask.find("reasoning_effort");
  if (effort == nullptr) return std::nullopt;
  if (!effort->is_string()) return bad_type(ask, "reasoning_effort", *effort, "a string");
  static constexpr const char* known[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"};
  const auto word = effort->get<std::string>();
  if (std::find(std::begin(known), std::end(known), word) == std::end(known)) {
    return unknown_variant(ask, "reasoning_effort", word, "one of `none`, `low`, `high`, `max`");
  }
  const auto* thinking = ask.find("thinking");
  if (word == "none" || thinking == nullptr || text_member(*thinking, "type") != "disabled") return std::nullopt;
  return Refusal{"thinking options type cannot be disabled when reasoning_effort is set"};
}

Verdict judge_format(const Ask& ask) {
  if (auto verdict = judge_word(ask, "response_format", "type", {"text", "json_object"})) return verdict;
  const auto* format = ask.find("response_format");
  if (format == nullptr || text_member(*format, "type") != "json_object") return std::nullopt;
  for (const auto& message : *ask.find("messages")) {
    auto text = content_text(message);
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    if (text.find("json") != text.npos) return std::nullopt;
  }
  return Refusal{"Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'."};
}

Verdict judge_length(const Ask& ask) {
  const auto prompt = count_prompt_tokens(ask);
  const auto* limit = ask.find("max_tokens");
  const auto output = limit != nullptr ? limit->get<std::uint64_t>() : 0;
  if (prompt + output <= context_tokens) return std::nullopt;
  return Refusal{"This model's maximum context length is " + std::to_string(context_tokens) +
                 " tokens. However, you requested " + std::to_string(prompt + output) + " tokens (" +
                 std::to_string(prompt) + " in the messages, " + std::to_string(output) +
                 " in the completion). Please reduce the length of the messages or completion."};
}

Verdict judge_safety(const Ask& ask) {
  if (auto verdict = judge_word(ask, "safety_check", "level", {"low", "high"})) return verdict;
  const auto* choice = ask.find("tool_choice");
  if (ask.find("safety_check") == nullptr || choice == nullptr) return std::nullopt;
  if (choice->is_string() && (*choice == "auto" || *choice == "none")) return std::nullopt;
  return Refusal{"safety_check does not support this tool_choice"};
}

Verdict judge_fim(const Ask& ask) {
  const auto* prompt = ask.find("prompt");
  if (prompt == nullptr) return missing_field(ask, "", "prompt");
  if (!prompt->is_string()) return bad_type(ask, "prompt", *prompt, "a string");
  if (auto verdict = of_type(ask, "suffix", &Json::is_string, "a string")) return verdict;
  if (auto verdict = of_type(ask, "echo", &Json::is_boolean, "a boolean")) return verdict;
  return std::nullopt;
}

Verdict judge_chat(const Ask& ask) {
  if (auto verdict = judge_thinking(ask)) return verdict;  // before the rules that depend on thinking
  if (auto verdict = judge_messages(ask)) return verdict;
  if (auto verdict = judge_tools(ask)) return verdict;
  if (auto verdict = judge_format(ask)) return verdict;
  if (auto verdict = judge_user(ask)) return verdict;
  return judge_safety(ask);
}

}  // namespace

Refusal bad_type(const Ask& ask, const std::string& where, const Json& found, const std::string& expected) {
  const auto text = found.is_string() ? found.get<std::string>() : std::string();
  return unreadable(where + ": invalid type: " + kind_of(found) + ", expected " + expected + place_of(ask, text));
}

Refusal unknown_variant(const Ask& ask, const std::string& where, const std::string& found,
                        const std::string& expected) {
  return unreadable(where + ": unknown variant `" + found + "`, expected " + expected + place_of(ask, found));
}

Refusal missing_field(const Ask& ask, const std::string& where, const std::string& name) {
  return unreadable((where.empty() ? "" : where + ": ") + "missing field `" + name + "`" + place_of(ask, "\x01"));
}

Verdict read_ask(std::string_view body, Ask& ask) {
  if (nested_deeper(body, deepest_json)) {
    ask.body = Json::object();
    return unreadable("recursion limit exceeded at line 1 column " + std::to_string(deepest_json));
  }
  ask.body = Json::parse(body, nullptr, false);
  if (ask.body.is_discarded()) return unreadable("expected value at line 1 column " + std::to_string(body.size()));
  if (ask.body.is_object()) return std::nullopt;
  const auto found = kind_of(ask.body);
  ask.body = Json::object();
  return unreadable("invalid type: " + found + ", expected a map at line 1 column 0");
}

Verdict judge(const Ask& ask) {
  if (auto verdict = judge_model(ask)) return verdict;
  if (auto verdict = judge_sampling(ask)) return verdict;
  if (auto verdict = judge_streaming(ask)) return verdict;
  if (auto verdict = judge_logprobs(ask)) return verdict;
  if (auto verdict = ask.fim ? judge_fim(ask) : judge_chat(ask)) return verdict;
  return judge_length(ask);
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
