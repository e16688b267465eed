// Tool definitions of a request.
#pragma once
#include <optional>
#include <string>

#include <deepseek/core/raw_json.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// A function the model may call, or a server tool.
struct Tool {
  std::string name{};  ///< [a-zA-Z0-9_-], 1 to 128 characters, unique in the request
  std::string description{};
  RawJson parameters{};          ///< JSON Schema of an object; empty: no parameters
  std::optional<bool> strict{};  ///< needs /beta (chosen by the library) and strict on every function
  RawJson raw{};                 ///< a tool of another type (deepseek_web_search ...): the whole object

  /// {"type": type}: deepseek_web_search, deepseek_read_url.
  static Tool server(const std::string& type);
};

/// `none`, `auto`, `required`, or one function by name. The last two are refused while thinking is on.
struct ToolChoice {
  std::string mode = "auto";
  std::string function{};  ///< not empty: this function; mode is ignored
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/message.ipp>
#endif
