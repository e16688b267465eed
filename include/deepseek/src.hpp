// Every body of the library, for the one TU of DEEPSEEK_EMBEDDED. The library build includes the same
// files in themed groups (src/*.cpp).
#pragma once
#include <deepseek/config.hpp>

#ifdef DEEPSEEK_HEADER_ONLY
#error "deepseek/src.hpp: define DEEPSEEK_EMBEDDED for the whole program first; header-only mode needs no src.hpp"
#endif

#include <deepseek/auth/impl/src.hpp>
#include <deepseek/core/impl/src.hpp>
#include <deepseek/http/impl/src.hpp>
#include <deepseek/impl/src.hpp>
#include <deepseek/model/impl/src.hpp>
#include <deepseek/policy/impl/src.hpp>
#include <deepseek/transport/impl/src.hpp>
