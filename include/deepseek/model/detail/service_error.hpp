// The service's own words about a failure. Private.
#pragma once
#include <string>
#include <string_view>

#include <deepseek/error.hpp>
#include <deepseek/model/detail/json_text.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Foreign text as one printable line of at most `limit` bytes, without anything that looks like a key.
std::string quotable(std::string_view text, std::size_t limit);

/// Fills what `root` says: {"error":{...}}, {"error":"..."}, or message, type and code at the top.
/// False if it says nothing.
bool read_service_error(JsonValue root, ServiceError& out);

/// True if the words are about an empty account, whatever the status.
bool is_about_balance(const ServiceError& service);

/// The Error of an error object that came inside a 200.
Error error_in_reply(ServiceError service, bool stream);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/service_error.ipp>
#endif
