// A program that carries the library with it: no libdeepseek, no package, the headers and one source file.
#include <deepseek/deepseek.hpp>
#include <iostream>

int main() {
  auto client = deepseek::DeepSeekClient::from_environment();
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }

  deepseek::ChatRequest request;
  request.messages = {deepseek::Message::user("Say hello in three languages.")};
  request.thinking = deepseek::thinking::disabled;
  request.max_tokens = 60;
  auto reply = client->chat(request);
  if (!reply) {
    std::cerr << reply.error() << '\n';
    return 1;
  }
  std::cout << reply->content() << '\n';
}
