// How a program that uses the library is tested: a server in this process that plays DeepSeek and goes
// wrong on command. Link deepseek::testing.
#include <deepseek/deepseek.hpp>
#include <deepseek/testing/double.hpp>
#include <iostream>

using deepseek::test::say;

int main() {
  deepseek::test::Double server;
  server.script({say("Hello there").cut_after_events(3), deepseek::test::status(503), say("Hello again")});
  auto client = deepseek::DeepSeekClient::create(server.client_options());
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }

  // A stream that breaks is no answer, but what was delivered is not lost, and never delivered twice.
  auto cut = client->stream("hi").result();
  if (cut || cut.error().outcome() != deepseek::Outcome::truncated || !cut.error().partial()) return 1;
  std::cout << cut.error().outcome() << ", delivered: " << cut.error().partial()->content() << '\n';

  // The 503 delivered nothing: the request is sent again.
  auto whole = client->chat("hi");
  if (!whole || whole->content() != "Hello again" || server.requests().size() != 3) return 1;
  std::cout << whole->content() << ", after " << whole->info.attempts << " requests\n";
}
