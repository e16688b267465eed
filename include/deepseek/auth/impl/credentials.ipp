#pragma once
#include <deepseek/auth/credentials.hpp>

#include <deepseek/auth/detail/encoding.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// "Bearer " and the key, or why it is none.
DEEPSEEK_DECL Result<Secret> bearer_of(const Secret& key) {
  std::string_view text = key.reveal();
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  if (text.empty()) return Error(ErrorCode::missing_key, "the source of the API key gave an empty one");
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      return Error(ErrorCode::invalid_options, "the API key holds a control character",
                   "check where the key is read from");
  std::string header;
  header.reserve(text.size() + 7);
  header.append("Bearer ").append(text);
  return Secret(std::move(header));
}

class ProvidedKey final : public CredentialSource {
 public:
  explicit ProvidedKey(Function<Result<Secret>()> provider) : provider_(std::move(provider)) {}
  void authorization(Function<void(Result<Secret>)> done) override { done(ask()); }
  bool present() const override { return true; }

 private:
  Result<Secret> ask() const {
    if (!provider_) return Error(ErrorCode::invalid_options, "api_key_from: the provider is empty");
    try {
      auto key = provider_();
      return key ? bearer_of(*key) : std::move(key);
    } catch (...) {  // its words may hold anything, the key too
      return Error(ErrorCode::missing_key, "the source of the API key threw an exception");
    }
  }
  Function<Result<Secret>()> provider_;
};

/// What tells a rewritten file from the one before.
struct FileStamp {
  std::filesystem::file_time_type written{};
  std::uintmax_t size = 0;
  friend bool operator==(const FileStamp& a, const FileStamp& b) { return a.written == b.written && a.size == b.size; }
};

DEEPSEEK_DECL std::optional<FileStamp> stamp_of(const std::string& path) {
  std::error_code failed;
  FileStamp stamp;
  stamp.written = std::filesystem::last_write_time(path, failed);
  if (failed) return std::nullopt;
  stamp.size = std::filesystem::file_size(path, failed);
  if (failed) return std::nullopt;
  return stamp;
}

class KeyFile final : public CredentialSource {
 public:
  KeyFile(std::string path, const KeyFileOptions& options) : path_(std::move(path)), options_(options) {}

  /// Reads the file for the first time.
  std::optional<Error> open() {
    read();
    return failure_;
  }
  void authorization(Function<void(Result<Secret>)> done) override { done(current()); }
  void rejected(const Secret& value) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (value != header_) return;
    rejected_ = true;
    stamp_.reset();  // the new content may have the old time and size
    next_look_ = {};
  }
  bool present() const override { return true; }

 private:
  Result<Secret> current() {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_look_) {
      next_look_ = now + options_.check_every;
      look();
    }
    if (rejected_ && failure_) return *failure_;
    return header_;
  }

  // With the mutex held.
  void look() {
    const auto stamp = stamp_of(path_);
    if (!stamp || !stamp_ || !(*stamp == *stamp_)) read();
  }

  void read() {
    // The stamp first: a write in between is then seen at the next look.
    const auto stamp = stamp_of(path_);
    const auto text = secret_from_file(path_, options_.file);
    auto header = text ? bearer_of(*text) : text;
    if (!header) {
      failure_ = std::move(header).error();
      return;
    }
    if (*header != header_) rejected_ = false;
    header_ = *std::move(header);
    stamp_ = stamp;
    failure_.reset();
  }

  const std::string path_;
  const KeyFileOptions options_;
  std::mutex mutex_;
  Secret header_;                   // guarded, as all that follows
  std::optional<FileStamp> stamp_;  // of what header_ was read from
  std::optional<Error> failure_;    // of the last reading
  bool rejected_ = false;           // header_, by the server
  std::chrono::steady_clock::time_point next_look_{};
};

DEEPSEEK_DECL std::optional<Error> wrong_file(const std::string& path, const SecretFileOptions& options) {
  const auto bad = [](const char* why, const char* advice) { return Error(ErrorCode::io_error, why, advice); };
  std::error_code failed;
  const auto status = std::filesystem::status(path, failed);
  if (failed || !std::filesystem::exists(status))
    return bad("the secret's file cannot be read", "check the path and its permissions");
  if (!std::filesystem::is_regular_file(status))  // a pipe would make us wait
    return bad("the secret's file is no regular file", "name the file that holds the secret");
  using std::filesystem::perms;
  const auto loose = status.permissions() & (perms::others_all | perms::group_write);
  if (loose != perms::none && !options.allow_loose_permissions)
    return bad("the secret's file may be read by others or written by its group",
               "chmod 600, or set allow_loose_permissions");
  return std::nullopt;
}

}  // namespace detail

DEEPSEEK_DECL Credential api_key_from(Function<Result<Secret>()> provider) {
  return Credential(std::make_shared<detail::ProvidedKey>(std::move(provider)));
}

DEEPSEEK_DECL Result<Secret> secret_from_file(const std::string& path, const SecretFileOptions& options) {
  if (auto error = detail::wrong_file(path, options)) return *std::move(error);
  std::ifstream file;
  file.rdbuf()->pubsetbuf(nullptr, 0);  // no second copy in a buffer
  file.open(path, std::ios::binary);
  if (!file)
    return Error(ErrorCode::io_error, "the secret's file cannot be read", "check the path and its permissions");
  std::error_code failed;
  const auto size = std::filesystem::file_size(path, failed);
  if (failed || size > options.max_bytes)
    return Error(ErrorCode::io_error, "the secret's file is larger than its limit", "name the file of one secret");
  std::string text(static_cast<std::size_t>(size) + 1, '\0');  // one more: is it still growing?
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  const auto got = static_cast<std::size_t>(file.gcount());
  if (file.bad()) return Error(ErrorCode::io_error, "the secret's file cannot be read");
  text.resize(got);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (!text.empty() && text.back() == '\r') text.pop_back();
  Secret secret(std::move(text));
  if (secret.reveal().size() > options.max_bytes || got > size)
    return Error(ErrorCode::io_error, "the secret's file changes while it is read", "write it anew and rename it");
  if (secret.empty()) return Error(ErrorCode::missing_key, "the secret's file is empty");
  return secret;
}

DEEPSEEK_DECL Result<Credential> api_key_file(const std::string& path, const KeyFileOptions& options) {
  auto source = std::make_shared<detail::KeyFile>(path, options);
  if (auto error = source->open()) return *std::move(error);
  return Credential(std::move(source));
}

DEEPSEEK_END_NAMESPACE
