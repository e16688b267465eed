// How deep a JSON text is nested, told before it is parsed: what walks a tree overflows its stack on a deep one.
#pragma once
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

/// True if objects and arrays stand more than `most` deep. Needs no valid JSON.
inline bool nested_deeper(std::string_view json, int most) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > most) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
