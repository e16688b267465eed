// The faces of a call over a transport without a network.
#include <deepseek/queue.hpp>

#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <thread>

#include "support/catch.hpp"
#include "support/clients.hpp"
#include "support/scripted_transport.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::ask;
using deepseek_tests::Collector;
using deepseek_tests::reply_body;
using deepseek_tests::ScriptedClient;
using deepseek_tests::ScriptedTransport;
using deepseek_tests::stream_event;

namespace {

const char* const two_models = R"({"object":"list","data":[{"id":"a"},{"id":"b"}]})";
const char* const some_money =
    R"({"is_available":true,"balance_infos":[{"currency":"CNY","total_balance":"1.50","granted_balance":"0","topped_up_balance":"1.50"}]})";

std::string fim_event(const std::string& text, const std::string& finish = "null") {
  return R"({"id":"f","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":")" + text +
         R"(","finish_reason":)" + finish + "}]}";
}

/// One thread that runs tasks in order.
class OneThread final : public Executor {
 public:
  ~OneThread() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  void post(Task task) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }
  bool running_here() const override { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return done_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = nullptr;
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> tasks_;
  bool done_ = false;
  std::thread thread_{[this] { run(); }};
};

}  // namespace

TEST_CASE("models and balance later", "[concurrent]") {
  ScriptedClient scripted;
  scripted.transport->answer(std::string(two_models));
  scripted.transport->answer(std::string(some_money));
  scripted.transport->fail(Error(ErrorCode::connect_failed, "no"));
  scripted.transport->answer(std::string("[]"));
  const auto models = scripted.client.models_future().get();
  REQUIRE(models);
  CHECK(models->data.size() == 2);
  CHECK(models->data[1].id == "b");
  const auto balance = scripted.client.balance_future().get();
  REQUIRE(balance);
  CHECK(balance->balance_infos.at(0).total_balance == "1.50");
  CHECK(scripted.client.models_future().get().error().code() == ErrorCode::connect_failed);
  CHECK(scripted.client.balance_future().get().error().code() == ErrorCode::schema_mismatch);
}

TEST_CASE("completions later", "[concurrent]") {
  ScriptedClient scripted;
  scripted.transport->answer(fim_event("a, b", "\"stop\""));
  scripted.transport->answer({fim_event("a"), fim_event(", b", "\"stop\""), "[DONE]"});
  scripted.transport->answer(std::vector<std::string>{fim_event("a")});
  CompletionRequest request;
  request.prompt = "def f(";
  const auto whole = scripted.client.complete_future(request).get();
  REQUIRE(whole);
  CHECK(whole->content() == "a, b");

  Collector collector;
  const CallHandle handle = scripted.client.complete_async(request, collector.handler());
  REQUIRE(collector.await_ends(1));
  CHECK(collector.text() == "a, b");
  CHECK(collector.results()[0].value().content() == "a, b");

  scripted.client.complete_async(request, collector.handler());
  REQUIRE(collector.await_ends(2));
  CHECK(collector.results()[1].error().code() == ErrorCode::truncated);
  CHECK(collector.results()[1].error().partial()->content() == "a");
  const auto requests = scripted.transport->requests();
  CHECK(requests.at(0).find("\"stream\":false") != std::string::npos);
  CHECK(requests.at(1).find("\"stream\":true") != std::string::npos);
}

TEST_CASE("a dropped future does not wait and does not cancel", "[concurrent]") {
  ScriptedClient scripted;
  scripted.transport->answer(std::string(two_models));
  scripted.transport->answer(std::string(two_models));
  (void)scripted.client.models_future();
  CHECK(scripted.client.models().has_value());
  CHECK(scripted.transport->requests().size() == 2);
}

TEST_CASE("the last client may go on its own executor", "[concurrent]") {
  auto executor = std::make_shared<OneThread>();
  auto transport = std::make_shared<ScriptedTransport>();
  transport->answer({stream_event(R"({"content":"hi"})", "stop"), "[DONE]"});
  ClientOptions options;
  options.transport = transport;
  options.executor = executor;
  options.endpoints = {{"https://example.com"}};
  auto client = std::make_shared<std::optional<DeepSeekClient>>(DeepSeekClient::create(options).value());
  options = ClientOptions();
  std::promise<std::pair<bool, std::string>> ended;
  ChatHandler handler;
  handler.on_end = [&ended, client, executor = executor.get()](Result<ChatReply> reply) {
    // Waiting here for callbacks that only this thread could run would never end.
    client->reset();
    ended.set_value({executor->running_here(), reply ? reply->content() : reply.error().message()});
  };
  (*client)->chat_async(ask("hi"), std::move(handler));
  const auto [there, text] = ended.get_future().get();
  CHECK(there);
  CHECK(text == "hi");
}

TEST_CASE("a reply tells how it came", "[concurrent]") {
  ScriptedClient scripted;
  scripted.transport->answer(reply_body(R"({"role":"assistant","content":"hi"})"));
  const auto reply = scripted.client.chat(ask("hi"));
  REQUIRE(reply);
  CHECK(reply->info.endpoint == "https://api.deepseek.com");
  CHECK(reply->info.cache == "off");
  CHECK(reply->info.retries == 0);
  CHECK(reply->info.degraded.empty());
}

TEST_CASE("a queue that was moved from answers like one that is dead") {
  ScriptedClient scripted;
  EventQueue queue(scripted.client);
  const EventQueue owner = std::move(queue);
  CHECK(owner.fd() >= 0);
  CHECK(queue.submit(ask("hi"), 1).finished());  // NOLINT: that is what is tested
  CHECK_FALSE(queue.next());
  CHECK(queue.fd() == -1);
  CHECK(queue.live() == 0);
}

TEST_CASE("a transport says which endpoints it can use") {
  struct Picky : ScriptedTransport {
    std::optional<Error> check(const Endpoint& endpoint) const override {
      if (endpoint.base_url == "grpcs://example.com:443") return std::nullopt;
      return Error(ErrorCode::invalid_options, "no such address");
    }
    bool confidential(const Endpoint&) const override { return true; }
  };
  const auto create = [](std::shared_ptr<Transport> transport, const char* base) {
    ClientOptions options;
    options.endpoints = {{base, api_key(std::string("k"))}};
    options.transport = std::move(transport);
    return DeepSeekClient::create(std::move(options));
  };
  CHECK(create(std::make_shared<ScriptedTransport>(), "grpcs://example.com:443").error().code() ==
        ErrorCode::invalid_options);
  CHECK(create(std::make_shared<Picky>(), "https://example.com").error().message() == "no such address");
  const auto picky = std::make_shared<Picky>();
  picky->answer(reply_body(R"({"role":"assistant","content":"hi"})"));
  const auto client = create(picky, "grpcs://example.com:443");
  REQUIRE(client);
  CHECK(client->chat(ask("hi")).has_value());
}
