// Error bodies of every kind become one typed error.
#include <deepseek/model/detail/codec.hpp>

#include "support/catch.hpp"
#include "support/shared_data.hpp"

using namespace deepseek;
using detail::decode_error;

TEST_CASE("recorded error bodies") {
  if (!deepseek_tests::has_shared("fixtures/error-402.resp.json")) SKIP_TEST("no shared fixtures");
  struct Case {
    const char* file;
    int status;
    ErrorCode code;
    const char* words;
    const char* type;
  };
  for (const Case& c : std::vector<Case>{
           {"error-402", 402, ErrorCode::insufficient_balance, "Insufficient Balance", "unknown_error"},
           {"error-503", 503, ErrorCode::overloaded, "Service is too busy", "service_unavailable_error"},
           {"error-unknown-model", 400, ErrorCode::bad_request, "deepseek-v9-nonexistent", "invalid_request_error"},
           {"error-context-length", 400, ErrorCode::bad_request, "1048565 tokens", "invalid_request_error"},
           {"models-401", 401, ErrorCode::authentication, "Authentication Fails", "authentication_error"},
       }) {
    const Error error =
        decode_error(c.status, deepseek_tests::read_shared(std::string("fixtures/") + c.file + ".resp.json"));
    CHECK(error.code() == c.code);
    CHECK(error.outcome() == Outcome::http_error);
    CHECK(error.http_status() == c.status);
    CHECK(error.message().find(std::to_string(c.status) + ": ") == 0);
    CHECK(error.message().find(c.words) != std::string::npos);
    CHECK(error.service().type == c.type);
    CHECK_FALSE(error.advice().empty());
    CHECK(error.cause().empty());
  }
}

TEST_CASE("every status has its code") {
  struct Case {
    int status;
    ErrorCode code;
    bool retryable;
  };
  for (const Case& c : {Case{301, ErrorCode::redirected, false}, Case{400, ErrorCode::bad_request, false},
                        Case{401, ErrorCode::authentication, false}, Case{402, ErrorCode::insufficient_balance, false},
                        Case{403, ErrorCode::authentication, false}, Case{404, ErrorCode::not_found, false},
                        Case{408, ErrorCode::http_error, true}, Case{413, ErrorCode::bad_request, false},
                        Case{418, ErrorCode::http_error, false}, Case{422, ErrorCode::bad_request, false},
                        Case{429, ErrorCode::rate_limited, true}, Case{500, ErrorCode::server_error, true},
                        Case{502, ErrorCode::server_error, true}, Case{503, ErrorCode::overloaded, true},
                        Case{504, ErrorCode::server_error, true}, Case{529, ErrorCode::overloaded, true},
                        Case{599, ErrorCode::server_error, true}}) {
    const Error error = decode_error(c.status, "");
    CHECK(error.code() == c.code);
    CHECK(error.retryable() == c.retryable);
    CHECK(error.message().size() > 8);
    CHECK_FALSE(error.advice().empty());
  }
}

TEST_CASE("bodies of other shapes") {
  CHECK(decode_error(429, R"({"error":"slow down"})").message() == "429: slow down");
  CHECK(decode_error(400, R"({"detail":"bad"})").message() == "400: bad");
  CHECK(decode_error(400, R"({"message":"bad","code":7})").service().code == "7");
  CHECK(decode_error(529, R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})")
            .service()
            .type == "overloaded_error");
  const Error counted =
      decode_error(500, R"({"error":{"code":500,"message":"broken","type":"server_error","param":"p"}})");
  CHECK((counted.service().code == "500" && counted.service().param == "p"));
  const Error page = decode_error(
      502, "<html><head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body></html>");
  CHECK(page.cause() == "502 Bad Gateway 502 Bad Gateway");
  CHECK(page.message() == "502: a gateway got no good answer");
  CHECK(decode_error(500, "line one\n\tline \x1b[31mtwo\x7f").cause() == "line one line [31mtwo");
  CHECK(decode_error(500, "\xff\xfe").cause() == "??");
  CHECK(decode_error(500, "{\"error\":").cause() == "{\"error\":");
  CHECK(decode_error(500, "{}").cause() == "{}");
  CHECK(decode_error(500, std::string(100000, 'x')).cause().size() == 200);
  std::string wide;
  for (int i = 0; i < 400; ++i) wide += "\xE4\xBD\xA0";
  CHECK(decode_error(500, wide).cause().size() <= 200);
  CHECK(decode_error(500, wide).cause().substr(195) == "...");
  CHECK(decode_error(400, R"({"error":{"message":")" + std::string(5000, 'y') + "\"}}").service().message.size() ==
        500);
  CHECK(decode_error(400, std::string(50000, '[')).code() == ErrorCode::bad_request);
  CHECK(decode_error(400, R"([{"error":{"code":400,"message":"bad","status":"INVALID"}}])").message() == "400: bad");
  CHECK(decode_error(400, "[]").cause() == "[]");
  CHECK(decode_error(400, R"({"error":{"message":"a\nb\u0000c"}})").message() == "400: a b c");
}

TEST_CASE("an error inside a 200 is no status") {
  for (const char* body : {R"({"message":"boom"})", "boom", R"({"error":{"message":"boom"}})"}) {
    const Error error = decode_error(200, body);
    CHECK(error.code() == ErrorCode::service_error);
    CHECK(error.outcome() == Outcome::service_error);
    CHECK(error.message() == "the service ended the stream with an error: boom");
  }
  CHECK(decode_error(200, "Insufficient Balance").code() == ErrorCode::insufficient_balance);
}

TEST_CASE("an empty account is known by its words under any status") {
  for (const int status : {400, 403, 429, 500})
    for (const char* body : {R"({"error":{"message":"insufficient BALANCE"}})",
                             R"({"error":{"message":"x","code":"insufficient_quota"}})", "Insufficient Balance"}) {
      const Error error = decode_error(status, body);
      CHECK(error.code() == ErrorCode::insufficient_balance);
      CHECK(error.http_status() == status);
      CHECK_FALSE(error.retryable());
    }
}

TEST_CASE("what looks like a key is never quoted") {
  const Error error = decode_error(
      401, R"({"error":{"message":"key sk-0123456789abcdef and Bearer abcdef.123456 and BASIC dXNlcjpwdw== end"}})");
  CHECK(error.message() == "401: key sk-*** and Bearer *** and BASIC *** end");
  CHECK(error.service().message.find("abcdef") == std::string::npos);
  CHECK(decode_error(401, "Authorization: Bearer secretsecret").cause() == "Authorization: Bearer ***");
  CHECK(decode_error(401, R"({"error":{"message":"Your api key: ****-key is invalid"}})").message() ==
        "401: Your api key: ****-key is invalid");
}
