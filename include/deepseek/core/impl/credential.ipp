#pragma once
#include <deepseek/core/credential.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class NoCredential final : public CredentialSource {
 public:
  void authorization(Function<void(Result<Secret>)> done) override { done(Secret()); }
  bool present() const override { return false; }
};

class ApiKey final : public CredentialSource {
 public:
  explicit ApiKey(const Secret& key) {
    std::string header = "Bearer ";
    header += key.reveal();
    header_ = Secret(std::move(header));
  }
  void authorization(Function<void(Result<Secret>)> done) override { done(header_); }
  const Secret* known() const noexcept override { return &header_; }
  bool present() const override { return true; }

 private:
  Secret header_;
};

/// Refuses at the first use, with the reason that was found when it was made.
class BrokenCredential final : public CredentialSource {
 public:
  explicit BrokenCredential(Error reason) : reason_(std::move(reason)) {}
  void authorization(Function<void(Result<Secret>)> done) override { done(reason_); }
  bool present() const override { return true; }

 private:
  Error reason_;
};

DEEPSEEK_DECL std::string_view trim_key(std::string_view key) noexcept {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!key.empty() && blank(key.back())) key.remove_suffix(1);
  while (!key.empty() && blank(key.front())) key.remove_prefix(1);
  return key;
}

/// A header value may not hold a control character: it could begin another header.
DEEPSEEK_DECL bool has_control_character(std::string_view text) noexcept {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  return false;
}

}  // namespace detail

DEEPSEEK_DECL Credential::Credential() : source_(std::make_shared<detail::NoCredential>()) {}

DEEPSEEK_DECL Credential api_key(Secret key) {
  const std::string_view trimmed = detail::trim_key(key.reveal());
  if (trimmed.empty()) return Credential();
  if (detail::has_control_character(trimmed))
    return Credential(std::make_shared<detail::BrokenCredential>(Error(
        ErrorCode::invalid_options, "the API key holds a control character", "check where the key is read from")));
  return Credential(std::make_shared<detail::ApiKey>(Secret(std::string(trimmed))));
}

DEEPSEEK_DECL Credential api_key(std::string key) { return api_key(Secret(std::move(key))); }

DEEPSEEK_DECL Credential api_key_from_env(const char* name) {
  const char* value = std::getenv(name);
  return value ? api_key(std::string(value)) : Credential();
}

DEEPSEEK_DECL Result<Credential> api_key_from_file(const std::string& path) {
  constexpr std::size_t largest = 64 * 1024;
  std::ifstream file(path, std::ios::binary);
  std::string text(largest + 1, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad())
    return Error(ErrorCode::io_error, "the key file cannot be read", "check the path and its permissions");
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > largest)
    return Error(ErrorCode::io_error, "the key file is larger than 64 KiB", "name the file of one key");
  if (detail::trim_key(text).empty()) return Error(ErrorCode::missing_key, "the key file is empty");
  return api_key(Secret(std::move(text)));
}

DEEPSEEK_END_NAMESPACE
