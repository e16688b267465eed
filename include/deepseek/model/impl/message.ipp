#pragma once
#include <deepseek/model/message.hpp>
#include <deepseek/model/tools.hpp>

#include <deepseek/model/detail/json_writer.hpp>

DEEPSEEK_BEGIN_NAMESPACE

DEEPSEEK_DECL ContentPart ContentPart::text_part(std::string text) {
  ContentPart part;
  part.text = std::move(text);
  return part;
}

DEEPSEEK_DECL ContentPart ContentPart::image(std::string url, std::string detail) {
  ContentPart part;
  part.type = "image_url";
  part.url = std::move(url);
  part.detail = std::move(detail);
  return part;
}

DEEPSEEK_DECL ContentPart ContentPart::file(std::string file_id) {
  ContentPart part;
  part.type = "file";
  part.file_id = std::move(file_id);
  return part;
}

DEEPSEEK_DECL ContentPart ContentPart::inline_file(std::string data_url, std::string filename) {
  ContentPart part;
  part.type = "file";
  part.file_data = std::move(data_url);
  part.filename = std::move(filename);
  return part;
}

namespace detail {
DEEPSEEK_DECL Message make_message(const char* role, std::string content) {
  Message message;
  message.role = role;
  message.content = std::move(content);
  return message;
}
}  // namespace detail

DEEPSEEK_DECL Message Message::system(std::string content) {
  return detail::make_message(role::system, std::move(content));
}

DEEPSEEK_DECL Message Message::user(std::string content) {
  return detail::make_message(role::user, std::move(content));
}

DEEPSEEK_DECL Message Message::user(std::vector<ContentPart> parts) {
  Message message = detail::make_message(role::user, {});
  message.parts = std::move(parts);
  return message;
}

DEEPSEEK_DECL Message Message::assistant(std::string content) {
  return detail::make_message(role::assistant, std::move(content));
}

DEEPSEEK_DECL Message Message::tool(std::string tool_call_id, std::string content) {
  Message message = detail::make_message(role::tool, std::move(content));
  message.tool_call_id = std::move(tool_call_id);
  return message;
}

DEEPSEEK_DECL Tool Tool::server(const std::string& type) {
  std::string json = "{\"type\":\"";
  detail::append_escaped(json, type);
  json += "\"}";
  Tool tool;
  tool.raw = RawJson(std::move(json));
  return tool;
}

DEEPSEEK_END_NAMESPACE
