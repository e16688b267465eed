#pragma once
#include <deepseek/model/detail/codec.hpp>
#include <deepseek/model/detail/json_text.hpp>
#include <deepseek/model/detail/json_writer.hpp>
#include <deepseek/model/detail/plain_text.hpp>

#include <algorithm>
#include <cmath>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Writes one request and remembers the first thing that is wrong with it, by its path and never by its text.
class RequestEncoder {
 public:
  Result<std::string> chat(const ChatRequest& request, const std::string& default_model, bool stream);
  Result<std::string> completion(const CompletionRequest& request, bool stream);

 private:
  /// The names this library has put into an object; fewer than `room`, whatever the request says.
  class Keys {
   public:
    Keys() noexcept {}  // leaves the names as they are
    void push_back(std::string_view name) {
      if (count_ < room) names_[count_++] = {name.data(), name.size()};
    }
    bool contain(std::string_view key) const noexcept {
      const auto is_key = [key](const Name& name) { return key == std::string_view(name.first, name.size); };
      return std::any_of(names_, names_ + count_, is_key);
    }

   private:
    static constexpr std::size_t room = 32;
    struct Name {
      const char* first;
      std::size_t size;
    };
    Name names_[room];
    std::size_t count_ = 0;
  };

  /// Lengthens the path for as long as it lives. Only a fault reads it.
  class Within {
   public:
    Within(RequestEncoder& encoder, std::string_view member) : Within(encoder, member, 0) {}
    Within(RequestEncoder& encoder, std::size_t index) : Within(encoder, {}, index) {}
    ~Within() { encoder_.within_ = around_; }
    Within(const Within&) = delete;
    Within& operator=(const Within&) = delete;

    void append_to(std::string& path) const {
      if (around_ != nullptr) around_->append_to(path);
      if (member_.empty()) {
        path += '[' + std::to_string(index_) + ']';
        return;
      }
      if (!path.empty()) path += '.';
      path += member_;
    }

   private:
    Within(RequestEncoder& encoder, std::string_view member, std::size_t index)
        : encoder_(encoder), around_(encoder.within_), member_(member), index_(index) {
      encoder.within_ = this;
    }
    RequestEncoder& encoder_;
    const Within* around_;
    std::string_view member_;  ///< empty: an item
    std::size_t index_;
  };

  void fail(std::string_view member, std::string_view problem);
  void text_value(std::string_view name, std::string_view text);
  void text(Keys& keys, std::string_view name, std::string_view text);
  void text_if_any(Keys& keys, std::string_view name, std::string_view value) {
    if (!value.empty()) text(keys, name, value);
  }
  void text_if_set(Keys& keys, std::string_view name, const std::optional<std::string>& value) {
    if (value) text(keys, name, *value);
  }
  void number_if_set(Keys& keys, std::string_view name, const std::optional<double>& value);
  void boolean_if_set(Keys& keys, std::string_view name, const std::optional<bool>& value);
  template <class Integer>
  void integer_if_set(Keys& keys, std::string_view name, const std::optional<Integer>& value) {
    if (value) start(keys, name), out_.integer(*value);
  }
  /// {"<member>": "<value>"}
  void wrapped_if_set(Keys& keys, std::string_view name, std::string_view member,
                      const std::optional<std::string>& value);
  void start(Keys& keys, std::string_view name);
  void raw_object(std::string_view name, const RawJson& json);
  void extra(Keys& keys, const RawJson& json);
  void stop(Keys& keys, const std::vector<std::string>& words);
  void stream_fields(Keys& keys, bool stream, const std::optional<bool>& include_usage);
  void message(const Message& message);
  void part(const ContentPart& part);
  void tool_call(const ToolCall& call);
  void tool(const Tool& tool);
  void tool_choice(const ToolChoice& choice);
  Result<std::string> finish();

  JsonWriter out_;
  const Within* within_ = nullptr;
  std::string problem_;
};

DEEPSEEK_DECL void RequestEncoder::fail(std::string_view member, std::string_view problem) {
  if (!problem_.empty()) return;
  if (within_ != nullptr) within_->append_to(problem_);
  if (!member.empty()) {
    if (!problem_.empty()) problem_ += '.';
    problem_ += member;
  }
  problem_ += ' ';
  problem_ += problem;
}

