// Compiled once, linked into every test program: the framework's own main costs 10 s.
#define CATCH_CONFIG_MAIN
#include "catch.hpp"
