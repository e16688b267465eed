#include "cli/args.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

namespace deepseek::cli {

namespace {

Error usage_error(std::string message, std::string advice = {}) {
  return Error(ErrorCode::invalid_argument, std::move(message), std::move(advice));
}

std::string dashed(std::string_view name) { return "--" + std::string(name); }

struct Refusal {
  std::string_view name;
  const char* message;
  const char* advice;
};

constexpr Refusal refusals[] = {
    {"api-key", "is not an option: arguments can be read by others in the process list",
     "put the key into DEEPSEEK_API_KEY, or into a file named by --api-key-file"},
};

/// Letters to put in, take out or change, to make one of the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({changed, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

/// The option that was probably meant; null if none is near.
const OptionSpec* nearest_spec(std::span<const OptionSpec> specs, std::string_view name) {
  constexpr std::size_t longest = 40;
  if (name.size() < 3 || name.size() > longest) return nullptr;
  const OptionSpec* best = nullptr;
  std::size_t least = 3;  // two letters may be wrong
  for (const OptionSpec& spec : specs) {
    const std::string_view known = spec.name;
    const std::size_t distance = known.starts_with(name) ? 1 : edit_distance(known, name);
    if (distance >= least) continue;
    least = distance;
    best = &spec;
  }
  return best;
}

Error unknown_option(std::span<const OptionSpec> specs, std::string_view name) {
  for (const Refusal& refusal : refusals)
    if (refusal.name == name) return usage_error(dashed(name) + ' ' + refusal.message, refusal.advice);
  std::string advice = "see --help; put -- before a text that begins with a dash";
  if (const OptionSpec* const near = nearest_spec(specs, name))
    advice = "did you mean " + dashed(near->name) + "? " + advice;
  return usage_error(dashed(name) + " is not an option of this command", std::move(advice));
}

const OptionSpec* find_spec(std::span<const OptionSpec> specs, std::string_view name) {
  for (const OptionSpec& spec : specs)
    if (spec.name == name) return &spec;
  return nullptr;
}

}  // namespace

const std::string* Args::value(std::string_view name) const {
  for (const auto& [key, value] : options_)
    if (key == name) return &value;
  return nullptr;
}

std::string Args::value_or(std::string_view name, std::string fallback) const {
  const std::string* given = value(name);
  return given ? *given : std::move(fallback);
}

std::vector<std::string> Args::values(std::string_view name) const {
  std::vector<std::string> all;
  for (const auto& [key, value] : options_)
    if (key == name) all.push_back(value);
  return all;
}

Result<Args> parse_args(std::span<const std::string> arguments, std::span<const OptionSpec> specs) {
  Args args;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument == "--") {
      args.positionals_.insert(args.positionals_.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                               arguments.end());
      break;
    }
    if (argument == "-h") argument = "--help";
    if (argument == "-" || !argument.starts_with('-')) {
      args.positionals_.emplace_back(argument);
      continue;
    }
    if (!argument.starts_with("--"))
      return usage_error("options are written with two dashes",
                         "see --help; put -- before a text that begins with a dash");
    const std::string_view body = argument.substr(2);
    const std::size_t equals = body.find('=');
    const std::string_view name = body.substr(0, equals);
    const OptionSpec* spec = find_spec(specs, name);
    if (!spec) return unknown_option(specs, name);
    if (!spec->repeatable && args.has(name)) return usage_error(dashed(name) + " is given twice");
    std::string value;
    if (equals != std::string_view::npos) {
      if (!spec->value) return usage_error(dashed(name) + " takes no value");
      value = body.substr(equals + 1);
    } else if (spec->value) {
      if (++i == arguments.size()) return usage_error(dashed(name) + " needs a value: " + spec->value);
      value = arguments[i];
    }
    args.options_.emplace_back(name, std::move(value));
  }
  return args;
}

Result<std::int64_t> parse_integer(std::string_view name, std::string_view text, std::int64_t least,
                                   std::int64_t most) {
  std::int64_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = status == std::errc() && end == text.data() + text.size();
  if (whole && number >= least && number <= most) return number;
  const bool bounded = most != std::numeric_limits<std::int64_t>::max();
  return usage_error(dashed(name) + " needs a whole number, at least " + std::to_string(least) +
                     (bounded ? " and at most " + std::to_string(most) : ""));
}

Result<std::chrono::milliseconds> parse_seconds(std::string_view name, std::string_view text) {
  constexpr double year = 365.0 * 24 * 3600;
  double seconds = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), seconds, std::chars_format::fixed);
  const bool whole = status == std::errc() && end == text.data() + text.size();
  if (!whole || !(seconds > 0) || seconds > year)
    return usage_error(dashed(name) + " needs seconds above 0, for example 30 or 2.5");
  // Rounded up: zero would mean "no limit".
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
}

Result<void> exclude(const Args& args, std::string_view a, std::string_view b) {
  if (args.has(a) && args.has(b)) return usage_error(dashed(a) + " and " + dashed(b) + " exclude each other");
  return {};
}

}  // namespace deepseek::cli
