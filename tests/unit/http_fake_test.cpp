// FakeHttpEngine: what a user's test may rely on.
#include <deepseek/http/fake.hpp>

#include "support/catch.hpp"
#include "support/fake_loop.hpp"

namespace {

using namespace deepseek;
using namespace std::chrono_literals;

struct Handler : HttpHandler {
  void on_head(const HttpHead& head) override {
    status = head.status;
    type = head.header("content-type");
  }
  void on_data(std::string_view data) override {
    pieces.emplace_back(data);
    if (cancel_inside) cancel_inside->cancel();
  }
  void on_end(const HttpEnd& end) override {
    ++ends;
    last = end;
  }
  int status = 0;
  std::string type;
  std::vector<std::string> pieces;
  int ends = 0;
  HttpEnd last;
  std::shared_ptr<HttpTransfer> cancel_inside;
};

struct Scene {
  Scene() { engine.attach(loop); }
  std::shared_ptr<HttpTransfer> start(std::shared_ptr<HttpHandler> to) {
    HttpRequest request;
    request.url = "http://h/p";
    request.headers = {{"Accept", "x"}};
    request.body = make_body("body");
    return engine.start(std::move(request), std::move(to));
  }
  deepseek_tests::FakeLoop loop;
  FakeHttpEngine engine;
  std::shared_ptr<Handler> handler = std::make_shared<Handler>();
};

FakeReply reply_of(std::vector<FakeChunk> chunks, FakeReply::End end = FakeReply::End::clean) {
  FakeReply reply;
  reply.headers = {{"Content-Type", "text/plain"}};
  reply.chunks = std::move(chunks);
  reply.end = end;
  return reply;
}

}  // namespace

TEST_CASE("fake engine: plays a reply and keeps the request", "[modes]") {
  Scene scene;
  scene.engine.reply(reply_of({"a", "b"}));
  const auto transfer = scene.start(scene.handler);
  CHECK(scene.handler->status == 0);  // never before start() returned
  scene.loop.run();
  CHECK(scene.handler->status == 200);
  CHECK(scene.handler->type == "text/plain");
  CHECK(scene.handler->pieces == std::vector<std::string>{"a", "b"});
  CHECK(scene.handler->ends == 1);
  CHECK(scene.handler->last.clean);
  CHECK(scene.handler->last.head_complete);
  const auto requests = scene.engine.requests();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].url == "http://h/p");
  CHECK(requests[0].body == "body");
  CHECK(requests[0].header("accept") == "x");
}

TEST_CASE("fake engine: a request without a script cannot connect", "[modes]") {
  Scene scene;
  const auto transfer = scene.start(scene.handler);
  scene.loop.run();
  CHECK(scene.handler->status == 0);
  CHECK(scene.handler->ends == 1);
  CHECK(scene.handler->last.code == ErrorCode::connect_failed);
}

TEST_CASE("fake engine: ends as told", "[modes]") {
  using End = FakeReply::End;
  for (const End end : {End::broken, End::inside_head, End::before_head}) {
    Scene scene;
    scene.engine.reply(reply_of({"a"}, end));
    const auto transfer = scene.start(scene.handler);
    scene.loop.run();
    CHECK(scene.handler->ends == 1);
    CHECK_FALSE(scene.handler->last.clean);
    CHECK(scene.handler->last.head_complete == (end == End::broken));
    CHECK(scene.handler->pieces.size() == (end == End::broken ? 1 : 0));
  }
}

TEST_CASE("fake engine: a held reply is sent piece by piece", "[modes]") {
  Scene scene;
  scene.engine.reply(reply_of({}, FakeReply::End::hold));
  const auto transfer = scene.start(scene.handler);
  scene.loop.run();
  CHECK(scene.handler->status == 200);
  CHECK(scene.handler->ends == 0);
  scene.engine.send(0, "a");
  CHECK(scene.handler->pieces.empty());
  scene.loop.run();
  CHECK(scene.handler->pieces.size() == 1);
  scene.engine.finish(0, FakeReply::End::broken, ErrorCode::http_protocol);
  scene.loop.run();
  CHECK(scene.handler->ends == 1);
  CHECK(scene.handler->last.code == ErrorCode::http_protocol);
}

