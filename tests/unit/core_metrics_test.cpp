// The metrics registry: what is counted, what is told apart, and the text that Prometheus reads.
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

#include <deepseek/core/metric_list.hpp>
#include <deepseek/core/metrics.hpp>

using namespace deepseek;

namespace {

constexpr double bounds[] = {0.1, 0.5};
constexpr Metric counter = {"test_total", "Things.", MetricKind::counter, {"kind", "who"}};
constexpr Metric gauge = {"test_level", "A level.", MetricKind::gauge};
constexpr Metric timing = {"test_seconds", "Times.", MetricKind::histogram, {"kind"}, bounds, 2};

std::vector<MetricSample> samples_of(const Metrics& metrics, const Metric& metric) {
  for (const MetricFamily& family : metrics.collect())
    if (family.metric == &metric) return family.samples;
  return {};
}

/// The value on the line of `series`; NaN: there is no such line.
double value_of(const std::string& text, const std::string& series) {
  const std::size_t at = ("\n" + text).find("\n" + series + " ");
  if (at == std::string::npos) return std::nan("");
  return std::strtod(text.c_str() + at + series.size(), nullptr);
}

}  // namespace

TEST_CASE("counters, gauges and histograms come out as Prometheus text", "[core][metrics]") {
  Metrics metrics;
  metrics.add(counter, {"a", "x"}, 1);
  metrics.add(counter, {"a", "x"}, 2);
  metrics.add(counter, {"a", ""}, 0.5);
  metrics.set(gauge, {}, 7);
  metrics.add(gauge, {}, -9);
  metrics.observe(timing, {"slow"}, 0.1);  // a bound belongs to its bucket
  metrics.observe(timing, {"slow"}, 0.2);
  metrics.observe(timing, {"slow"}, 3);
  const std::string text = metrics.prometheus_text();
  INFO(text);
  CHECK(text.find("# HELP test_total Things.\n# TYPE test_total counter\n") != std::string::npos);
  CHECK(value_of(text, R"(test_total{kind="a",who="x"})") == 3);
  CHECK(value_of(text, R"(test_total{kind="a"})") == 0.5);  // an empty label is no label
  CHECK(value_of(text, "test_level") == -2);
  CHECK(text.find("# TYPE test_seconds histogram\n") != std::string::npos);
  CHECK(value_of(text, R"(test_seconds_bucket{kind="slow",le="0.1"})") == 1);
  CHECK(value_of(text, R"(test_seconds_bucket{kind="slow",le="0.5"})") == 2);
  CHECK(value_of(text, R"(test_seconds_bucket{kind="slow",le="+Inf"})") == 3);
  CHECK(value_of(text, R"(test_seconds_sum{kind="slow"})") == Approx(3.3));
  CHECK(value_of(text, R"(test_seconds_count{kind="slow"})") == 3);
}

TEST_CASE("every metric of the library is declared, and the process is measured", "[core][metrics]") {
  Metrics metrics;
  const std::string text = metrics.prometheus_text();
  for (const Metric* const metric : metric::all) {
    INFO(metric->name);
    CHECK(text.find("# TYPE " + std::string(metric->name) + " ") != std::string::npos);
    const std::string tail = "_total";
    const bool total = metric->name.size() > tail.size() && metric->name.substr(metric->name.size() - 6) == tail;
    CHECK(total == (metric->kind == MetricKind::counter));
    CHECK((metric->bounds != nullptr) == (metric->kind == MetricKind::histogram));
    for (std::size_t i = 1; i < metric->bound_count; ++i) CHECK(metric->bounds[i - 1] < metric->bounds[i]);
  }
  CHECK(value_of(text, "deepseek_process_resident_memory_bytes") > 1e5);
  CHECK(value_of(text, "deepseek_process_memory_limit_bytes") >
        value_of(text, "deepseek_process_resident_memory_bytes"));
  CHECK(text.find("deepseek_build_info{version=\"") != std::string::npos);
}

