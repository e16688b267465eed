// Layer bodies: the client and its faces.
#include <deepseek/impl/src.hpp>
