// What policies may ask of a request body: another model, a continuation, a canonical text.
#include <deepseek/model/detail/codec.hpp>
#include <deepseek/model/detail/request_codec.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"

using namespace deepseek;
using deepseek::detail::chat_request_codec;
using deepseek::detail::completion_request_codec;
using Json = nlohmann::json;

namespace {

ChatRequest sample() {
  ChatRequest request;
  request.messages = {Message::system("Say \"model\""), Message::user("h\xC3\xA4?")};
  request.model = "deepseek-flash";
  request.user_id = "u-1";
  request.max_tokens = 100;
  return request;
}

std::string body_of(const ChatRequest& request, bool stream = true) {
  return detail::encode(request, "default", stream).value();
}

}  // namespace

TEST_CASE("a body for another model differs in nothing else", "") {
  const std::string body = body_of(sample());
  const std::string other = chat_request_codec().for_model(body, "a \"b\"").value();
  Json expected = Json::parse(body);
  expected["model"] = "a \"b\"";
  CHECK(Json::parse(other) == expected);
  CHECK(chat_request_codec().for_model(other, "deepseek-flash").value() == body);
  CHECK(chat_request_codec().for_model("{}", "m").error().code() == ErrorCode::internal);
}

TEST_CASE("an answer is gone on with as a prefix", "") {
  const auto next = [](const std::string& body, const char* content, const char* reasoning = "") {
    return chat_request_codec().continue_from(body, content, reasoning);
  };
  const std::string body = body_of(sample());
  const auto once = next(body, "Once upon", "hm");
  REQUIRE(once);
  Json expected = Json::parse(body);
  expected["messages"].push_back(
      {{"role", "assistant"}, {"content", "Once upon"}, {"prefix", true}, {"reasoning_content", "hm"}});
  CHECK(Json::parse(*once) == expected);
  CHECK(chat_request_codec().continue_at() == Operation::Base::beta_only);

  const auto twice = next(*once, " a time", "m");
  expected["messages"].back()["content"] = "Once upon a time";
  expected["messages"].back()["reasoning_content"] = "hmm";
  CHECK(Json::parse(twice.value()) == expected);

  CHECK(next(body, "").error().code() == ErrorCode::unsupported);
  ChatRequest with_tools = sample();
  with_tools.tools.push_back(Tool());
  with_tools.tools.back().name = "f";
  CHECK(next(body_of(with_tools), "x").error().code() == ErrorCode::unsupported);
  CHECK(next("[1]", "x").error().code() == ErrorCode::unsupported);
  CHECK(next("{\"messages\":7}", "x").error().code() == ErrorCode::unsupported);
  CHECK(next("{\"messages\":[{\"prefix\":\"yes\",\"content\":1}]}", "x").has_value());
  CHECK(next("{\"messages\":[{\"prefix\":true,\"content\":1}]}", "x").has_value());
}

TEST_CASE("a completion is gone on with behind its prompt", "") {
  CompletionRequest request;
  request.prompt = "def f(";
  request.suffix = "return 1";
  const std::string body = detail::encode(request, true).value();
  Json expected = Json::parse(body);
  expected["prompt"] = "def f(a, b";
  CHECK(Json::parse(completion_request_codec().continue_from(body, "a, b", "").value()) == expected);
  CHECK(completion_request_codec().continue_from(body, "", "").error().code() == ErrorCode::unsupported);
  CHECK(completion_request_codec().continue_from("{\"prompt\":\"p\",\"echo\":true}", "x", "").error().code() ==
        ErrorCode::unsupported);
  CHECK(completion_request_codec().continue_from("{\"prompt\":\"p\",\"echo\":\"x\"}", "x", "").has_value());
}

TEST_CASE("the canonical text tells answers apart and nothing else", "") {
  const auto text = [](const ChatRequest& request, bool stream) {
    return chat_request_codec().canonical(body_of(request, stream));
  };
  ChatRequest request = sample();
  const std::string plain = text(request, false);
  CHECK(text(request, true) == plain);
  request.include_usage = true;
  CHECK(text(request, true) == plain);
  CHECK(Json::parse(plain)["user_id"] == "u-1");

  ChatRequest one = sample();
  one.extra = RawJson(R"({"a":1,"b":[2, 3]})");
  ChatRequest two = sample();
  two.extra = RawJson(R"({"b":[2, 3],"a":1})");
  CHECK(text(one, false) == text(two, false));
  CHECK(text(one, false) != plain);

  const auto changed = [&](auto edit) {
    ChatRequest other = sample();
    edit(other);
    return text(other, false) != plain;
  };
  CHECK(changed([](ChatRequest& r) { r.model = "other"; }));
  CHECK(changed([](ChatRequest& r) { r.user_id = "u-2"; }));
  CHECK(changed([](ChatRequest& r) { r.temperature = 0.5; }));
  CHECK(changed([](ChatRequest& r) { r.messages[1].content += "!"; }));
  CHECK(chat_request_codec().canonical("{}") == "{}");
  std::string many = "{\"stream\":true";
  for (int i = 0; i < 50; ++i) many += ",\"k" + std::to_string(i) + "\":" + std::to_string(i);
  CHECK(Json::parse(chat_request_codec().canonical(many + "}")).size() == 50);
}

TEST_CASE("what policies are told of a request", "") {
  Call call;
  ChatRequest request = sample();
  detail::describe_request(request, std::string(400, ' '), call);
  CHECK(detail::model_of(request, "default") == "deepseek-flash");
  CHECK(call.user_id == "u-1");
  CHECK(call.weight == 200);
  CHECK(call.codec == &chat_request_codec());
  request.model.clear();
  request.max_tokens.reset();
  detail::describe_request(request, std::string(400, ' '), call);
  CHECK(detail::model_of(request, "default") == "default");
  CHECK(call.weight > 200);
  detail::describe_request(CompletionRequest(), "", call);
  CHECK(detail::model_of(CompletionRequest(), "default") == models::v4_pro);
  CHECK(call.codec == &completion_request_codec());
}

TEST_CASE("an image weighs what the service takes for one, not its bytes", "") {
  const auto weight = [](const ContentPart& part) {
    ChatRequest request;
    request.max_tokens = 100;
    request.messages = {Message::user("what is this?")};
    request.messages[0].parts = {ContentPart::text_part("look"), part};
    Call call;
    detail::describe_request(request, body_of(request), call);
    return call.weight;
  };
  const std::string picture = "data:image/png;base64," + std::string(1'000'000, 'A');
  const std::uint64_t around = weight(ContentPart::text_part(""));  // the request without it
  for (const ContentPart& part :
       {ContentPart::image(picture), ContentPart::image("https://example.com/" + std::string(4000, 'x')),
        ContentPart::image(picture, "high"), ContentPart::inline_file(picture, "a.png"),
        ContentPart::file("file-api-1")}) {
    CHECK(weight(part) >= around + 1000);
    CHECK(weight(part) <= around + 1100);
  }
  CHECK(weight(ContentPart::image(picture, "low")) <= around + 300);
  CHECK(weight(ContentPart::image(picture, "low")) >= around + 150);
  // What is not known to be an image counts by its bytes.
  CHECK(weight(ContentPart::inline_file("data:text/plain;base64," + std::string(40'000, 'A'))) >= around + 10'000);
  CHECK(weight(ContentPart::text_part(std::string(40'000, 'A'))) >= around + 10'000);
}