DEEPSEEK_DECL Result<std::string> RequestEncoder::finish() {
  if (problem_.empty()) return out_.take();
  return Error(ErrorCode::invalid_request, std::move(problem_), "nothing was sent; correct this field of the request");
}

DEEPSEEK_DECL void RequestEncoder::start(Keys& keys, std::string_view name) {
  keys.push_back(name);
  out_.key(name);
}

DEEPSEEK_DECL void RequestEncoder::text_value(std::string_view name, std::string_view text) {
  if (is_plain_ascii(text)) return out_.plain_string(text);
  if (!valid_utf8(text)) fail(name, "is not valid UTF-8");
  out_.string(text);
}

DEEPSEEK_DECL void RequestEncoder::text(Keys& keys, std::string_view name, std::string_view text) {
  start(keys, name);
  text_value(name, text);
}

DEEPSEEK_DECL void RequestEncoder::number_if_set(Keys& keys, std::string_view name,
                                                 const std::optional<double>& value) {
  if (!value) return;
  if (!std::isfinite(*value)) return fail(name, "is not a finite number");
  start(keys, name);
  out_.number(*value);
}

DEEPSEEK_DECL void RequestEncoder::boolean_if_set(Keys& keys, std::string_view name, const std::optional<bool>& value) {
  if (!value) return;
  start(keys, name);
  out_.boolean(*value);
}

DEEPSEEK_DECL void RequestEncoder::wrapped_if_set(Keys& keys, std::string_view name, std::string_view member,
                                                  const std::optional<std::string>& value) {
  if (!value) return;
  start(keys, name);
  out_.begin_object();
  out_.key(member);
  text_value(name, *value);
  out_.end_object();
}

DEEPSEEK_DECL void RequestEncoder::raw_object(std::string_view name, const RawJson& json) {
  const std::string_view trimmed = json_trim(json.view());
  if (json_fault(trimmed) != nullptr || !JsonValue(trimmed).is_object()) return fail(name, "is not a JSON object");
  out_.raw(trimmed);
}

/// The members of `json` beside those already written; `keys` names the latter.
DEEPSEEK_DECL void RequestEncoder::extra(Keys& keys, const RawJson& json) {
  if (json.empty()) return;
  const std::string_view trimmed = json_trim(json.view());
  if (json_fault(trimmed) != nullptr || !JsonValue(trimmed).is_object()) return fail("extra", "is not a JSON object");
  std::vector<std::string> added;
  for (JsonMembers members{JsonValue(trimmed)}; members.next();) {
    const auto is_this = [&](std::string_view key) { return key == members.key(); };
    if (keys.contain(members.key()) || std::any_of(added.begin(), added.end(), is_this))
      return fail("extra", "has the member " + std::string(members.raw_key().substr(0, 64)) + " a second time");
    added.emplace_back(members.key());
    const char* const first = members.raw_key().data();
    const std::string_view value = members.value().raw();
    out_.raw(std::string_view(first, static_cast<std::size_t>(value.data() + value.size() - first)));
  }
}

DEEPSEEK_DECL void RequestEncoder::stop(Keys& keys, const std::vector<std::string>& words) {
  if (words.empty()) return;
  start(keys, "stop");
  Within stop(*this, "stop");
  out_.begin_array();
  for (std::size_t i = 0; i < words.size(); ++i) {
    Within item(*this, i);
    text_value({}, words[i]);
  }
  out_.end_array();
}

DEEPSEEK_DECL void RequestEncoder::stream_fields(Keys& keys, bool stream, const std::optional<bool>& include_usage) {
  start(keys, "stream");
  out_.boolean(stream);
  if (!stream || !include_usage) return;
  start(keys, "stream_options");
  out_.begin_object();
  out_.key("include_usage");
  out_.boolean(*include_usage);
  out_.end_object();
}

DEEPSEEK_DECL void RequestEncoder::part(const ContentPart& part) {
  if (!part.raw.empty()) return raw_object("raw", part.raw);
  Keys keys;
  out_.begin_object();
  text(keys, "type", part.type);
  if (part.type == "image_url") {
    start(keys, "image_url");
    out_.begin_object();
    text(keys, "url", part.url);
    text_if_any(keys, "detail", part.detail);
    out_.end_object();
  } else if (part.type == "file") {
    text_if_any(keys, "file_id", part.file_id);
    text_if_any(keys, "file_data", part.file_data);
    text_if_any(keys, "filename", part.filename);
  } else if (part.type == "text") {
    text(keys, "text", part.text);
  } else {
    fail("raw", "is empty, though the part's type is not one that this library can write itself");
  }
  out_.end_object();
}

