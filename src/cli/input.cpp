#include "cli/input.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "double/json_depth.hpp"

namespace deepseek::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* standard_input = "standard input";

Error file_error(const std::string& name, const std::string& what, std::string advice = {}) {
  return Error(ErrorCode::io_error, (name.empty() ? "\"\"" : name) + ": " + what, std::move(advice));
}

Result<std::string> read_descriptor(int descriptor, const std::string& name, std::size_t most) {
  std::string text;
  char block[64 * 1024];
  for (;;) {
    const ssize_t count = ::read(descriptor, block, sizeof block);
    if (count == 0) return text;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      pollfd entry = {descriptor, POLLIN, 0};
      poll(&entry, 1, -1);
      continue;
    }
    if (count < 0) return file_error(name, std::strerror(errno));
    if (text.size() + static_cast<std::size_t>(count) > most)
      return file_error(name, "larger than " + std::to_string(most >> 20) + " MiB", "send less");
    text.append(block, static_cast<std::size_t>(count));
  }
}

const char* image_type(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\x89PNG\r\n\x1a\n"sv)) return "image/png";
  if (bytes.starts_with("\xff\xd8\xff"sv)) return "image/jpeg";
  if (bytes.starts_with("GIF87a"sv) || bytes.starts_with("GIF89a"sv)) return "image/gif";
  if (bytes.starts_with("RIFF"sv) && bytes.substr(0, 12).ends_with("WEBP"sv)) return "image/webp";
  if (bytes.starts_with("BM"sv) && bytes.size() > 26) return "image/bmp";
  return nullptr;
}

std::string base64(std::string_view bytes) {
  static constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t at) {
      return at < bytes.size() ? static_cast<unsigned>(static_cast<unsigned char>(bytes[at])) : 0u;
    };
    const unsigned group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    text += letters[group >> 18 & 63];
    text += letters[group >> 12 & 63];
    text += i + 1 < bytes.size() ? letters[group >> 6 & 63] : '=';
    text += i + 2 < bytes.size() ? letters[group & 63] : '=';
  }
  return text;
}

std::size_t longest_run(std::string_view text, char wanted) {
  std::size_t longest = 0, run = 0;
  for (const char c : text) {
    run = c == wanted ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

Error tools_error(const std::string& what) {
  return Error(ErrorCode::invalid_request, "--tools: " + what,
               "the file holds the API's tools array: [{\"type\":\"function\",\"function\":{...}}]");
}

bool is_text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string();
}

/// True if a Tool can say everything the object says.
bool is_plain_function(const Json& object) {
  if (object.size() != 2 || !object.contains("function") || object["type"] != "function") return false;
  const Json& function = object["function"];
  if (!function.is_object() || !is_text(function, "name")) return false;
  for (const auto& [key, value] : function.items()) {
    if (key == "name") continue;
    if (key == "description" && value.is_string()) continue;
    if (key == "parameters" && value.is_object()) continue;
    if (key == "strict" && value.is_boolean()) continue;
    return false;
  }
  return true;
}

Tool make_tool(const Json& object) {
  Tool tool;
  if (!is_plain_function(object)) {
    tool.raw = RawJson(object.dump());
    return tool;
  }
  const Json& function = object["function"];
  tool.name = function["name"].get<std::string>();
  tool.description = function.value("description", "");
  if (function.contains("parameters")) tool.parameters = RawJson(function["parameters"].dump());
  if (function.contains("strict")) tool.strict = function["strict"].get<bool>();
  return tool;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t most) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return file_error(path, std::strerror(errno));
  auto text = read_descriptor(descriptor, path, most);
  close(descriptor);
  return text;
}

Result<std::string> read_standard_input(std::size_t most) {
  return read_descriptor(STDIN_FILENO, standard_input, most);
}

Result<std::string> read_prompt(const std::string& argument) {
  auto text = argument == "-" ? read_standard_input(max_text_bytes) : Result<std::string>(argument);
  if (text && !valid_utf8(*text)) return Error(ErrorCode::invalid_request, "the prompt is not UTF-8");
  if (text && text->empty()) return Error(ErrorCode::invalid_request, "the prompt is empty");
  return text;
}

bool valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80         ? 1
                               : lead >> 5 == 0x6  ? 2
                               : lead >> 4 == 0xe  ? 3
                               : lead >> 3 == 0x1e ? 4
                                                   : 0;
    if (length == 0 || text.size() - i < length) return false;
    std::uint32_t point = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if ((byte & 0xc0) != 0x80) return false;
      point = point << 6 | (byte & 0x3fu);
    }
    constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    i += length;
  }
  return true;
}

Result<ContentPart> image_part(const std::string& path_or_url) {
  for (const char* scheme : {"https://", "http://", "data:"})
    if (path_or_url.starts_with(scheme)) return ContentPart::image(path_or_url);
  auto bytes = read_file(path_or_url, max_image_bytes);
  if (!bytes) return bytes.error();
  const char* type = image_type(*bytes);
  if (!type) return file_error(path_or_url, "not an image of a known kind", "PNG, JPEG, WebP, GIF and BMP are known");
  return ContentPart::image(std::string("data:") + type + ";base64," + base64(*bytes));
}

bool is_file_id(std::string_view name) {
  return name.starts_with("file-") && std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return c < 0x80 && (std::isalnum(c) || c == '-' || c == '_');
         });
}

Result<std::string> fenced_file(const std::string& path) {
  const bool piped = path == "-";
  auto text = piped ? read_standard_input(max_text_bytes) : read_file(path, max_text_bytes);
  if (!text) return text.error();
  if (!valid_utf8(*text) || text->find('\0') != std::string::npos)
    return file_error(piped ? standard_input : path, "not a text in UTF-8", "for pictures use --image");
  const std::string fence(std::max<std::size_t>(3, longest_run(*text, '`') + 1), '`');
  const std::string name = piped ? standard_input : path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  const char* line_end = text->empty() || text->back() == '\n' ? "" : "\n";
  return name + ":\n" + fence + '\n' + *text + line_end + fence + '\n';
}

Result<std::vector<Tool>> parse_tools(std::string_view json) {
  constexpr int deepest = 128;  // what the service reads; the parser's own limit is the stack
  if (test::detail::nested_deeper(json, deepest)) return tools_error("nested too deep");
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_discarded()) return tools_error("not JSON");
  if (!parsed.is_array()) return tools_error("not an array");
  std::vector<Tool> tools;
  for (const Json& object : parsed) {
    if (!object.is_object() || !is_text(object, "type"))
      return tools_error("item " + std::to_string(tools.size()) + " is not an object with a type");
    tools.push_back(make_tool(object));
  }
  return tools;
}

}  // namespace deepseek::cli
