// JSON text that crosses the API as text, so that no JSON library shows in a signature.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// One JSON value as UTF-8 text, or nothing. A strong type over std::string: it is not checked until it
/// is encoded or parsed; whoever makes it from foreign text should expect `invalid_argument` later.
class RawJson {
 public:
  RawJson() = default;
  explicit RawJson(std::string text) : text_(std::move(text)) {}
  bool empty() const noexcept { return text_.empty(); }
  const std::string& text() const noexcept { return text_; }
  std::string_view view() const noexcept { return text_; }
  friend bool operator==(const RawJson& a, const RawJson& b) { return a.text_ == b.text_; }
  friend bool operator!=(const RawJson& a, const RawJson& b) { return a.text_ != b.text_; }

 private:
  std::string text_;
};

DEEPSEEK_END_NAMESPACE
