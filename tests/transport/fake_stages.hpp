// Stages without a network: HTTP over a scripted engine, and a replay, both on a loop that owns time.
#pragma once
#include <deepseek/transport/http.hpp>
#include <deepseek/transport/replay.hpp>

#include "support/fake_loop.hpp"
#include "transport/stage.hpp"

namespace conformance {

class FakeTimeStage : public Stage {
 public:
  Loop& loop() override { return loop_; }
  bool run_until(const std::function<bool()>& done) override {
    // Bounded: a scenario that needs more turns than this hangs.
    for (int turn = 0; turn < 200'000; ++turn) {
      if (done()) return true;
      if (loop_.run_one()) continue;
      if (loop_.timers() == 0) return done();
      loop_.advance_to_next_timer();
    }
    return false;
  }
  void run_for(std::chrono::milliseconds time) override { loop_.advance(time); }
  bool time_is_free() const override { return true; }

 protected:
  deepseek_tests::FakeLoop loop_;
};

/// HttpTransport over FakeHttpEngine.
class FakeHttpStage final : public FakeTimeStage {
 public:
  FakeHttpStage() {
    Endpoint endpoint;
    endpoint.base_url = "http://127.0.0.1:1";
    endpoint_ = std::make_shared<const Endpoint>(endpoint);
    transport_->attach(loop_);
  }
  Transport& transport() override { return *transport_; }
  void serve(FakeReply reply) override { engine_->reply(std::move(reply)); }
  std::shared_ptr<const Endpoint> endpoint() override { return endpoint_; }
  FakeHttpEngine& engine() { return *engine_; }
  deepseek_tests::FakeLoop& fake_loop() { return loop_; }

 private:
  std::shared_ptr<FakeHttpEngine> engine_ = std::make_shared<FakeHttpEngine>();
  std::shared_ptr<Transport> transport_ = make_http_transport(std::shared_ptr<HttpEngine>(engine_));
  std::shared_ptr<const Endpoint> endpoint_;
};

/// ReplayTransport: what is served is written down as a recording, read again and played.
class ReplayStage final : public FakeTimeStage {
 public:
  Transport& transport() override { return relay_; }
  void serve(FakeReply reply) override {
    RecordedCall call;
    call.method = "POST";
    call.path = "/chat/completions";
    call.response.status = reply.status;
    call.response.headers = std::move(reply.headers);
    for (FakeChunk& chunk : reply.chunks) call.response.chunks.push_back({chunk.after, std::move(chunk.data)});
    call.response.head_complete = reply.end != FakeReply::End::inside_head;
    call.response.clean_end = reply.end == FakeReply::End::clean;
    auto parsed = parse_recording(dump_recording({call}));
    ReplayOptions options;
    options.original_timing = true;
    options.repeat = false;
    relay_.next.push_back(make_replay_transport(parsed.value(), options));
    relay_.next.back()->attach(loop_);
  }
  std::shared_ptr<const Endpoint> endpoint() override { return nullptr; }
  bool knows_before_head() const override { return false; }
  bool can_hold() const override { return false; }

 private:
  /// A replay takes its recordings when it is made; the suite names them call by call.
  struct Relay final : Transport {
    void attach(Loop&) override {}
    void start(CallPtr call, SinkPtr sink) override { next.at(started++)->start(std::move(call), std::move(sink)); }
    std::vector<std::shared_ptr<Transport>> next;
    std::size_t started = 0;
  };
  Relay relay_;
};

}  // namespace conformance
