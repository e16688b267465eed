#pragma once
#include <deepseek/core/detail/redact.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL std::string_view credential_in(const Secret& authorization) noexcept {
  constexpr std::size_t shortest = 8;
  std::string_view value = authorization.reveal();
  value.remove_prefix(value.rfind(' ') + 1);  // none: from the beginning
  return value.size() < shortest ? std::string_view() : value;
}

DEEPSEEK_DECL void hide_credential(std::string& text, const Secret& authorization) {
  const std::string_view credential = credential_in(authorization);
  if (credential.empty()) return;
  constexpr std::string_view mark = "***";
  for (std::size_t at = 0; (at = text.find(credential, at)) != text.npos; at += mark.size())
    text.replace(at, credential.size(), mark);
}

DEEPSEEK_DECL bool tells_credential(std::string_view text, const Secret& authorization) noexcept {
  const std::string_view credential = credential_in(authorization);
  if (credential.empty() || text.empty()) return false;
  return text.find(credential) != text.npos || credential.find(text) != credential.npos;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
