#pragma once
#include <deepseek/model/lint.hpp>

#include <algorithm>
#include <cmath>

#include <deepseek/model/detail/json_text.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

inline constexpr std::int64_t lint_max_tokens = 393'216;
inline constexpr std::uint64_t lint_max_body_bytes = 48ull * 1024 * 1024;
inline constexpr std::size_t lint_max_tools = 128;
inline constexpr std::size_t lint_max_name = 128;
inline constexpr std::size_t lint_max_user_id = 512;
inline constexpr std::size_t lint_max_stop = 16;
inline constexpr int lint_max_schema_depth = 64;

using LintFinding = std::optional<Error>;

DEEPSEEK_DECL Error lint_refusal(std::string message, std::string advice = {}) {
  return Error(ErrorCode::invalid_request, std::move(message), std::move(advice));
}

/// A place in the request; spelled out only for a finding, so that a good request costs no text.
struct LintPlace {
  static constexpr std::size_t no_index = static_cast<std::size_t>(-1);
  const char* name;
  std::size_t index = no_index;
  const char* member = "";

  std::string text() const {
    std::string out = name;
    if (index != no_index) out += "[" + std::to_string(index) + "]";
    if (*member) out.append(".").append(member);
    return out;
  }
  friend std::string operator+(const LintPlace& place, const char* rest) { return place.text() + rest; }
};

constexpr LintPlace lint_path(const char* list, std::size_t index, const char* member = "") {
  return {list, index, member};
}

/// [a-zA-Z0-9_-]+
DEEPSEEK_DECL bool lint_plain_word(std::string_view text, std::size_t longest) {
  if (text.empty() || text.size() > longest) return false;
  for (const char c : text) {
    const bool good =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!good) return false;
  }
  return true;
}

DEEPSEEK_DECL bool lint_contains_json_word(std::string_view text) {
  constexpr std::string_view word = "json";
  for (std::size_t i = 0; i + word.size() <= text.size(); ++i) {
    std::size_t same = 0;
    while (same < word.size() && (text[i + same] | 0x20) == word[same]) ++same;
    if (same == word.size()) return true;
  }
  return false;
}

/// Rules that chat and FIM share. Each check keeps the first finding.
class LintBasics {
 public:
  LintFinding finding() && { return std::move(found_); }
  bool found() const { return found_.has_value(); }

  void refuse(std::string message, std::string advice = {}) {
    if (!found_) found_ = lint_refusal(std::move(message), std::move(advice));
  }

  /// Counts the bytes too: their sum is a lower bound of the body's size.
  void text(const LintPlace& path, std::string_view value) {
    bytes_ += value.size();
    if (!value.empty() && !valid_utf8(value)) refuse(path + " is not valid UTF-8", "convert the text to UTF-8 first");
  }

  /// A word that ends up in logs and headers of servers: no control characters.
  void word(const LintPlace& path, std::string_view value) {
    text(path, value);
    for (const char c : value) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return refuse(path + " contains a control character");
    }
  }

  void range(const char* name, const std::optional<double>& value, double low, double high, bool low_allowed = true) {
    if (!value) return;
    if (!std::isfinite(*value)) return refuse(std::string(name) + " is not a finite number");
    if (*value > high || *value < low || (!low_allowed && *value == low)) {
      refuse(std::string(name) + " is outside its range",
             low_allowed ? "it goes from " + number(low) + " to " + number(high)
                         : "it must be above " + number(low) + " and at most " + number(high));
    }
  }

  void max_tokens(const std::optional<std::int64_t>& value, bool deepseek) {
    if (!value) return;
    if (*value < 1) refuse("max_tokens is less than 1", "leave it out for the service's default");
    if (deepseek && *value > lint_max_tokens) refuse("max_tokens is more than 393216, the most DeepSeek writes");
  }

  void stop(const std::vector<std::string>& words) {
    if (words.size() > lint_max_stop) refuse("stop has more than 16 entries");
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i].empty()) refuse(lint_path("stop", i) + " is empty", "leave it out");
      text(lint_path("stop", i), words[i]);
    }
  }

  void body_size() {
    if (bytes_ > lint_max_body_bytes) {
      refuse("the request is larger than 48 MiB, the most the service takes",
             "upload large files and refer to them by id");
    }
  }

 private:
  static std::string number(double value) { return std::to_string(static_cast<int>(value)); }
  LintFinding found_ = {};
  std::uint64_t bytes_ = 0;
};

