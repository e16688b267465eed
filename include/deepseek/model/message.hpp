// Messages, parts and tool calls: the words of a conversation, with the API's own field names.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/core/raw_json.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Roles known today. Any other word is sent and kept as it is.
namespace role {
inline constexpr const char* system = "system";
inline constexpr const char* user = "user";
inline constexpr const char* assistant = "assistant";
inline constexpr const char* tool = "tool";
inline constexpr const char* latest_reminder = "latest_reminder";
}  // namespace role

/// A part of a message's content.
struct ContentPart {
  std::string type = "text";  ///< text, image_url, file, or a word this library does not know
  std::string text{};         ///< type text
  std::string url{};          ///< type image_url: https:// or data:image/...;base64,
  std::string detail{};       ///< type image_url: low, high, original, auto; empty: not sent
  std::string file_id{};      ///< type file: excludes file_data
  std::string file_data{};    ///< type file: data: URL
  std::string filename{};     ///< type file, with file_data only
  RawJson raw{};              ///< not empty: the whole object, sent as it is (a part of unknown type)

  static ContentPart text_part(std::string text);
  static ContentPart image(std::string url, std::string detail = {});
  static ContentPart file(std::string file_id);
  static ContentPart inline_file(std::string data_url, std::string filename = {});
};

/// A call the model wants. `arguments` is text made by the model: parse it defensively.
struct ToolCall {
  int index = 0;  ///< position in the turn
  std::string id{};
  std::string type = "function";
  std::string name{};
  std::string arguments{};
  RawJson extra{};  ///< unknown members, as one JSON object
};

/// One message. Aggregate; use the named makers for the common kinds.
struct Message {
  std::string role{};
  std::string content{};                           ///< sent if `parts` is empty ("" is sent, never null)
  std::vector<ContentPart> parts{};                ///< sent instead of `content`; a reply's text parts are in both
  std::optional<std::string> reasoning_content{};  ///< assistant: byte for byte as received; set = sent
  std::vector<ToolCall> tool_calls{};              ///< assistant
  std::string tool_call_id{};                      ///< tool
  std::string name{};
  bool prefix = false;  ///< assistant, last: continue from here (beta)
  RawJson extra{};      ///< unknown members, as one JSON object; sent back unchanged

  static Message system(std::string content);
  static Message user(std::string content);
  static Message user(std::vector<ContentPart> parts);
  static Message assistant(std::string content);
  static Message tool(std::string tool_call_id, std::string content);
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/message.ipp>
#endif
