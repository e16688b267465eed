#pragma once
#include <deepseek/core/metric_list.hpp>
#include <deepseek/core/metrics.hpp>

#include <deepseek/core/detail/plain.hpp>
#include <deepseek/core/detail/process.hpp>
#include <deepseek/version.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// A label value as it is hashed and compared: its length and both ends. Values of up to 16 bytes are nothing more.
struct LabelEnds {
  std::uint64_t size;
  std::uint64_t head;
  std::uint64_t tail;

  friend bool operator==(const LabelEnds& a, const LabelEnds& b) noexcept {
    return a.size == b.size && a.head == b.head && a.tail == b.tail;
  }
};

/// `Word`s from both ends; they overlap where the text is short.
template <class Word>
LabelEnds label_ends_by(std::string_view text) noexcept {
  Word head = 0;
  Word tail = 0;
  std::memcpy(&head, text.data(), sizeof head);
  std::memcpy(&tail, text.data() + text.size() - sizeof tail, sizeof tail);
  return {text.size(), head, tail};
}

inline LabelEnds label_ends(std::string_view text) noexcept {
  if (text.size() >= 8) return label_ends_by<std::uint64_t>(text);
  if (text.size() >= 4) return label_ends_by<std::uint32_t>(text);
  if (text.size() >= 2) return label_ends_by<std::uint16_t>(text);
  return text.empty() ? LabelEnds{0, 0, 0} : label_ends_by<unsigned char>(text);
}

/// A metric with label values, ready to be looked up.
struct SeriesKey {
  explicit SeriesKey(const Metric& its_metric) noexcept
      : metric(&its_metric), hash(reinterpret_cast<std::uintptr_t>(metric)) {}
  SeriesKey(const Metric& its_metric, MetricLabels labels) noexcept : SeriesKey(its_metric) {
    for (const std::string_view label : labels)
      if (count < Metric::most_labels) add(label);
  }
  void add(std::string_view label) noexcept {
    text[count] = label;
    const LabelEnds& end = ends[count] = label_ends(label);
    ++count;
    hash = (hash ^ (end.head + end.tail * 0xD6E8FEB86659FD93u + end.size)) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }

  const Metric* metric;
  std::uint64_t hash;
  std::size_t count = 0;
  std::array<LabelEnds, Metric::most_labels> ends;  // set up to count
  std::array<std::string_view, Metric::most_labels> text;
};

/// The numbers of one metric with one set of labels. Never moved, never freed before the registry.
struct alignas(64) MetricSeries {
  explicit MetricSeries(const SeriesKey& key) : metric(key.metric), hash(key.hash) {
    for (std::size_t i = 0; i < key.count; ++i) {
      ends[i] = key.ends[i];
      labels[i] = std::string(key.text[i]);
    }
    if (metric->kind == MetricKind::histogram)
      buckets = std::make_unique<std::atomic<std::uint64_t>[]>(metric->bound_count + 1);
  }

  bool is(const SeriesKey& key) const noexcept {
    if (hash != key.hash || metric != key.metric) return false;
    for (std::size_t i = 0; i < key.count; ++i)
      if (!(ends[i] == key.ends[i]) || (key.text[i].size() > 16 && labels[i] != key.text[i])) return false;
    return true;
  }
  void add(double amount) noexcept {
    double now = value.load(std::memory_order_relaxed);
    while (!value.compare_exchange_weak(now, now + amount, std::memory_order_relaxed)) {
    }
  }

  const Metric* metric;
  std::uint64_t hash;
  std::array<LabelEnds, Metric::most_labels> ends = {};
  std::array<std::string, Metric::most_labels> labels = {};
  std::atomic<double> value{0};
  std::unique_ptr<std::atomic<std::uint64_t>[]> buckets;
};

}  // namespace detail

struct Metrics::State {
  using Series = detail::MetricSeries;
  static constexpr std::size_t slots = 2 * most_series;  // half empty, so that a search is short
  static_assert((slots & (slots - 1)) == 0);

  /// The slot of the series, or the free one where it belongs.
  std::size_t slot_of(const detail::SeriesKey& key) const noexcept {
    for (std::size_t slot = key.hash & (slots - 1);; slot = (slot + 1) & (slots - 1)) {
      const Series* const series = table[slot].load(std::memory_order_acquire);
      if (!series || series->is(key)) return slot;
    }
  }

