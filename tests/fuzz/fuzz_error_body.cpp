// Error bodies of any shape: one line of bounded length, valid UTF-8, whatever came.
#include <deepseek/model/detail/codec.hpp>
#include <deepseek/model/detail/json_text.hpp>

#include <algorithm>
#include <cstdlib>

using namespace deepseek;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const int status = size == 0 ? 500 : 300 + data[0];
  const Error error = detail::decode_error(status, input);
  for (const std::string* text : {&error.message(), &error.cause(), &error.service().message, &error.service().type,
                                  &error.service().code, &error.service().param}) {
    const bool one_line =
        std::none_of(text->begin(), text->end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    if (!one_line || text->size() > 600 || !detail::valid_utf8(*text)) std::abort();
  }
  if (error.http_status() != status) std::abort();
  return 0;
}
