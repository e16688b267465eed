// Layer bodies: model.
#include <deepseek/model/impl/src.hpp>
