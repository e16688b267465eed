// Layer bodies: credentials and signed tokens.
#include <deepseek/auth/impl/src.hpp>
