#include "cli/output.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deepseek/core/detail/host.hpp>
#include <nlohmann/json.hpp>

#include "cli/exit_code.hpp"

namespace deepseek::cli {

namespace {

using Json = nlohmann::json;

bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR");
  if (no_colour && *no_colour) return false;
  const char* terminal = std::getenv("TERM");
  return terminal && std::strcmp(terminal, "dumb") != 0;
}

std::string json_number_or_null(std::int64_t number) { return number ? std::to_string(number) : "null"; }

}  // namespace

Output::Output(int descriptor)
    : descriptor_(descriptor), terminal_(isatty(descriptor) == 1), colour_(terminal_ && wants_colour()) {}

void Output::write(std::string_view text) {
  while (!text.empty() && good()) {
    const ssize_t written = ::write(descriptor_, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // somebody who shares the descriptor made it non-blocking
      pollfd entry = {descriptor_, POLLOUT, 0};
      poll(&entry, 1, -1);
    } else if (errno != EINTR) {
      failure_ = errno;
    }
  }
}

int Output::failure_exit_code() const {
  if (failure_ == EPIPE) return exit_code::broken_pipe;
  print_error(Error(ErrorCode::io_error, std::string("standard output: ") + std::strerror(failure_)));
  return exit_code::other;
}

std::string json_string(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string json_string_or_null(std::string_view text) { return text.empty() ? "null" : json_string(text); }

std::string json_line(std::string_view json) {
  std::string line(json);
  // Inside strings JSON has no raw line breaks, so these stand between tokens.
  for (char& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  return line;
}

std::string json_error(const Error& error) {
  const ServiceError& service = error.service();
  const auto retry_after = error.retry_after();
  return fmt::format(
      R"({{"code":{},"message":{},"status":{},"type":{},"service_code":{},"param":{},)"
      R"("clock":{},"cause":{},"advice":{},)"
      R"("endpoint":{},"trace_id":{},"retry_after_ms":{},"retryable":{},"bytes_delivered":{}}})",
      json_string(to_string(error.code())), json_string(error.message()), json_number_or_null(error.http_status()),
      json_string_or_null(service.type), json_string_or_null(service.code), json_string_or_null(service.param),
      json_string_or_null(error.clock()), json_string_or_null(error.cause()), json_string_or_null(error.advice()),
      json_string_or_null(error.endpoint()), json_string_or_null(error.trace_id()),
      retry_after ? std::to_string(retry_after->count()) : "null", error.retryable(), error.bytes_delivered());
}

std::string end_line(const Result<ChatReply>& result, std::string_view cache) {
  static const ChatReply nothing;
  const ChatReply* partial = result ? &*result : result.error().partial();
  const ChatReply& reply = partial ? *partial : nothing;
  const bool counted = reply.usage && !reply.usage->raw.empty();
  return fmt::format(R"({{"type":"end","outcome":"{}","finish_reason":{},"model":{},"id":{},"usage":{},)"
                     R"("error":{},"attempts":{},"cache":{}}})"
                     "\n",
                     result ? "complete" : to_string(result.error().outcome()),
                     json_string_or_null(reply.finish_reason()), json_string_or_null(reply.model),
                     json_string_or_null(reply.id), counted ? json_line(reply.usage->raw.view()) : "null",
                     result ? "null" : json_error(result.error()),
                     result ? reply.info.attempts : result.error().attempts(),
                     json_string(partial ? std::string_view(reply.info.cache) : cache));
}

std::string printable(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F, some terminals obey them
    if (c1) ++i;
    const bool c0 = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f;
    if (c0 || c1)
      clean += "\xef\xbf\xbd";
    else
      clean += text[i];
  }
  return clean;
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  const auto width_of = [](const std::string& cell) {
    return static_cast<std::size_t>(
        std::count_if(cell.begin(), cell.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  };
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

void print_error(const Error& error) {
  std::string line = fmt::format("deepseek: {}: {}", to_string(error.code()), error.message());
  if (!error.cause().empty() && error.message().find(error.cause()) == std::string::npos)
    line += " (" + error.cause() + ')';
  if (!error.endpoint().empty()) line += fmt::format(" [server {}]", detail::authority_of_url(error.endpoint()));
  if (!error.trace_id().empty()) line += " [trace " + error.trace_id() + ']';
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  if (!error.advice().empty()) line += "  " + error.advice() + '\n';
  Output(STDERR_FILENO).write(printable(line));
}

void print_note(std::string_view text) {
  Output(STDERR_FILENO).write(printable("deepseek: " + std::string(text) + '\n'));
}

}  // namespace deepseek::cli