TEST_CASE("what cannot be right is not counted", "[core][metrics]") {
  Metrics metrics;
  metrics.add(counter, {"a", "x"}, -1);  // a counter never goes down
  metrics.add(counter, {"a", "x"}, std::numeric_limits<double>::quiet_NaN());
  metrics.set(counter, {"a", "x"}, 5);
  metrics.observe(gauge, {}, 5);
  metrics.add(timing, {"a"}, 5);
  metrics.observe(timing, {"a"}, std::numeric_limits<double>::infinity());
  CHECK(samples_of(metrics, counter).empty());
  CHECK(samples_of(metrics, gauge).empty());
  CHECK(samples_of(metrics, timing).empty());
  metrics.add(counter, {"one label of two"}, 1);
  CHECK(samples_of(metrics, counter).empty());
  CHECK(value_of(metrics.prometheus_text(), R"(deepseek_dropped_total{what="metric"})") == 1);
}

TEST_CASE("labels are bounded: many values, long ones and odd ones are told apart no more", "[core][metrics]") {
  Metrics metrics;
  for (int i = 0; i < 1000; ++i) metrics.add(counter, {"k", "user-" + std::to_string(i)}, 1);
  CHECK(samples_of(metrics, counter).size() == Metrics::most_label_values + 1);
  CHECK(value_of(metrics.prometheus_text(), R"(test_total{kind="k",who="other"})") == 900);

  const std::string odd = GENERATE(values<std::string>(
      {"quote\"", "line\nbreak", "a b", "\xff", "back\\slash", "sk-0123456789abcdef", std::string(97, 'a'), "{x}"}));
  Metrics other;
  other.add(counter, {odd, "x"}, 1);
  CHECK(samples_of(other, counter).at(0).labels.at(0) == "other");
  CHECK(other.prometheus_text().find(odd) == std::string::npos);
}

TEST_CASE("the number of series is bounded, and what does not fit is counted", "[core][metrics]") {
  Metrics metrics;
  for (int i = 0; i < 100; ++i)
    for (int j = 0; j < 100; ++j) metrics.add(counter, {std::to_string(i), std::to_string(j)}, 1);
  CHECK(samples_of(metrics, counter).size() == Metrics::most_series);
  double counted = 0;
  for (const MetricSample& sample : samples_of(metrics, counter)) counted += sample.value;
  CHECK(counted + value_of(metrics.prometheus_text(), R"(deepseek_dropped_total{what="metric"})") == 10000);
}

TEST_CASE("values that differ only where the hash does not look are told apart", "[core][metrics]") {
  Metrics metrics;
  metrics.add(counter, {"aaaaaaaa-1-bbbbbbbb", "x"}, 1);
  metrics.add(counter, {"aaaaaaaa-2-bbbbbbbb", "x"}, 2);
  const std::string text = metrics.prometheus_text();
  CHECK(value_of(text, R"(test_total{kind="aaaaaaaa-1-bbbbbbbb",who="x"})") == 1);
  CHECK(value_of(text, R"(test_total{kind="aaaaaaaa-2-bbbbbbbb",who="x"})") == 2);
}

TEST_CASE("threads count into the same series without losing anything", "[core][metrics][concurrent]") {
  Metrics metrics;
  constexpr int each = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&metrics, t] {
      for (int i = 0; i < each; ++i) {
        metrics.add(counter, {"shared", std::to_string(i % 7)}, 1);
        metrics.observe(timing, {t % 2 == 0 ? "even" : "odd"}, 0.3);
        metrics.add(gauge, {}, i % 2 == 0 ? 1 : -1);
        if (i % 500 == 0) (void)metrics.prometheus_text();
      }
    });
  for (std::thread& thread : threads) thread.join();
  double sum = 0;
  for (const MetricSample& sample : samples_of(metrics, counter)) sum += sample.value;
  CHECK(samples_of(metrics, counter).size() == 7);
  CHECK(sum == 4 * each);
  CHECK(samples_of(metrics, timing).at(0).buckets == std::vector<std::uint64_t>{0, 2 * each, 0});
  CHECK(samples_of(metrics, gauge).at(0).value == 0);
}
