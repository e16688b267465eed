// Metric: what is measured.
#pragma once
#include <cstddef>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

enum class MetricKind { counter, gauge, histogram };

/// What is measured: a constant in static storage, so that counting formats no text.
struct Metric {
  static constexpr std::size_t most_labels = 3;

  std::string_view name;  ///< as Prometheus spells it, with the unit
  std::string_view help;
  MetricKind kind;
  std::string_view labels[most_labels]{};  ///< names; the unused ones are empty
  const double* bounds = nullptr;          ///< of a histogram: rising upper bounds, without the infinite one
  std::size_t bound_count = 0;

  constexpr std::size_t label_count() const {
    std::size_t count = 0;
    while (count < most_labels && !labels[count].empty()) ++count;
    return count;
  }
};

DEEPSEEK_END_NAMESPACE
