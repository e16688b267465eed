#include "cli/args.hpp"

// The command is a program, not a library: the file under test is compiled in here.
#include "cli/args.cpp"
#include "support/catch.hpp"

using namespace deepseek::cli;

namespace {

constexpr OptionSpec specs[] = {
    {"model", "NAME", "a model"},
    {"json", nullptr, "a switch"},
    {"image", "PATH", "repeatable", true},
    {"help", nullptr, "help"},
};

deepseek::Result<Args> parse(const std::vector<std::string>& arguments) { return parse_args(arguments, specs); }

std::string failure(const std::vector<std::string>& arguments) {
  const auto args = parse(arguments);
  REQUIRE_FALSE(args);
  CHECK(args.error().code() == deepseek::ErrorCode::invalid_argument);
  return args.error().message();
}

}  // namespace

TEST_CASE("arguments: values stand apart or after an equals sign") {
  for (const auto& form : {std::vector<std::string>{"--model", "m"}, {"--model=m"}}) {
    const auto args = parse(form);
    REQUIRE(args);
    CHECK(*args->value("model") == "m");
  }
  const auto empty = parse({"--model="});
  REQUIRE(empty);
  CHECK(empty->value("model")->empty());
  const auto nested = parse({"--model=a=b"});
  CHECK(*nested->value("model") == "a=b");
}

TEST_CASE("arguments: options and positionals mix, a value may begin with a dash") {
  const auto args = parse({"why?", "--json", "--model", "-x", "-"});
  REQUIRE(args);
  CHECK(args->has("json"));
  CHECK(*args->value("model") == "-x");
  CHECK(args->positionals() == std::vector<std::string>{"why?", "-"});
  CHECK_FALSE(args->has("image"));
  CHECK(args->value_or("image", "none") == "none");
}

TEST_CASE("arguments: after two dashes everything is a positional") {
  const auto args = parse({"--", "--json", "-5"});
  REQUIRE(args);
  CHECK_FALSE(args->has("json"));
  CHECK(args->positionals() == std::vector<std::string>{"--json", "-5"});
}

TEST_CASE("arguments: repeatable options keep their order") {
  const auto args = parse({"--image", "a", "--image=b"});
  REQUIRE(args);
  CHECK(args->values("image") == std::vector<std::string>{"a", "b"});
}

TEST_CASE("arguments: -h is --help") { CHECK(parse({"-h"}).value().has("help")); }

TEST_CASE("arguments: faults name the option") {
  CHECK(failure({"--modle", "m"}) == "--modle is not an option of this command");
  CHECK(failure({"--mod", "m"}) == "--mod is not an option of this command");  // no abbreviations
  CHECK(failure({"--model"}) == "--model needs a value: NAME");
  CHECK(failure({"--json=1"}) == "--json takes no value");
  CHECK(failure({"--json", "--json"}) == "--json is given twice");
  CHECK(failure({"-j"}) == "options are written with two dashes");
}

TEST_CASE("arguments: the option that was probably meant is named") {
  const auto advice = [](const std::string& argument) { return parse({argument}).error().advice(); };
  CHECK(advice("--modle").find("did you mean --model? ") == 0);
  CHECK(advice("--mod").find("did you mean --model? ") == 0);
  CHECK(advice("--jsn").find("did you mean --json? ") == 0);
  CHECK(advice("--temperature").find("see --help") == 0);
  CHECK(advice("--x").find("see --help") == 0);
  CHECK(advice("--" + std::string(100'000, 'm')).find("see --help") == 0);
}

TEST_CASE("arguments: a key is refused and never repeated") {
  const auto args = parse({"--api-key=sk-secret"});
  REQUIRE_FALSE(args);
  const std::string text = to_string(args.error());
  CHECK(text.find("sk-secret") == std::string::npos);
  CHECK(text.find("--api-key-file") != std::string::npos);
}

TEST_CASE("arguments: whole numbers") {
  CHECK(*parse_integer("n", "12", 1, 100) == 12);
  for (const char* wrong : {"", "0", "101", "1.5", " 1", "1 ", "+1", "0x10", "99999999999999999999"})
    CHECK_FALSE(parse_integer("n", wrong, 1, 100));
  CHECK(parse_integer("n", "0", 1, 9).error().message() == "--n needs a whole number, at least 1 and at most 9");
}

TEST_CASE("arguments: seconds") {
  using namespace std::chrono_literals;
  CHECK(*parse_seconds("timeout", "30") == 30s);
  CHECK(*parse_seconds("timeout", "2.5") == 2500ms);
  CHECK(*parse_seconds("timeout", "0.0001") == 1ms);  // never zero, which would mean no limit
  for (const char* wrong : {"", "0", "-1", "1e3", "inf", "nan", "1s", "99999999999"})
    CHECK_FALSE(parse_seconds("timeout", wrong));
}

TEST_CASE("arguments: two options that exclude each other") {
  const auto args = parse({"--json", "--model", "m"});
  CHECK(exclude(*args, "json", "image"));
  CHECK(exclude(*args, "json", "model").error().message() == "--json and --model exclude each other");
}
