// deepseek cache: what --cache keeps on the disk.
#include <fmt/format.h>

#include <filesystem>

#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/session.hpp"

namespace deepseek::cli {

namespace {

int show_stats(const CacheStore& store, bool json, Output& output) {
  const CacheStats stats = store.stats();
  if (stats.trouble) {
    show_failure(output, *stats.trouble, json);
    return finish(output, exit_code::other);  // the command was right, what it found is not
  }
  if (stats.entries == 0) print_note("no answer is kept there");
  output.write(json
                   ? fmt::format("{{\"level\":{},\"entries\":{},\"bytes\":{}}}\n", json_string(store.level()),
                                 stats.entries, stats.bytes)
                   : table({{"LEVEL", "ENTRIES", "BYTES"},
                            {std::string(store.level()), std::to_string(stats.entries), std::to_string(stats.bytes)}}));
  return finish(output, exit_code::complete);
}

int clear(CacheStore& store, bool json, Output& output) {
  const auto trouble = store.stats().trouble;
  const auto removed = store.clear();
  if (!removed) return show_failure(output, removed.error(), json);
  if (trouble) print_note(trouble->message() + ": it was set aside, and a new one begun");
  output.write(json ? fmt::format("{{\"level\":{},\"removed\":{}}}\n", json_string(store.level()), *removed)
                    : fmt::format("{} {} removed\n", *removed, *removed == 1 ? "entry" : "entries"));
  return finish(output, exit_code::complete);
}

Result<void> check_cache(const Args& args) {
  const auto usage = [](const char* message, const char* advice = "") {
    return Error(ErrorCode::invalid_argument, message, advice);
  };
  const auto& words = args.positionals();
  if (words.empty()) return usage("what should be done?", "deepseek cache stats, or deepseek cache clear");
  if (words.size() > 1) return usage("there is an argument too many");
  if (words.front() != "stats" && words.front() != "clear") return usage("stats and clear are known, nothing else");
  const std::string* folder = args.value("cache");
  if (!folder || folder->empty()) return usage("--cache is missing", "name the folder that chat --cache was given");
  if (!has_disk_cache()) return usage("--cache is not in this build", "build it with SQLite: DEEPSEEK_WITH_SQLITE=ON");
  return {};
}

int run_cache(const Args& args, Output& output) {
  if (auto fine = check_cache(args); !fine) return usage_failure(cache_command, fine.error());
  const std::string& folder = *args.value("cache");
  const bool json = args.has("json");
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored))
    return show_failure(output, Error(ErrorCode::io_error, folder + " is no folder that can be read"), json);
  const auto store = disk_cache(folder);
  return args.positionals().front() == "stats" ? show_stats(*store, json, output) : clear(*store, json, output);
}

constexpr OptionSpec cache_options[] = {
    {"cache", "DIR", "the folder that chat --cache was given"},
};

}  // namespace

const Command cache_command = {
    "cache",
    "stats|clear --cache DIR",
    "Shows how much chat --cache keeps in a folder, or empties it.",
    "--json prints one object: level with entries and bytes, or with removed. stats of a damaged or foreign database\n"
    "ends with exit code 1 and leaves it where it is; clear sets it aside.\n",
    cache_options,
    run_cache,
    false,
};

}  // namespace deepseek::cli
