// W3C trace context: version 00 of the header `traceparent`. Private.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The two ids of a header "00-<32 hex>-<16 hex>-<2 hex>". Empty: the header is missing or not valid.
struct TraceIds {
  std::string_view trace{};
  std::string_view span{};
};
TraceIds parse_traceparent(std::string_view header) noexcept;

/// The call's traceparent header; null: it has none.
HttpHeader* find_traceparent(std::vector<HttpHeader>& headers) noexcept;

/// Makes ids. They need to differ, not to be secret. One thread at a time.
class TraceIdSource {
 public:
  explicit TraceIdSource(std::uint64_t seed) : state_(seed) {}
  /// A new trace; sampled.
  std::string make_traceparent();
  /// Puts a new span id into a valid header.
  void renew_span(std::string& header);

 private:
  void write_hex(char* into) noexcept;
  std::uint64_t state_;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/observe.ipp>
#endif
