#include "cli/input.hpp"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

// The command is a program, not a library: the file under test is compiled in here.
#include "cli/input.cpp"
#include "support/catch.hpp"

using namespace deepseek::cli;
using namespace std::string_literals;

namespace {

/// A file that goes with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content, const std::string& suffix = ".txt") {
    std::string pattern = (std::filesystem::temp_directory_path() / "cli-input-XXXXXX").string() + suffix;
    const int descriptor = mkstemps(pattern.data(), static_cast<int>(suffix.size()));
    REQUIRE(descriptor >= 0);
    path_ = pattern;
    REQUIRE(write(descriptor, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    close(descriptor);
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }
  std::string name() const { return path_.substr(path_.rfind('/') + 1); }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("input: UTF-8 is checked to the letter") {
  for (const auto& good : {""s, "plain"s, "\u00fc\u20ac\U0001f600"s, "\xf4\x8f\xbf\xbf"s, "a\0b"s})
    CHECK(valid_utf8(good));
  for (const auto& bad : {"\x80"s, "\xc3"s, "\xc0\xaf"s, "\xe0\x80\xaf"s, "\xed\xa0\x80"s, "\xf4\x90\x80\x80"s, "\xff"s,
                          "\xe2\x82"s, "\xf0\x82\x82\xac"s})
    CHECK_FALSE(valid_utf8(bad));
}

TEST_CASE("input: a prompt that is empty or not UTF-8 is refused") {
  CHECK(*read_prompt("hi") == "hi");
  CHECK(read_prompt("").error().code() == deepseek::ErrorCode::invalid_request);
  CHECK(read_prompt("\xff").error().outcome() == deepseek::Outcome::refused);
}

TEST_CASE("input: files are bounded") {
  const TemporaryFile file("12345");
  CHECK(*read_file(file.path(), 5) == "12345");
  CHECK(read_file(file.path(), 4).error().code() == deepseek::ErrorCode::io_error);
  CHECK(read_file(file.path() + "-missing", 5).error().code() == deepseek::ErrorCode::io_error);
  CHECK_FALSE(read_file("/", 5));
}

TEST_CASE("input: a text file becomes a block that its content cannot leave") {
  const TemporaryFile plain("a\nb");
  CHECK(*fenced_file(plain.path()) == plain.name() + ":\n```\na\nb\n```\n");
  const TemporaryFile fenced("x\n````\ny\n");
  CHECK(*fenced_file(fenced.path()) == fenced.name() + ":\n`````\nx\n````\ny\n`````\n");
  CHECK_FALSE(fenced_file(TemporaryFile("a\0b"s).path()));
  CHECK_FALSE(fenced_file(TemporaryFile("\xff\xfe").path()));
}

TEST_CASE("input: ids of files that lie with the service") {
  CHECK(is_file_id("file-api-0123_x"));
  CHECK_FALSE(is_file_id("./file-api"));
  CHECK_FALSE(is_file_id("file-notes.txt"));
  CHECK_FALSE(is_file_id("notes"));
}

TEST_CASE("input: pictures") {
  CHECK(image_part("https://example.com/a.png").value().url == "https://example.com/a.png");
  CHECK(image_part("data:image/png;base64,AA==").value().url == "data:image/png;base64,AA==");
  const TemporaryFile png("\x89PNG\r\n\x1a\n"s);
  CHECK(image_part(png.path()).value().url == "data:image/png;base64,iVBORw0KGgo=");
  const TemporaryFile jpeg("\xff\xd8\xff\xe0"s);
  CHECK(image_part(jpeg.path()).value().url == "data:image/jpeg;base64,/9j/4A==");
  const TemporaryFile webp("RIFF\1\2\3\4WEBPVP8 "s);
  CHECK(image_part(webp.path()).value().url == "data:image/webp;base64,UklGRgECAwRXRUJQVlA4IA==");
  const TemporaryFile text("hello");
  CHECK(image_part(text.path()).error().code() == deepseek::ErrorCode::io_error);
}

TEST_CASE("input: tools keep what the library does not know") {
  const auto tools = parse_tools(R"([
    {"type":"function","function":{"name":"get_weather","description":"d","parameters":{"type":"object","z":1,"a":2}}},
    {"type":"function","function":{"name":"now","strict":true,"x":1}},
    {"type":"deepseek_web_search"}])");
  REQUIRE(tools);
  REQUIRE(tools->size() == 3);
  CHECK((*tools)[0].name == "get_weather");
  CHECK((*tools)[0].parameters.text() == R"({"type":"object","z":1,"a":2})");
  CHECK((*tools)[0].raw.empty());
  CHECK((*tools)[1].raw.text() == R"({"type":"function","function":{"name":"now","strict":true,"x":1}})");
  CHECK((*tools)[2].raw.text() == R"({"type":"deepseek_web_search"})");
}

TEST_CASE("input: tools that are none") {
  for (const char* wrong : {"", "{", "{}", "[1]", "[{}]", R"([{"type":1}])"}) {
    const auto tools = parse_tools(wrong);
    REQUIRE_FALSE(tools);
    CHECK(tools.error().outcome() == deepseek::Outcome::refused);
  }
}
