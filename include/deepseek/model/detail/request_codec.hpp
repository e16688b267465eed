// RequestCodec over the bodies that encode() writes. Private.
#pragma once
#include <string>
#include <string_view>

#include <deepseek/model/chat.hpp>
#include <deepseek/model/completion.hpp>
#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

const RequestCodec& chat_request_codec();
const RequestCodec& completion_request_codec();

/// The model that is asked.
std::string model_of(const ChatRequest& request, const std::string& default_model);
std::string model_of(const CompletionRequest& request, const std::string& default_model);

/// Writes on `call` what else policies need to know of `request`, whose encoded form is `body`.
void describe_request(const ChatRequest& request, std::string_view body, Call& call);
void describe_request(const CompletionRequest& request, std::string_view body, Call& call);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/request_codec.ipp>
#endif
