// The one source file of the embedding application that compiles the library.
#include <deepseek/src.hpp>
