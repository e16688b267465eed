// HttpTransport's inner form, shared with replay. Private.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Where a call goes: its whole address, or an error that ends it unsent.
using AddressOf = Result<std::string> (*)(const Call& call);

/// The address below the call's endpoint.
Result<std::string> address_at_endpoint(const Call& call);

/// Why a user may not send this header, as invalid_argument; nothing: it may be sent.
std::optional<Error> check_user_header(const HttpHeader& header);

/// Frames, clocks, pausing and cancelling over any engine.
std::shared_ptr<Transport> make_transport_over(std::shared_ptr<HttpEngine> engine, AddressOf address_of);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/transport/impl/http.ipp>
#endif
