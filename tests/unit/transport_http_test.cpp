// HttpTransport: requests as they leave, timers, and what an engine may do to it.
#include <deepseek/http/fake.hpp>
#include <deepseek/transport/endpoint.hpp>
#include <deepseek/transport/http.hpp>
#include <deepseek/version.hpp>

#include "support/catch.hpp"
#include "support/fake_loop.hpp"

namespace {

using namespace deepseek;
using namespace std::chrono_literals;

/// Takes "tN" as a token, "[DONE]" as the end; complete once the end was seen.
struct PlainDecoder : Decoder {
  FrameKind inspect(std::string_view data) override {
    if (data == "[DONE]") return done = true, FrameKind::end;
    return data.front() == 't' ? FrameKind::token : FrameKind::data;
  }
  std::optional<Error> conclude(bool clean) override {
    if (clean) return std::nullopt;
    return Error(ErrorCode::truncated, "cut");
  }
  Error error_from_body(int, std::string_view) override { return Error(ErrorCode::http_error, "status"); }
  void reset() override { done = false; }
  bool done = false;
};

struct Sink : CallSink {
  void on_frame(const Frame&) override { ++frames; }
  void on_end(std::optional<Error> error) override {
    ++ends;
    outcome = std::move(error);
  }
  int frames = 0;
  int ends = 0;
  std::optional<Error> outcome;
};

struct Scene {
  Scene() {
    transport->attach(loop);
    call->operation.method = "POST";
    call->operation.path = "/chat/completions";
    call->operation.stream = true;
    call->body = "{}";
    call->decoder = std::make_shared<PlainDecoder>();
    set_base_url("https://api.deepseek.com");
  }
  void set_base_url(const std::string& url) {
    Endpoint endpoint;
    endpoint.base_url = url;
    call->endpoint = std::make_shared<const Endpoint>(endpoint);
  }
  FakeRequest sent() {
    engine->reply({});
    transport->start(call, sink);
    loop.run();
    const auto requests = engine->requests();
    REQUIRE(requests.size() == 1);
    return requests[0];
  }
  ErrorCode refused() {
    transport->start(call, sink);
    CHECK(sink->ends == 0);
    loop.run();
    CHECK(sink->ends == 1);
    CHECK(engine->requests().empty());
    return sink->outcome ? sink->outcome->code() : ErrorCode::internal;
  }
  static FakeReply stream(std::vector<FakeChunk> chunks, FakeReply::End end = FakeReply::End::clean) {
    FakeReply reply;
    reply.headers = {{"Content-Type", "text/event-stream"}};
    reply.chunks = std::move(chunks);
    reply.end = end;
    return reply;
  }

  deepseek_tests::FakeLoop loop;
  std::shared_ptr<FakeHttpEngine> engine = std::make_shared<FakeHttpEngine>();
  std::shared_ptr<Transport> transport = make_http_transport(std::shared_ptr<HttpEngine>(engine));
  CallPtr call = std::make_shared<Call>();
  std::shared_ptr<Sink> sink = std::make_shared<Sink>();
};

}  // namespace

TEST_CASE("http transport: what a request carries", "[modes]") {
  Scene scene;
  scene.call->authorization = Secret("Bearer k");
  const FakeRequest request = scene.sent();
  CHECK(request.method == "POST");
  CHECK(request.url == "https://api.deepseek.com/chat/completions");
  CHECK(request.body == "{}");
  CHECK(request.header("content-type") == "application/json");
  CHECK(request.header("accept") == "text/event-stream");
  CHECK(request.header("accept-encoding") == "identity");
  CHECK(request.header("user-agent") == "deepseek/" + std::string(version));
  CHECK(request.header("authorization") == "Bearer k");
  CHECK(request.headers.size() == 5);
}

TEST_CASE("http transport: a GET has no body, no key is no header", "[modes]") {
  Scene scene;
  scene.call->operation.method = "GET";
  scene.call->operation.stream = false;
  scene.call->body.clear();
  const FakeRequest request = scene.sent();
  CHECK(request.method == "GET");
  CHECK(request.header("accept") == "*/*");
  CHECK(request.header("content-type").empty());
  CHECK(request.header("authorization").empty());
}

