// The library speaks to programmers. The command speaks to people who type flags.
#pragma once
#include <string>
#include <string_view>

#include <deepseek/error.hpp>

namespace deepseek::cli {

/// The error with advice in terms of the command's options; `chat` and `doctor` give the same for the same failure.
Error in_flags(const Error& error);

/// A base URL that may be shown: without user name, password, query and fragment, and not too long.
std::string shown_url(std::string_view url);

}  // namespace deepseek::cli
