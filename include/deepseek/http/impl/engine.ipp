#pragma once
#include <algorithm>
#include <cstring>
#include <utility>

#include <deepseek/http/detail/header.hpp>
#include <deepseek/http/engine.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class MemoryBody final : public HttpBody {
 public:
  explicit MemoryBody(std::string text) : text_(std::move(text)) {}
  std::uint64_t size() const override { return text_.size(); }
  Result<std::size_t> read(std::uint64_t offset, char* into, std::size_t capacity) override {
    if (offset >= text_.size()) return std::size_t{0};
    const auto start = static_cast<std::size_t>(offset);
    const std::size_t count = std::min(capacity, text_.size() - start);
    std::memcpy(into, text_.data() + start, count);
    return count;
  }
  std::string_view contiguous() const override { return text_; }

 private:
  std::string text_;
};

inline char header_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

DEEPSEEK_DECL bool same_header_name(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return header_lower(x) == header_lower(y); });
}

inline bool is_header_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

DEEPSEEK_DECL std::string_view without_header_blanks(std::string_view text) noexcept {
  while (!text.empty() && is_header_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_header_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace detail

DEEPSEEK_DECL std::shared_ptr<HttpBody> make_body(std::string text) {
  return std::make_shared<detail::MemoryBody>(std::move(text));
}

DEEPSEEK_DECL std::string_view HttpHead::header(std::string_view name) const noexcept {
  std::string_view rest = block;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    if (detail::same_header_name(line.substr(0, name.size()), name))
      return detail::without_header_blanks(line.substr(name.size() + 1));
  }
  return {};
}

DEEPSEEK_END_NAMESPACE
