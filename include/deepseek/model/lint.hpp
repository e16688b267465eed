// Lint: refuses, before it costs anything, what the service is known to refuse.
#pragma once
#include <optional>
#include <string_view>

#include <deepseek/model/chat.hpp>
#include <deepseek/model/completion.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// What the lint must know beside the request.
struct LintContext {
  bool deepseek = true;              ///< the endpoint is DeepSeek: its own rules apply, not only those of any server
  std::string_view default_model{};  ///< what a request without a model is sent with
};

/// The first reason why the request would be refused, as invalid_request with advice; or nothing.
/// Checks structure, ranges and UTF-8 for any server; for DeepSeek also its rules on thinking, tools,
/// prefix, images and user_id. Never changes the request.
std::optional<Error> lint(const ChatRequest& request, const LintContext& context = {});
std::optional<Error> lint(const CompletionRequest& request, const LintContext& context = {});

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/lint.ipp>
#endif
