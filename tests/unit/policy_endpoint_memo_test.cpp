// What is found out about an endpoint is found out once, and not kept without bounds.
#include "support/catch.hpp"

#include <deepseek/policy/detail/endpoint_memo.hpp>
#include <deepseek/transport/endpoint.hpp>

using namespace deepseek;

TEST_CASE("an endpoint is asked about once, until there are too many", "[policy]") {
  detail::EndpointMemo<int> memo;
  int asked = 0;
  const auto look = [&](const std::shared_ptr<const Endpoint>& endpoint) {
    return memo.of(endpoint, [&] { return ++asked; });
  };
  const auto first = std::make_shared<const Endpoint>();
  const auto equal = std::make_shared<const Endpoint>();  // another one all the same
  CHECK(look(first) == 1);
  CHECK(look(equal) == 2);
  CHECK(look(nullptr) == 3);
  CHECK(look(first) == 1);
  CHECK(look(nullptr) == 3);
  CHECK(asked == 3);
  for (std::size_t i = 3; i < memo.most; ++i) look(std::make_shared<const Endpoint>());
  CHECK(look(first) == 1);
  CHECK(first.use_count() == 2);
  const int before = asked;
  look(std::make_shared<const Endpoint>());
  CHECK(first.use_count() == 1);
  CHECK(look(first) == before + 2);
}