/// The rules of strict tools (api guide tool_calls): what the service's schema check answers 400 to.
class StrictSchemaLint {
 public:
  /// Nothing, or what is wrong and where.
  static std::optional<std::string> check(JsonValue schema, const std::string& path, int depth = 0) {
    if (depth > lint_max_schema_depth) return path + " is nested too deeply";
    if (!schema.is_object()) return path + " is not a schema object";
    bool is_object = false, closed = false;
    std::vector<std::string> properties, required;
    for (JsonMembers members{schema}; members.next();) {
      const std::string_view key = members.key();
      const JsonValue value = members.value();
      const std::string here = path + "." + std::string(key);
      if (refused(key)) return here + " is not supported in strict mode";
      if (key == "type") is_object = value.text() == "object";
      if (key == "additionalProperties") closed = value.raw() == "false";
      if (key == "required") required = texts(value);
      if (key == "properties" || key == "$defs" || key == "$def") {
        for (JsonMembers inner{value}; inner.next();) {
          if (key == "properties") properties.emplace_back(inner.key());
          if (auto wrong = check(inner.value(), here + "." + std::string(inner.key()), depth + 1)) return wrong;
        }
      }
      if (key == "items") {
        if (auto wrong = check(value, here, depth + 1)) return wrong;
      }
      if (key == "anyOf") {
        for (JsonItems inner{value}; inner.next();) {
          if (auto wrong = check(inner.value(), here, depth + 1)) return wrong;
        }
      }
    }
    if (is_object && !closed) return path + " lacks \"additionalProperties\": false";
    for (const std::string& name : properties) {
      if (!contains(required, name)) return path + ".required lacks the property " + name;
    }
    return std::nullopt;
  }

 private:
  static bool refused(std::string_view key) {
    for (std::string_view word : {"minLength", "maxLength", "minItems", "maxItems"}) {
      if (word == key) return true;
    }
    return false;
  }
  static bool contains(const std::vector<std::string>& list, const std::string& name) {
    for (const std::string& item : list) {
      if (item == name) return true;
    }
    return false;
  }
  static std::vector<std::string> texts(JsonValue array) {
    std::vector<std::string> list;
    for (JsonItems items{array}; items.next();) list.push_back(items.value().text());
    return list;
  }
};

class ChatLint {
 public:
  ChatLint(const ChatRequest& request, const LintContext& context)
      : request_(request),
        deepseek_(context.deepseek),
        model_(request.model.empty() ? context.default_model : request.model) {
    read_thinking();
  }

  LintFinding run() {
    settings();
    tools();
    tool_choice();
    messages();
    turns();
    if (deepseek_ && !basics_.found()) deepseek_rules();
    basics_.body_size();
    return std::move(basics_).finding();
  }

 private:
  void refuse(std::string message, std::string advice = {}) { basics_.refuse(std::move(message), std::move(advice)); }

  /// On unless it was switched off, be it by a member in `extra`.
  void read_thinking() {
    std::string type = request_.thinking.value_or(""), effort = request_.reasoning_effort.value_or("");
    const std::string_view extra = json_trim(request_.extra.view());
    if (!extra.empty() && !json_fault(extra)) {
      for (JsonMembers members{JsonValue(extra)}; members.next();) {
        if (members.key() == "reasoning_effort") effort = members.value().text();
        if (members.key() != "thinking") continue;
        for (JsonMembers inner{members.value()}; inner.next();) {
          if (inner.key() == "type") type = inner.value().text();
        }
      }
    }
    thinking_off_ = type == thinking::disabled;
    // The retired name deepseek-chat stands for a model that does not think unless it is told to.
    const bool by_default = model_ != "deepseek-chat" || type == thinking::enabled;
    thinking_ = !thinking_off_ && effort != effort::none && by_default;
    effort_set_ = !effort.empty() && effort != effort::none;
  }

