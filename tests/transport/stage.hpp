// Where the conformance suite plays: one transport, one scripted server, and the time between them.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <deepseek/http/fake.hpp>
#include <deepseek/model/detail/codec.hpp>
#include <deepseek/transport/endpoint.hpp>
#include <deepseek/transport/transport.hpp>

namespace conformance {

using namespace deepseek;
using namespace std::chrono_literals;

/// One transport under test. The reply that is served next answers the next call.
class Stage {
 public:
  virtual ~Stage() = default;
  virtual Transport& transport() = 0;
  virtual Loop& loop() = 0;
  /// What the server does with the next request. Replies are taken in turn.
  virtual void serve(FakeReply reply) = 0;
  /// Drives the loop until `done` holds; false if it never will.
  virtual bool run_until(const std::function<bool()>& done) = 0;
  /// Drives the loop for so long, on its own clock.
  virtual void run_for(std::chrono::milliseconds time) = 0;
  /// Where the server is; null if the transport needs to know nothing.
  virtual std::shared_ptr<const Endpoint> endpoint() = 0;
  /// True if a second costs nothing: only then the long clocks are tried.
  virtual bool time_is_free() const = 0;
  /// False if what is not sent cannot be told from what is (a replay has no status line to cut).
  virtual bool knows_before_head() const { return true; }
  /// False if a server cannot be held in the middle of a reply.
  virtual bool can_hold() const { return true; }
};

using MakeStage = std::function<std::unique_ptr<Stage>()>;

/// Writes down what a call hands out and complains about what it must never do.
class Witness final : public CallSink {
 public:
  explicit Witness(detail::ReplyDecoder* decoder = nullptr) : decoder_(decoder) {}

  void on_frame(const Frame& frame) override {
    if (ends != 0) ++frames_after_end;
    inside_ = true;
    kinds.push_back(frame.kind);
    frames.emplace_back(frame.data);
    if (decoder_ != nullptr && frame.kind == FrameKind::token) gather();
    if (on_each) on_each(frames.size());
    inside_ = false;
  }
  void on_end(std::optional<Error> error) override {
    if (inside_) ++ends_inside_frame;
    ++ends;
    outcome = std::move(error);
  }

  bool ended() const { return ends != 0; }
  bool complete() const { return ends == 1 && !outcome; }
  std::size_t count(FrameKind kind) const {
    std::size_t sum = 0;
    for (const FrameKind each : kinds) sum += each == kind ? 1 : 0;
    return sum;
  }

  std::vector<FrameKind> kinds;
  std::vector<std::string> frames;
  std::string text;  ///< content and reasoning as they came
  std::optional<Error> outcome;
  int ends = 0;
  int frames_after_end = 0;
  int ends_inside_frame = 0;
  std::function<void(std::size_t)> on_each;  ///< called with the number of frames so far

 private:
  void gather() {
    for (std::size_t i = 0; i < decoder_->chunk_count(); ++i) {
      const ChatChunk& chunk = decoder_->chunks()[i];
      text.append(chunk.reasoning_content());
      text.append(chunk.content());
    }
  }
  detail::ReplyDecoder* decoder_;
  bool inside_ = false;
};

/// One call with its decoder and its witness.
struct Play {
  std::shared_ptr<detail::ReplyDecoder> decoder;
  CallPtr call = std::make_shared<Call>();
  std::shared_ptr<Witness> sink;

  explicit Play(Stage& stage, bool stream = true) : decoder(detail::make_reply_decoder(stream)) {
    sink = std::make_shared<Witness>(decoder.get());
    call->operation.name = "chat";
    call->operation.method = "POST";
    call->operation.path = "/chat/completions";
    call->operation.stream = stream;
    call->body = R"({"model":"m","messages":[]})";
    call->decoder = decoder;
    call->endpoint = stage.endpoint();
    call->started = stage.loop().now();
  }
  Play& start(Stage& stage) {
    stage.transport().start(call, sink);
    return *this;
  }
  ErrorCode code() const { return sink->outcome ? sink->outcome->code() : ErrorCode::internal; }
};

// --- what servers send -------------------------------------------------------------------------------

inline std::string event(const std::string& json) { return "data: " + json + "\n\n"; }
inline std::string chunk_json(const std::string& delta, const std::string& finish = "null") {
  return R"({"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":)" +
         delta + R"(,"finish_reason":)" + finish + "}]}";
}
inline std::string token(const std::string& text) { return event(chunk_json(R"({"content":")" + text + R"("})")); }
inline std::string finish(const std::string& reason = "stop") {
  return event(chunk_json(R"({"content":""})", '"' + reason + '"'));
}
inline std::string done() { return "data: [DONE]\n\n"; }
inline std::string whole_reply(const std::string& text, const std::string& reason = "stop") {
  return R"({"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":")" +
         text + R"("},"finish_reason":")" + reason +
         R"("}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}})";
}
inline std::string error_json(const std::string& message) {
  return R"({"error":{"message":")" + message + R"(","type":"server_error","param":null,"code":"busy"}})";
}

inline FakeReply stream_reply(std::vector<std::string> chunks) {
  FakeReply reply;
  reply.headers = {{"Content-Type", "text/event-stream; charset=utf-8"}, {"x-ds-trace-id", "0f7c"}};
  for (auto& chunk : chunks) reply.chunks.emplace_back(std::move(chunk));
  return reply;
}
inline FakeReply json_reply(std::vector<std::string> chunks, int status = 200,
                            const std::string& type = "application/json") {
  FakeReply reply;
  reply.status = status;
  reply.headers = {{"Content-Type", type}, {"x-ds-trace-id", "0f7c"}};
  for (auto& chunk : chunks) reply.chunks.emplace_back(std::move(chunk));
  return reply;
}
inline FakeReply ending(FakeReply reply, FakeReply::End end) {
  reply.end = end;
  return reply;
}

}  // namespace conformance
