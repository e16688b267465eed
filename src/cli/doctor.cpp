// deepseek doctor: what works on the way to the service, and what to do about the rest.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "cli/advice.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"
#include "cli/options.hpp"
#include "cli/probe.hpp"

namespace deepseek::cli {

namespace {

using std::chrono::microseconds;

constexpr std::chrono::milliseconds default_limit = std::chrono::seconds(30);
constexpr microseconds far_away = std::chrono::milliseconds(300);
constexpr microseconds slow_answer = std::chrono::seconds(5);
constexpr int few_days = 14;

enum class Verdict { ok, warn, fail, skip };

const char* word(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warn:
      return "warn";
    case Verdict::fail:
      return "fail";
    case Verdict::skip:
      return "skip";
  }
  return "skip";
}

struct Check {
  const char* name;
  Verdict verdict = Verdict::ok;
  std::string detail = {};
  std::string advice = {};
  std::optional<microseconds> took = {};
};

std::string milliseconds_text(microseconds time) {
  return fmt::format("{:.1f}", static_cast<double>(time.count()) / 1e3);
}

class Doctor {
 public:
  Doctor(ConnectionOptions connection, bool model_given)
      : connection_(std::move(connection)), model_given_(model_given) {
    if (connection_.timeout.count() == 0) connection_.timeout = default_limit;
    call_.cancel = source_.token();
  }

  void run() {
    if (!check_address()) return;
    if (connection_.proxy.empty()) {
      if (!check_way()) return;
    } else {
      skip("connect", "a proxy stands between: it resolves and connects");
    }
    // Only from here: the steps before do not hear a cancellation.
    const Interrupt interrupt(source_);
    auto client = make();
    if (!client || !check_key(*client)) return;
    check_chat(*client);
  }

  const std::vector<Check>& checks() const { return checks_; }
  int exit_code() const { return exit_code_; }
  std::string base_url() const { return shown_url(connection_.base_urls.front()); }
  const Timings& timings() const { return timings_; }

 private:
  Check& add(Check check) { return checks_.emplace_back(std::move(check)); }
  void skip(const char* name, std::string why) { add({name, Verdict::skip, std::move(why)}); }

  bool fail(const char* name, const Error& failure, const char* advice = "") {
    const Error error = in_flags(failure);
    std::string detail = error.message();
    if (!error.cause().empty() && detail.find(error.cause()) == std::string::npos) detail += " (" + error.cause() + ')';
    if (!error.trace_id().empty()) detail += " [trace " + error.trace_id() + ']';
    add({name, Verdict::fail, std::move(detail), error.advice().empty() ? advice : error.advice()});
    if (exit_code_ == exit_code::complete) exit_code_ = exit_code_of(error);
    return false;
  }

  bool check_address() {
    // What the library refuses is refused here in its words, before anything is looked up.
    ConnectionOptions alone;
    alone.base_urls = connection_.base_urls;
    alone.base_url_from = connection_.base_url_from;
    const auto usable = make_client(alone, Credential(), {});
    if (!usable) return fail("address", usable.error());
    const auto address = parse_address(connection_.base_urls.front());
    if (!address) return fail("address", address.error(), "check --endpoint, --base-url and DEEPSEEK_BASE_URL");
    address_ = *address;
    return true;
  }

  bool check_way() {
    const auto name = resolve(address_);
    if (!name) return fail("dns", name.error());
    timings_.dns = name->took;
    add({"dns", Verdict::ok,
         fmt::format("{} is {}{}", address_.host, name->first, name->count > 1 ? " and others" : ""), "", name->took});
    const auto connection = connect_to(address_, connection_.timeout);
    if (!connection) return fail("connect", connection.error());
    timings_.connect = connection->took;
    Check& check =
        add({"connect", Verdict::ok, fmt::format("{} port {}", connection->peer, address_.port), "", connection->took});
    if (connection->took > far_away) {
      check.verdict = Verdict::warn;
      check.advice = "the way to the server is long: keep one client alive, so that connections are used again";
    }
    return check_tls(*connection);
  }

  bool check_tls(const Connection& connection) {
    if (!address_.tls) {
      skip("tls", "the address says http://: nothing is encrypted");
      return true;
    }
    const auto tls = shake_hands(connection, address_, connection_.ca_file, connection_.timeout);
    if (!tls) return fail("tls", tls.error());
    timings_.tls = tls->took;
    Check& check =
        add({"tls", Verdict::ok,
             fmt::format("{}, {}, certificate verified, {} days left", tls->version, tls->cipher, tls->days_left), "",
             tls->took});
    if (tls->days_left < few_days) {
      check.verdict = Verdict::warn;
      check.advice = "the server's certificate ends soon: tell whoever runs it";
    }
    return true;
  }

  std::optional<DeepSeekClient> make() {
    auto log = open_log(connection_);
    if (!log) {
      fail("options", log.error());
      return std::nullopt;
    }
    ClientOptions options;
    options.log = *std::move(log);
    auto key = credential_of(connection_, options);
    if (!key) {
      fail("key", key.error(), "check --api-key-file and --oauth-client-secret-file");
      return std::nullopt;
    }
    has_key_ = key->present();
    auto client = make_client(connection_, *std::move(key), std::move(options));
    if (client) return *client;
    fail("options", client.error());
    return std::nullopt;
  }