TEST_CASE("http transport: user headers are added or replace ours", "[modes]") {
  Scene scene;
  scene.call->headers = {{"X-Mine", "caf\xC3\xA9\ttab"}, {"USER-AGENT", "mine"}, {"X-Mine2", ""}, {"x-mine", "later"}};
  const FakeRequest request = scene.sent();
  CHECK(request.header("x-mine") == "later");
  CHECK(request.header("user-agent") == "mine");
  CHECK(std::count_if(request.headers.begin(), request.headers.end(),
                      [](const HttpHeader& h) { return h.value == "mine"; }) == 1);
}

TEST_CASE("http transport: headers that could break the message are refused", "[modes]") {
  const HttpHeader bad[] = {{"X-A", "a\r\nX-B: b"},
                            {"X-A", "a\nb"},
                            {"X-A", std::string("a\0b", 3)},
                            {"", "a"},
                            {"X A", "a"},
                            {"X:A", "a"},
                            {"X\r\nA", "a"},
                            {"Content-Length", "1"},
                            {"transfer-encoding", "chunked"},
                            {"HOST", "other"},
                            {"Connection", "close"},
                            {"X-A", "\x7F"}};
  for (const HttpHeader& header : bad) {
    Scene scene;
    scene.call->headers = {header};
    CHECK(scene.refused() == ErrorCode::invalid_argument);
  }
  Scene scene;
  scene.call->authorization = Secret("Bearer hidden\r\nX: y");
  CHECK(scene.refused() == ErrorCode::invalid_argument);
  CHECK(to_string(*scene.sink->outcome).find("hidden") == std::string::npos);
}

TEST_CASE("http transport: a bad address is refused, not sent", "[modes]") {
  Scene scene;
  scene.set_base_url("http://user:hidden@h");
  CHECK(scene.refused() == ErrorCode::invalid_options);
  CHECK(to_string(*scene.sink->outcome).find("hidden") == std::string::npos);
  Scene beta;
  beta.set_base_url("http://127.0.0.1:1/v1");
  beta.call->operation.base = Operation::Base::beta_only;
  CHECK(beta.refused() == ErrorCode::unsupported);
  CHECK(beta.sink->outcome->outcome() == Outcome::refused);
}

TEST_CASE("http transport: a refused call can be aborted before it says so", "[modes]") {
  Scene scene;
  scene.set_base_url("nonsense");
  scene.transport->start(scene.call, scene.sink);
  scene.call->on_abort(Error(ErrorCode::cancelled, "by the caller"));
  CHECK(scene.sink->ends == 1);
  scene.loop.run();
  CHECK(scene.sink->ends == 1);
  CHECK(scene.sink->outcome->code() == ErrorCode::cancelled);
}

TEST_CASE("http transport: an event costs no timer", "[modes]") {
  Scene scene;
  std::vector<FakeChunk> chunks;
  for (int i = 0; i < 1000; ++i) chunks.push_back({"data: t\n\n", 10ms});
  chunks.push_back("data: [DONE]\n\n");
  scene.engine->reply(Scene::stream(std::move(chunks)));
  const std::size_t engine_timers = 1000;
  scene.transport->start(scene.call, scene.sink);
  scene.loop.run_all();
  CHECK(scene.sink->frames == 1001);
  CHECK_FALSE(scene.sink->outcome);
  CHECK(scene.loop.schedules - engine_timers <= 2);
  CHECK(scene.loop.timers() == 0);
}

TEST_CASE("http transport: the end mark waits a moment for the transfer to end", "[modes]") {
  for (const bool in_time : {true, false}) {
    Scene scene;
    scene.engine->reply(Scene::stream({"data: t\n\ndata: [DONE]\n\n"}, FakeReply::End::hold));
    scene.transport->start(scene.call, scene.sink);
    scene.loop.run();
    scene.loop.advance(50ms);
    CHECK(scene.sink->ends == 0);
    if (in_time) scene.engine->finish(0);
    scene.loop.advance(in_time ? 0ms : 51ms);
    CHECK(scene.sink->ends == 1);
    CHECK_FALSE(scene.sink->outcome);
    CHECK(scene.engine->cancelled(0) == !in_time);  // only then the connection is lost
    CHECK(scene.loop.timers() == 0);
  }
}

