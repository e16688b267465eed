// What the tests of cleartext HTTP/1.1 share: requests, answers, and how one is started and waited for.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <semaphore>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "support/catch.hpp"
#include "support/raw_server.hpp"

namespace http1_kit {

using namespace deepseek;
using namespace deepseek_tests;

using RecorderPtr = std::shared_ptr<Recorder>;

inline CurlOptions reading(bool own) {
  CurlOptions options;
  options.read_cleartext = own;
  return options;
}

inline HttpRequest get(std::string url) {
  HttpRequest request;
  request.method = "GET";
  request.url = std::move(url);
  request.headers = {{"Accept", "*/*"}};
  return request;
}

inline HttpRequest post(std::string url, std::shared_ptr<HttpBody> body) {
  HttpRequest request = get(std::move(url));
  request.method = "POST";
  request.body = std::move(body);
  return request;
}

/// On the loop, or from inside a callback.
inline void start_here(EngineRig& rig, const RecorderPtr& to, HttpRequest request) {
  to->transfer = rig.engine->start(std::move(request), to);
}

inline RecorderPtr start(EngineRig& rig, HttpRequest request) {
  auto recorder = std::make_shared<Recorder>();
  rig.on_loop([&] { start_here(rig, recorder, std::move(request)); });
  return recorder;
}

inline RecorderPtr finish(EngineRig& rig, HttpRequest request) {
  auto recorder = start(rig, std::move(request));
  CHECK(rig.until([&] { return recorder->end.has_value(); }));
  CHECK_FALSE(recorder->late);
  return recorder;
}

inline std::string counted(std::string_view body, std::string_view more = "") {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(more) + "\r\n" +
         std::string(body);
}

/// Answers every request of every connection alike.
inline RawServer::Talk always(std::string answer) {
  return [answer = std::move(answer)](Socket& socket, int) {
    while (!socket.request().empty() && socket.send(answer)) {
    }
  };
}

/// A body that lies nowhere: its bytes are made when they are asked for.
class MadeBody final : public HttpBody {
 public:
  explicit MadeBody(std::uint64_t size) : size_(size) {}
  static char at(std::uint64_t offset) { return static_cast<char>('a' + offset % 23); }
  std::uint64_t size() const override { return size_; }
  Result<std::size_t> read(std::uint64_t offset, char* into, std::size_t capacity) override {
    if (offset == fails_at) return Error(ErrorCode::io_error, "the disk is gone");
    std::size_t count = 0;
    for (; count < capacity && offset + count < std::min(size_, fails_at); ++count) into[count] = at(offset + count);
    return count;
  }
  std::uint64_t fails_at = ~std::uint64_t{0};

 private:
  std::uint64_t size_;
};

inline std::size_t open_files() {
  using Entries = std::filesystem::directory_iterator;
  return static_cast<std::size_t>(std::distance(Entries("/proc/self/fd"), Entries()));
}

/// Waits for what no descriptor tells of; false if it takes too long.
template <class Ready>
bool await(Ready ready, std::chrono::milliseconds limit = patience) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

/// What one thread of a test tells another, once each time. A server that is never told goes on all the same.
class Signal {
 public:
  void send() { told_.release(); }
  bool await() { return told_.try_acquire_for(patience); }

 private:
  std::counting_semaphore<> told_{0};
};

inline constexpr std::size_t many_megabytes = 20u << 20;

}  // namespace http1_kit
