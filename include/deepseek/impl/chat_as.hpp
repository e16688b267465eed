// The template bodies of DeepSeekClient::chat_as.
#pragma once

#include <deepseek/client.hpp>
#include <deepseek/core/function.hpp>
#include <deepseek/schema.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Asks in JSON mode for an object that `accept` takes; one correction turn if it does not.
Result<void> chat_structured(const DeepSeekClient& client, ChatRequest request, const CallOptions& options,
                             const RawJson& schema, const Function<Result<void>(std::string_view)>& accept);

}  // namespace detail

template <class T>
Result<T> DeepSeekClient::chat_as(const ChatRequest& request, const CallOptions& options) const {
  static_assert(detail::HasSchema<T>::value, "deepseek: chat_as<T> needs a specialisation of deepseek::Schema<T>");
  std::optional<T> value;
  const auto accept = [&value](std::string_view json) -> Result<void> {
    Result<T> parsed = from_json<T>(json);
    if (!parsed) return parsed.error();
    value = *std::move(parsed);
    return {};
  };
  if (Result<void> done = detail::chat_structured(*this, request, options, schema_of<T>(), accept); !done) {
    return done.error();
  }
  return *std::move(value);
}

template <class T>
Result<T> DeepSeekClient::chat_as(std::string_view prompt, const CallOptions& options) const {
  ChatRequest request;
  request.messages.push_back(Message::user(std::string(prompt)));
  return chat_as<T>(request, options);
}

DEEPSEEK_END_NAMESPACE
