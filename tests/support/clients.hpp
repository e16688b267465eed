// Clients of an in-process double, and a way to await things without sleeping.
#pragma once
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <deepseek/client.hpp>
#include <deepseek/testing/double.hpp>

namespace deepseek_tests {

inline deepseek::DeepSeekClient client_of(const deepseek::test::Double& server,
                                          const std::function<void(deepseek::ClientOptions&)>& edit = {}) {
  deepseek::ClientOptions options = server.client_options();
  options.retry.max_attempts = 1;  // most tests look at one request
  if (edit) edit(options);
  return deepseek::DeepSeekClient::create(std::move(options)).value();
}

inline deepseek::ChatRequest ask(std::string text) {
  deepseek::ChatRequest request;
  request.messages.push_back(deepseek::Message::user(std::move(text)));
  request.thinking = deepseek::thinking::disabled;
  return request;
}

/// Collects what a handler receives, from any thread, and lets a test await it.
class Collector {
 public:
  deepseek::ChatHandler handler() {
    deepseek::ChatHandler handler;
    handler.on_chunk = [this](const deepseek::ChatChunk& chunk) {
      const std::lock_guard<std::mutex> lock(mutex_);
      text_ += chunk.content();
      ++chunks_;
      changed_.notify_all();
    };
    handler.on_end = [this](deepseek::Result<deepseek::ChatReply> result) {
      const std::lock_guard<std::mutex> lock(mutex_);
      results_.push_back(std::move(result));
      changed_.notify_all();
    };
    return handler;
  }
  /// False if it does not happen within ten seconds.
  bool await_ends(std::size_t count) {
    return await([&] { return results_.size() >= count; });
  }
  bool await_chunks(std::size_t count) {
    return await([&] { return chunks_ >= count; });
  }
  std::string text() const { return (std::lock_guard<std::mutex>(mutex_), text_); }
  std::size_t chunks() const { return (std::lock_guard<std::mutex>(mutex_), chunks_); }
  std::vector<deepseek::Result<deepseek::ChatReply>> results() const {
    return (std::lock_guard<std::mutex>(mutex_), results_);
  }

 private:
  template <class Condition>
  bool await(Condition condition) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), condition);
  }
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::size_t chunks_ = 0;
  std::vector<deepseek::Result<deepseek::ChatReply>> results_;
};

}  // namespace deepseek_tests
