// The wire form of answers: event streams and JSON bodies, key by key as the service writes them.
#include "answer.hpp"

#include <algorithm>
#include <numeric>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

constexpr std::uint64_t most_alternatives = 20;  // the service's; an unchecked request may ask for any number
constexpr const char* fingerprint = "fp_double000000_prod0820_fp8_kvcache_20260402";

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string joined(const std::vector<std::string>& pieces) {
  return std::accumulate(pieces.begin(), pieces.end(), std::string());
}

Json usage_of(const Answer& answer) {
  std::uint64_t completion = answer.reasoning.size() + answer.text.size();
  for (const auto& call : answer.calls) completion += call.pieces.size() + 1;
  Json usage;
  usage["prompt_tokens"] = answer.prompt_tokens;
  usage["completion_tokens"] = completion;
  usage["total_tokens"] = answer.prompt_tokens + completion;
  usage["prompt_tokens_details"] = {{"cached_tokens", answer.cached_tokens}};
  if (answer.thinking) usage["completion_tokens_details"] = {{"reasoning_tokens", answer.reasoning.size()}};
  usage["prompt_cache_hit_tokens"] = answer.cached_tokens;
  usage["prompt_cache_miss_tokens"] = answer.prompt_tokens - answer.cached_tokens;
  return usage;
}

