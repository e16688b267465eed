// Choosing an answer: scripted, or short and plausible.
#include "answer.hpp"

#include <algorithm>
#include <ctime>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

constexpr std::size_t quoted_bytes = 200;  // of a prompt or tool result in a default answer

std::uint64_t mix(std::uint64_t value) {  // splitmix64: ids that look random and repeat from run to run
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

bool starts_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }

std::string quote(std::string_view text) {
  if (text.size() <= quoted_bytes) return std::string(text);
  auto end = quoted_bytes;
  while (end > 0 && !starts_code_point(text[end])) --end;
  return std::string(text.substr(0, end)) + "...";
}

const Json* last_message(const Ask& ask) {
  const auto* messages = ask.find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) return nullptr;
  return &messages->back();
}

std::string role_of(const Json* message) { return message != nullptr ? text_member(*message, "role") : std::string(); }

std::string last_user_text(const Ask& ask) {
  const auto* messages = ask.find("messages");
  if (messages == nullptr) return {};
  for (auto it = messages->rbegin(); it != messages->rend(); ++it) {
    if (role_of(&*it) == "user") return content_text(*it);
  }
  return {};
}

/// The tool that a faithful answer calls; null: it answers in text.
const Json* tool_to_call(const Ask& ask) {
  const auto* tools = ask.find("tools");
  if (tools == nullptr || !tools->is_array()) return nullptr;
  const auto* choice = ask.find("tool_choice");
  std::string wanted;
  bool forced = false;
  if (choice != nullptr && choice->is_string()) {
    if (*choice == "none") return nullptr;
    forced = *choice == "required";
  }
  if (choice != nullptr && choice->is_object()) {
    const auto function = choice->find("function");
    if (function != choice->end()) wanted = text_member(*function, "name");
    forced = true;
  }
  if (!forced && role_of(last_message(ask)) != "user") return nullptr;
  for (const auto& tool : *tools) {
    const auto function = tool.find("function");
    if (function == tool.end() || !function->is_object()) continue;
    if (wanted.empty() || text_member(*function, "name") == wanted) return &*function;
  }
  return nullptr;
}

bool wants_json(const Ask& ask) {
  const auto* format = ask.find("response_format");
  return format != nullptr && text_member(*format, "type") == "json_object";
}

/// The first JSON Schema of an object that stands in a text.
std::optional<Json> schema_in(std::string_view text) {
  int tries = 100;  // each may look at the whole text
  for (auto at = text.find('{'); at != text.npos && tries > 0; at = text.find('{', at + 1), --tries) {
    int depth = 0;
    bool in_string = false;
    for (auto i = at; i < text.size(); ++i) {
      const char c = text[i];
      if (in_string) {
        if (c == '\\')
          ++i;
        else if (c == '"')
          in_string = false;
        continue;
      }
      if (c == '"') in_string = true;
      if (c == '{') ++depth;
      if (c != '}' || --depth > 0) continue;
      auto found = parse_json(text.substr(at, i + 1 - at));
      if (found.is_object() && (found.contains("properties") || found.contains("$ref"))) return found;
      break;
    }
  }
  return std::nullopt;
}

