// A scripted token endpoint without a network, a clock that a test moves, and a way to await a token.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <deepseek/auth/oauth.hpp>
#include <deepseek/core/detail/loop_port.hpp>
#include <deepseek/http/fake.hpp>

namespace deepseek_tests {

/// Both clocks, ahead of the system's by what a test says.
class ShiftedClock final : public deepseek::Clock {
 public:
  deepseek::TimePoint steady_now() const override {
    return deepseek::Clock::steady_now() + std::chrono::milliseconds(steady_ms_.load());
  }
  deepseek::WallTime wall_now() const override {
    return deepseek::Clock::wall_now() + std::chrono::milliseconds(wall_ms_.load());
  }
  void advance(std::chrono::milliseconds by) {
    steady_ms_ += by.count();
    wall_ms_ += by.count();
  }
  void set_wall(std::chrono::milliseconds ahead) { wall_ms_ = ahead.count(); }

 private:
  std::atomic<std::int64_t> steady_ms_{0};
  std::atomic<std::int64_t> wall_ms_{0};
};

/// Answers of a source, from whatever thread.
class Answers {
 public:
  deepseek::Function<void(deepseek::Result<deepseek::Secret>)> taker() {
    return [this](deepseek::Result<deepseek::Secret> answer) {
      const std::lock_guard<std::mutex> lock(mutex_);
      answers_.push_back(std::move(answer));
      changed_.notify_all();
    };
  }
  /// False if so many do not come within ten seconds.
  bool await(std::size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return answers_.size() >= count; });
  }
  std::size_t count() const { return (std::lock_guard<std::mutex>(mutex_), answers_.size()); }
  std::vector<deepseek::Result<deepseek::Secret>> all() const {
    return (std::lock_guard<std::mutex>(mutex_), answers_);
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<deepseek::Result<deepseek::Secret>> answers_;
};

/// What a source says now or when its request is answered; an error after ten seconds.
inline deepseek::Result<deepseek::Secret> ask(const deepseek::Credential& credential) {
  const auto answers = std::make_shared<Answers>();
  credential.source().authorization([answers, take = answers->taker()](auto answer) { take(std::move(answer)); });
  if (!answers->await(1)) return deepseek::Error(deepseek::ErrorCode::internal, "no answer within ten seconds");
  return answers->all().front();
}

/// The header value; the error's text in brackets if there is none.
inline std::string header(const deepseek::Credential& credential) {
  const auto answer = ask(credential);
  return answer ? std::string(answer->reveal()) : "[" + to_string(answer.error()) + "]";
}

/// What the engines of all exchanges share with the test.
class Script {
 public:
  /// One response under way. On the loop only, but for the flag.
  struct Transfer final : deepseek::HttpTransfer {
    explicit Transfer(std::shared_ptr<deepseek::HttpHandler> its_handler) : handler(std::move(its_handler)) {}
    void cancel() override {
      cancelled = true;
      handler.reset();
    }
    void pause(bool) override {}
    deepseek::HttpTimings timings() const override { return {}; }
    void deliver(const deepseek::FakeReply& reply) {
      std::string block;
      for (const auto& header : reply.headers) block += header.name + ": " + header.value + "\r\n";
      const bool has_head = reply.end != deepseek::FakeReply::End::before_head;
      if (const auto to = handler; to && has_head) to->on_head({reply.status, 11, block});
      for (const auto& chunk : reply.chunks)
        if (const auto to = handler) to->on_data(chunk.data);
      if (!handler || reply.end == deepseek::FakeReply::End::hold) return;
      deepseek::HttpEnd end;
      end.clean = reply.end == deepseek::FakeReply::End::clean;
      end.head_complete = has_head;
      end.code = reply.code;
      end.cause = "scripted";
      std::exchange(handler, nullptr)->on_end(end);
    }
    std::shared_ptr<deepseek::HttpHandler> handler;
    std::atomic<bool> cancelled{false};
  };
  struct Exchange {
    deepseek::FakeRequest request;
    std::shared_ptr<deepseek::detail::LoopPort> port;
    std::shared_ptr<Transfer> transfer;
  };

