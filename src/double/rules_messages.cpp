// Rules of messages: roles, parts, tool results, reasoning, prefix.
#include <set>

#include "rules.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

std::string at(std::size_t index) { return "messages[" + std::to_string(index) + "]"; }

Verdict judge_image(const Ask& ask, const std::string& where, const Json& part) {
  // The text model's reader knows no image part at all.
  if (ask.text("model") == "deepseek-v4-pro") {
    return unknown_variant(ask, where, part["type"].get<std::string>(), "`text`");
  }
  if (part["type"] == "image_url") {
    const auto image = part.find("image_url");
    if (image == part.end()) return missing_field(ask, where, "image_url");
    if (!image->is_object()) return bad_type(ask, where, *image, "struct ImageUrl");
    if (!image->contains("url")) return missing_field(ask, where, "url");
    return std::nullopt;
  }
  const bool by_id = part.contains("file_id");
  const bool inlined = part.contains("file_data");
  if (by_id == inlined) return Refusal{"file must have exactly one of file_id and file_data"};
  if (by_id && part.contains("filename")) return Refusal{"filename is only allowed together with file_data"};
  return std::nullopt;
}

Verdict judge_part(const Ask& ask, const std::string& where, const Json& part, bool user) {
  if (!part.is_object()) return bad_type(ask, where, part, "a content part");
  const auto type = part.find("type");
  if (type == part.end()) return missing_field(ask, where, "type");
  if (!type->is_string()) return bad_type(ask, where, *type, "a string");
  if (*type == "text") {
    const auto text = part.find("text");
    if (text == part.end()) return missing_field(ask, where, "text");
    if (!text->is_string()) return bad_type(ask, where, *text, "a string");
    return std::nullopt;
  }
  if (user && (*type == "image_url" || *type == "file")) return judge_image(ask, where, part);
  return unknown_variant(ask, where, type->get<std::string>(), "`text`");
}

Verdict judge_content(const Ask& ask, const std::string& where, const Json& message, const std::string& role) {
  const auto content = message.find("content");
  const bool calls =
      message.contains("tool_calls") && message["tool_calls"].is_array() && !message["tool_calls"].empty();
  if (content == message.end() || content->is_null()) {
    if (role != "assistant") return missing_field(ask, where, "content");
    if (!calls) return Refusal{"content or tool_calls must be set"};
    return std::nullopt;
  }
  if (content->is_string()) return std::nullopt;
  if (!content->is_array() || role == "assistant" || role == "latest_reminder") {
    return bad_type(ask, where + ".content", *content, "a string");
  }
  for (const auto& part : *content) {
    if (auto verdict = judge_part(ask, where, part, role == "user")) return verdict;
  }
  return std::nullopt;
}

Verdict judge_calls(const Ask& ask, const std::string& where, const Json& message) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || calls->is_null()) return std::nullopt;
  if (!calls->is_array()) return bad_type(ask, where + ".tool_calls", *calls, "a sequence");
  for (const auto& call : *calls) {
    if (!call.is_object()) return bad_type(ask, where + ".tool_calls", call, "struct ToolCall");
    if (!call.contains("id")) return missing_field(ask, where + ".tool_calls", "id");
    if (!call["id"].is_string()) return bad_type(ask, where + ".tool_calls", call["id"], "a string");
    if (!call.contains("function") || !call["function"].is_object()) {
      return missing_field(ask, where + ".tool_calls", "function");
    }
    for (const auto* name : {"name", "arguments"}) {
      if (!call["function"].contains(name)) return missing_field(ask, where + ".tool_calls.function", name);
      const auto& value = call["function"][name];
      if (!value.is_string()) return bad_type(ask, where + ".tool_calls.function." + name, value, "a string");
    }
  }
  return std::nullopt;
}

