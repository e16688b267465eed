#pragma once
#include <deepseek/model/detail/request_codec.hpp>

#include <deepseek/model/detail/json_text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

using RequestJson = nlohmann::ordered_json;

/// Tokens of an answer whose length the request leaves open: what is usual, not the most that may come.
inline constexpr std::uint64_t usual_answer_tokens = 1024;

/// The most that the service takes for an image, however large: it scales images down. A file that only its id names is
/// taken for one, too: how long a document is nobody here knows.
inline constexpr std::uint64_t image_tokens = 1024;
/// With `detail` low, 512 x 512 pixels: about a sixth, rounded up.
inline constexpr std::uint64_t low_detail_image_tokens = 256;

/// What is not text in a request: bytes of its body that stand for no tokens, and the tokens in their place.
struct NotText {
  std::uint64_t bytes = 0;
  std::uint64_t tokens = 0;
};

DEEPSEEK_DECL NotText not_text_of(const ContentPart& part) {
  if (!part.raw.empty()) return {};
  if (part.type == "image_url") return {part.url.size(), part.detail == "low" ? low_detail_image_tokens : image_tokens};
  if (part.type != "file") return {};
  if (!part.file_id.empty()) return {part.file_id.size(), image_tokens};
  return part.file_data.compare(0, 11, "data:image/") == 0 ? NotText{part.file_data.size(), image_tokens} : NotText();
}

DEEPSEEK_DECL NotText not_text_of(const ChatRequest& request) {
  NotText all;
  for (const Message& message : request.messages)
    for (const ContentPart& part : message.parts) {
      const NotText one = not_text_of(part);
      all.bytes += one.bytes;
      all.tokens += one.tokens;
    }
  return all;
}

DEEPSEEK_DECL std::uint64_t estimated_tokens(std::string_view body, const NotText& other,
                                             std::optional<std::int64_t> max_tokens) {
  // Four bytes a token holds for English; the names around the text make up for what is denser.
  const std::uint64_t answer =
      max_tokens && *max_tokens > 0 ? static_cast<std::uint64_t>(*max_tokens) : usual_answer_tokens;
  return (body.size() - std::min<std::uint64_t>(body.size(), other.bytes)) / 4 + other.tokens + answer;
}

DEEPSEEK_DECL Error cannot_continue(const char* why) {
  return Error(ErrorCode::unsupported, std::string("the answer cannot be gone on with: ") + why);
}

/// What decides how a reply is sent, and not what it says.
inline bool is_stream_member(std::string_view key) { return key == "stream" || key == "stream_options"; }

