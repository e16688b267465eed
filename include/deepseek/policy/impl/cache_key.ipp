#pragma once
#include <deepseek/policy/detail/cache_key.hpp>

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Headers that tell one call from another but do not change its answer. All others may (a gateway's tenant).
DEEPSEEK_DECL bool is_tracing_header(std::string_view name) noexcept {
  constexpr std::string_view names[] = {"traceparent", "tracestate", "baggage", "x-request-id", "idempotency-key"};
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::any_of(std::begin(names), std::end(names), [&](std::string_view known) {
    return known.size() == name.size() &&
           std::equal(known.begin(), known.end(), name.begin(), [&](char a, char b) { return a == lower(b); });
  });
}

/// The set of base URLs as one text.
DEEPSEEK_DECL std::string joined_base_urls(std::vector<std::string> urls) {
  for (std::string& url : urls)
    while (!url.empty() && url.back() == '/') url.pop_back();
  std::sort(urls.begin(), urls.end());
  urls.erase(std::unique(urls.begin(), urls.end()), urls.end());
  std::string all;
  for (const std::string& url : urls) (all += url) += '\n';
  return all;
}

DEEPSEEK_DECL CacheKeys::CacheKeys(CacheDigest digest, const std::vector<std::string>& base_urls,
                                   std::string_view scope)
    // Fetched once: EVP_sha256() would be looked up again for every digest.
    : digest_(EVP_MD_fetch(nullptr, digest == CacheDigest::md5 ? "MD5" : "SHA256", nullptr)),
      context_(EVP_MD_CTX_new()) {
  client_ = joined_base_urls(base_urls);
  (client_ += '\0') += scope;
}

DEEPSEEK_DECL CacheKeys::~CacheKeys() {
  EVP_MD_CTX_free(context_);
  EVP_MD_free(digest_);
}

DEEPSEEK_DECL void CacheKeys::update(std::string_view text) { EVP_DigestUpdate(context_, text.data(), text.size()); }

/// With its length, so that no text can pass for two.
DEEPSEEK_DECL void CacheKeys::update_field(std::string_view text) {
  char length[24];
  char* const end = std::to_chars(length, length + sizeof length - 1, text.size()).ptr;
  *end = ':';
  update({length, static_cast<std::size_t>(end + 1 - length)});
  update(text);
}

inline bool is_plain_in_key(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '/';
}

inline char* append_text(char* at, std::string_view text) noexcept { return at + text.copy(at, text.size()); }

DEEPSEEK_DECL const std::string& CacheKeys::key_of(const Call& call) {
  key_.clear();
  if (!ok() || !call.codec || call.body.empty()) return key_;
  const std::string canonical = call.codec->canonical(call.body);
  canonical_bytes_ = canonical.size();
  if (canonical.empty() || EVP_DigestInit_ex2(context_, digest_, nullptr) != 1) return key_;
  update_field(canonical);
  update_field(client_);
  update_field(call.operation.path);
  update_field(call.user_id);
  update(call.operation.stream ? "s" : "w");
  for (const HttpHeader& header : call.headers) {
    if (is_tracing_header(header.name)) continue;
    update_field(header.name);
    update_field(header.value);
  }
  unsigned char sum[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context_, sum, &size) != 1) return key_;

  char text[128 + 2 * EVP_MAX_MD_SIZE];
  char* at = append_text(text, "model:");
  for (const char c : std::string_view(call.model).substr(0, 64)) *at++ = is_plain_in_key(c) ? c : '_';
  at = append_text(at, ":query:");
  constexpr char digits[] = "0123456789abcdef";
  for (unsigned int i = 0; i < size; ++i) {
    *at++ = digits[sum[i] >> 4];
    *at++ = digits[sum[i] & 15];
  }
  *at++ = ':';
  at = std::to_chars(at, text + sizeof text, canonical_bytes_).ptr;
  key_.assign(text, static_cast<std::size_t>(at - text));
  return key_;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
