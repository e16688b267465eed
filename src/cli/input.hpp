// What the command reads: prompts, files, images, tool definitions. Everything is bounded.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/model/message.hpp>
#include <deepseek/model/tools.hpp>
#include <deepseek/result.hpp>

namespace deepseek::cli {

/// The service takes requests of 48 MiB; an image grows by a third on its way.
inline constexpr std::size_t max_text_bytes = 48u << 20;
inline constexpr std::size_t max_image_bytes = 35u << 20;

/// The whole of a file or pipe, io_error if it cannot be read or holds more than `most` bytes.
Result<std::string> read_file(const std::string& path, std::size_t most);
Result<std::string> read_standard_input(std::size_t most);
/// The text itself, or standard input for "-".
Result<std::string> read_prompt(const std::string& argument);

bool valid_utf8(std::string_view text);

/// An address as it is; a local file as a data: URL, its type told by its first bytes.
Result<ContentPart> image_part(const std::string& path_or_url);

/// "file-..." names a file that lies with the service; anything else is a path.
bool is_file_id(std::string_view name);
/// A text file, or standard input for "-", for a prompt: its name and a fence that its content does not contain.
Result<std::string> fenced_file(const std::string& path);

/// The API's `tools` array. Members this library does not know are kept.
Result<std::vector<Tool>> parse_tools(std::string_view json);

}  // namespace deepseek::cli
