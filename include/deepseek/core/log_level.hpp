// LogLevel: how much a log record matters.
#pragma once
#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

enum class LogLevel { debug, info, warn, error };

DEEPSEEK_END_NAMESPACE
