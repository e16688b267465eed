// Layer bodies: http.
#include <deepseek/http/impl/src.hpp>
