// co_await an answer (C++20).
#include <coroutine>
#include <deepseek/coro.hpp>
#include <deepseek/deepseek.hpp>
#include <exception>
#include <future>
#include <iostream>

// The smallest coroutine type: starts at once, and a future tells its end. Yours will do as well.
struct Task {
  struct promise_type {
    std::promise<int> end;
    Task get_return_object() { return {end.get_future()}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_value(int status) { end.set_value(status); }
    void unhandled_exception() { end.set_exception(std::current_exception()); }
  };
  std::future<int> status;
};

Task ask_twice(deepseek::DeepSeekClient client) {
  // A request is named before it is awaited: GCC 12 destroys a braced one twice.
  deepseek::ChatRequest request{.messages = {deepseek::Message::user("Name a famous scientist.")},
                                .thinking = deepseek::thinking::disabled,
                                .max_tokens = 100};
  const auto first = co_await deepseek::coro::chat(client, request);
  if (!first) {
    std::cerr << first.error() << '\n';
    co_return 1;
  }
  std::cout << first->content() << '\n';

  // No thread waited meanwhile; here it goes on, on the client's I/O thread.
  request.messages.push_back(first->message());
  request.messages.push_back(deepseek::Message::user("What is this person known for? One sentence."));
  const auto second = co_await deepseek::coro::chat(client, request);
  if (!second) {
    std::cerr << second.error() << '\n';
    co_return 1;
  }
  std::cout << second->content() << '\n';
  co_return 0;
}

int main() {
  auto client = deepseek::DeepSeekClient::from_environment();
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }
  return ask_twice(*client).status.get();
}