Verdict judge_message(const Ask& ask, std::size_t index, const Json& message) {
  const auto where = at(index);
  if (!message.is_object()) return bad_type(ask, where, message, "a map");
  const auto role = message.find("role");
  if (role == message.end()) return missing_field(ask, where, "role");
  if (!role->is_string()) return bad_type(ask, where + ".role", *role, "a string");
  const auto word = role->get<std::string>();
  static const std::set<std::string> roles{"system", "user", "assistant", "tool", "latest_reminder"};
  if (roles.count(word) == 0) {
    return unknown_variant(ask, where + ".role", word,
                           "one of `system`, `user`, `assistant`, `tool`, `latest_reminder`");
  }
  if (auto verdict = judge_content(ask, where, message, word)) return verdict;
  const auto name = message.find("name");
  if (name != message.end() && !name->is_string() && !name->is_null())
    return bad_type(ask, where + ".name", *name, "a string");
  if (word == "tool") {
    if (!message.contains("tool_call_id")) return missing_field(ask, where, "tool_call_id");
    if (!message["tool_call_id"].is_string()) return bad_type(ask, where, message["tool_call_id"], "a string");
  }
  if (word != "assistant") return std::nullopt;
  const auto reasoning = message.find("reasoning_content");
  if (reasoning != message.end() && !reasoning->is_string() && !reasoning->is_null()) {
    return bad_type(ask, where + ".reasoning_content", *reasoning, "a string");
  }
  return judge_calls(ask, where, message);
}

/// Each call needs its result, directly behind the message that called; no result without a call.
Verdict judge_results(const Json& messages) {
  std::set<std::string> open;
  for (const auto& message : messages) {
    if (message["role"] == "tool") {
      if (open.erase(message["tool_call_id"].get<std::string>()) == 1) continue;
      return Refusal{"Messages with role 'tool' must be a response to a preceding message with 'tool_calls'"};
    }
    if (!open.empty()) break;
    const auto calls = message.find("tool_calls");
    if (calls == message.end() || calls->is_null()) continue;
    for (const auto& call : *calls) open.insert(call["id"].get<std::string>());
  }
  if (open.empty()) return std::nullopt;
  return Refusal{
      "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
      "'tool_call_id'. (insufficient tool messages following tool_calls message)"};
}

bool is_prefix(const Json& message) {
  const auto prefix = message.find("prefix");
  return prefix != message.end() && prefix->is_boolean() && prefix->get<bool>();
}

Verdict judge_prefix(const Ask& ask, const Json& messages) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!is_prefix(messages[i])) continue;
    if (!ask.beta)
      return Refusal{"The 'prefix' parameter is a beta feature: set base_url to https://api.deepseek.com/beta"};
    if (i + 1 != messages.size() || messages[i]["role"] != "assistant") {
      return Refusal{"The message with 'prefix' must be the last message and its role must be 'assistant'"};
    }
  }
  return std::nullopt;
}

/// With tools, while thinking, every earlier answer brings its reasoning back; an empty one will do.
Verdict judge_reasoning(const Ask& ask, const Json& messages) {
  const auto* tools = ask.find("tools");
  if (!ask.thinks() || tools == nullptr || !tools->is_array() || tools->empty()) return std::nullopt;
  for (const auto& message : messages) {
    if (message["role"] != "assistant" || is_prefix(message)) continue;
    const auto reasoning = message.find("reasoning_content");
    if (reasoning != message.end() && reasoning->is_string()) continue;
    return Refusal{"The `reasoning_content` in the thinking mode must be passed back to the API."};
  }
  return std::nullopt;
}

}  // namespace

Verdict judge_messages(const Ask& ask) {
  const auto* messages = ask.find("messages");
  if (messages == nullptr) return missing_field(ask, "", "messages");
  if (!messages->is_array()) return bad_type(ask, "messages", *messages, "a sequence");
  if (messages->empty()) return Refusal{"Empty input messages"};
  for (std::size_t i = 0; i < messages->size(); ++i) {
    if (auto verdict = judge_message(ask, i, (*messages)[i])) return verdict;
  }
  if (auto verdict = judge_results(*messages)) return verdict;
  if (auto verdict = judge_prefix(ask, *messages)) return verdict;
  return judge_reasoning(ask, *messages);
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