  void settings() {
    basics_.word({"model"}, request_.model);
    if (request_.thinking) not_empty("thinking", *request_.thinking);
    if (request_.reasoning_effort) not_empty("reasoning_effort", *request_.reasoning_effort);
    basics_.max_tokens(request_.max_tokens, deepseek_);
    basics_.range("temperature", request_.temperature, 0, 2);
    basics_.range("top_p", request_.top_p, 0, 1, false);
    basics_.range("frequency_penalty", request_.frequency_penalty, -2, 2);
    basics_.range("presence_penalty", request_.presence_penalty, -2, 2);
    basics_.stop(request_.stop);
    if (request_.user_id) basics_.word({"user_id"}, *request_.user_id);
    if (request_.response_format && *request_.response_format != "text" && *request_.response_format != "json_object") {
      refuse("response_format is neither text nor json_object",
             "for a schema use json_object and chat_as<T>, or strict tools");
    }
    if (!request_.top_logprobs) return;
    if (*request_.top_logprobs < 0 || *request_.top_logprobs > 20) refuse("top_logprobs is outside 0 to 20");
    if (!request_.logprobs.value_or(false)) refuse("top_logprobs needs logprobs", "set logprobs to true");
  }

  void not_empty(const char* name, std::string_view value) {
    basics_.word({name}, value);
    if (value.empty()) refuse(std::string(name) + " is empty", "leave it unset");
  }

  // --- tools ---

  void tools() {
    if (request_.tools.size() > lint_max_tools) refuse("tools has more than 128 entries");
    for (std::size_t i = 0; i < request_.tools.size() && !basics_.found(); ++i) tool(i);
  }

  void tool(std::size_t i) {
    const Tool& tool = request_.tools[i];
    if (!tool.raw.empty()) return object(lint_path("tools", i), tool.raw);
    basics_.text(lint_path("tools", i, "description"), tool.description);
    if (!lint_plain_word(tool.name, lint_max_name)) {
      return refuse(lint_path("tools", i, "name") + " is not a function name",
                    "use 1 to 128 of the characters a-z, A-Z, 0-9, _ and -");
    }
    for (std::size_t k = 0; k < i; ++k) {
      if (request_.tools[k].raw.empty() && request_.tools[k].name == tool.name) {
        return refuse(lint_path("tools", i, "name") + " is used twice");
      }
    }
    if (!tool.parameters.empty()) parameters(i, tool.parameters);
  }

  void object(const LintPlace& path, const RawJson& json) {
    basics_.text(path, json.view());
    const std::string_view text = json_trim(json.view());
    if (const char* fault = json_fault(text)) return refuse(path + " is not JSON", fault);
    if (!JsonValue(text).is_object()) refuse(path + " is not a JSON object");
  }

  void parameters(std::size_t i, const RawJson& schema) {
    const LintPlace path = lint_path("tools", i, "parameters");
    object(path, schema);
    if (basics_.found()) return;
    int depth = 0, deepest = 0;
    bool in_string = false;
    const std::string_view text = schema.view();
    for (std::size_t at = 0; at < text.size(); ++at) {
      const char c = text[at];
      if (in_string && c == '\\') {
        ++at;
      } else if (c == '"') {
        in_string = !in_string;
      } else if (!in_string && (c == '{' || c == '[')) {
        deepest = std::max(deepest, ++depth);
      } else if (!in_string && (c == '}' || c == ']')) {
        --depth;
      }
    }
    if (deepest > lint_max_schema_depth) return refuse(path + " is nested more than 64 levels deep");
    for (JsonMembers members{JsonValue(json_trim(text))}; members.next();) {
      if (members.key() == "type" && members.value().text() != "object") {
        refuse(path + " does not describe an object", "give it \"type\": \"object\" and properties");
      }
    }
  }

  bool has_function(const std::string& name) const {
    for (const Tool& tool : request_.tools) {
      if (tool.raw.empty() && tool.name == name) return true;
    }
    return false;
  }

  bool choice_forced() const {
    return request_.tool_choice &&
           (!request_.tool_choice->function.empty() || request_.tool_choice->mode == "required");
  }

  void tool_choice() {
    if (!request_.tool_choice) return;
    const ToolChoice& choice = *request_.tool_choice;
    if (!choice.function.empty()) {
      basics_.word({"tool_choice"}, choice.function);
      if (!has_function(choice.function)) refuse("tool_choice names a function that is not in tools");
      return;
    }
    if (choice.mode != "none" && choice.mode != "auto" && choice.mode != "required") {
      refuse("tool_choice is none of the words none, auto, required");
    }
    if (choice.mode == "required" && request_.tools.empty()) refuse("tool_choice is required, but there are no tools");
  }

  // --- messages ---

  void messages() {
    if (request_.messages.empty()) refuse("messages is empty", "add at least one user message");
    for (std::size_t i = 0; i < request_.messages.size() && !basics_.found(); ++i) message(i);
  }