  bool check_key(const DeepSeekClient& client) {
    const auto start = std::chrono::steady_clock::now();
    const auto models = client.models(call_);
    const auto took = std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now() - start);
    if (!models && models.error().code() == ErrorCode::not_found) {
      add({"key", Verdict::warn, "the server has no model list, so the key is not proved", "give --model", took});
      return true;
    }
    if (!models) return fail("key", models.error(), "check DEEPSEEK_API_KEY, --api-key-file or --oauth-*");
    add({"key", Verdict::ok, fmt::format("{}, {} models", has_key_ ? "accepted" : "none needed", models->data.size()),
         "", took});
    choose_model(*models);
    return true;
  }

  /// A server that does not have the default model is asked for the first it has.
  void choose_model(const ModelList& models) {
    if (model_given_ || models.data.empty()) return;
    const auto is_default = [](const Model& model) { return model.id == models::flash; };
    if (std::none_of(models.data.begin(), models.data.end(), is_default)) model_ = models.data.front().id;
  }

  bool speaks_deepseek() const { return connection_.deepseek || address_.host == "api.deepseek.com"; }

  void check_chat(const DeepSeekClient& client) {
    ChatRequest request;
    request.model = model_;
    request.messages.push_back(Message::user("Say hi."));
    request.max_tokens = 1;
    if (speaks_deepseek()) request.thinking = thinking::disabled;
    const auto result = client.stream(request, call_).result();
    if (!result) {
      fail("chat", result.error());
      return;
    }
    const Timings& times = result->info.timings;
    timings_.first_byte = times.first_byte;
    timings_.first_token = times.first_token;
    timings_.total = times.total;
    Check& check = add({"chat", Verdict::ok,
                        fmt::format("{} answered, first byte {} ms, first token {} ms", result->model,
                                    milliseconds_text(times.first_byte), milliseconds_text(times.first_token)),
                        "", times.total});
    if (times.first_token > slow_answer) {
      check.verdict = Verdict::warn;
      check.advice = "the service is busy: allow more time for the first token, or try another model";
    }
  }

  ConnectionOptions connection_;
  bool model_given_;
  CancelSource source_;
  CallOptions call_;
  Address address_;
  bool has_key_ = false;
  std::string model_;  // empty: the client's
  std::vector<Check> checks_;
  Timings timings_;
  int exit_code_ = exit_code::complete;
};

std::string report_text(const Doctor& doctor) {
  std::string text = doctor.base_url() + "\n\n";
  std::vector<std::vector<std::string>> rows = {{"CHECK", "VERDICT", "MS", "DETAIL"}};
  for (const Check& check : doctor.checks())
    rows.push_back({check.name, word(check.verdict), check.took ? milliseconds_text(*check.took) : "-", check.detail});
  text += table(rows);
  for (const Check& check : doctor.checks())
    if (!check.advice.empty()) text += fmt::format("\n{}: {}\n", check.name, check.advice);
  return text;
}

std::string latency_json(const Timings& times) {
  const auto phase = [](microseconds time) { return time.count() ? milliseconds_text(time) : std::string("null"); };
  return fmt::format(R"({{"dns":{},"connect":{},"tls":{},"first_byte":{},"first_token":{},"total":{}}})",
                     phase(times.dns), phase(times.connect), phase(times.tls), phase(times.first_byte),
                     phase(times.first_token), phase(times.total));
}

std::string report_json(const Doctor& doctor) {
  std::string checks;
  for (const Check& check : doctor.checks()) {
    if (!checks.empty()) checks += ',';
    checks += fmt::format(R"({{"name":"{}","verdict":"{}","ms":{},"detail":{},"advice":{}}})", check.name,
                          word(check.verdict), check.took ? milliseconds_text(*check.took) : "null",
                          json_string(check.detail), json_string_or_null(check.advice));
  }
  return fmt::format(R"({{"ok":{},"base_url":{},"checks":[{}],"latency_ms":{}}})"
                     "\n",
                     doctor.exit_code() == exit_code::complete, json_string(doctor.base_url()), checks,
                     latency_json(doctor.timings()));
}

int run_doctor(const Args& args, Output& output) {
  if (!args.positionals().empty())
    return usage_failure(doctor_command, Error(ErrorCode::invalid_argument, "there is an argument too many"));
  auto connection = connection_from(args);
  if (!connection) return usage_failure(doctor_command, connection.error());
  if (connection->base_urls.size() > 1)
    return usage_failure(doctor_command, Error(ErrorCode::invalid_argument, "--endpoint is given more than once",
                                               "one server is looked at: run it for each"));
  Doctor doctor(*std::move(connection), args.has("model"));
  doctor.run();
  output.write(args.has("json") ? report_json(doctor) : printable(report_text(doctor)));
  return finish(output, doctor.exit_code());
}

constexpr OptionSpec doctor_options[] = {
    {"model", "NAME", "ask this model; default: deepseek-flash, or the server's first"},
};

}  // namespace

const Command doctor_command = {
    "doctor",
    "",
    "Checks name, connection, TLS, key and a short answer, with the time of each step and advice.",
    "The answer is one token of a real request. The exit code is that of the first check that failed.\n"
    "--json prints one object: ok, base_url, checks (name, verdict, ms, detail, advice), latency_ms.\n",
    doctor_options,
    run_doctor,
};

}  // namespace deepseek::cli