DEEPSEEK_DECL void RequestEncoder::tool_call(const ToolCall& call) {
  Keys keys;
  out_.begin_object();
  text(keys, "id", call.id);
  text(keys, "type", call.type);
  start(keys, "function");
  out_.begin_object();
  Keys function_keys;
  text(function_keys, "name", call.name);
  text(function_keys, "arguments", call.arguments);
  out_.end_object();
  extra(keys, call.extra);
  out_.end_object();
}

DEEPSEEK_DECL void RequestEncoder::message(const Message& message) {
  Keys keys;
  out_.begin_object();
  text(keys, "role", message.role);
  if (message.parts.empty()) {
    text(keys, "content", message.content);
  } else {
    start(keys, "content");
    Within content(*this, "parts");
    out_.begin_array();
    for (std::size_t i = 0; i < message.parts.size(); ++i) {
      Within item(*this, i);
      part(message.parts[i]);
    }
    out_.end_array();
  }
  text_if_any(keys, "name", message.name);
  text_if_set(keys, "reasoning_content", message.reasoning_content);
  if (!message.tool_calls.empty()) {
    start(keys, "tool_calls");
    Within calls(*this, "tool_calls");
    out_.begin_array();
    for (std::size_t i = 0; i < message.tool_calls.size(); ++i) {
      Within item(*this, i);
      tool_call(message.tool_calls[i]);
    }
    out_.end_array();
  }
  text_if_any(keys, "tool_call_id", message.tool_call_id);
  if (message.prefix) boolean_if_set(keys, "prefix", true);
  extra(keys, message.extra);
  out_.end_object();
}

DEEPSEEK_DECL void RequestEncoder::tool(const Tool& tool) {
  if (!tool.raw.empty()) return raw_object("raw", tool.raw);
  Keys keys;
  out_.begin_object();
  text(keys, "type", "function");
  start(keys, "function");
  out_.begin_object();
  text(keys, "name", tool.name);
  text_if_any(keys, "description", tool.description);
  if (!tool.parameters.empty()) {
    start(keys, "parameters");
    raw_object("parameters", tool.parameters);
  }
  boolean_if_set(keys, "strict", tool.strict);
  out_.end_object();
  out_.end_object();
}

DEEPSEEK_DECL void RequestEncoder::tool_choice(const ToolChoice& choice) {
  if (choice.function.empty()) return text_value("tool_choice", choice.mode);
  out_.begin_object();
  out_.key("type");
  out_.string("function");
  out_.key("function");
  out_.begin_object();
  out_.key("name");
  text_value("tool_choice.function", choice.function);
  out_.end_object();
  out_.end_object();
}

/// Room for the text and some names, so that a long conversation is written without moving it.
DEEPSEEK_DECL std::size_t size_hint(const ChatRequest& request) {
  std::size_t bytes = 512;
  for (const Message& message : request.messages) {
    bytes += 96 + message.content.size() + message.extra.view().size();
    if (message.reasoning_content) bytes += message.reasoning_content->size();
    for (const ContentPart& part : message.parts)
      bytes += 96 + part.text.size() + part.url.size() + part.file_data.size();
    for (const ToolCall& call : message.tool_calls) bytes += 128 + call.arguments.size();
  }
  for (const Tool& tool : request.tools) bytes += 128 + tool.description.size() + tool.parameters.view().size();
  return bytes + bytes / 16;  // some characters need an escape
}

