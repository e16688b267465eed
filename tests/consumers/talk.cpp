#include "talk.hpp"

#include <deepseek/deepseek.hpp>
#include <iostream>
#include <string>

bool DEEPSEEK_TALK(const char* base_url) {
  deepseek::ClientOptions options;
  options.endpoints = {{base_url, deepseek::api_key("a-key-for-the-double")}};
  auto client = deepseek::DeepSeekClient::create(options);
  if (!client) {
    std::cerr << client.error() << '\n';
    return false;
  }
  const auto reply = client->chat("Hello");
  if (!reply) {
    std::cerr << reply.error() << '\n';
    return false;
  }
  std::string streamed;
  auto stream = client->stream("Hello");
  for (const deepseek::ChatChunk& chunk : stream) streamed += chunk.content();
  if (const auto result = stream.result(); !result) {
    std::cerr << result.error() << '\n';
    return false;
  }
  return !streamed.empty() && !reply->content().empty();
}
