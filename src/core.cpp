// Layer bodies: core.
#include <deepseek/core/impl/src.hpp>
