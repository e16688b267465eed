#include "cli/repl.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>

#include "cli/exit_code.hpp"
#include "cli/input.hpp"
#include "cli/interrupt.hpp"
#include "cli/reply.hpp"

namespace deepseek::cli {

namespace {

constexpr const char* help =
    "  /system TEXT   new instructions; begins a new conversation\n"
    "  /clear         forget the conversation\n"
    "  /help          this text\n"
    "  /quit          end (so do exit, quit and Ctrl-D)\n"
    "  A line that ends with \\ goes on in the next one. Ctrl-C stops an answer.\n";

class Repl {
 public:
  Repl(const DeepSeekClient& client, ConversationOptions options, bool stream, Output& output,
       std::shared_ptr<Ledger> ledger)
      : client_(client),
        options_(std::move(options)),
        stream_(stream),
        talk_(client_, options_),
        output_(output),
        ledger_(std::move(ledger)),
        notes_(STDERR_FILENO) {}

  int run() {
    notes_.write("/help shows what can be typed, Ctrl-D ends.\n");
    while (output_.good()) {
      const auto line = read_question();
      if (!line) break;
      if (line->empty()) continue;
      if (*line == "exit" || *line == "quit") break;  // what people type who have not read /help
      if (line->front() != '/')
        ask(*line);
      else if (!obey(*line))
        break;
    }
    return output_.good() ? exit_code::complete : output_.failure_exit_code();
  }

 private:
  std::optional<std::string> read_line(const char* mark) {
    notes_.write(mark);
    char* bytes = nullptr;
    std::size_t capacity = 0;
    const ssize_t length = getline(&bytes, &capacity, stdin);
    std::optional<std::string> line;
    if (length >= 0) line.emplace(bytes, static_cast<std::size_t>(length));
    std::free(bytes);
    if (line && line->ends_with('\n')) line->pop_back();
    return line;
  }

  /// One question, of several lines if they end with a backslash. Nothing at the end of the input.
  std::optional<std::string> read_question() {
    auto text = read_line("> ");
    while (text && text->ends_with('\\')) {
      const auto more = read_line(". ");
      if (!more) break;
      text->back() = '\n';
      *text += *more;
      if (text->size() > max_text_bytes) break;
    }
    if (!text) notes_.write("\n");
    return text;
  }

  /// False: the conversation ends.
  bool obey(const std::string& line) {
    const std::size_t blank = line.find(' ');
    const std::string word = line.substr(0, blank);
    if (word == "/quit" || word == "/exit") return false;
    if (word == "/clear") {
      talk_.clear();
    } else if (word == "/system") {
      options_.system = blank == std::string::npos ? "" : line.substr(blank + 1);
      talk_ = Conversation(client_, options_);
    } else {
      if (word != "/help") notes_.write("unknown command; these are known:\n");
      notes_.write(help);
    }
    return true;
  }

  void ask(const std::string& question) {
    const auto printer = make_text_printer(output_, ledger_);
    const CancelSource source;
    const Interrupt interrupt(source);
    CallOptions call;
    call.cancel = source.token();
    if (!stream_) {
      show_whole(*printer, output_, talk_.ask(question, {}, call));
      return;
    }
    const auto on_chunk = [&](const ChatChunk& chunk) {
      show_chunk(*printer, chunk);
      if (!output_.good()) source.cancel();
    };
    show_end(*printer, output_, talk_.ask_stream(question, on_chunk, {}, call));
  }

  DeepSeekClient client_;
  ConversationOptions options_;
  bool stream_;
  Conversation talk_;
  Output& output_;
  std::shared_ptr<Ledger> ledger_;
  Output notes_;
};

}  // namespace

int run_repl(const DeepSeekClient& client, ConversationOptions options, bool stream, Output& output,
             std::shared_ptr<Ledger> ledger) {
  return Repl(client, std::move(options), stream, output, std::move(ledger)).run();
}

}  // namespace deepseek::cli
