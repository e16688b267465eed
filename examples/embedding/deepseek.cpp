// The whole library, compiled here and nowhere else. DEEPSEEK_EMBEDDED is set for the whole program.
#include <deepseek/src.hpp>