DEEPSEEK_DECL Result<std::string> RequestEncoder::chat(const ChatRequest& request, const std::string& default_model,
                                                       bool stream) {
  Keys keys;
  out_.reserve(size_hint(request));
  out_.begin_object();
  text(keys, "model", request.model.empty() ? default_model : request.model);
  start(keys, "messages");
  out_.begin_array();
  for (std::size_t i = 0; i < request.messages.size(); ++i) {
    Within messages(*this, "messages");
    Within item(*this, i);
    message(request.messages[i]);
  }
  out_.end_array();
  wrapped_if_set(keys, "thinking", "type", request.thinking);
  text_if_set(keys, "reasoning_effort", request.reasoning_effort);
  integer_if_set(keys, "max_tokens", request.max_tokens);
  wrapped_if_set(keys, "response_format", "type", request.response_format);
  stop(keys, request.stop);
  stream_fields(keys, stream, request.include_usage);
  number_if_set(keys, "temperature", request.temperature);
  number_if_set(keys, "top_p", request.top_p);
  if (!request.tools.empty()) {
    start(keys, "tools");
    Within tools(*this, "tools");
    out_.begin_array();
    for (std::size_t i = 0; i < request.tools.size(); ++i) {
      Within item(*this, i);
      tool(request.tools[i]);
    }
    out_.end_array();
  }
  if (request.tool_choice) start(keys, "tool_choice"), tool_choice(*request.tool_choice);
  boolean_if_set(keys, "logprobs", request.logprobs);
  integer_if_set(keys, "top_logprobs", request.top_logprobs);
  text_if_set(keys, "user_id", request.user_id);
  number_if_set(keys, "frequency_penalty", request.frequency_penalty);
  number_if_set(keys, "presence_penalty", request.presence_penalty);
  wrapped_if_set(keys, "safety_check", "level", request.safety_check);
  if (request.title) {
    start(keys, "title");
    out_.begin_object();
    out_.key("enabled");
    out_.boolean(*request.title);
    out_.end_object();
  }
  extra(keys, request.extra);
  out_.end_object();
  return finish();
}

DEEPSEEK_DECL Result<std::string> RequestEncoder::completion(const CompletionRequest& request, bool stream) {
  Keys keys;
  out_.reserve(512 + request.prompt.size() + request.suffix.size());
  out_.begin_object();
  text(keys, "model", request.model.empty() ? std::string_view(models::v4_pro) : request.model);
  text(keys, "prompt", request.prompt);
  text_if_any(keys, "suffix", request.suffix);
  integer_if_set(keys, "max_tokens", request.max_tokens);
  stop(keys, request.stop);
  stream_fields(keys, stream, request.include_usage);
  number_if_set(keys, "temperature", request.temperature);
  number_if_set(keys, "top_p", request.top_p);
  boolean_if_set(keys, "echo", request.echo);
  integer_if_set(keys, "logprobs", request.logprobs);
  number_if_set(keys, "frequency_penalty", request.frequency_penalty);
  number_if_set(keys, "presence_penalty", request.presence_penalty);
  extra(keys, request.extra);
  out_.end_object();
  return finish();
}

DEEPSEEK_DECL Result<std::string> encode(const ChatRequest& request, const std::string& default_model, bool stream) {
  return RequestEncoder().chat(request, default_model, stream);
}

DEEPSEEK_DECL Result<std::string> encode(const CompletionRequest& request, bool stream) {
  return RequestEncoder().completion(request, stream);
}

DEEPSEEK_DECL Operation make_operation(std::string_view name, std::string_view method, std::string_view path,
                                       Operation::Base base, bool stream) {
  Operation operation;
  operation.name = name;
  operation.method = method;
  operation.path = path;
  operation.base = base;
  operation.stream = stream;
  return operation;
}

DEEPSEEK_DECL Operation operation_of(const ChatRequest& request, bool stream) {
  const auto is_prefix = [](const Message& message) { return message.prefix; };
  const auto is_strict = [](const Tool& tool) { return tool.strict.value_or(false); };
  auto base = Operation::Base::plain;
  if (std::any_of(request.messages.begin(), request.messages.end(), is_prefix)) {
    base = Operation::Base::beta_only;
  } else if (std::any_of(request.tools.begin(), request.tools.end(), is_strict)) {
    base = Operation::Base::beta_if_deepseek;
  }
  return make_operation("chat", "POST", "/chat/completions", base, stream);
}

DEEPSEEK_DECL Operation operation_of(const CompletionRequest&, bool stream) {
  return make_operation("completion", "POST", "/completions", Operation::Base::beta_if_deepseek, stream);
}

DEEPSEEK_DECL Operation models_operation() {
  return make_operation("models", "GET", "/models", Operation::Base::plain, false);
}

DEEPSEEK_DECL Operation balance_operation() {
  return make_operation("balance", "GET", "/user/balance", Operation::Base::host_root, false);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
