// A streamed answer: the whole program.
// clang-format off: ten is a promise
#include <deepseek/deepseek.hpp>
#include <iostream>

int main() {
  auto client = deepseek::DeepSeekClient::from_environment();        // DEEPSEEK_API_KEY, DEEPSEEK_BASE_URL
  if (!client) { std::cerr << client.error() << '\n'; return 1; }

  auto stream = client->stream("Why is the sky blue?");              // or a ChatRequest
  for (const deepseek::ChatChunk& chunk : stream)
    std::cout << chunk.content() << std::flush;

  if (auto reply = stream.result(); !reply) { std::cerr << reply.error() << '\n'; return 1; }
}
