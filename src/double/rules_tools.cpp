// Rules of tools: definitions, choice, and the schemas of strict mode.
#include <algorithm>
#include <set>

#include "rules.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

constexpr std::size_t most_tools = 128;
constexpr std::size_t longest_name = 128;
constexpr int deepest_schema = 64;

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= longest_name && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

bool is_server_tool(const Json& tool) {
  const auto type = text_member(tool, "type");
  return type == "deepseek_web_search" || type == "deepseek_read_url";
}

Verdict unsupported(const std::string& name, const std::string& why) {
  return Refusal{"Invalid schema for function '" + name + "' in strict mode: " + why};
}

/// The subset of JSON Schema that strict mode supports.
Verdict judge_strict(const std::string& name, const Json& schema, int depth) {
  static const std::set<std::string> types{"object", "string", "number", "integer", "boolean", "array"};
  static const std::set<std::string> formats{"email", "hostname", "ipv4", "ipv6", "uuid"};
  if (!schema.is_object()) return unsupported(name, "a schema must be an object");
  if (depth > deepest_schema) return unsupported(name, "nested too deeply");
  for (const auto* word : {"minLength", "maxLength", "minItems", "maxItems"}) {
    if (schema.contains(word)) return unsupported(name, std::string("'") + word + "' is not supported");
  }
  for (const auto* place : {"$defs", "$def", "definitions"}) {
    if (!schema.contains(place) || !schema[place].is_object()) continue;
    for (const auto& item : schema[place].items()) {
      if (auto verdict = judge_strict(name, item.value(), depth + 1)) return verdict;
    }
  }
  if (schema.contains("anyOf") && schema["anyOf"].is_array()) {
    for (const auto& option : schema["anyOf"]) {
      if (auto verdict = judge_strict(name, option, depth + 1)) return verdict;
    }
    return std::nullopt;
  }
  if (schema.contains("$ref") || schema.contains("enum") || schema.contains("const")) return std::nullopt;
  const auto type = schema.find("type");
  if (type == schema.end() || !type->is_string() || types.count(type->get<std::string>()) == 0) {
    return unsupported(name, "every schema needs one 'type' of object, string, number, integer, boolean, array");
  }
  if (schema.contains("format") && schema["format"].is_string() &&
      formats.count(schema["format"].get<std::string>()) == 0) {
    return unsupported(name, "format '" + schema["format"].get<std::string>() + "' is not supported");
  }
  if (*type == "array") {
    if (!schema.contains("items")) return std::nullopt;
    return judge_strict(name, schema["items"], depth + 1);
  }
  if (*type != "object") return std::nullopt;
  const auto closed = schema.find("additionalProperties");
  if (closed == schema.end() || !closed->is_boolean() || closed->get<bool>()) {
    return unsupported(name, "'additionalProperties' must be false for every object");
  }
  const auto properties = schema.find("properties");
  if (properties == schema.end() || !properties->is_object()) return std::nullopt;
  const auto required = schema.find("required");
  for (const auto& item : properties->items()) {
    const bool listed = required != schema.end() && required->is_array() &&
                        std::find(required->begin(), required->end(), item.key()) != required->end();
    if (!listed) return unsupported(name, "'required' must list every property, '" + item.key() + "' is missing");
    if (auto verdict = judge_strict(name, item.value(), depth + 1)) return verdict;
  }
  return std::nullopt;
}

bool is_strict(const Json& function) {
  const auto strict = function.find("strict");
  return strict != function.end() && strict->is_boolean() && strict->get<bool>();
}

