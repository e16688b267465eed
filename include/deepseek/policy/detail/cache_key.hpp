// CacheKeys: which calls ask the same. Private.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/policy/cache.hpp>

struct evp_md_st;
struct evp_md_ctx_st;

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Makes keys `model:{model}:query:{digest}:{bytes of the canonical request}`. The digest is over everything that
/// changes the answer. Not for two threads at once.
class CacheKeys {
 public:
  CacheKeys(CacheDigest digest, const std::vector<std::string>& base_urls, std::string_view scope);
  ~CacheKeys();
  CacheKeys(const CacheKeys&) = delete;
  CacheKeys& operator=(const CacheKeys&) = delete;

  /// False if the digest is not to be had (md5 where only approved ones are).
  bool ok() const noexcept { return digest_ != nullptr && context_ != nullptr; }
  /// The key of a call, in a buffer that the next one uses again; empty if it can have none.
  const std::string& key_of(const Call& call);
  /// Of the call asked for last.
  std::size_t canonical_bytes() const noexcept { return canonical_bytes_; }

 private:
  void update(std::string_view text);
  void update_field(std::string_view text);

  evp_md_st* digest_;
  evp_md_ctx_st* context_;
  std::string client_;  // what is the same for all calls
  std::string key_;
  std::size_t canonical_bytes_ = 0;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/cache_key.ipp>
#endif
