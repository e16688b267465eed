// A transport that answers from a list and keeps what was asked: for tests above the transport.
#pragma once
#include <cstdio>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <deepseek/client.hpp>

namespace deepseek_tests {

/// What one request gets: the frames of the reply (a body, or the data of a stream's events), or an error.
struct ScriptedAnswer {
  std::vector<std::string> frames = {};
  std::optional<deepseek::Error> error = {};
};

class ScriptedTransport : public deepseek::Transport {
 public:
  void answer(std::vector<std::string> frames) { add({std::move(frames), std::nullopt}); }
  void answer(std::string body) { add({{std::move(body)}, std::nullopt}); }
  void fail(deepseek::Error error) { add({{}, std::move(error)}); }

  /// The bodies of the requests so far.
  std::vector<std::string> requests() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return requests_;
  }

  void attach(deepseek::Loop& loop) override { loop_ = &loop; }
  void start(deepseek::CallPtr call, deepseek::SinkPtr sink) override {
    ScriptedAnswer answer = take(call->body);
    call->on_abort = [call, sink](deepseek::Error error) {
      call->on_abort = {};
      sink->on_end(std::move(error));
    };
    loop_->post([call, sink, answer = std::move(answer)] { play(*call, *sink, answer); });
  }

 private:
  static void play(deepseek::Call& call, deepseek::CallSink& sink, const ScriptedAnswer& answer) {
    if (!call.on_abort) return;  // cancelled before it began
    call.facts.http_status = 200;
    for (const std::string& frame : answer.frames) {
      const deepseek::FrameKind kind = call.decoder->inspect(frame);
      sink.on_frame({frame, kind, false});
      if (!call.on_abort) return;
    }
    call.on_abort = {};
    sink.on_end(answer.error ? answer.error : call.decoder->conclude(true));
  }

  void add(ScriptedAnswer answer) {
    std::lock_guard<std::mutex> lock(mutex_);
    answers_.push_back(std::move(answer));
  }

  ScriptedAnswer take(const std::string& request) {
    std::lock_guard<std::mutex> lock(mutex_);
    requests_.push_back(request);
    if (next_ < answers_.size()) return answers_[next_++];
    return {{}, deepseek::Error(deepseek::ErrorCode::connect_failed, "the script has no further answer")};
  }

  mutable std::mutex mutex_;
  std::vector<ScriptedAnswer> answers_;  // guarded
  std::vector<std::string> requests_;    // guarded
  std::size_t next_ = 0;                 // guarded
  deepseek::Loop* loop_ = nullptr;
};

/// A client over a transport of this kind.
struct ScriptedClient {
  std::shared_ptr<ScriptedTransport> transport = std::make_shared<ScriptedTransport>();
  deepseek::DeepSeekClient client = make(transport);

  static deepseek::DeepSeekClient make(const std::shared_ptr<ScriptedTransport>& transport) {
    deepseek::ClientOptions options;
    options.endpoints = {{"https://api.deepseek.com", deepseek::api_key("test-key")}};
    options.transport = transport;
    options.retry.max_attempts = 1;
    return deepseek::DeepSeekClient::create(std::move(options)).value();
  }
};

/// The body of a reply whose message is `message` (JSON).
inline std::string reply_body(const std::string& message, const std::string& finish_reason = "stop") {
  return R"({"id":"r","object":"chat.completion","created":1,"model":"deepseek-flash","choices":[{"index":0,"finish_reason":")" +
         finish_reason + R"(","logprobs":null,"message":)" + message + "}]}";
}

/// One event of a stream.
inline std::string stream_event(const std::string& delta, const std::string& finish_reason = "") {
  return R"({"id":"r","object":"chat.completion.chunk","created":1,"model":"deepseek-flash","choices":[{"index":0,"delta":)" +
         delta + R"(,"finish_reason":)" + (finish_reason.empty() ? "null" : "\"" + finish_reason + "\"") + "}]}";
}

/// `text` as a JSON string.
inline std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    c == '\n' ? out += "\\n" : out += c;
  }
  return out + "\"";
}

/// A tool call as it stands in a message.
inline std::string call_json(int index, const std::string& id, const std::string& name, const std::string& arguments) {
  return R"({"index":)" + std::to_string(index) + R"(,"id":)" + quoted(id) +
         R"(,"type":"function","function":{"name":)" + quoted(name) + R"(,"arguments":)" + quoted(arguments) + "}}";
}

/// An assistant message with calls.
inline std::string calls_message(std::initializer_list<std::string> calls, const std::string& reasoning = "thinking") {
  std::string list;
  for (const std::string& call : calls) list += (list.empty() ? "" : ",") + call;
  return R"({"role":"assistant","content":"","reasoning_content":)" + quoted(reasoning) + R"(,"tool_calls":[)" + list +
         "]}";
}

}  // namespace deepseek_tests
