// The one source file of a program in DEEPSEEK_EMBEDDED mode that carries the bodies.
#include <deepseek/src.hpp>
