// Reasoning comes before the answer, in a field of its own.
//
//   thinking [JSON]    further members of the request, for servers that switch thinking on in their own
//                      way: '{"chat_template_kwargs": {"enable_thinking": true}}'
#include <deepseek/deepseek.hpp>
#include <iostream>

int main(int argc, char** argv) {
  auto client = deepseek::DeepSeekClient::from_environment();
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }

  deepseek::ChatRequest request;
  request.messages = {deepseek::Message::user("Why do cats purr?")};
  request.thinking = deepseek::thinking::enabled;
  request.reasoning_effort = deepseek::effort::low;
  if (argc > 1) request.extra = deepseek::RawJson(argv[1]);

  auto stream = client->stream(request);
  for (const deepseek::ChatChunk& chunk : stream) {
    std::clog << chunk.reasoning_content() << std::flush;
    std::cout << chunk.content() << std::flush;
  }

  auto reply = stream.result();
  if (!reply) {
    std::cerr << reply.error() << '\n';
    return 1;
  }
  std::cout << "\n[" << reply->reasoning_content().size() << " bytes of reasoning before " << reply->content().size()
            << " of answer]\n";
}
