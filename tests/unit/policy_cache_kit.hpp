// What the tests of cache and single-flight share: a codec, a decoder and a transport that only tests would want.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/pipeline.hpp>

#include "support/fake_loop.hpp"

namespace cache_kit {

using namespace deepseek;

struct PlainCodec final : RequestCodec {
  Result<std::string> for_model(std::string_view body, std::string_view) const override { return std::string(body); }
  Result<std::string> continue_from(std::string_view body, std::string_view, std::string_view) const override {
    return std::string(body);
  }
  Operation::Base continue_at() const override { return Operation::Base::plain; }
  std::string canonical(std::string_view body) const override { return std::string(body); }
};
inline const PlainCodec plain_codec;

/// A frame is what its first letter says: t(oken), e(nd), x (an error), anything else data.
struct TapeDecoder final : Decoder {
  FrameKind inspect(std::string_view data) override {
    seen.emplace_back(data);
    switch (data.empty() ? ' ' : data.front()) {
      case 't':
        return FrameKind::token;
      case 'e':
        return FrameKind::end;
      case 'x':
        return FrameKind::error;
      default:
        return FrameKind::data;
    }
  }
  std::optional<Error> conclude(bool clean) override {
    ++concluded;
    if (!clean) return Error(ErrorCode::truncated, "cut");
    if (!seen.empty() && seen.back().front() == 'x') return Error(ErrorCode::service_error, "said so");
    return std::nullopt;
  }
  Error error_from_body(int, std::string_view) override { return Error(ErrorCode::http_error, "status"); }
  TokenUsage usage() const override { return {10, 0, 5, 0}; }
  void reset() override { seen.clear(); }
  std::shared_ptr<Decoder> another() const override { return std::make_shared<TapeDecoder>(); }

  std::vector<std::string> seen;
  int concluded = 0;
};

/// Hands frames on when the test says so, through the call's decoder like any transport.
struct HandTransport final : Transport {
  void attach(Loop&) override {}
  void start(CallPtr call, SinkPtr sink) override {
    call->on_abort = [this, call, sink](Error error) {
      ++aborted;
      const auto keep = sink;
      call->release_holds();
      keep->on_end(std::move(error));
    };
    calls.push_back({std::move(call), std::move(sink)});
  }
  void frame(std::size_t index, std::string_view data) {
    const Started one = calls.at(index);
    const FrameKind kind = one.call->decoder->inspect(data);
    one.sink->on_frame({data, kind, false});
  }
  void end(std::size_t index, std::optional<Error> error = {}) {
    const Started one = calls.at(index);
    if (!error) {
      error = one.call->decoder->conclude(true);
      one.call->facts.usage = one.call->decoder->usage();
    }
    one.call->release_holds();
    one.sink->on_end(std::move(error));
  }
  /// Ends what the test left open: a held call is a circle.
  void end_all() {
    for (const Started& one : std::vector<Started>(calls))
      if (const auto give_up = one.call->on_abort) give_up(Error(ErrorCode::cancelled, "the test is over"));
  }
  struct Started {
    CallPtr call;
    SinkPtr sink;
  };
  std::vector<Started> calls;
  int aborted = 0;
};

struct Collector final : CallSink {
  void on_frame(const Frame& frame) override {
    frames.emplace_back(frame.data);
    if (during) during();
  }
  void on_end(std::optional<Error> result) override {
    ++ends;
    error = std::move(result);
  }
  std::vector<std::string> frames;
  std::optional<Error> error;
  Function<void()> during;
  int ends = 0;
};

struct HandClock final : Clock {
  WallTime wall_now() const override { return now; }
  WallTime now = WallTime(std::chrono::hours(24 * 365 * 50));
};

/// One call as the api layer would make it.
struct One {
  CallPtr call = std::make_shared<Call>();
  std::shared_ptr<TapeDecoder> decoder = std::make_shared<TapeDecoder>();
  std::shared_ptr<Collector> sink = std::make_shared<Collector>();

  explicit One(std::string body = "{\"q\":1}") {
    call->operation.name = "chat";
    call->operation.path = "/chat/completions";
    call->operation.stream = true;
    call->body = std::move(body);
    call->model = "deepseek-flash";
    call->codec = &plain_codec;
    call->decoder = decoder;
    call->weight = 100;
  }
  bool complete() const { return sink->ends == 1 && !sink->error; }
  void abort() {
    const auto give_up = call->on_abort;
    give_up(Error(ErrorCode::cancelled, "by the test"));
  }
};

using Strings = std::vector<std::string>;

}  // namespace cache_kit
