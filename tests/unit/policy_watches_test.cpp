// A breaker that changes is seen in metrics and log; trouble of a cache level in the log, without its text.
#include <string>

#include "support/catch.hpp"
#include "support/fake_loop.hpp"

#include <deepseek/policy/detail/watches.hpp>

using namespace deepseek;
using namespace std::chrono_literals;

namespace {

struct Watched {
  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>();
  std::string log;
  ObserveOptions options;
  Watched() {
    options.metrics = metrics;
    options.log = make_callback_log([this](const LogRecord& record) { append_json_line(log, record); });
  }
  bool shows(const std::string& text) const { return metrics->prometheus_text().find(text) != std::string::npos; }
  bool logged(const std::string& text) const { return log.find(text) != std::string::npos; }
};

}  // namespace

TEST_CASE("an endpoint's breaker is told when it opens, tries and closes", "[policy]") {
  Watched watched;
  deepseek_tests::FakeLoop loop;
  BreakerOptions breaker;
  breaker.minimum_calls = 2;
  Endpoint endpoint;
  endpoint.base_url = "http://user:secret@gateway.test:81/v1";
  detail::Router router({endpoint}, FailoverOptions(), breaker, detail::make_breaker_watch(watched.options));
  router.attach(loop);
  const auto attempt = [&](detail::EndpointVerdict verdict) {
    Call call;
    const bool permitted = router.choose(call) != nullptr;
    if (permitted) router.report(call, verdict);
    return permitted;
  };
  for (int i = 0; i < 2; ++i) REQUIRE(attempt(detail::EndpointVerdict::failed));
  CHECK_FALSE(attempt(detail::EndpointVerdict::good));
  CHECK(watched.shows("} 2\n"));
  CHECK(watched.logged("\"open\""));
  loop.advance(1h);
  while (!watched.logged("\"closed\"")) REQUIRE(attempt(detail::EndpointVerdict::good));
  CHECK(watched.logged("\"half_open\""));
  CHECK(watched.shows("deepseek_breaker_state{"));
  CHECK_FALSE(watched.logged("secret"));
  CHECK_FALSE(watched.shows("secret"));
}

TEST_CASE("of a cache's notice the log gets its level and kind alone", "[policy]") {
  Watched watched;
  const CacheNotice notice = detail::make_cache_notice(watched.options);
  notice("disk", "the database on the disk was set aside as /home/somebody/cache.bad: not a database");
  notice("redis", "cannot connect with password hunter2");
  CHECK(watched.logged("disk"));
  CHECK(watched.logged("redis"));
  CHECK_FALSE(watched.logged("somebody"));
  CHECK_FALSE(watched.logged("hunter2"));
  CHECK_FALSE(detail::make_cache_notice(ObserveOptions()));
}