// A user's `extra` members may be of any type: nothing here takes one for granted.
inline bool is_set(const RequestJson& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

inline void append_text(RequestJson& object, const char* name, std::string_view text) {
  RequestJson& value = object[name];
  if (!value.is_string()) value = "";
  value.get_ref<std::string&>().append(text);
}

/// What both kinds of request have in common. Everything works on source ranges: values stay byte for byte.
class BodyCodec : public RequestCodec {
 public:
  Result<std::string> for_model(std::string_view body, std::string_view model) const override {
    for (JsonMembers members{JsonValue(body)}; members.next();) {
      if (members.key() != "model") continue;
      const std::string_view old = members.value().raw();
      const auto start = static_cast<std::size_t>(old.data() - body.data());
      std::string out;
      out.reserve(body.size() + model.size() + 2);
      out.append(body.substr(0, start));
      out.append(RequestJson(std::string(model)).dump(-1, ' ', false, RequestJson::error_handler_t::replace));
      out.append(body.substr(start + old.size()));
      return out;
    }
    return Error(ErrorCode::internal, "a request body names no model");
  }

  std::string canonical(std::string_view body) const override {
    struct Member {
      std::string_view key;
      std::string_view text;  // key, colon and value as written
    };
    Member inline_room[most_usual];
    std::vector<Member> more;
    std::size_t count = 0;
    for (JsonMembers members{JsonValue(body)}; members.next();) {
      if (is_stream_member(members.key())) continue;
      const char* const first = members.raw_key().data();
      const std::string_view value = members.value().raw();
      const std::string_view text(first, static_cast<std::size_t>(value.data() + value.size() - first));
      if (count < most_usual)
        inline_room[count++] = {members.raw_key(), text};
      else
        more.push_back({members.raw_key(), text});
    }
    const auto by_key = [](const Member& a, const Member& b) { return a.key < b.key; };
    Member* all = inline_room;
    if (!more.empty()) {
      more.insert(more.end(), inline_room, inline_room + count);
      all = more.data();
      count = more.size();
    }
    std::sort(all, all + count, by_key);
    std::string out;
    out.reserve(body.size());
    out += '{';
    for (std::size_t i = 0; i < count; ++i) {
      if (i != 0) out += ',';
      out.append(all[i].text);
    }
    return out += '}';
  }

  std::vector<std::string> answer(std::string_view text, bool stream) const override {
    RequestJson choice;
    choice["index"] = 0;
    say(choice, text, stream);
    choice["finish_reason"] = "stop";
    RequestJson reply;
    reply["choices"] = RequestJson::array({std::move(choice)});
    std::vector<std::string> frames = {reply.dump(-1, ' ', false, RequestJson::error_handler_t::replace)};
    if (stream) frames.emplace_back("[DONE]");
    return frames;
  }

 protected:
  /// Puts the text into a reply's choice.
  virtual void say(RequestJson& choice, std::string_view text, bool stream) const = 0;
  static Result<std::string> written(const RequestJson& json) {
    return json.dump(-1, ' ', false, RequestJson::error_handler_t::replace);
  }

 private:
  static constexpr std::size_t most_usual = 32;
};

class ChatRequestCodec final : public BodyCodec {
 public:
  Operation::Base continue_at() const override { return Operation::Base::beta_only; }

  /// Prefix completion: the answer so far becomes the assistant's last message, which the service continues.
  Result<std::string> continue_from(std::string_view body, std::string_view content,
                                    std::string_view reasoning) const override {
    if (content.empty()) return cannot_continue("nothing of the answer itself came");
    RequestJson json = RequestJson::parse(body, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return cannot_continue("the request is not JSON");
    const auto messages = json.find("messages");
    if (messages == json.end() || !messages->is_array()) return cannot_continue("the request has no messages");
    // What the service does with a prefix beside these is documented nowhere.
    if (json.contains("tools")) return cannot_continue("the request has tools");
    if (json.contains("response_format")) return cannot_continue("the request asks for a response format");
    if (json.contains("logprobs")) return cannot_continue("the request asks for log probabilities");
    RequestJson* last = messages->empty() ? nullptr : &messages->back();
    if (!last || !last->is_object() || !is_set(*last, "prefix")) {
      RequestJson message;
      message["role"] = "assistant";
      message["content"] = "";
      message["prefix"] = true;
      messages->push_back(std::move(message));
      last = &messages->back();
    }
    append_text(*last, "content", content);
    if (!reasoning.empty()) append_text(*last, "reasoning_content", reasoning);
    return written(json);
  }

 protected:
  void say(RequestJson& choice, std::string_view text, bool stream) const override {
    RequestJson& message = choice[stream ? "delta" : "message"];
    message["role"] = "assistant";
    message["content"] = std::string(text);
  }
};

class CompletionRequestCodec final : public BodyCodec {
 public:
  Operation::Base continue_at() const override { return Operation::Base::beta_if_deepseek; }

  Result<std::string> continue_from(std::string_view body, std::string_view content, std::string_view) const override {
    if (content.empty()) return cannot_continue("nothing of the answer itself came");
    RequestJson json = RequestJson::parse(body, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return cannot_continue("the request is not JSON");
    const auto prompt = json.find("prompt");
    if (prompt == json.end() || !prompt->is_string()) return cannot_continue("its prompt is not text");
    if (json.contains("logprobs")) return cannot_continue("the request asks for log probabilities");
    if (is_set(json, "echo")) return cannot_continue("the request asks for its prompt back");
    prompt->get_ref<std::string&>().append(content);
    return written(json);
  }

 protected:
  void say(RequestJson& choice, std::string_view text, bool) const override { choice["text"] = std::string(text); }
};

DEEPSEEK_DECL const RequestCodec& chat_request_codec() {
  static const ChatRequestCodec codec;
  return codec;
}

DEEPSEEK_DECL const RequestCodec& completion_request_codec() {
  static const CompletionRequestCodec codec;
  return codec;
}

DEEPSEEK_DECL std::string model_of(const ChatRequest& request, const std::string& default_model) {
  return request.model.empty() ? default_model : request.model;
}

DEEPSEEK_DECL std::string model_of(const CompletionRequest& request, const std::string&) {
  return request.model.empty() ? models::v4_pro : request.model;
}

DEEPSEEK_DECL void describe_request(const ChatRequest& request, std::string_view body, Call& call) {
  call.codec = &chat_request_codec();
  if (request.user_id) call.user_id = *request.user_id;
  call.weight = estimated_tokens(body, not_text_of(request), request.max_tokens);
}

DEEPSEEK_DECL void describe_request(const CompletionRequest& request, std::string_view body, Call& call) {
  call.codec = &completion_request_codec();
  call.weight = estimated_tokens(body, {}, request.max_tokens);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