  /// The series to count into; null: there is none, and that is counted.
  Series* series_of(const Metric& metric, MetricLabels labels) noexcept {
    const detail::SeriesKey key(metric, labels);
    if (labels.size() == key.count)
      if (Series* const known = table[slot_of(key)].load(std::memory_order_acquire)) return known;
    try {
      if (labels.size() == metric.label_count())
        if (Series* const made = make(key)) return made;
    } catch (...) {
    }
    lost.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }

  Series* make(const detail::SeriesKey& wanted);
  std::string_view bounded(std::string_view name, std::string_view value);

  std::array<std::atomic<Series*>, slots> table = {};
  std::atomic<std::uint64_t> lost{0};
  mutable std::mutex mutex;
  std::vector<std::unique_ptr<Series>> all;                                       // guarded
  std::map<std::string, std::set<std::string, std::less<>>, std::less<>> values;  // guarded: by label
};

/// The value, or "other" where there are too many or it is not plain.
DEEPSEEK_DECL std::string_view Metrics::State::bounded(std::string_view name, std::string_view value) {
  constexpr std::string_view other = "other";
  if (value.empty()) return value;
  if (!detail::is_plain_name(value)) return other;
  auto known = values.find(name);
  if (known == values.end()) known = values.emplace(std::string(name), std::set<std::string, std::less<>>()).first;
  if (known->second.find(value) != known->second.end()) return value;
  if (known->second.size() >= most_label_values) return other;
  known->second.emplace(value);
  return value;
}

DEEPSEEK_DECL Metrics::State::Series* Metrics::State::make(const detail::SeriesKey& wanted) {
  const std::lock_guard<std::mutex> lock(mutex);
  detail::SeriesKey key(*wanted.metric);
  for (std::size_t i = 0; i < wanted.count; ++i) key.add(bounded(wanted.metric->labels[i], wanted.text[i]));
  std::atomic<Series*>& slot = table[slot_of(key)];
  if (Series* const known = slot.load(std::memory_order_relaxed)) return known;
  if (all.size() >= most_series) return nullptr;
  all.push_back(std::make_unique<Series>(key));
  slot.store(all.back().get(), std::memory_order_release);
  return all.back().get();
}

DEEPSEEK_DECL Metrics::Metrics() : state_(std::make_unique<State>()) {}

DEEPSEEK_DECL Metrics::~Metrics() = default;

DEEPSEEK_DECL void Metrics::add(const Metric& metric, MetricLabels labels, double amount) noexcept {
  const bool fits = metric.kind == MetricKind::gauge ? std::isfinite(amount) : amount >= 0 && std::isfinite(amount);
  if (metric.kind == MetricKind::histogram || !fits) return;
  if (auto* const series = state_->series_of(metric, labels)) series->add(amount);
}

DEEPSEEK_DECL void Metrics::set(const Metric& metric, MetricLabels labels, double value) noexcept {
  if (metric.kind != MetricKind::gauge) return;
  if (auto* const series = state_->series_of(metric, labels)) series->value.store(value, std::memory_order_relaxed);
}

DEEPSEEK_DECL void Metrics::observe(const Metric& metric, MetricLabels labels, double value) noexcept {
  if (metric.kind != MetricKind::histogram || !std::isfinite(value)) return;
  auto* const series = state_->series_of(metric, labels);
  if (!series) return;
  std::size_t bucket = 0;
  while (bucket < metric.bound_count && value > metric.bounds[bucket]) ++bucket;
  series->buckets[bucket].fetch_add(1, std::memory_order_relaxed);
  series->add(value);
}

namespace detail {

DEEPSEEK_DECL MetricFamily& metric_family_of(std::vector<MetricFamily>& families, const Metric& metric) {
  for (MetricFamily& family : families)
    if (family.metric == &metric) return family;
  families.push_back({&metric, {}});
  return families.back();
}

DEEPSEEK_DECL MetricSample metric_sample_of(const MetricSeries& series) {
  MetricSample sample;
  sample.labels.assign(series.labels.begin(),
                       series.labels.begin() + static_cast<std::ptrdiff_t>(series.metric->label_count()));
  sample.value = series.value.load(std::memory_order_relaxed);
  if (!series.buckets) return sample;
  for (std::size_t i = 0; i <= series.metric->bound_count; ++i)
    sample.buckets.push_back(series.buckets[i].load(std::memory_order_relaxed));
  return sample;
}

}  // namespace detail

