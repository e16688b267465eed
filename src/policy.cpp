// Layer bodies: policy.
#include <deepseek/policy/impl/src.hpp>
