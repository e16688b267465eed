// Three ways to stop a call. Each ends as `cancelled` or `timed_out`, at once, with the text so far.
#include <chrono>
#include <deepseek/deepseek.hpp>
#include <future>
#include <iostream>
#include <thread>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr const char* prompt = "Count from one to two hundred in words.";

void report(const char* how, const deepseek::Result<deepseek::ChatReply>& reply) {
  if (reply) {
    std::cout << how << ": complete before it was stopped\n";
    return;
  }
  const deepseek::ChatReply* partial = reply.error().partial();
  std::cout << how << ": " << to_string(reply.error().outcome()) << " after "
            << (partial ? partial->content().size() + partial->reasoning_content().size() : 0) << " bytes of text\n";
}

// The reader has seen enough.
void after_some_text(const deepseek::DeepSeekClient& client) {
  auto stream = client.stream(prompt);
  int chunks = 0;
  for (const deepseek::ChatChunk& chunk : stream) {
    chunks += chunk.content().empty() && chunk.reasoning_content().empty() ? 0 : 1;
    if (chunks == 3) stream.cancel();
  }
  report("stopped by the reader", stream.result());
}

// Somebody else decides: one source cancels every call that holds its token.
void from_another_thread(const deepseek::DeepSeekClient& client) {
  const deepseek::CancelSource source;
  deepseek::CallOptions options;
  options.cancel = source.token();
  Clock::time_point cancelled;
  std::promise<void> seen;
  std::thread user([&] {
    seen.get_future().wait();  // the first words are enough
    cancelled = Clock::now();
    source.cancel();
  });
  auto stream = client.stream(prompt, options);
  bool words = false;
  while (const deepseek::ChatChunk* chunk = stream.next()) {
    if (words || (chunk->content().empty() && chunk->reasoning_content().empty())) continue;
    words = true;
    seen.set_value();
  }
  if (!words) seen.set_value();
  auto reply = stream.result();
  const auto ended = Clock::now();
  user.join();
  report("stopped by a token", reply);
  if (reply) return;
  const auto latency = std::chrono::duration_cast<std::chrono::microseconds>(ended - cancelled);
  std::cout << "  " << latency.count() << " us from cancel() to the end of the call\n";
}

// No later than this, whatever happens.
void by_a_deadline(const deepseek::DeepSeekClient& client) {
  deepseek::CallOptions options;
  options.deadline = Clock::now() + 250ms;
  auto stream = client.stream(prompt, options);
  report("stopped by a deadline", stream.result());
}

int main() {
  auto client = deepseek::DeepSeekClient::from_environment();
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }
  after_some_text(*client);
  from_another_thread(*client);
  by_a_deadline(*client);
}