DEEPSEEK_DECL std::vector<MetricFamily> Metrics::collect() const {
  std::vector<MetricFamily> families;
  for (const Metric* const metric : metric::all) families.push_back({metric, {}});
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    for (const auto& series : state_->all)
      detail::metric_family_of(families, *series->metric).samples.push_back(detail::metric_sample_of(*series));
  }
  const auto put = [&families](const Metric& metric, std::vector<std::string> labels, double value) {
    detail::metric_family_of(families, metric).samples.push_back({std::move(labels), value, {}});
  };
  const detail::ProcessMemory memory = detail::process_memory();
  if (memory.resident > 0) put(metric::resident_memory, {}, static_cast<double>(memory.resident));
  if (memory.limit > 0) put(metric::memory_limit, {}, static_cast<double>(memory.limit));
  put(metric::build_info, {version}, 1);
  if (const std::uint64_t lost = state_->lost.load(std::memory_order_relaxed))
    put(metric::dropped, {"metric"}, static_cast<double>(lost));
  for (MetricFamily& family : families)
    std::sort(family.samples.begin(), family.samples.end(),
              [](const MetricSample& a, const MetricSample& b) { return a.labels < b.labels; });
  std::sort(families.begin(), families.end(),
            [](const MetricFamily& a, const MetricFamily& b) { return a.metric->name < b.metric->name; });
  return families;
}

// --- Prometheus' text format ---------------------------------------------------------------------------

namespace detail {

template <class Number>
void append_metric_number(std::string& text, Number number) {
  char digits[32];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

/// The value of a sample or a bound; never NaN.
DEEPSEEK_DECL void append_metric_value(std::string& text, double value) {
  if (std::isinf(value)) {
    text += value > 0 ? "+Inf" : "-Inf";
    return;
  }
  append_metric_number(text, value);
}

/// Appends {a="b",le="0.5"}, or nothing if there is no label. Values are plain: nothing needs to be escaped.
DEEPSEEK_DECL void append_metric_labels(std::string& text, const Metric& metric, const MetricSample& sample,
                                        const double* bound = nullptr) {
  char before = '{';
  const auto append = [&text, &before](std::string_view name) {
    text += std::exchange(before, ',');
    text.append(name).append("=\"");
  };
  for (std::size_t i = 0; i < sample.labels.size(); ++i) {
    if (sample.labels[i].empty()) continue;
    append(metric.labels[i]);
    text.append(sample.labels[i]) += '"';
  }
  if (bound) {
    append("le");
    append_metric_value(text, *bound);
    text += '"';
  }
  if (before == ',') text += '}';
}

DEEPSEEK_DECL void append_metric_histogram(std::string& text, const Metric& metric, const MetricSample& sample) {
  std::uint64_t below = 0;
  for (std::size_t i = 0; i <= metric.bound_count; ++i) {
    const double bound = i < metric.bound_count ? metric.bounds[i] : std::numeric_limits<double>::infinity();
    text.append(metric.name).append("_bucket");
    append_metric_labels(text, metric, sample, &bound);
    append_metric_number(text += ' ', below += sample.buckets[i]);
    text += '\n';
  }
  text.append(metric.name).append("_sum");
  append_metric_labels(text, metric, sample);
  append_metric_value(text += ' ', sample.value);
  text.append("\n").append(metric.name).append("_count");
  append_metric_labels(text, metric, sample);
  append_metric_number(text += ' ', below);
  text += '\n';
}

DEEPSEEK_DECL void append_metric_family(std::string& text, const MetricFamily& family) {
  static constexpr const char* kinds[] = {"counter", "gauge", "histogram"};
  const Metric& metric = *family.metric;
  text.append("# HELP ").append(metric.name).append(" ").append(metric.help);
  text.append("\n# TYPE ").append(metric.name).append(" ").append(kinds[static_cast<int>(metric.kind)]);
  text += '\n';
  for (const MetricSample& sample : family.samples) {
    if (metric.kind == MetricKind::histogram) {
      append_metric_histogram(text, metric, sample);
      continue;
    }
    text.append(metric.name);
    append_metric_labels(text, metric, sample);
    append_metric_value(text += ' ', sample.value);
    text += '\n';
  }
}

}  // namespace detail

DEEPSEEK_DECL std::string Metrics::prometheus_text() const {
  std::string text;
  for (const MetricFamily& family : collect()) detail::append_metric_family(text, family);
  return text;
}

DEEPSEEK_END_NAMESPACE
