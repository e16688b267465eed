// Layer bodies: transport.
#include <deepseek/transport/impl/src.hpp>
