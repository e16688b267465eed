#pragma once
#include <deepseek/core/metric_list.hpp>
#include <deepseek/policy/detail/cache_watches.hpp>

#include <deepseek/policy/detail/wall_now.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL CacheNotice make_cache_notice(const ObserveOptions& options) {
  if (!options.log || LogLevel::warn < options.log_level) return {};
  return [options](std::string_view level, std::string_view text) {
    const bool set_aside = text.find("set aside") != text.npos;
    LogRecord record(LogLevel::warn, set_aside ? LogEvent::cache_set_aside : LogEvent::cache_failed, wall_now(options));
    record.text(LogField::cache_level, level);
    options.log->write(record);
  };
}

DEEPSEEK_DECL CacheDropWatch make_cache_drop_watch(const ObserveOptions& options) {
  if (!options.metrics && !options.log) return {};
  return [options](std::string_view level, std::uint64_t count) {
    if (options.metrics) options.metrics->add(metric::dropped, {"cache_write"}, static_cast<double>(count));
    if (!options.log || LogLevel::warn < options.log_level) return;
    LogRecord record(LogLevel::warn, LogEvent::cache_dropped, wall_now(options));
    record.text(LogField::cache_level, level);
    record.number(LogField::count, static_cast<std::int64_t>(count));
    options.log->write(record);
  };
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
