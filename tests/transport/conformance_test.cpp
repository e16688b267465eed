// The transport conformance suite where no network is needed.
#include "transport/fake_stages.hpp"
#include "transport/suite.hpp"

TEST_CASE("conformance: HTTP over a scripted engine") {
  conformance::run_suite([] { return std::make_unique<conformance::FakeHttpStage>(); });
}

TEST_CASE("conformance: replay") {
  conformance::run_suite([] { return std::make_unique<conformance::ReplayStage>(); });
}
