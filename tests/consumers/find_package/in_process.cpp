// The double in the process of an application's test.
#include <deepseek/deepseek.hpp>
#include <deepseek/testing/double.hpp>
#include <iostream>

int main() {
  deepseek::test::Double server;
  server.script({deepseek::test::say("Hello again")});
  const auto client = deepseek::DeepSeekClient::create(server.client_options());
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }
  const auto reply = client->chat("Hello");
  if (!reply) {
    std::cerr << reply.error() << '\n';
    return 1;
  }
  return reply->content() == "Hello again" && server.requests().size() == 1 ? 0 : 1;
}
