// The script file: what `--script` and parse_script() read.
#pragma once
#include <string>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

/// The format in words, for people.
const char* script_help();
/// The folder of a file name: "." if it has none.
std::string folder_of(const std::string& file);

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