  void message(std::size_t i) {
    const Message& message = request_.messages[i];
    if (message.role.empty()) return refuse(lint_path("messages", i, "role") + " is empty");
    basics_.word(lint_path("messages", i, "role"), message.role);
    basics_.word(lint_path("messages", i, "name"), message.name);
    basics_.word(lint_path("messages", i, "tool_call_id"), message.tool_call_id);
    basics_.text(lint_path("messages", i, "content"), message.content);
    if (message.reasoning_content)
      basics_.text(lint_path("messages", i, "reasoning_content"), *message.reasoning_content);
    for (const ContentPart& item : message.parts) part(i, item);
    if (message.prefix && (message.role != role::assistant || i + 1 != request_.messages.size())) {
      return refuse(lint_path("messages", i, "prefix") + " is set, but this is not a last message of the assistant",
                    "only the last message can be continued");
    }
    if (message.role == role::assistant) assistant(i, message);
    if (message.role == role::tool && message.tool_call_id.empty()) {
      refuse(lint_path("messages", i, "tool_call_id") + " is empty",
             "copy the id of the call that this message answers");
    }
  }

  void assistant(std::size_t i, const Message& message) {
    const bool says =
        !message.content.empty() || !message.parts.empty() || !message.reasoning_content.value_or("").empty();
    if (!says && message.tool_calls.empty() && !message.prefix) {
      return refuse(lint_path("messages", i) + " has neither content nor tool_calls",
                    "leave this assistant message out");
    }
    for (const ToolCall& call : message.tool_calls) {
      if (call.id.empty() || call.name.empty())
        return refuse(lint_path("messages", i, "tool_calls") + " has a call without id or name");
      basics_.word(lint_path("messages", i, "tool_calls"), call.id);
      basics_.word(lint_path("messages", i, "tool_calls"), call.name);
      basics_.text(lint_path("messages", i, "tool_calls"), call.arguments);
    }
  }

  void part(std::size_t i, const ContentPart& item) {
    const LintPlace path = lint_path("messages", i, "parts");
    basics_.text(path, item.text);
    basics_.text(path, item.url);
    basics_.text(path, item.file_data);
    basics_.word(path, item.file_id);
    basics_.text(path, item.filename);
    if (!item.raw.empty()) return object(path, item.raw);
    if (item.type.empty()) refuse(path + " has a part without a type");
    if (item.type == "image_url" && item.url.empty()) refuse(path + " has an image without url");
    if (item.type == "file" && item.file_id.empty() == item.file_data.empty()) {
      refuse(path + " has a file with both or neither of file_id and file_data", "give one of them");
    }
  }

  /// Results stand directly after the turn that called, one per call.
  void turns() {
    std::vector<std::string_view> open;
    for (std::size_t i = 0; i < request_.messages.size() && !basics_.found(); ++i) {
      const Message& message = request_.messages[i];
      if (message.role == role::tool) {
        answer(open, i);
        continue;
      }
      all_answered(open, i);
      open.clear();
      for (const ToolCall& call : message.tool_calls) open.push_back(call.id);
    }
    all_answered(open, request_.messages.size());
  }

  void answer(std::vector<std::string_view>& open, std::size_t i) {
    for (auto call = open.begin(); call != open.end(); ++call) {
      if (*call != request_.messages[i].tool_call_id) continue;
      open.erase(call);
      return;
    }
    refuse(lint_path("messages", i) + " answers no call of the assistant message before it",
           "put each tool message directly after the assistant message with its call, once");
  }

  void all_answered(const std::vector<std::string_view>& open, std::size_t before) {
    if (open.empty()) return;
    refuse("a tool call before " + (lint_path("messages", before) + " has no result"),
           "add one tool message per call directly after the assistant message");
  }

  // --- what only DeepSeek refuses ---

  void deepseek_rules() {
    thinking_rules();
    strict_rules();
    image_rules();
    if (request_.user_id && !lint_plain_word(*request_.user_id, lint_max_user_id)) {
      refuse("user_id is not of the form that DeepSeek takes", "use 1 to 512 of the characters a-z, A-Z, 0-9, _ and -");
    }
    safety_rules();
    if (request_.response_format == "json_object" && !says_json()) {
      refuse("response_format json_object without the word \"json\" in any message",
             "ask for JSON in a message: the service may otherwise answer with blanks until the limit");
    }
  }