std::string json_answer(const Ask& ask) {
  if (const auto* messages = ask.find("messages")) {
    for (const auto& message : *messages) {
      if (const auto schema = schema_in(content_text(message))) return sample_of_schema(*schema).dump();
    }
  }
  return Json{{"answer", quote(last_user_text(ask))}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string tool_results(const Ask& ask) {
  const auto& messages = *ask.find("messages");
  std::string text;
  auto first = messages.size();
  while (first > 0 && role_of(&messages[first - 1]) == "tool") --first;
  for (auto i = first; i < messages.size(); ++i) text += (text.empty() ? "" : "; ") + content_text(messages[i]);
  return "The tool answered: " + quote(text);
}

std::string default_text(const Ask& ask) {
  if (ask.fim) return "return a + b";
  if (wants_json(ask)) return json_answer(ask);
  const auto* last = last_message(ask);
  if (role_of(last) == "tool") return tool_results(ask);
  const auto whole = "You said: " + quote(last_user_text(ask));
  if (role_of(last) != "assistant") return whole;
  // A prefix: what follows it, if it is the beginning of what would have been said.
  const auto prefix = content_text(*last);
  if (whole.compare(0, prefix.size(), prefix) == 0) return whole.substr(prefix.size());
  return prefix.find("```") != prefix.npos ? "print(\"Hello\")\n```\n" : " And so it goes on.";
}

std::vector<std::string> stop_words(const Ask& ask) {
  std::vector<std::string> words;
  const auto* stop = ask.find("stop");
  if (stop == nullptr) return words;
  if (stop->is_string()) words.push_back(stop->get<std::string>());
  if (stop->is_array()) {
    for (const auto& word : *stop) {
      if (word.is_string()) words.push_back(word.get<std::string>());
    }
  }
  words.erase(std::remove(words.begin(), words.end(), std::string()), words.end());
  return words;
}

std::string until_stop(const Ask& ask, std::string text) {
  auto end = text.size();
  for (const auto& word : stop_words(ask)) end = std::min(end, text.find(word));
  if (end < text.size()) text.resize(end);
  return text;
}

AnsweredCall answered_call(std::size_t position, std::string name, std::string_view arguments, std::uint64_t seed) {
  const auto number = std::to_string(position);
  return {"call_" + std::string(number.size() < 2 ? "0" : "") + number + "_" + hex_id(seed + position + 1, 24),
          std::move(name), split_tokens(arguments)};
}

/// Cuts the answer where max_tokens ends it: in the reasoning, the text or a call's arguments.
void limit_tokens(Answer& answer, std::uint64_t limit) {
  std::uint64_t used = 0;
  auto take = [&](std::vector<std::string>& tokens) {
    const auto room = limit - used;
    if (tokens.size() > room) {
      tokens.resize(static_cast<std::size_t>(room));
      answer.finish = "length";
    }
    used += tokens.size();
  };
  take(answer.reasoning);
  take(answer.text);
  for (std::size_t i = 0; i < answer.calls.size(); ++i) {
    if (answer.finish == "length") {
      answer.calls.resize(i);
      break;
    }
    take(answer.calls[i].pieces);
  }
}

std::string answering_model(const std::string& asked) {
  const bool alias = asked == "deepseek-v4-flash" || asked == "deepseek-v4-flash-vision-exp";
  return alias || asked.empty() ? "deepseek-flash" : asked;
}

void fill_scripted(Answer& answer, const Ask& ask, const ReplySpec& spec, std::uint64_t seed) {
  if (ask.thinks() && spec.reasoning) answer.reasoning = split_tokens(*spec.reasoning);
  answer.text = spec.pieces.empty() ? split_tokens(spec.text.value_or("")) : spec.pieces;
  for (const auto& call : spec.calls) {
    answer.calls.push_back(answered_call(answer.calls.size(), call.name, call.arguments, seed));
  }
  if (!answer.calls.empty()) answer.finish = "tool_calls";
}

void fill_faithful(Answer& answer, const Ask& ask, std::uint64_t seed) {
  if (answer.thinking) answer.reasoning = split_tokens("The question is short, so a short answer will do.");
  if (const auto* tool = tool_to_call(ask)) {
    const auto arguments = tool->contains("parameters") ? spaced_json(sample_of_schema((*tool)["parameters"])) : "{}";
    answer.calls.push_back(answered_call(0, text_member(*tool, "name"), arguments, seed));
    answer.finish = "tool_calls";
  } else {
    auto text = until_stop(ask, default_text(ask));
    if (ask.fim && ask.flag("echo")) text = ask.text("prompt") + text;
    answer.text = split_tokens(text);
  }
  const auto* limit = ask.find("max_tokens");
  if (limit != nullptr && limit->is_number_integer()) limit_tokens(answer, limit->get<std::uint64_t>());
}

}  // namespace

std::string text_member(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

bool flag_member(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_boolean() && it->get<bool>();
}

bool Ask::flag(const char* name) const { return flag_member(body, name); }

const Json* Ask::find(const char* name) const {
  const auto it = body.find(name);
  return it == body.end() || it->is_null() ? nullptr : &*it;
}

std::string Ask::text(const char* name) const { return text_member(body, name); }

bool Ask::thinks() const {
  if (fim) return false;
  const auto* thinking = find("thinking");
  if (thinking != nullptr && thinking->is_object()) return text_member(*thinking, "type") != "disabled";
  return text("reasoning_effort") != "none";
}

std::vector<std::string> split_tokens(std::string_view text) {
  constexpr std::size_t longest = 6;  // code points
  std::vector<std::string> tokens;
  std::size_t points = 0;
  for (const char c : text) {
    if (starts_code_point(c)) {
      const bool word_begins = c == ' ' && !tokens.empty() && tokens.back() != " ";
      if (tokens.empty() || points == longest || word_begins) {
        tokens.emplace_back();
        points = 0;
      }
      ++points;
    }
    if (tokens.empty()) tokens.emplace_back();
    tokens.back() += c;
  }
  return tokens;
}

std::uint64_t count_prompt_tokens(const Ask& ask) {
  std::uint64_t bytes = ask.fim ? ask.text("prompt").size() + ask.text("suffix").size() : 0;
  if (const auto* messages = ask.find("messages")) {
    for (const auto& message : *messages) {
      bytes += 16 + content_text(message).size();
      for (const auto* name : {"tool_calls", "reasoning_content"}) {
        const auto it = message.find(name);
        if (it != message.end())
          bytes += it->is_string() ? it->get_ref<const std::string&>().size() : it->dump().size();
      }
    }
  }
  if (const auto* tools = ask.find("tools")) bytes += tools->dump().size();
  return bytes / 4 + 1;
}

std::string content_text(const Json& message) {
  if (!message.is_object()) return {};
  const auto it = message.find("content");
  if (it == message.end()) return {};
  if (it->is_string()) return it->get<std::string>();
  std::string text;
  if (it->is_array()) {
    for (const auto& part : *it) text += text_member(part, "text");
  }
  return text;
}

std::string hex_id(std::uint64_t seed, std::size_t digits) {
  static constexpr char alphabet[] = "0123456789abcdef";
  std::string id;
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (i % 16 == 0) bits = mix(seed * 31 + i);
    id += alphabet[bits & 15u];
    bits >>= 4;
  }
  return id;
}

std::string uuid(std::uint64_t seed) {
  auto id = hex_id(seed, 32);
  id[12] = '4';
  id[16] = "89ab"[seed % 4];
  for (const std::size_t at : {8u, 13u, 18u, 23u}) id.insert(at, "-");
  return id;
}

Answer make_answer(const Ask& ask, const ReplySpec& spec, std::uint64_t seed) {
  Answer answer;
  answer.id = uuid(seed);
  answer.created = std::time(nullptr);
  answer.thinking = ask.thinks();
  answer.model = spec.model.empty() ? answering_model(ask.text("model")) : spec.model;
  answer.prompt_tokens = count_prompt_tokens(ask);
  answer.title = spec.title;
  const auto* title = ask.find("title");
  if (answer.title.empty() && title != nullptr && flag_member(*title, "enabled")) answer.title = "A short talk";
  if (spec.kind == ReplySpec::Kind::faithful)
    fill_faithful(answer, ask, seed);
  else
    fill_scripted(answer, ask, spec, seed);
  if (spec.blanks > 0) answer.text.insert(answer.text.begin(), std::string(static_cast<std::size_t>(spec.blanks), ' '));
  if (!spec.finish.empty()) answer.finish = spec.finish;
  return answer;
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
