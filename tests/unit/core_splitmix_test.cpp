// The sequence is that of the algorithm's authors.
#include "support/catch.hpp"

#include <deepseek/core/detail/splitmix.hpp>

TEST_CASE("splitmix64 gives the published numbers", "[core]") {
  std::uint64_t state = 1234567;
  CHECK(deepseek::detail::splitmix64(state) == 6457827717110365317u);
  CHECK(deepseek::detail::splitmix64(state) == 3203168211198807973u);
  CHECK(deepseek::detail::splitmix64(state) == 9817491932198370423u);
}
