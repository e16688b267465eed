// Keys that change: a callback and a file.
#include <deepseek/auth/credentials.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <stdexcept>

#include "support/catch.hpp"
#include "support/temp_folder.hpp"
#include "support/token_server.hpp"

using namespace deepseek;
using namespace std::chrono_literals;
using deepseek_tests::ask;
using deepseek_tests::header;
using deepseek_tests::TempFolder;
namespace fs = std::filesystem;

namespace {

KeyFileOptions eager() {
  KeyFileOptions options;
  options.check_every = 0ms;
  return options;
}

std::string words(const Result<Secret>& secret) {
  return secret ? std::string(secret->reveal()) : to_string(secret.error());
}

}  // namespace

TEST_CASE("a key from a callback is asked for every time", "[credentials]") {
  auto now = std::make_shared<std::string>("one");
  const auto credential = api_key_from([now]() -> Result<Secret> {
    if (*now == "none") return Error(ErrorCode::io_error, "the vault is closed");
    if (*now == "throw") throw std::runtime_error("the key is hunter2");
    return Secret(*now);
  });
  CHECK(credential.present());
  CHECK(credential.source().known() == nullptr);
  CHECK(header(credential) == "Bearer one");
  *now = " two\r\n";
  CHECK(header(credential) == "Bearer two");
  *now = "none";
  CHECK(ask(credential).error().message() == "the vault is closed");
  *now = "throw";
  CHECK(to_string(ask(credential).error()).find("hunter2") == std::string::npos);
  *now = "";
  CHECK(ask(credential).error().code() == ErrorCode::missing_key);
  *now = "a\nb: c";
  CHECK(ask(credential).error().code() == ErrorCode::invalid_options);
  CHECK(ask(api_key_from(nullptr)).error().code() == ErrorCode::invalid_options);
}

TEST_CASE("a key file is read again when it changes", "[credentials]") {
  const TempFolder folder;
  const auto path = folder.write("key", "first\n");
  const auto credential = api_key_file(path, eager()).value();
  CHECK(header(credential) == "Bearer first");
  folder.write("key", "the second\n");
  CHECK(header(credential) == "Bearer the second");
  SECTION("the old key serves while there is no new one") {
    fs::remove(path);
    CHECK(header(credential) == "Bearer the second");
    folder.write("key", "");
    CHECK(header(credential) == "Bearer the second");
    folder.write("key", "readable by all", 0644);
    CHECK(header(credential) == "Bearer the second");
    // Until the server says no.
    credential.source().rejected(Secret(std::string("Bearer first")));
    CHECK(header(credential) == "Bearer the second");
    credential.source().rejected(Secret(std::string("Bearer the second")));
    CHECK(ask(credential).error().code() == ErrorCode::io_error);
    folder.write("key", "third");
    CHECK(header(credential) == "Bearer third");
  }
  SECTION("a rejected key is read anew even if the file looks the same") {
    const auto time = fs::last_write_time(path);
    folder.write("key", "the sEcond\n");
    fs::last_write_time(path, time);
    CHECK(header(credential) == "Bearer the second");
    credential.source().rejected(Secret(std::string("Bearer the second")));
    CHECK(header(credential) == "Bearer the sEcond");
  }
}

TEST_CASE("the file is looked at no more often than asked", "[credentials]") {
  const TempFolder folder;
  const auto path = folder.write("key", "first");
  KeyFileOptions options;
  options.check_every = 1h;
  const auto credential = api_key_file(path, options).value();
  CHECK(header(credential) == "Bearer first");
  folder.write("key", "second");
  CHECK(header(credential) == "Bearer first");
  credential.source().rejected(Secret(std::string("Bearer first")));
  CHECK(header(credential) == "Bearer second");
}

TEST_CASE("secrets in files", "[credentials]") {
  const TempFolder folder;
  CHECK(words(secret_from_file(folder.write("a", "secret"))) == "secret");
  CHECK(words(secret_from_file(folder.write("a", "secret\n"))) == "secret");
  CHECK(words(secret_from_file(folder.write("a", "secret\r\n"))) == "secret");
  CHECK(words(secret_from_file(folder.write("a", " s \n\n"))) == " s \n");  // one newline only
  CHECK(secret_from_file(folder.write("a", "\n")).error().code() == ErrorCode::missing_key);
  CHECK(secret_from_file(folder.write("a", "")).error().code() == ErrorCode::missing_key);
  CHECK(secret_from_file(folder.file("nowhere")).error().code() == ErrorCode::io_error);
  CHECK(secret_from_file(folder.path()).error().code() == ErrorCode::io_error);
  SecretFileOptions small;
  small.max_bytes = 8;
  CHECK(words(secret_from_file(folder.write("a", "12345678"), small)) == "12345678");
  CHECK(secret_from_file(folder.write("a", "123456789"), small).error().code() == ErrorCode::io_error);
  const auto pipe = folder.file("pipe");
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(secret_from_file(pipe).error().message().find("regular") != std::string::npos);  // and does not wait
  CHECK_FALSE(api_key_file(folder.file("nowhere")).has_value());
  CHECK_FALSE(api_key_file(folder.write("a", "a\x01")).has_value());
}

TEST_CASE("loose permissions", "[credentials]") {
  const TempFolder folder;
  SecretFileOptions loose;
  loose.allow_loose_permissions = true;
  for (const mode_t mode : {0600, 0400, 0640, 0440, 0660, 0644, 0604, 0602, 0777}) {
    const auto path = folder.write("key", "k", mode);
    const bool sound = mode == 0600 || mode == 0400 || mode == 0640 || mode == 0440;
    CAPTURE(mode);
    const auto strict = secret_from_file(path);
    CHECK(strict.has_value() == sound);
    if (!strict) CHECK(strict.error().advice().find("chmod 600") != std::string::npos);
    CHECK(secret_from_file(path, loose).has_value());
  }
}