Json bytes_of(const std::string& token) {
  Json bytes = Json::array();
  for (const char c : token) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

Json logprob_item(const std::string& token, std::uint64_t alternatives) {
  static constexpr const char* others[] = {"\n", " the", " a", "."};
  Json item = {{"token", token}, {"logprob", -0.25}, {"bytes", bytes_of(token)}, {"top_logprobs", Json::array()}};
  for (std::uint64_t i = 0; i < alternatives; ++i) {
    const std::string other = i == 0 ? token : others[(i - 1) % 4];
    item["top_logprobs"].push_back(
        {{"token", other}, {"logprob", -0.25 - 1.5 * static_cast<double>(i)}, {"bytes", bytes_of(other)}});
  }
  return item;
}

/// What the request says about log probabilities. In FIM `logprobs` is a number, in chat a bool.
struct Logprobs {
  bool wanted = false;
  std::uint64_t alternatives = 0;
  explicit Logprobs(const Ask& ask) {
    const auto* value = ask.find("logprobs");
    if (value == nullptr) return;
    wanted = ask.fim ? value->is_number_integer() : ask.flag("logprobs");
    const auto* top = ask.fim ? value : ask.find("top_logprobs");
    if (top != nullptr && top->is_number_unsigned())
      alternatives = std::min(top->get<std::uint64_t>(), most_alternatives);
  }
  Json items(const std::vector<std::string>& tokens) const {
    Json list = Json::array();
    for (const auto& token : tokens) list.push_back(logprob_item(token, alternatives));
    return list;
  }
  Json fim_items(const std::vector<std::string>& tokens, std::size_t offset) const {
    Json all = {{"text_offset", Json::array()},
                {"token_logprobs", Json::array()},
                {"tokens", tokens},
                {"top_logprobs", Json::array()}};
    for (const auto& token : tokens) {
      all["text_offset"].push_back(offset);
      all["token_logprobs"].push_back(-0.25);
      all["top_logprobs"].push_back(Json{{token, -0.25}});
      offset += token.size();
    }
    return all;
  }
};

/// Writes the events of one stream.
class EventWriter {
 public:
  EventWriter(const Ask& ask, const ReplySpec& spec, const Answer& answer)
      : ask_(ask), spec_(spec), answer_(answer), logprobs_(ask) {
    const auto* options = ask.find("stream_options");
    usage_keys_ = options != nullptr && flag_member(*options, "include_usage");
  }

  Body write() {
    if (ask_.fim)
      write_fim();
    else
      write_chat();
    if (!spec_.no_finish) finish();
    Body body;
    body.sse = true;
    body.content_type = "text/event-stream; charset=utf-8";
    break_events();
    body.parts = std::move(parts_);
    return body;
  }

 private:
  Json chunk(Json choices) const {
    Json value = {{"id", answer_.id},
                  {"object", ask_.fim ? "text_completion" : "chat.completion.chunk"},
                  {"created", answer_.created},
                  {"model", answer_.model},
                  {"system_fingerprint", fingerprint},
                  {"choices", std::move(choices)}};
    if (usage_keys_) value["usage"] = nullptr;
    return value;
  }

  void event(const std::string& data) { add_step(parts_, {microseconds(0), "data: " + data + "\n\n", true}); }

  void delta(Json delta, Json logprobs = nullptr) {
    event(dump(chunk(Json::array({{{"index", 0},
                                   {"delta", std::move(delta)},
                                   {"logprobs", std::move(logprobs)},
                                   {"finish_reason", nullptr}}}))));
  }

  Json delta_logprobs(const char* where, const std::string& token) const {
    return logprobs_.wanted ? Json{{where, logprobs_.items({token})}} : Json(nullptr);
  }

  void write_chat() {
    if (answer_.thinking)
      delta({{"role", "assistant"}, {"content", nullptr}, {"reasoning_content", ""}});
    else
      delta({{"role", "assistant"}, {"content", ""}});
    for (const auto& token : answer_.reasoning) {
      delta({{"content", nullptr}, {"reasoning_content", token}}, delta_logprobs("reasoning_content", token));
    }
    for (const auto& token : answer_.text) {
      Json value = {{"content", token}};
      if (answer_.thinking) value["reasoning_content"] = nullptr;
      delta(std::move(value), delta_logprobs("content", token));
    }
    for (std::size_t i = 0; i < answer_.calls.size(); ++i) write_call(i, answer_.calls[i]);
  }

  void write_call(std::size_t index, const AnsweredCall& call) {
    delta({{"tool_calls", Json::array({{{"index", index},
                                        {"id", call.id},
                                        {"type", "function"},
                                        {"function", {{"name", call.name}, {"arguments", ""}}}}})}});
    for (const auto& piece : call.pieces) {
      delta({{"tool_calls", Json::array({{{"index", index}, {"function", {{"arguments", piece}}}}})}});
    }
  }

  void write_fim() {
    std::size_t offset = 0;
    for (const auto& token : answer_.text) {
      const auto items = logprobs_.wanted ? logprobs_.fim_items({token}, offset) : Json(nullptr);
      event(
          dump(chunk(Json::array({{{"index", 0}, {"text", token}, {"logprobs", items}, {"finish_reason", nullptr}}}))));
      offset += token.size();
    }
  }

  void finish() {
    Json choice = {{"index", 0}};
    if (ask_.fim) {
      choice["text"] = "";
    } else {
      choice["delta"] = {{"content", ""}};
      if (answer_.thinking) choice["delta"]["reasoning_content"] = nullptr;
      if (!answer_.title.empty()) choice["delta"]["title"] = answer_.title;
    }
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = answer_.finish;
    auto last = chunk(Json::array({std::move(choice)}));
    if (!spec_.no_usage && !spec_.separate_usage) last["usage"] = usage_of(answer_);
    event(dump(last));
    if (spec_.no_usage || !spec_.separate_usage) return;
    auto separate = chunk(Json::array());
    separate["usage"] = usage_of(answer_);
    event(dump(separate));
  }

  void break_events() {
    if (spec_.malformed && *spec_.malformed < parts_.size()) {
      auto& bytes = parts_[*spec_.malformed].bytes;
      bytes.resize(bytes.size() / 2);
      bytes += "\n\n";
    }
    if (!spec_.no_done) event("[DONE]");
    if (spec_.error_at && *spec_.error_at < parts_.size()) {
      parts_.resize(*spec_.error_at);
      event(error_body(500, spec_.error_message));
    }
    if (spec_.more_after_done) {
      for (int i = 0; i < 3; ++i) delta({{"content", " more"}});
    }
    if (spec_.huge_event > 0) {
      auto huge = chunk(Json::array(
          {{{"index", 0}, {"delta", {{"content", ""}}}, {"logprobs", nullptr}, {"finish_reason", nullptr}}}));
      huge["padding"] = std::string(spec_.huge_event, 'x');
      parts_.insert(parts_.begin(), {microseconds(0), "data: " + dump(huge) + "\n\n", true});
    }
  }

  const Ask& ask_;
  const ReplySpec& spec_;
  const Answer& answer_;
  Logprobs logprobs_;
  bool usage_keys_ = false;
  std::vector<Step> parts_;
};

Json whole_message(const Answer& answer) {
  Json message = {{"role", "assistant"}, {"content", joined(answer.text)}};
  if (answer.thinking) message["reasoning_content"] = joined(answer.reasoning);
  for (std::size_t i = 0; i < answer.calls.size(); ++i) {
    const auto& call = answer.calls[i];
    message["tool_calls"].push_back({{"index", i},
                                     {"id", call.id},
                                     {"type", "function"},
                                     {"function", {{"name", call.name}, {"arguments", joined(call.pieces)}}}});
  }
  if (!answer.title.empty()) message["title"] = answer.title;
  return message;
}

Json whole_reply(const Ask& ask, const ReplySpec& spec, const Answer& answer) {
  const Logprobs logprobs(ask);
  Json choice = {{"index", 0}};
  Json probabilities = nullptr;
  if (ask.fim) {
    choice["text"] = joined(answer.text);
    if (logprobs.wanted) probabilities = logprobs.fim_items(answer.text, 0);
  } else {
    choice["message"] = whole_message(answer);
    if (logprobs.wanted) {
      probabilities = {{"content", logprobs.items(answer.text)}};
      if (answer.thinking) probabilities["reasoning_content"] = logprobs.items(answer.reasoning);
    }
  }
  choice["logprobs"] = std::move(probabilities);
  choice["finish_reason"] = spec.no_finish ? Json(nullptr) : Json(answer.finish);
  Json reply = {{"id", answer.id},
                {"object", ask.fim ? "text_completion" : "chat.completion"},
                {"created", answer.created},
                {"model", answer.model},
                {"choices", Json::array({std::move(choice)})}};
  if (!spec.no_usage) reply["usage"] = usage_of(answer);
  reply["system_fingerprint"] = fingerprint;
  if (spec.huge_event > 0) reply["padding"] = std::string(spec.huge_event, 'x');
  return reply;
}

}  // namespace