TEST_CASE("fake engine: waits on the loop's clock", "[modes]") {
  Scene scene;
  FakeReply reply = reply_of({{"a", 10s}, {"b", 5s}});
  reply.head_after = 1s;
  scene.engine.reply(reply);
  const auto transfer = scene.start(scene.handler);
  scene.loop.advance(900ms);
  CHECK(scene.handler->status == 0);
  scene.loop.advance(200ms);
  CHECK(scene.handler->status == 200);
  scene.loop.advance(10s);
  CHECK(scene.handler->pieces.size() == 1);
  scene.loop.advance(5s);
  CHECK(scene.handler->ends == 1);
  CHECK(scene.handler->last.timings.total == 16s);
}

TEST_CASE("fake engine: a paused transfer holds back data and end", "[modes]") {
  Scene scene;
  scene.engine.reply(reply_of({"a", "b"}));
  const auto transfer = scene.start(scene.handler);
  transfer->pause(true);
  scene.loop.run();
  CHECK(scene.handler->status == 200);
  CHECK(scene.handler->pieces.empty());
  CHECK(scene.handler->ends == 0);
  CHECK(scene.engine.paused(0));
  transfer->pause(false);
  CHECK(scene.handler->pieces.empty());  // not inside the caller
  scene.loop.run();
  CHECK(scene.handler->pieces.size() == 2);
  CHECK(scene.handler->ends == 1);
}

TEST_CASE("fake engine: a cancelled transfer is silent", "[modes]") {
  Scene scene;
  scene.engine.reply(reply_of({"a", "b"}));
  scene.engine.reply(reply_of({"a", {"b", 5s}}));
  scene.handler->cancel_inside = scene.start(scene.handler);
  scene.loop.run();
  CHECK(scene.handler->pieces.size() == 1);
  CHECK(scene.handler->ends == 0);
  CHECK(scene.engine.cancelled(0));
  const auto other = std::make_shared<Handler>();
  const auto transfer = scene.start(other);
  scene.loop.run();
  transfer->cancel();
  scene.loop.advance(10s);
  CHECK(other->pieces.size() == 1);
  CHECK(other->ends == 0);
  CHECK(scene.loop.timers() == 0);
  scene.handler->cancel_inside.reset();
}

TEST_CASE("fake engine: an answer may depend on the request", "[modes]") {
  Scene scene;
  scene.engine.answer_with([](const FakeRequest& request) {
    FakeReply reply;
    reply.status = request.body == "body" ? 201 : 400;
    return reply;
  });
  const auto transfer = scene.start(scene.handler);
  scene.loop.run();
  CHECK(scene.handler->status == 201);
}

TEST_CASE("fake engine: may be kept for longer than its client", "[modes]") {
  FakeHttpEngine engine;
  engine.reply(reply_of({"a"}));
  engine.reply(reply_of({{"a", 5s}}));
  engine.reply(reply_of({}, FakeReply::End::hold));
  const auto handler = std::make_shared<Handler>();
  std::vector<std::shared_ptr<HttpTransfer>> transfers;
  {
    deepseek_tests::FakeLoop loop;
    engine.attach(loop);
    for (int i = 0; i < 3; ++i) transfers.push_back(engine.start(HttpRequest(), handler));
    loop.run();
    CHECK(handler->ends == 1);
    CHECK(loop.timers() == 1);
    engine.send(2, "on its way");
    engine.detach();
    CHECK(handler.use_count() == 1);
    CHECK(loop.timers() == 0);
    CHECK_FALSE(engine.cancelled(0));  // nobody gave it up
    const std::size_t posted = loop.posted();
    engine.send(2, "too late");
    engine.finish(2);
    CHECK(loop.posted() == posted);
    loop.run();
  }
  engine.send(2, "the loop has gone");
  engine.finish(2);
  for (const auto& transfer : transfers) transfer->cancel();
  CHECK(handler->pieces.size() == 1);
  CHECK(handler->ends == 1);
  CHECK(engine.requests().size() == 3);
}