TEST_CASE("http transport: a strike cancels the transfer and tells the phases so far", "[modes]") {
  Scene scene;
  scene.call->timeouts.idle = 3s;
  scene.call->started = scene.loop.now();
  scene.engine->reply(Scene::stream({{"data: t\n\n", 2s}}, FakeReply::End::hold));
  scene.transport->start(scene.call, scene.sink);
  scene.loop.advance(4999ms);
  CHECK(scene.sink->ends == 0);
  scene.loop.advance(1ms);
  REQUIRE(scene.sink->ends == 1);
  CHECK(scene.sink->outcome->code() == ErrorCode::timeout_idle);
  CHECK(scene.sink->outcome->clock() == "idle");
  CHECK(scene.engine->cancelled(0));
  CHECK(scene.call->facts.http.total == 5s);
  CHECK(scene.call->facts.first_token == 2s);
}

TEST_CASE("http transport: destroyed with a call under way, it leaves nothing behind", "[modes]") {
  Scene scene;
  scene.engine->reply(Scene::stream({"data: t\n\n"}, FakeReply::End::hold));
  scene.transport->start(scene.call, scene.sink);
  scene.loop.run();
  CHECK(scene.loop.timers() == 1);
  scene.transport.reset();
  scene.engine.reset();
  CHECK(scene.call->on_abort == nullptr);
  CHECK(scene.call->on_pause == nullptr);
  CHECK(scene.loop.timers() == 0);
  scene.loop.advance(24h);
  CHECK(scene.sink->ends == 0);
}

TEST_CASE("http transport: an engine that sends on while paused loses nothing", "[modes]") {
  struct Stubborn : HttpEngine {
    struct Transfer : HttpTransfer {
      void cancel() override {}
      void pause(bool) override {}
      HttpTimings timings() const override { return {}; }
    };
    void attach(Loop&) override {}
    std::shared_ptr<HttpTransfer> start(HttpRequest, std::shared_ptr<HttpHandler> to) override {
      handler = std::move(to);
      return std::make_shared<Transfer>();
    }
    std::shared_ptr<HttpHandler> handler;
  };
  Scene scene;
  auto engine = std::make_shared<Stubborn>();
  auto transport = make_http_transport(std::shared_ptr<HttpEngine>(engine));
  transport->attach(scene.loop);
  transport->start(scene.call, scene.sink);
  engine->handler->on_head({200, 11, "content-type: text/event-stream\r\n"});
  scene.call->pause(true);
  engine->handler->on_data("data: t\n\ndata: t\n\n");
  engine->handler->on_data("data: [DONE]\n\n");
  HttpEnd end;
  end.clean = end.head_complete = true;
  engine->handler->on_end(end);
  scene.loop.advance(1h);
  CHECK(scene.sink->frames == 0);
  CHECK(scene.sink->ends == 0);
  scene.call->pause(false);
  scene.loop.run();
  CHECK(scene.sink->frames == 3);
  CHECK(scene.sink->ends == 1);
  CHECK_FALSE(scene.sink->outcome);
}

TEST_CASE("http transport: while the reader holds back, the clocks stand still", "[modes]") {
  Scene scene;
  scene.call->timeouts.idle = 5s;
  scene.engine->reply(Scene::stream({"data: t\n\n"}, FakeReply::End::hold));
  scene.transport->start(scene.call, scene.sink);
  scene.loop.advance(2s);
  scene.call->pause(true);
  scene.loop.advance(600s);
  scene.call->pause(false);
  scene.loop.advance(2900ms);
  CHECK(scene.sink->ends == 0);
  scene.loop.advance(100ms);
  REQUIRE(scene.sink->ends == 1);
  CHECK(scene.sink->outcome->code() == ErrorCode::timeout_idle);
}
