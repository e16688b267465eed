#pragma once
#include <deepseek/tools.hpp>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>

#include <deepseek/detail/tool_calls.hpp>
#include <deepseek/impl/json_schema.ipp>
#include <deepseek/model/detail/json_text.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

struct ToolEntry {
  Tool definition = {};
  RawJson strict_schema = {};  ///< empty: the definition's own
  ToolFunction run = {};       ///< empty: the service runs it
};

class ToolSet {
 public:
  std::vector<ToolEntry> entries;
  std::optional<Error> error;  ///< the first
  bool strict = false;

  const ToolEntry* find(std::string_view name) const {
    for (const ToolEntry& entry : entries) {
      if (entry.run && entry.definition.name == name) return &entry;
    }
    return nullptr;
  }

  void refuse(const std::string& name, const std::string& why) {
    if (!error) error = Error(ErrorCode::invalid_argument, "tool \"" + name + "\": " + why);
  }
};

struct ToolAccess {
  static const ToolSet& set(const Tools& tools) { return *tools.set_; }
};

DEEPSEEK_DECL Result<void> expect_object(const RawJson& arguments) {
  Result<JsonDocument> document = JsonDocument::parse(arguments.view());
  if (!document) return document.error();
  Mismatch why;
  if (document->root().kind() == JsonView::Kind::object) return {};
  why.expected("an object", document->root());
  return why.error();
}

/// One call, with whatever the function throws turned into an error.
DEEPSEEK_DECL Result<std::string> run_tool(const ToolSet& set, std::string_view name, const RawJson& arguments,
                                           bool& started) {
  const ToolEntry* entry = set.find(name);
  if (!entry) return Error(ErrorCode::tool_failed, "there is no tool of this name");
  try {
    return entry->run(arguments, started);
  } catch (const std::exception& thrown) {
    return Error(ErrorCode::tool_failed, thrown.what());
  } catch (...) {
    return Error(ErrorCode::tool_failed, "the tool failed");
  }
}

DEEPSEEK_DECL std::string tool_error_json(const std::string& text) {
  ValueWriter out;
  out.begin('{');
  out.member("error", text);
  out.end('}');
  return out.take().text();
}

DEEPSEEK_DECL ToolAnswer answer_tool_call(const ToolSet& set, const ToolCall& call, bool cut_off) {
  ToolAnswer answer;
  answer.message = Message::tool(call.id, {});
  std::string& text = answer.message.content;
  if (cut_off) {
    answer.refused = Error(ErrorCode::schema_mismatch, "the call was cut off by the token limit");
  } else {
    bool started = false;
    Result<std::string> result = run_tool(set, call.name, RawJson(call.arguments), started);
    if (!result && !started) answer.refused = result.error();
    text = result ? *std::move(result) : tool_error_json(result.error().message());
  }
  if (answer.refused) text = tool_error_json("not run: " + answer.refused->message());
  // Bytes that no request can carry must not end the conversation: the model is told instead.
  if (!valid_utf8(text)) text = tool_error_json("the tool returned bytes that are not UTF-8 text");
  return answer;
}

DEEPSEEK_DECL std::vector<ToolAnswer> answer_tool_calls(const Tools& tools, const Message& turn, bool cut_off,
                                                        int max_parallel) {
  const ToolSet& set = ToolAccess::set(tools);
  const std::vector<ToolCall>& calls = turn.tool_calls;
  std::vector<ToolAnswer> answers(calls.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < calls.size(); i = next++) {
      answers[i] = answer_tool_call(set, calls[i], cut_off && i + 1 == calls.size());
    }
  };
  std::vector<std::thread> helpers;
  const std::size_t wanted = std::min(calls.size(), static_cast<std::size_t>(std::max(max_parallel, 1)));
  helpers.reserve(wanted);
  for (std::size_t i = 1; i < wanted; ++i) {
    try {
      helpers.emplace_back(work);
    } catch (const std::system_error&) {  // no more threads: this one does the rest
      break;
    }
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  return answers;
}

}  // namespace detail

DEEPSEEK_DECL Tools::Tools() : set_(std::make_shared<detail::ToolSet>()) {}

DEEPSEEK_DECL void Tools::add_function(std::string name, std::string description, RawJson schema, RawJson strict_schema,
                                       detail::ToolFunction run) {
  if (set_->find(name)) return set_->refuse(name, "added twice");
  detail::ToolEntry entry;
  entry.definition.name = std::move(name);
  entry.definition.description = std::move(description);
  entry.definition.parameters = std::move(schema);
  entry.strict_schema = std::move(strict_schema);
  entry.run = std::move(run);
  set_->entries.push_back(std::move(entry));
}

DEEPSEEK_DECL void Tools::add_described(std::string name, std::string description, RawJson schema,
                                        detail::ToolFunction run) {
  Result<detail::JsonSchema> compiled = detail::JsonSchema::compile(schema);
  if (!compiled) return set_->refuse(name, compiled.error().message());
  if (!compiled->of_object()) return set_->refuse(name, "its schema must have the type \"object\"");
  add_function(std::move(name), std::move(description), std::move(schema), {},
               [check = *std::move(compiled), run = std::move(run)](const RawJson& arguments, bool& started) {
                 if (Result<void> fits = check.check(arguments.view()); !fits) return Result<std::string>(fits.error());
                 return run(arguments, started);
               });
}

DEEPSEEK_DECL Tools& Tools::add(Tool definition) {
  detail::ToolEntry entry;
  entry.definition = std::move(definition);
  set_->entries.push_back(std::move(entry));
  return *this;
}

DEEPSEEK_DECL Tools& Tools::strict(bool on) {
  set_->strict = on;
  return *this;
}

DEEPSEEK_DECL std::vector<Tool> Tools::definitions() const {
  std::vector<Tool> tools;
  tools.reserve(set_->entries.size());
  for (const detail::ToolEntry& entry : set_->entries) {
    Tool tool = entry.definition;
    if (set_->strict && tool.raw.empty()) {
      tool.strict = true;
      if (!entry.strict_schema.empty()) tool.parameters = entry.strict_schema;
    }
    tools.push_back(std::move(tool));
  }
  return tools;
}

DEEPSEEK_DECL bool Tools::empty() const noexcept { return set_->entries.empty(); }
DEEPSEEK_DECL Result<void> Tools::status() const {
  if (set_->error) return *set_->error;
  return {};
}

DEEPSEEK_DECL Result<std::string> Tools::call(std::string_view name, const RawJson& arguments) const {
  bool started = false;
  return detail::run_tool(*set_, name, arguments, started);
}

DEEPSEEK_END_NAMESPACE