  std::shared_ptr<Transfer> begin(deepseek::FakeRequest request, std::shared_ptr<deepseek::HttpHandler> handler,
                                  const std::shared_ptr<deepseek::detail::LoopPort>& port) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto transfer = std::make_shared<Transfer>(std::move(handler));
    exchanges_.push_back({std::move(request), port, transfer});
    deepseek::FakeReply reply;
    reply.end = deepseek::FakeReply::End::before_head;
    if (!replies_.empty()) {
      reply = std::move(replies_.front());
      replies_.pop_front();
    }
    port->post([transfer, reply = std::move(reply)] { transfer->deliver(reply); });
    return transfer;
  }
  void reply(deepseek::FakeReply reply) {
    const std::lock_guard<std::mutex> lock(mutex_);
    replies_.push_back(std::move(reply));
  }
  void deliver(std::size_t request, deepseek::FakeReply reply) {
    const Exchange exchange = exchanges().at(request);
    exchange.port->post([transfer = exchange.transfer, reply = std::move(reply)] { transfer->deliver(reply); });
  }
  std::vector<Exchange> exchanges() const { return (std::lock_guard<std::mutex>(mutex_), exchanges_); }
  bool cancelled(std::size_t request) const { return exchanges().at(request).transfer->cancelled; }

 private:
  mutable std::mutex mutex_;
  std::deque<deepseek::FakeReply> replies_;
  std::vector<Exchange> exchanges_;
};

/// The engine of one exchange. (FakeHttpEngine would have to go before its loop, and the script stays.)
class ScriptedEngine final : public deepseek::HttpEngine {
 public:
  explicit ScriptedEngine(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  ~ScriptedEngine() override {
    if (port_) port_->close();
  }
  void attach(deepseek::Loop& loop) override { port_ = std::make_shared<deepseek::detail::LoopPort>(loop); }
  std::shared_ptr<deepseek::HttpTransfer> start(deepseek::HttpRequest request,
                                                std::shared_ptr<deepseek::HttpHandler> handler) override {
    deepseek::FakeRequest seen{request.method, request.url, request.headers, {}};
    if (request.body) seen.body = request.body->contiguous();
    return script_->begin(std::move(seen), std::move(handler), port_);
  }

 private:
  std::shared_ptr<Script> script_;
  std::shared_ptr<deepseek::detail::LoopPort> port_;
};

class TokenServer {
 public:
  deepseek::OAuth2Options options() const {
    deepseek::OAuth2Options options;
    options.token_url = "https://auth.example/token";
    options.client_id = "client";
    options.client_secret = deepseek::Secret(std::string("the client's secret"));
    options.clock = clock;
    options.engine = factory();
    return options;
  }
  deepseek::Function<deepseek::Result<std::unique_ptr<deepseek::HttpEngine>>()> factory() const {
    return [script = script]() -> deepseek::Result<std::unique_ptr<deepseek::HttpEngine>> {
      return std::unique_ptr<deepseek::HttpEngine>(std::make_unique<ScriptedEngine>(script));
    };
  }

  void answer(std::string body, int status = 200, std::vector<deepseek::HttpHeader> headers = {}) const {
    deepseek::FakeReply reply;
    reply.status = status;
    reply.headers = std::move(headers);
    reply.chunks.emplace_back(std::move(body));
    script->reply(std::move(reply));
  }
  void token(const std::string& token, int lifetime = 3600) const {
    answer(R"({"access_token":")" + token + R"(","token_type":"Bearer","expires_in":)" + std::to_string(lifetime) +
           "}");
  }
  /// The next answer stays away until release().
  void hold_next() const {
    deepseek::FakeReply reply;
    reply.end = deepseek::FakeReply::End::hold;
    script->reply(std::move(reply));
  }
  void release(std::size_t request, const std::string& token, int lifetime = 3600) const {
    deepseek::FakeReply reply;
    reply.chunks.emplace_back(R"({"access_token":")" + token + R"(","token_type":"bearer","expires_in":)" +
                              std::to_string(lifetime) + "}");
    script->deliver(request, std::move(reply));
  }
  std::size_t requests() const { return script->exchanges().size(); }
  deepseek::FakeRequest request(std::size_t index) const { return script->exchanges().at(index).request; }
  /// False if it does not happen within ten seconds.
  template <class Condition>
  static bool within(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock<std::mutex> lock(mutex);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      never.wait_for(lock, std::chrono::milliseconds(1));
    }
    return true;
  }
  bool await_requests(std::size_t count) const {
    return within([&] { return requests() >= count; });
  }

  std::shared_ptr<Script> script = std::make_shared<Script>();
  std::shared_ptr<ShiftedClock> clock = std::make_shared<ShiftedClock>();
};

}  // namespace deepseek_tests
