// Hundreds of answers at once: one I/O thread reads them all and calls back.
//
//   many_streams [COUNT]
#include <chrono>
#include <deepseek/deepseek.hpp>
#include <future>
#include <iostream>
#include <set>
#include <string>
#include <thread>

// Touched by callbacks only, which never run two at a time on one I/O thread: no lock.
struct Tally {
  int live = 0;
  int complete = 0;
  std::size_t chunks = 0;
  std::size_t bytes = 0;
  std::set<std::thread::id> threads;
  std::string first_error;
  std::promise<void> all_done;
};

deepseek::ChatHandler counting_into(Tally& tally) {
  deepseek::ChatHandler handler;
  handler.on_chunk = [&tally](const deepseek::ChatChunk& chunk) {
    ++tally.chunks;
    tally.bytes += chunk.content().size();
    tally.threads.insert(std::this_thread::get_id());
  };
  handler.on_end = [&tally](const deepseek::Result<deepseek::ChatReply>& reply) {
    if (reply)
      ++tally.complete;
    else if (tally.first_error.empty())
      tally.first_error = to_string(reply.error());
    if (--tally.live == 0) tally.all_done.set_value();
  };
  return handler;
}

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::stoi(argv[1]) : 300;
  auto client = deepseek::DeepSeekClient::from_environment();
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }

  Tally tally;
  tally.live = count;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) {
    deepseek::ChatRequest request;
    request.messages = {deepseek::Message::user("Write a line about the number " + std::to_string(i) + '.')};
    request.thinking = deepseek::thinking::disabled;
    request.max_tokens = 12;
    client->chat_async(request, counting_into(tally));  // the handle may be dropped: the call goes on
  }
  tally.all_done.get_future().wait();

  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::cout << tally.complete << " of " << count << " streams complete, " << tally.chunks << " chunks, " << tally.bytes
            << " bytes of text, on " << tally.threads.size() << " thread in " << seconds.count() << " s\n";
  if (tally.complete == count) return 0;
  std::cerr << tally.first_error << '\n';
  return 1;
}
