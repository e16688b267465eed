// The two ways to show a reply.
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>

#include "cli/output.hpp"

namespace deepseek::cli {

namespace {

class JsonPrinter : public ReplyPrinter {
 public:
  JsonPrinter(Output& output, std::shared_ptr<Ledger> ledger) : output_(output), ledger_(std::move(ledger)) {}

  void reasoning(std::string_view text) override { piece("reasoning", text); }
  void content(std::string_view text) override { piece("content", text); }
  void tool_call(const ToolCall& call) override {
    output_.write(fmt::format(R"({{"type":"tool_call","index":{},"id":{},"name":{},"arguments":{}}})"
                              "\n",
                              call.index, json_string(call.id), json_string(call.name), json_string(call.arguments)));
  }
  void end(const Result<ChatReply>& result) override { output_.write(end_line(result, ledger_->take().cache)); }

 private:
  void piece(const char* type, std::string_view text) {
    output_.write(fmt::format(R"({{"type":"{}","text":{}}})"
                              "\n",
                              type, json_string(text)));
  }
  Output& output_;
  std::shared_ptr<Ledger> ledger_;
};

constexpr const char* dim = "\033[2m";
constexpr const char* plain = "\033[0m";

// A rate over less says more about buffers than about the model.
constexpr auto shortest_measured = std::chrono::milliseconds(50);

double seconds_of(std::chrono::microseconds time) { return static_cast<double>(time.count()) / 1e6; }

std::string time_text(std::chrono::microseconds time) {
  if (time < std::chrono::seconds(1)) return fmt::format("{:.0f} ms", std::ceil(seconds_of(time) * 1e3));
  return fmt::format("{:.2f} s", seconds_of(time));
}

std::string counted(int count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

/// ", 4 attempts (2 retries, 1 hedge, 1 failover), from the cache (disk), 0.000123 USD"
std::string way_text(const CallInfo& info, const CallFacts& facts) {
  std::string text;
  if (info.attempts > 1) {
    text += fmt::format(", {} attempts", info.attempts);
    std::string how;
    if (info.retries) how = counted(info.retries, "retry", "retries");
    if (info.hedges) how += (how.empty() ? "" : ", ") + counted(info.hedges, "hedge", "hedges");
    if (facts.failovers) how += (how.empty() ? "" : ", ") + counted(facts.failovers, "failover", "failovers");
    if (!how.empty()) text += " (" + how + ')';
  }
  if (info.cache == "miss")
    text += ", not in the cache";
  else if (info.cache != "off")
    text += ", from the cache (" + info.cache + ')';
  if (!facts.cost.empty()) text += ", " + facts.cost;
  return text;
}

/// "complete (stop), 12 tokens in (8 cached), 30 out (20 reasoning), 41.5 tokens/s, first token 210 ms, 1.93 s in all"
std::string closing_line(const ChatReply& reply, const char* outcome, const CallFacts& facts) {
  std::string line = outcome;
  if (!reply.finish_reason().empty()) line += " (" + reply.finish_reason() + ')';
  const Timings& times = reply.info.timings;
  if (reply.usage) {
    const Usage& usage = *reply.usage;
    line += fmt::format(", {} tokens in", usage.prompt_tokens);
    if (usage.prompt_cache_hit_tokens || usage.prompt_cache_miss_tokens)
      line += fmt::format(" ({} cached, {} not)", usage.prompt_cache_hit_tokens, usage.prompt_cache_miss_tokens);
    line += fmt::format(", {} out", usage.completion_tokens);
    if (usage.reasoning_tokens) line += fmt::format(" ({} reasoning)", usage.reasoning_tokens);
    const auto generating = times.total - times.first_token;
    if (usage.completion_tokens > 1 && generating >= shortest_measured)
      line += fmt::format(", {:.1f} tokens/s", static_cast<double>(usage.completion_tokens) / seconds_of(generating));
  }
  if (times.first_token.count() > 0) line += ", first token " + time_text(times.first_token);
  if (times.total.count() > 0) line += ", " + time_text(times.total) + " in all";
  line += way_text(reply.info, facts);
  if (!reply.model.empty()) line += ", " + reply.model;
  if (reply.info.reasoning_only)
    line += "; only reasoning came" + std::string(reply.finish_reason() == finish_reason::length
                                                      ? ": allow more with --max-tokens, or give --no-thinking"
                                                      : "");
  return line + '\n';
}

class TextPrinter : public ReplyPrinter {
 public:
  TextPrinter(Output& output, std::shared_ptr<Ledger> ledger)
      : output_(output), notes_(STDERR_FILENO), ledger_(std::move(ledger)) {}

  void reasoning(std::string_view text) override {
    if (!output_.terminal()) return;
    enter(Place::reasoning);
    show(text);
  }

  void content(std::string_view text) override {
    enter(Place::content);
    show(text);
  }

  void tool_call(const ToolCall& call) override {
    enter(Place::calls);
    show(call.name + '(' + call.arguments + ")\n");
  }

  void end(const Result<ChatReply>& result) override {
    enter(Place::end);
    if (!output_.good()) return;
    if (!result) print_error(result.error());
    const CallFacts facts = ledger_->take();
    ChatReply without;
    const ChatReply* reply = result ? &*result : result.error().partial();
    if (!reply) {
      without.info.attempts = result.error().attempts();
      if (without.info.attempts < 2) return;
      reply = &without;
    }
    const char* outcome = result ? "complete" : to_string(result.error().outcome());
    const std::string line = printable(closing_line(*reply, outcome, facts));
    notes_.write(notes_.colour() ? dim + line + plain : line);
  }

 private:
  enum class Place { start, reasoning, content, calls, end };

  void enter(Place place) {
    if (place == place_) return;
    if (place_ == Place::reasoning && output_.colour()) output_.write(plain);
    if (!at_line_start_) output_.write("\n");
    at_line_start_ = true;
    if (place_ == Place::reasoning && place != Place::end) output_.write("\n");
    if (place == Place::reasoning && output_.colour()) output_.write(dim);
    place_ = place;
  }

  void show(std::string_view text) {
    if (text.empty()) return;
    at_line_start_ = text.back() == '\n';
    if (output_.terminal())
      output_.write(printable(text));
    else
      output_.write(text);
  }

  Output& output_;
  Output notes_;
  std::shared_ptr<Ledger> ledger_;
  Place place_ = Place::start;
  bool at_line_start_ = true;
};

}  // namespace

std::unique_ptr<ReplyPrinter> make_json_printer(Output& output, std::shared_ptr<Ledger> ledger) {
  return std::make_unique<JsonPrinter>(output, std::move(ledger));
}

std::unique_ptr<ReplyPrinter> make_text_printer(Output& output, std::shared_ptr<Ledger> ledger) {
  return std::make_unique<TextPrinter>(output, std::move(ledger));
}

}  // namespace deepseek::cli