  void thinking_rules() {
    if (thinking_off_ && effort_set_) {
      refuse("reasoning_effort is set while thinking is disabled", "set one of the two");
    }
    if (thinking_ && choice_forced()) {
      refuse("tool_choice forces a call while thinking is on",
             "set thinking to \"disabled\", or leave the choice to the model");
    }
    if (!thinking_ || request_.tools.empty()) return;
    for (std::size_t i = 0; i < request_.messages.size(); ++i) {
      const Message& message = request_.messages[i];
      if (message.role != role::assistant || message.prefix || message.reasoning_content) continue;
      return refuse(lint_path("messages", i, "reasoning_content") +
                        " is missing: with tools and thinking every assistant turn needs it",
                    "send each turn back as received (Conversation does); \"\" for a turn that had none");
    }
  }

  void strict_rules() {
    std::size_t strict = 0, functions = 0;
    for (const Tool& tool : request_.tools) {
      functions += tool.raw.empty();
      strict += tool.raw.empty() && tool.strict.value_or(false);
    }
    if (strict == 0) return;
    if (strict != functions)
      return refuse("strict is set on some functions only", "set it on all functions or on none");
    for (std::size_t i = 0; i < request_.tools.size(); ++i) {
      const Tool& tool = request_.tools[i];
      if (!tool.raw.empty() || tool.parameters.empty()) continue;
      if (auto wrong = StrictSchemaLint::check(JsonValue(json_trim(tool.parameters.view())),
                                               lint_path("tools", i, "parameters").text())) {
        return refuse(*wrong, "strict mode wants every property required, additionalProperties false, and no lengths");
      }
    }
  }

  static bool is_image(const ContentPart& part) {
    return part.type == "image_url" || (part.type == "file" && part.file_data.compare(0, 11, "data:image/") == 0);
  }

  void image_rules() {
    for (std::size_t i = 0; i < request_.messages.size(); ++i) {
      for (const ContentPart& part : request_.messages[i].parts) {
        if (!is_image(part)) continue;
        if (request_.messages[i].role != role::user) {
          return refuse(lint_path("messages", i) + " holds an image, but is not a user message",
                        "move the image into a user message");
        }
        if (model_ == models::v4_pro) {
          return refuse(lint_path("messages", i) + " holds an image, and deepseek-v4-pro reads text only",
                        "use deepseek-flash");
        }
      }
    }
  }

  void safety_rules() {
    if (!request_.safety_check) return;
    if (*request_.safety_check != "low" && *request_.safety_check != "high")
      refuse("safety_check is neither low nor high");
    bool server_tools = false;
    for (const Tool& tool : request_.tools) server_tools = server_tools || !tool.raw.empty();
    if (*request_.safety_check == "high" && choice_forced() && !server_tools) {
      refuse("tool_choice forces a call while safety_check is high", "leave the choice to the model");
    }
  }

  bool says_json() const {
    for (const Message& message : request_.messages) {
      if (lint_contains_json_word(message.content)) return true;
      for (const ContentPart& part : message.parts) {
        if (lint_contains_json_word(part.text)) return true;
      }
    }
    return false;
  }

  const ChatRequest& request_;
  const bool deepseek_;
  const std::string_view model_;
  LintBasics basics_ = {};
  bool thinking_ = true;
  bool thinking_off_ = false;
  bool effort_set_ = false;
};

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> lint(const ChatRequest& request, const LintContext& context) {
  return detail::ChatLint(request, context).run();
}

DEEPSEEK_DECL std::optional<Error> lint(const CompletionRequest& request, const LintContext& context) {
  detail::LintBasics basics;
  if (request.prompt.empty()) basics.refuse("prompt is empty");
  basics.text({"prompt"}, request.prompt);
  basics.text({"suffix"}, request.suffix);
  basics.word({"model"}, request.model);
  basics.max_tokens(request.max_tokens, context.deepseek);
  basics.range("temperature", request.temperature, 0, 2);
  basics.range("top_p", request.top_p, 0, 1, false);
  basics.range("frequency_penalty", request.frequency_penalty, -2, 2);
  basics.range("presence_penalty", request.presence_penalty, -2, 2);
  basics.stop(request.stop);
  if (request.logprobs && (*request.logprobs < 0 || *request.logprobs > 20))
    basics.refuse("logprobs is outside 0 to 20");
  basics.body_size();
  return std::move(basics).finding();
}

DEEPSEEK_END_NAMESPACE
