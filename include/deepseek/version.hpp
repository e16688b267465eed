// Version of the headers. Source compatibility holds within a major version.
#pragma once
#include <deepseek/config.hpp>

#define DEEPSEEK_VERSION_MAJOR 0
#define DEEPSEEK_VERSION_MINOR 1
#define DEEPSEEK_VERSION_PATCH 0

DEEPSEEK_BEGIN_NAMESPACE
/// "major.minor.patch" of these headers; goes into the User-Agent.
inline constexpr const char* version = "0.1.0";
DEEPSEEK_END_NAMESPACE
