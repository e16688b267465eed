// The script file: what `--script` and parse_script() read.
#pragma once
#include <string>

#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

/// The format in words, for people.
const char* script_help();
/// All of a file, io_error without its name if it cannot be read or is larger than 1 GiB.
Result<std::string> read_file(const std::string& name);
/// The folder of a file name: "." if it has none.
std::string folder_of(const std::string& file);

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
