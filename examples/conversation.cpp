// What only DeepSeek does: thinking over several turns, strict tools, prefix completion, FIM, the balance.
//
// Any other server that has a /beta is named with it: DEEPSEEK_BASE_URL=http://127.0.0.1:8080/beta
#include <deepseek/deepseek.hpp>
#include <iostream>

using deepseek::DeepSeekClient;
using deepseek::Message;

struct Sum {
  double a = 0;
  double b = 0;
};

template <>
struct deepseek::Schema<Sum> {
  static constexpr auto fields = std::make_tuple(field("a", &Sum::a), field("b", &Sum::b));
};

deepseek::Result<void> balance(const DeepSeekClient& client) {
  auto balance = client.balance();
  if (!balance) return balance.error();
  for (const auto& info : balance->balance_infos)
    std::cout << "balance: " << info.total_balance << ' ' << info.currency << '\n';
  return {};
}

// Every turn is kept with its reasoning, byte for byte, and goes back that way where the service wants it.
// A strict tool: the service itself holds the model to the schema.
deepseek::Result<void> turns(const DeepSeekClient& client) {
  deepseek::Tools tools;
  tools.strict().add("add", "Adds two numbers", [](const Sum& sum) { return std::to_string(sum.a + sum.b); });

  deepseek::ConversationOptions options;
  options.system = "You are brief.";
  options.thinking = deepseek::thinking::enabled;
  options.reasoning_effort = deepseek::effort::low;
  options.max_tokens = 2000;
  deepseek::Conversation talk(client, options);
  for (const char* question : {"What is 17.25 and 4.5 together? Use the tool.", "And twice that?"}) {
    auto reply = talk.ask(question, tools);
    if (!reply) return reply.error();
    std::cout << "turn: " << reply->content() << '\n';
  }
  for (const Message& message : talk.history())
    std::cout << "  " << message.role << ": " << message.reasoning_content.value_or("").size()
              << " bytes of reasoning, " << message.tool_calls.size() << " calls\n";
  return {};
}

// The answer goes on from words put into the model's mouth.
deepseek::Result<void> prefix(const DeepSeekClient& client) {
  deepseek::ChatRequest request;
  request.messages = {Message::user("Print the first ten squares in Python. Code only."),
                      Message::assistant("```python\n")};
  request.messages.back().prefix = true;
  request.thinking = deepseek::thinking::disabled;
  request.stop = {"```"};
  request.max_tokens = 200;
  auto reply = client.chat(request);
  if (!reply) return reply.error();
  std::cout << "prefix: " << reply->content() << '\n';
  return {};
}

// Text between two texts.
deepseek::Result<void> fill_in_the_middle(const DeepSeekClient& client) {
  deepseek::CompletionRequest request;
  request.prompt = "int add(int a, int b) {\n  ";
  request.suffix = "\n}\n";
  request.max_tokens = 32;
  auto reply = client.complete(request);
  if (!reply) return reply.error();
  std::cout << "fim: " << reply->content() << '\n';
  return {};
}

int main() {
  auto client = DeepSeekClient::from_environment();
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }
  for (auto* part : {balance, turns, prefix, fill_in_the_middle}) {
    if (auto done = part(*client); !done) {
      std::cerr << done.error() << '\n';
      return 1;
    }
  }
}
