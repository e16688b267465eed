#pragma once
#include <deepseek/schema.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include <deepseek/detail/json_document.hpp>
#include <deepseek/model/detail/json_text.hpp>
#include <deepseek/model/detail/json_writer.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

inline constexpr int max_document_depth = 64;

/// Counts brackets outside strings: cheaper than a parser that watches its depth, and the parser behind
/// it then cannot build anything too deep to walk.
DEEPSEEK_DECL bool nested_too_deeply(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_document_depth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

inline const nlohmann::json& node_of(JsonView view) { return *static_cast<const nlohmann::json*>(view.node()); }

DEEPSEEK_DECL Result<JsonDocument> JsonDocument::parse(std::string_view text) {
  if (nested_too_deeply(text)) return Error(ErrorCode::malformed_json, "JSON nested more than 64 levels deep");
  // The parser takes a NUL for the end of the text, and would not look at what stands behind it.
  if (text.find('\0') != std::string_view::npos) return Error(ErrorCode::malformed_json, "not valid JSON");
  auto node = std::make_shared<nlohmann::json>(nlohmann::json::parse(text, nullptr, false));
  if (node->is_discarded()) return Error(ErrorCode::malformed_json, "not valid JSON");
  return JsonDocument(std::shared_ptr<const void>(std::move(node)));
}

DEEPSEEK_DECL Result<void> read_json(std::string_view json, void* into,
                                     bool (*read)(JsonView root, void* into, Mismatch& why)) {
  const Result<JsonDocument> document = JsonDocument::parse(json);
  if (!document) return document.error();
  Mismatch why;
  if (!read(document->root(), into, why)) return why.error();
  return {};
}

DEEPSEEK_DECL JsonView::Kind JsonView::kind() const noexcept {
  if (!node_) return Kind::absent;
  switch (node_of(*this).type()) {
    case nlohmann::json::value_t::null:
      return Kind::null;
    case nlohmann::json::value_t::boolean:
      return Kind::boolean;
    case nlohmann::json::value_t::number_integer:
    case nlohmann::json::value_t::number_unsigned:
      return Kind::integer;
    case nlohmann::json::value_t::number_float:
      return Kind::real;
    case nlohmann::json::value_t::string:
      return Kind::string;
    case nlohmann::json::value_t::array:
      return Kind::array;
    case nlohmann::json::value_t::object:
      return Kind::object;
    default:
      return Kind::absent;
  }
}

DEEPSEEK_DECL std::size_t JsonView::size() const noexcept { return node_of(*this).size(); }
DEEPSEEK_DECL JsonView JsonView::item(std::size_t index) const noexcept { return JsonView(&node_of(*this)[index]); }

DEEPSEEK_DECL JsonView JsonView::member(std::string_view key) const {
  const nlohmann::json& object = node_of(*this);
  const auto found = object.find(std::string(key));
  return found == object.end() ? JsonView() : JsonView(&*found);
}

DEEPSEEK_DECL std::string_view JsonView::string() const noexcept {
  return *node_of(*this).get_ptr<const nlohmann::json::string_t*>();
}

DEEPSEEK_DECL void JsonView::each_member(void* context, bool (*visit)(void*, std::string_view, JsonView)) const {
  for (const auto& item : node_of(*this).items()) {
    if (!visit(context, item.key(), JsonView(&item.value()))) return;
  }
}

// --- mismatches ---

DEEPSEEK_DECL const char* kind_name(JsonView view) {
  switch (view.kind()) {
    case JsonView::Kind::absent:
      return "nothing";
    case JsonView::Kind::null:
      return "null";
    case JsonView::Kind::boolean:
      return "a boolean";
    case JsonView::Kind::integer:
    case JsonView::Kind::real:
      return "a number";
    case JsonView::Kind::string:
      return "a string";
    case JsonView::Kind::array:
      return "an array";
    case JsonView::Kind::object:
      return "an object";
  }
  return "nothing";
}

DEEPSEEK_DECL bool Mismatch::expected(std::string_view what, JsonView got) {
  return fail("expected " + std::string(what) + ", got " + kind_name(got));
}
DEEPSEEK_DECL bool Mismatch::fail(std::string text) {
  text_ = std::move(text);
  return false;
}
DEEPSEEK_DECL void Mismatch::inside(std::string_view member) { path_.insert(0, "." + std::string(member)); }
DEEPSEEK_DECL void Mismatch::inside(std::size_t index) { path_.insert(0, "[" + std::to_string(index) + "]"); }
DEEPSEEK_DECL Error Mismatch::error() const { return Error(ErrorCode::schema_mismatch, "$" + path_ + ": " + text_); }

// --- reading ---

DEEPSEEK_DECL void append_number(std::string& out, double value) {
  char digits[40];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

DEEPSEEK_DECL bool inside_bounds(double value, const FieldRules* rules, Mismatch& why) {
  if (!rules) return true;
  const bool low = rules->has_low && !(value >= rules->low);
  if (!low && !(rules->has_high && !(value <= rules->high))) return true;
  std::string text = low ? "expected at least " : "expected at most ";
  append_number(text, low ? rules->low : rules->high);
  return why.fail(std::move(text));
}

DEEPSEEK_DECL bool read_bool(JsonView from, bool& out, Mismatch& why) {
  if (from.kind() != JsonView::Kind::boolean) return why.expected("a boolean", from);
  out = node_of(from).get<bool>();
  return true;
}

/// The value of a number without a fraction: 3.0 counts, as JSON Schema says. Negative numbers go to
/// `low`, the others to `high`.
DEEPSEEK_DECL bool whole_number(JsonView from, std::int64_t& low, std::uint64_t& high, bool& negative) {
  constexpr double two_63 = 9223372036854775808.0, two_64 = 18446744073709551616.0;
  const nlohmann::json& node = node_of(from);
  if (node.is_number_float()) {
    const double value = node.get<double>();
    if (value != std::floor(value) || value < -two_63 || value >= two_64) return false;
    negative = value < 0;
    negative ? void(low = static_cast<std::int64_t>(value)) : void(high = static_cast<std::uint64_t>(value));
    return true;
  }
  negative = !node.is_number_unsigned() && node.get<std::int64_t>() < 0;
  negative ? void(low = node.get<std::int64_t>()) : void(high = node.get<std::uint64_t>());
  return true;
}

inline bool is_number(JsonView view) {
  return view.kind() == JsonView::Kind::integer || view.kind() == JsonView::Kind::real;
}

DEEPSEEK_DECL bool read_signed(JsonView from, std::int64_t low, std::int64_t high, const FieldRules* rules,
                               std::int64_t& out, Mismatch& why) {
  if (!is_number(from)) return why.expected("an integer", from);
  std::int64_t below = 0;
  std::uint64_t above = 0;
  bool negative = false;
  if (!whole_number(from, below, above, negative)) return why.fail("expected an integer");
  if (negative ? below < low : above > static_cast<std::uint64_t>(high)) {
    return why.fail("expected an integer of " + std::to_string(low) + " to " + std::to_string(high));
  }
  out = negative ? below : static_cast<std::int64_t>(above);
  return inside_bounds(static_cast<double>(out), rules, why);
}

DEEPSEEK_DECL bool read_unsigned(JsonView from, std::uint64_t high, const FieldRules* rules, std::uint64_t& out,
                                 Mismatch& why) {
  if (!is_number(from)) return why.expected("an integer", from);
  std::int64_t below = 0;
  bool negative = false;
  if (!whole_number(from, below, out, negative)) return why.fail("expected an integer");
  if (negative || out > high) return why.fail("expected an integer of 0 to " + std::to_string(high));
  return inside_bounds(static_cast<double>(out), rules, why);
}

DEEPSEEK_DECL bool read_real(JsonView from, const FieldRules* rules, double& out, Mismatch& why) {
  if (!is_number(from)) return why.expected("a number", from);
  out = node_of(from).get<double>();
  return inside_bounds(out, rules, why);
}

DEEPSEEK_DECL bool read_string(JsonView from, const FieldRules* rules, std::string& out, Mismatch& why) {
  if (from.kind() != JsonView::Kind::string) return why.expected("a string", from);
  out = from.string();
  if (!rules || rules->word_count == 0) return true;
  std::string text = "expected one of";
  for (std::size_t i = 0; i < rules->word_count; ++i) {
    if (rules->words[i] == out) return true;
    text.append(i ? ", \"" : " \"").append(rules->words[i]).append("\"");
  }
  return why.fail(std::move(text));
}

DEEPSEEK_DECL bool only_members(JsonView from, const std::string_view* names, std::size_t count, Mismatch& why) {
  if (from.size() <= count) {
    std::size_t present = 0;  // all names are distinct: as many present as there are members is enough
    for (std::size_t i = 0; i < count; ++i) present += from.member(names[i]).kind() != JsonView::Kind::absent;
    if (present == from.size()) return true;
  }
  return why.fail("has a member that the schema does not know");
}

// --- writing ---

DEEPSEEK_DECL void ValueWriter::separate() {
  if (comma_) out_ += ',';
  comma_ = true;
}
DEEPSEEK_DECL void ValueWriter::begin(char bracket) {
  separate();
  out_ += bracket;
  comma_ = false;
}
DEEPSEEK_DECL void ValueWriter::end(char bracket) {
  out_ += bracket;
  comma_ = true;
}
DEEPSEEK_DECL void ValueWriter::key(std::string_view name) {
  string(name);
  out_ += ':';
  comma_ = false;
}

/// The length of the UTF-8 sequence that begins at text[at], or 0 if there is none.
DEEPSEEK_DECL std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(at), second = byte(at + 1);
  if (first < 0x80) return 1;
  if (first < 0xC2 || !tail(at + 1)) return 0;
  if (first < 0xE0) return 2;
  if (!tail(at + 2)) return 0;
  if (first < 0xF0) return (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ? 0 : 3;
  if (first > 0xF4 || !tail(at + 3)) return 0;
  return (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F) ? 0 : 4;
}

DEEPSEEK_DECL void ValueWriter::string(std::string_view text) {
  separate();
  out_ += '"';
  if (valid_utf8(text)) {
    append_escaped(out_, text);
  } else {
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t length = utf8_length(text, i);
      append_escaped(out_, length ? text.substr(i, length) : "\xEF\xBF\xBD");
      i += std::max<std::size_t>(length, 1);
    }
  }
  out_ += '"';
}

DEEPSEEK_DECL void ValueWriter::boolean(bool value) { raw(value ? "true" : "false"); }
DEEPSEEK_DECL void ValueWriter::integer(std::int64_t value) { raw(std::to_string(value)); }
DEEPSEEK_DECL void ValueWriter::natural(std::uint64_t value) { raw(std::to_string(value)); }
DEEPSEEK_DECL void ValueWriter::real(double value) {
  if (!std::isfinite(value)) return null();
  separate();
  append_number(out_, value);
}
DEEPSEEK_DECL void ValueWriter::null() { raw("null"); }
DEEPSEEK_DECL void ValueWriter::raw(std::string_view json) {
  separate();
  out_ += json;
}

DEEPSEEK_DECL void ValueWriter::annotate(const FieldRules* rules) {
  if (rules && !rules->description.empty()) member("description", rules->description);
}
DEEPSEEK_DECL void ValueWriter::bounds(const FieldRules* rules, bool is_unsigned) {
  if (rules && rules->has_low) {
    key("minimum"), real(rules->low);
  } else if (is_unsigned) {
    key("minimum"), natural(0);
  }
  if (rules && rules->has_high) key("maximum"), real(rules->high);
}
DEEPSEEK_DECL void ValueWriter::words(const FieldRules* rules) {
  if (!rules || rules->word_count == 0) return;
  key("enum"), begin('[');
  for (std::size_t i = 0; i < rules->word_count; ++i) string(rules->words[i]);
  end(']');
}
DEEPSEEK_DECL bool ValueWriter::enter(const void* type) {
  for (std::size_t i = 0; i < depth_; ++i) {
    if (types_[i] == type) return false;
  }
  if (depth_ == max_types) return false;
  types_[depth_++] = type;
  return true;
}

// --- chat_as ---

/// Models wrap JSON in blanks and sometimes in a ``` fence.
DEEPSEEK_DECL std::string_view without_fence(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const auto trim = [&](std::string_view part) {
    const std::size_t first = part.find_first_not_of(blanks);
    return first == std::string_view::npos ? std::string_view()
                                           : part.substr(first, part.find_last_not_of(blanks) - first + 1);
  };
  text = trim(text);
  if (text.substr(0, 3) != "```") return text;
  const std::size_t line = text.find('\n');
  if (line == std::string_view::npos) return text;
  text = trim(text.substr(line + 1));
  if (text.size() >= 3 && text.substr(text.size() - 3) == "```") text.remove_suffix(3);
  return trim(text);
}

DEEPSEEK_DECL Result<RawJson> parse_structured(const ChatReply& reply) {
  if (reply.finish_reason() == finish_reason::length) {
    return Error(ErrorCode::truncated, "the JSON answer was cut off by the token limit", "raise max_tokens")
        .with([&](ErrorDetails& details) { details.partial = std::make_shared<const ChatReply>(reply); });
  }
  const std::string_view json = without_fence(reply.content());
  if (json.empty()) return Error(ErrorCode::malformed_json, "the answer is empty, JSON was asked for");
  return RawJson(std::string(json));
}

DEEPSEEK_DECL void instruct_json(ChatRequest& request, const RawJson& schema) {
  const std::string text =
      "Answer with one JSON object and nothing else. It must conform to this JSON schema:\n" + schema.text();
  request.response_format = "json_object";
  // One system message, because chat templates of some servers allow no second.
  if (!request.messages.empty() && request.messages.front().role == role::system &&
      request.messages.front().parts.empty()) {
    request.messages.front().content += "\n\n" + text;
  } else {
    request.messages.insert(request.messages.begin(), Message::system(text));
  }
}

DEEPSEEK_DECL Result<void> chat_structured(const DeepSeekClient& client, ChatRequest request,
                                           const CallOptions& options, const RawJson& schema,
                                           const Function<Result<void>(std::string_view)>& accept) {
  if (!request.tools.empty()) {
    return Error(ErrorCode::invalid_argument, "chat_as does not run tools", "use a Conversation for the tools first");
  }
  instruct_json(request, schema);
  int attempts = 0;  // of both requests
  for (bool corrected = false;; corrected = true) {
    const Result<ChatReply> reply = client.chat(request, options);
    if (!reply) return reply.error().with([&](ErrorDetails& details) { details.attempts += attempts; });
    attempts += reply->info.attempts;
    const auto told = [&](const Error& error) {
      return error.with([&](ErrorDetails& details) {
        details.attempts = attempts;
        details.http_status = reply->info.http_status;
        details.endpoint = reply->info.endpoint;
        details.trace_id = reply->info.trace_id;
      });
    };
    const Result<RawJson> json = parse_structured(*reply);
    const Result<void> done = json ? accept(json->view()) : Result<void>(json.error());
    if (done) return done;
    if (done.error().code() == ErrorCode::truncated) return told(done.error());
    if (corrected) {
      return told(done.error()).with([&](ErrorDetails& details) {
        details.advice = "the model did not answer in the wanted form, and not after one correction either";
        details.partial = std::make_shared<const ChatReply>(*reply);
      });
    }
    // An empty answer is asked for again as it was: there is nothing to correct, and an empty turn may not be sent.
    if (reply->content().empty()) continue;
    request.messages.push_back(reply->message());
    request.messages.push_back(
        Message::user("That is not the JSON object that was asked for: " + done.error().message() +
                      ". Answer again with the corrected JSON object alone."));
  }
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
