// Error, Result, Secret, CancelSource.
#include "support/catch.hpp"

#include <deepseek/core/cancel.hpp>
#include <deepseek/core/credential.hpp>
#include <deepseek/core/secret.hpp>
#include <deepseek/result.hpp>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace deepseek;

TEST_CASE("every error code has a word of its own and an outcome", "[core]") {
  std::set<std::string> words;
  int codes = 0;
  for (int number = 101; number <= 999; ++number) {
    const std::string word = to_string(static_cast<ErrorCode>(number));
    if (word == "internal" && number != 999) continue;  // not a code
    ++codes;
    REQUIRE(words.insert(word).second);
    const Error error(static_cast<ErrorCode>(number), "text");
    REQUIRE(error.outcome() != Outcome::complete);
  }
  REQUIRE(codes == 51);
}

TEST_CASE("an error prints one line with cause, trace and advice", "[core]") {
  const Error error = Error(ErrorCode::rate_limited, "429: too many", "wait").with([](ErrorDetails& details) {
    details.cause = "HTTP";
    details.trace_id = "abc";
  });
  std::ostringstream out;
  out << error;
  REQUIRE(out.str() == "rate_limited: 429: too many (HTTP) [trace abc]; wait");
  REQUIRE(error.retryable());
  REQUIRE(error.clock().empty());
  REQUIRE(Error(ErrorCode::timeout_first_token, "").clock() == "first_token");
}

TEST_CASE("a result is a value or an error and behaves like std::expected", "[core]") {
  const Result<std::string> good = std::string("yes");
  const Result<std::string> bad = Error(ErrorCode::closed, "gone");
  REQUIRE(good.value() == "yes");
  REQUIRE(good->size() == 3);
  REQUIRE(bad.value_or("no") == "no");
  REQUIRE_THROWS_AS(bad.value(), Exception);
  REQUIRE(good.transform([](const std::string& text) { return text.size(); }).value() == 3);
  REQUIRE(
      good.and_then([](const std::string&) -> Result<int> { return Error(ErrorCode::closed, "x"); }).error().code() ==
      ErrorCode::closed);
  REQUIRE(bad.transform([](const std::string&) { return 1; }).error().message() == "gone");
  static_assert(!std::is_convertible_v<const char*, Result<bool>>, "a text is not a truth");
  static_assert(std::is_convertible_v<bool, Result<bool>>);
  static_assert(std::is_same_v<decltype(std::declval<Result<std::string>>().value()), std::string>,
                "no dangling reference");
}

namespace {

/// Counts how many live; throws when it is copied or moved while `brittle`.
struct Counted {
  explicit Counted(int id) : number(id) { ++alive; }
  Counted(const Counted& other) : number(other.number) { made(); }
  Counted(Counted&& other) : number(std::exchange(other.number, -1)) { made(); }
  Counted& operator=(const Counted&) = default;
  Counted& operator=(Counted&&) = default;
  ~Counted() { --alive; }
  static void made() {
    if (brittle) throw std::runtime_error("brittle");
    ++alive;
  }
  int number;
  static inline int alive = 0;
  static inline bool brittle = false;
};

struct OnlyMoved {
  std::unique_ptr<int> what;
};

}  // namespace