Body json_body(int status, std::string text, std::string content_type) {
  Body body;
  body.status = status;
  body.content_type = std::move(content_type);
  body.parts.push_back({microseconds(0), std::move(text), true});
  return body;
}

Body encode(const Ask& ask, const ReplySpec& spec, const Answer& answer) {
  if (ask.stream()) return EventWriter(ask, spec, answer).write();
  if (spec.error_at) return json_body(200, error_body(500, spec.error_message));
  auto text = dump(whole_reply(ask, spec, answer));
  if (spec.malformed) text.resize(text.size() / 2);
  auto body = json_body(200, std::move(text));
  // The model thinks and writes as long, whether or not anybody watches.
  if (spec.pace.count() > 0) {
    const auto events = EventWriter(ask, spec, answer).write().parts.size();
    body.parts.front().delay = spec.pace * (events > 0 ? events - 1 : 0);
  }
  return body;
}

std::string models_body() {
  auto entry = [](const char* id, const char* name, Json input) {
    return Json{{"id", id},
                {"object", "model"},
                {"owned_by", "deepseek"},
                {"name", name},
                {"context_window", 1048576},
                {"max_output_tokens", 393216},
                {"input_modalities", std::move(input)},
                {"output_modalities", {"text"}},
                {"effort", {{"supported_levels", {"low", "high", "max"}}, {"default_level", "high"}}},
                {"api_capabilities", {{"anthropic_messages", {{"system_prompt_update", "in-history"}}}}}};
  };
  return dump({{"object", "list"},
               {"data", Json::array({entry("deepseek-flash", "DeepSeek-V4.1-Flash", {"text", "image"}),
                                     entry("deepseek-v4-pro", "DeepSeek-V4-Pro", Json::array({"text"}))})}});
}

std::string balance_body() {
  return dump({{"is_available", true},
               {"balance_infos", Json::array({{{"currency", "CNY"},
                                               {"total_balance", "110.00"},
                                               {"granted_balance", "10.00"},
                                               {"topped_up_balance", "100.00"}}})}});
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
