// The `deepseek double` command.
#pragma once
#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test {

/// Runs the server until SIGTERM or SIGINT. `argv[0]` is the word `double`, the rest its arguments. Blocks both
/// signals in the calling thread, so call it before any other thread is started. Returns the exit code: 0,
/// 1 (cannot start) or 2 (usage).
int run_double(int argc, char** argv);

}  // namespace test
DEEPSEEK_END_NAMESPACE