TEST_CASE("a result keeps exactly one of the two alive, whatever is assigned to it", "[core]") {
  static_assert(std::is_copy_constructible_v<Result<std::string>> && std::is_copy_assignable_v<Result<std::string>>);
  static_assert(std::is_nothrow_move_constructible_v<Result<std::string>>);
  static_assert(!std::is_copy_constructible_v<Result<OnlyMoved>> && !std::is_copy_assignable_v<Result<OnlyMoved>>);
  static_assert(std::is_nothrow_move_constructible_v<Result<OnlyMoved>>);
  static_assert(std::is_move_assignable_v<Result<OnlyMoved>>);
  static_assert(!std::is_nothrow_move_constructible_v<Result<Counted>>);
  {
    const Result<Counted> one = Counted(1);
    const Result<Counted> wrong = Error(ErrorCode::closed, "gone");
    const auto number = [](const Result<Counted>& from) { return from ? from->number : 0; };
    for (const auto& from : {one, wrong}) {
      for (const auto& to : {Result<Counted>(Counted(2)), Result<Counted>(Error(ErrorCode::closed, "shut"))}) {
        Result<Counted> copied = to;
        copied = from;
        CHECK(number(copied) == number(from));
        Result<Counted> moved = to;
        moved = Result<Counted>(from);
        CHECK(number(moved) == number(from));
        if (!moved) CHECK(moved.error().message() == "gone");
        moved = *&moved;
        CHECK(number(moved) == number(from));
      }
    }
    Result<Counted> kept = wrong;
    Counted::brittle = true;
    CHECK_THROWS(kept = one);
    CHECK_THROWS(Result<Counted>(one));
    Counted::brittle = false;
    REQUIRE_FALSE(kept);
    CHECK(kept.error().message() == "gone");
  }
  CHECK(Counted::alive == 0);

  Result<OnlyMoved> first = OnlyMoved{std::make_unique<int>(7)};
  Result<OnlyMoved> second = Error(ErrorCode::closed, "gone");
  second = std::move(first);
  REQUIRE(second);
  CHECK(*second->what == 7);
}

TEST_CASE("a secret never prints and is compared by content", "[core]") {
  Secret secret("sk-verysecret");
  std::ostringstream out;
  out << secret;
  REQUIRE(out.str() == "***");
  REQUIRE(secret == Secret("sk-verysecret"));
  REQUIRE(secret != Secret("sk-verysecreu"));
  REQUIRE(secret != Secret("short"));
  const Secret moved = std::move(secret);
  REQUIRE(moved.reveal() == "sk-verysecret");
  REQUIRE(secret.empty());  // NOLINT(bugprone-use-after-move): wiped, not just unspecified
}

TEST_CASE("keys lose their blanks and a key with a control character is refused", "[core]") {
  std::optional<Result<Secret>> got;
  const auto take = [&](Result<Secret> value) { got = std::move(value); };
  api_key(std::string("  sk-a\r\n")).source().authorization(take);
  REQUIRE(got->value().reveal() == "Bearer sk-a");
  REQUIRE_FALSE(api_key(std::string(" \n")).present());
  api_key(std::string("sk\r\nX-Evil: 1")).source().authorization(take);
  REQUIRE(got->error().code() == ErrorCode::invalid_options);
  api_key(std::string("sk\0a", 4)).source().authorization(take);
  REQUIRE_FALSE(got->has_value());
  REQUIRE(api_key_from_file("/nonexistent/key").error().code() == ErrorCode::io_error);
  REQUIRE(api_key_from_file("/").error().code() == ErrorCode::io_error);
}

TEST_CASE("cancel callbacks run once, at once if late, and never after they were dropped", "[core]") {
  CancelSource source;
  int calls = 0;
  auto kept = source.token().on_cancel([&] { ++calls; });
  {
    auto dropped = source.token().on_cancel([&] { calls += 100; });
  }
  source.cancel();
  source.cancel();
  REQUIRE(calls == 1);
  auto late = source.token().on_cancel([&] { ++calls; });
  REQUIRE(calls == 2);
  REQUIRE(source.cancelled());
  REQUIRE_FALSE(CancelToken().can_be_cancelled());
}

TEST_CASE("dropping a registration waits for a callback that runs on another thread", "[core][concurrent]") {
  for (int round = 0; round < 200; ++round) {
    CancelSource source;
    auto guarded = std::make_unique<int>(0);
    auto registration = source.token().on_cancel([&guarded] { ++*guarded; });
    std::thread canceller([&] { source.cancel(); });
    registration.reset();
    guarded.reset();  // a callback that still ran would touch freed memory
    canceller.join();
  }
}