Verdict judge_function(const Ask& ask, std::size_t index, const Json& tool, std::set<std::string>& names) {
  const auto where = "tools[" + std::to_string(index) + "]";
  if (!tool.is_object()) return bad_type(ask, where, tool, "struct Tool");
  const auto type = tool.find("type");
  if (type == tool.end()) return missing_field(ask, where, "type");
  if (!type->is_string()) return bad_type(ask, where + ".type", *type, "a string");
  if (is_server_tool(tool)) return std::nullopt;
  if (*type != "function") return unknown_variant(ask, where + ".type", type->get<std::string>(), "`function`");
  const auto function = tool.find("function");
  if (function == tool.end()) return missing_field(ask, where, "function");
  if (!function->is_object()) return bad_type(ask, where + ".function", *function, "struct Function");
  const auto name = function->find("name");
  if (name == function->end()) return missing_field(ask, where + ".function", "name");
  if (!name->is_string()) return bad_type(ask, where + ".function.name", *name, "a string");
  const auto text = name->get<std::string>();
  if (!is_name(text)) {
    return Refusal{"Invalid '" + where +
                   ".function.name': string does not match pattern. Expected a string that matches "
                   "the pattern '^[a-zA-Z0-9_-]+$'."};
  }
  if (!names.insert(text).second) return Refusal{"Tool names must be unique."};
  const auto parameters = function->find("parameters");
  if (parameters != function->end() && !parameters->is_null() && !parameters->is_object()) {
    return bad_type(ask, where + ".function.parameters", *parameters, "a map");
  }
  return std::nullopt;
}

/// On the plain base `strict` is accepted without effect; on /beta it is all or none, and schemas are judged.
Verdict judge_strictness(const Ask& ask, const Json& tools) {
  if (!ask.beta) return std::nullopt;
  std::size_t strict = 0;
  std::size_t functions = 0;
  for (const auto& tool : tools) {
    if (is_server_tool(tool)) continue;
    ++functions;
    if (is_strict(tool["function"])) ++strict;
  }
  if (strict == 0) return std::nullopt;
  if (strict != functions) return Refusal{"In strict mode every function must set strict to true."};
  for (const auto& tool : tools) {
    if (is_server_tool(tool)) continue;
    const auto& function = tool["function"];
    const auto parameters = function.find("parameters");
    if (parameters == function.end() || parameters->is_null()) continue;
    if (auto verdict = judge_strict(function["name"].get<std::string>(), *parameters, 0)) return verdict;
  }
  return std::nullopt;
}

Verdict judge_choice(const Ask& ask, const std::set<std::string>& names) {
  const auto* choice = ask.find("tool_choice");
  if (choice == nullptr) return std::nullopt;
  if (choice->is_string()) {
    const auto word = choice->get<std::string>();
    if (word == "none" || word == "auto") return std::nullopt;
    if (word != "required") return unknown_variant(ask, "tool_choice", word, "one of `none`, `auto`, `required`");
    if (names.empty()) return Refusal{"tool_choice 'required' needs tools"};
  } else {
    if (!choice->is_object()) return bad_type(ask, "tool_choice", *choice, "a string or a map");
    const auto function = choice->find("function");
    if (function == choice->end() || !function->is_object()) return missing_field(ask, "tool_choice", "function");
    const auto name = function->find("name");
    if (name == function->end() || !name->is_string()) return missing_field(ask, "tool_choice.function", "name");
    if (names.count(name->get<std::string>()) == 0) {
      return Refusal{"Tool '" + name->get<std::string>() + "' of tool_choice is not among the tools"};
    }
  }
  if (ask.thinks()) return Refusal{"Thinking mode does not support this tool_choice"};
  return std::nullopt;
}

}  // namespace

Verdict judge_tools(const Ask& ask) {
  std::set<std::string> names;
  if (const auto* tools = ask.find("tools")) {
    if (!tools->is_array()) return bad_type(ask, "tools", *tools, "a sequence");
    if (tools->size() > most_tools) {
      return Refusal{
          "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length " +
          std::to_string(tools->size()) + " instead."};
    }
    for (std::size_t i = 0; i < tools->size(); ++i) {
      if (auto verdict = judge_function(ask, i, (*tools)[i], names)) return verdict;
    }
    if (auto verdict = judge_strictness(ask, *tools)) return verdict;
  }
  return judge_choice(ask, names);
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
