// `deepseek double`: the server as a program. The first line on standard output is the port alone.
#include "command.hpp"

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>

#include <deepseek/testing/double.hpp>

#include "script.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test {

namespace {

constexpr const char* usage =
    "usage: deepseek double [options]\n"
    "\n"
    "A server on loopback that plays DeepSeek: short complete answers, the service's refusals, and\n"
    "whatever a script says. The first line on standard output is the port. Ends on SIGTERM or SIGINT.\n"
    "\n"
    "  --port N             listen here; 0 (default): the kernel chooses\n"
    "  --script FILE        scripted replies, see below\n"
    "  --loop               begin the script again when it is used up\n"
    "  --record UPSTREAM    forward to this base URL and record the answers\n"
    "  --out FILE           where to; appended (default: recording.jsonl)\n"
    "  --upstream-ca FILE   authorities for an https upstream (default: the system's)\n"
    "  --replay FILE        answer from a recording, with its chunks and pace\n"
    "  --fast               replay without the pace\n"
    "  --tls                serve TLS with a test certificate\n"
    "  --cert KIND          good, expired, not-yet-valid, wrong-host, self-signed, unknown-ca; implies --tls\n"
    "  --ca-out FILE        write the test authority there as PEM\n"
    "  --max-concurrent N   429 beyond N requests at once\n"
    "  --key-file FILE      the only key accepted (default: any)\n"
    "  --no-checks          do not refuse bad requests\n"
    "\n"
    "Exit codes: 0 ended by a signal, 1 cannot start (port in use, file cannot be written), 2 usage.\n";

struct Arguments {
  DoubleOptions options;
  std::vector<Reply> script;
  std::string ca_out;
  bool loop = false;
  bool help = false;
};

int complain(const std::string& what, const char* advice = "  see deepseek double --help\n") {
  std::fprintf(stderr, "deepseek double: %s\n%s", what.c_str(), advice);
  return 2;
}

template <class Number>
bool number(const char* text, Number& value) {
  const auto* end = text + std::strlen(text);
  const auto result = std::from_chars(text, end, value);
  return result.ec == std::errc() && result.ptr == end && end != text;
}

bool certificate(const std::string& word, Certificate& kind) {
  static constexpr std::pair<const char*, Certificate> kinds[] = {{"good", Certificate::good},
                                                                  {"expired", Certificate::expired},
                                                                  {"not-yet-valid", Certificate::not_yet_valid},
                                                                  {"wrong-host", Certificate::wrong_host},
                                                                  {"self-signed", Certificate::self_signed},
                                                                  {"unknown-ca", Certificate::unknown_ca}};
  for (const auto& [name, value] : kinds) {
    if (word != name) continue;
    kind = value;
    return true;
  }
  return false;
}

std::string unknown(const std::string& name) { return name + " is not an option of this command"; }

bool takes_value(const std::string& name) {
  for (const auto* known : {"--port", "--script", "--record", "--out", "--upstream-ca", "--replay", "--cert",
                            "--ca-out", "--max-concurrent", "--key-file"}) {
    if (name == known) return true;
  }
  return false;
}

/// Reads one option with a value. Returns what is wrong with it, or nothing.
std::optional<std::string> take_value(Arguments& to, const std::string& name, const char* value) {
  auto& options = to.options;
  if (name == "--port") {
    if (!number(value, options.port)) return "--port needs a number from 0 to 65535";
  } else if (name == "--max-concurrent") {
    if (!number(value, options.max_concurrent)) return "--max-concurrent needs a number";
  } else if (name == "--cert") {
    if (!certificate(value, options.certificate)) return "--cert: unknown kind " + std::string(value);
  } else if (name == "--script") {
    const auto text = detail::read_file(value);
    if (!text) return std::string(value) + ": " + text.error().message();
    auto replies = parse_script(*text, detail::folder_of(value));
    if (!replies) return std::string(value) + ": " + replies.error().message();
    to.script = *std::move(replies);
  } else if (name == "--replay") {
    const auto text = detail::read_file(value);
    if (!text) return std::string(value) + ": " + text.error().message();
    auto calls = parse_recording(*text);
    if (!calls) return std::string(value) + ": " + calls.error().message();
    options.replay = *std::move(calls);
    if (options.replay.empty()) return std::string(value) + ": an empty recording";
  } else if (name == "--key-file") {
    auto key = detail::read_file(value);
    if (!key) return std::string(value) + ": " + key.error().message();
    if (!key->empty() && key->back() == '\n') key->pop_back();
    if (key->empty()) return std::string(value) + ": an empty key";
    options.key = *std::move(key);
  } else if (name == "--record") {
    options.record_upstream = value;
  } else if (name == "--out") {
    options.record_file = value;
  } else if (name == "--upstream-ca") {
    options.upstream_ca_file = value;
  } else if (name == "--ca-out") {
    to.ca_out = value;
  } else {
    return unknown(name);
  }
  return std::nullopt;
}

bool take_flag(Arguments& to, const std::string& name) {
  if (name == "--help" || name == "-h")
    to.help = true;
  else if (name == "--fast")
    to.options.replay_timing = false;
  else if (name == "--loop")
    to.loop = true;
  else if (name == "--no-checks")
    to.options.check_requests = false;
  else if (name != "--tls")
    return false;
  else if (to.options.certificate == Certificate::none)
    to.options.certificate = Certificate::good;
  return true;
}

std::optional<std::string> parse(int argc, char** argv, Arguments& to) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (take_flag(to, name)) continue;
    if (name.substr(0, 2) != "--") return "unexpected argument " + name;
    const auto equals = name.find('=');
    if (equals == name.npos && i + 1 >= argc) return takes_value(name) ? name + " needs a value" : unknown(name);
    const auto wrong = equals == name.npos ? take_value(to, name, argv[++i])
                                           : take_value(to, name.substr(0, equals), argv[i] + equals + 1);
    if (wrong) return wrong;
  }
  if (!to.options.record_upstream.empty() && !to.options.replay.empty())
    return "--record and --replay exclude each other";
  if (!to.ca_out.empty() && to.options.certificate == Certificate::none) return "--ca-out needs --tls";
  if (to.options.record_file.empty()) to.options.record_file = "recording.jsonl";
  return std::nullopt;
}

bool write_file(const std::string& name, const std::string& content) {
  std::ofstream out(name, std::ios::binary | std::ios::trunc);
  out << content;
  return static_cast<bool>(out.flush());
}

}  // namespace

int run_double(int argc, char** argv) {
  Arguments arguments;
  if (const auto wrong = parse(argc, argv, arguments)) return complain(*wrong);
  if (arguments.help) {
    std::printf("%s\n%s", usage, detail::script_help());
    return 0;
  }
  arguments.options.requests_kept = 0;

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  try {
    arguments.options.loop_script = arguments.loop;
    Double server(std::move(arguments.options));
    server.script(std::move(arguments.script));
    if (!arguments.ca_out.empty() && !write_file(arguments.ca_out, server.ca_pem())) {
      complain("cannot write " + arguments.ca_out, "");
      return 1;
    }
    std::printf("%u\n", static_cast<unsigned>(server.port()));
    std::fflush(stdout);
    int received = 0;
    sigwait(&signals, &received);
  } catch (const Exception& error) {
    complain(error.error().message(), "");
    return 1;
  }
  return 0;
}

}  // namespace test
DEEPSEEK_END_NAMESPACE
