// Opt-in bridge to nlohmann/json: RawJson and nlohmann::json into each other. Not part of deepseek.hpp.
#pragma once
#include <nlohmann/json.hpp>

#include <deepseek/core/raw_json.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace interop {

/// Parses; an empty RawJson becomes null. malformed_json if the text is not JSON. `Json` may be
/// nlohmann::ordered_json to keep the order of members.
template <class Json = nlohmann::json>
Result<Json> to_nlohmann(const RawJson& json) {
  if (json.empty()) return Json();
  Json value = Json::parse(json.view(), nullptr, false);
  if (value.is_discarded()) return Error(ErrorCode::malformed_json, "not valid JSON");
  return Result<Json>(std::move(value));
}

/// Writes without blanks. invalid_argument if a string is not UTF-8.
template <class Json>
Result<RawJson> from_nlohmann(const Json& value) {
  try {
    return RawJson(value.dump());
  } catch (const typename Json::exception&) {
    return Error(ErrorCode::invalid_argument, "a string in the JSON value is not UTF-8");
  }
}

}  // namespace interop
DEEPSEEK_END_NAMESPACE
