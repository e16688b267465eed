#pragma once
#include <deepseek/auth/oauth.hpp>

#include <deepseek/auth/credentials.hpp>
#include <deepseek/auth/detail/encoding.hpp>
#include <deepseek/auth/detail/fetch.hpp>
#include <deepseek/auth/impl/strict_json.ipp>
#include <deepseek/auth/jwt.hpp>
#include <deepseek/core/detail/platform.hpp>
#include <deepseek/core/log.hpp>
#include <deepseek/core/metric_list.hpp>
#include <deepseek/core/metrics.hpp>
#include <deepseek/transport/detail/url.hpp>

#include <openssl/rand.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <mutex>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- options -----------------------------------------------------------------------------------------

inline Error bad_oauth(const char* what, const char* advice = "") {
  return Error(ErrorCode::invalid_options, std::string("OAuth2Options::") + what, advice);
}

DEEPSEEK_DECL bool is_plain_text(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F; });
}

inline bool uses_secret(ClientAuth auth) {
  return auth == ClientAuth::client_secret_basic || auth == ClientAuth::client_secret_post;
}

DEEPSEEK_DECL std::optional<Error> check_client_auth(const OAuth2Options& o) {
  const int secrets = (o.client_secret.empty() ? 0 : 1) + (o.client_secret_file.empty() ? 0 : 1);
  const int keys = (o.private_key.empty() ? 0 : 1) + (o.private_key_file.empty() ? 0 : 1);
  if (secrets != (uses_secret(o.auth) ? 1 : 0))
    return uses_secret(o.auth) ? bad_oauth("client_secret or client_secret_file must be set, and only one of them")
                               : bad_oauth("client_secret is set, but this way to authenticate has none");
  if (keys != (o.auth == ClientAuth::private_key_jwt ? 1 : 0))
    return keys == 0 ? bad_oauth("private_key or private_key_file must be set")
                     : bad_oauth("private_key or private_key_file is set twice or without private_key_jwt");
  if (o.auth == ClientAuth::tls_client_auth && o.tls.client_cert_file.empty() && !o.engine)
    return bad_oauth("tls has no client certificate", "set tls.client_cert_file and client_key_file");
  if (o.auth == ClientAuth::tls_client_auth && o.token_url.compare(0, 8, "https://") != 0)
    return bad_oauth("token_url is not https, which tls_client_auth needs");
  if (o.private_key.empty()) return std::nullopt;
  const auto signer = JwtSigner::from_pem(o.private_key, o.signing_algorithm, o.key_id, o.private_key_password);
  return signer ? std::nullopt : std::optional<Error>(signer.error());
}

DEEPSEEK_DECL std::optional<Error> check_oauth_times(const OAuth2Options& o) {
  using std::chrono::hours, std::chrono::minutes, std::chrono::seconds;
  const auto outside = [](auto value, auto least, auto most) { return value < least || value > most; };
  if (outside(o.timeout, std::chrono::milliseconds(1), minutes(10)))
    return bad_oauth("timeout is outside 1 ms ... 10 min");
  if (outside(o.refresh_ahead, seconds(0), hours(24))) return bad_oauth("refresh_ahead is outside 0 ... 24 h");
  if (outside(o.default_lifetime, seconds(1), hours(24))) return bad_oauth("default_lifetime is outside 1 s ... 24 h");
  if (outside(o.assertion_lifetime, seconds(10), minutes(10)))
    return bad_oauth("assertion_lifetime is outside 10 s ... 10 min");
  if (outside(o.backoff_first, std::chrono::milliseconds(1), hours(1)) ||
      outside(o.backoff_most, o.backoff_first, hours(24)))
    return bad_oauth("backoff_first or backoff_most is outside its range", "1 ms <= first <= most <= 24 h");
  return std::nullopt;
}

// --- the token request -------------------------------------------------------------------------------

DEEPSEEK_DECL Result<Secret> secret_of(const Secret& value, const std::string& file) {
  return file.empty() ? Result<Secret>(value) : secret_from_file(file);
}

DEEPSEEK_DECL Result<std::string> client_assertion(const OAuth2Options& o, WallTime now) {
  const auto pem = secret_of(o.private_key, o.private_key_file);
  if (!pem) return pem.error();
  const auto signer = JwtSigner::from_pem(*pem, o.signing_algorithm, o.key_id, o.private_key_password);
  if (!signer) return signer.error();
  std::string id = random_text(24);
  if (id.empty()) return Error(ErrorCode::internal, "the system has no random numbers");
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  const nlohmann::json claims = {{"iss", o.client_id},
                                 {"sub", o.client_id},
                                 {"aud", o.assertion_audience.empty() ? o.token_url : o.assertion_audience},
                                 {"jti", std::move(id)},
                                 {"iat", seconds},
                                 {"exp", seconds + o.assertion_lifetime.count()}};
  return signer->sign(claims.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
}

/// The secret in each form in which it was sent, so that an answer which quotes it is recognised.
using SentForms = std::vector<Secret>;

/// Adds what proves the client.
DEEPSEEK_DECL std::optional<Error> authenticate(const OAuth2Options& o, WallTime now, FetchRequest& request,
                                                std::string& body, SentForms& sent) {
  if (o.auth == ClientAuth::private_key_jwt) {
    const auto assertion = client_assertion(o, now);
    if (!assertion) return assertion.error();
    append_form(body, "client_id", o.client_id);
    append_form(body, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    append_form(body, "client_assertion", *assertion);
    return std::nullopt;
  }
  if (o.auth == ClientAuth::tls_client_auth) {
    append_form(body, "client_id", o.client_id);
    return std::nullopt;
  }
  auto secret = secret_of(o.client_secret, o.client_secret_file);
  if (!secret) return secret.error();
  std::string form;
  form.reserve(3 * secret->reveal().size());
  append_form(form, secret->reveal());
  sent = {*secret, Secret(std::move(form))};
  if (o.auth == ClientAuth::client_secret_post) {
    append_form(body, "client_id", o.client_id);
    append_form(body, "client_secret", secret->reveal());
    return std::nullopt;
  }
  std::string pair;
  pair.reserve(3 * (o.client_id.size() + secret->reveal().size()) + 1);
  append_form(pair, o.client_id);
  pair += ':';
  append_form(pair, secret->reveal());
  std::string encoded = base64(pair);
  request.headers.push_back({"Authorization", "Basic " + encoded});
  sent.push_back(Secret(std::move(encoded)));
  wipe(pair);
  return std::nullopt;
}

DEEPSEEK_DECL Result<FetchRequest> make_token_request(const OAuth2Options& o, WallTime now, SentForms& sent) {
  FetchRequest request;
  request.method = "POST";
  request.url = o.token_url;
  request.timeout = o.timeout;
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}, {"Accept", "application/json"}};
  std::string body;
  body.reserve(16 * 1024);  // so that it is not copied while it grows
  append_form(body, "grant_type", "client_credentials");
  std::string scopes;
  for (const std::string& scope : o.scopes) scopes += (scopes.empty() ? "" : " ") + scope;
  if (!scopes.empty()) append_form(body, "scope", scopes);
  if (!o.audience.empty()) append_form(body, "audience", o.audience);
  if (!o.resource.empty()) append_form(body, "resource", o.resource);
  if (auto error = authenticate(o, now, request, body, sent)) return *std::move(error);
  request.body = Secret(std::move(body));
  request.engine = o.engine ? o.engine : [&o]() -> Result<std::unique_ptr<HttpEngine>> {
    CurlOptions curl;
    curl.tls = o.tls;
    curl.proxy = o.proxy;
    return make_curl_engine(std::move(curl));
  };
  return request;
}

// --- the answer --------------------------------------------------------------------------------------

struct AccessToken {
  Secret header;
  std::chrono::milliseconds lifetime{0};
};

DEEPSEEK_DECL Error unusable_token(const char* why) {
  return Error(ErrorCode::token_failed, std::string("the authorization server gave no usable token: ") + why);
}

/// What the server tells, or nothing for a value that is no lifetime. Some servers write the number as a string.
DEEPSEEK_DECL std::optional<std::chrono::milliseconds> read_lifetime(const SecretJson& value) {
  double seconds = -1;
  if (value.is_number()) seconds = value.get<double>();
  if (value.is_string()) {
    const auto& text = value.get_ref<const WipedString&>();
    const char* const end = text.data() + text.size();
    const auto [stop, failure] = std::from_chars(text.data(), end, seconds);
    if (failure != std::errc() || stop != end) return std::nullopt;
  }
  if (!std::isfinite(seconds) || seconds <= 0) return std::nullopt;
  constexpr double day = 24 * 3600;  // a token that is never fetched again would outlive the revocation of its client
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::min(seconds, day) * 1000));
}

DEEPSEEK_DECL Result<AccessToken> read_token(std::string_view body, std::chrono::milliseconds default_lifetime) {
  const auto json = parse_strict_object<SecretJson>(body);
  if (!json) return unusable_token("its answer is no JSON object");
  WipedString type = string_member(*json, "token_type").value_or("");
  for (char& c : type)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (type != "bearer") return unusable_token("its type is not Bearer");
  const auto value = string_member(*json, "access_token");
  if (!value || value->empty()) return unusable_token("it is missing");
  // RFC 6750 allows less. A blank or control character could begin another header.
  const auto printable = [](char c) { return c > 0x20 && c < 0x7F; };
  if (!std::all_of(value->begin(), value->end(), printable))
    return unusable_token("it has characters that no token has");
  AccessToken token;
  token.lifetime = default_lifetime;
  if (const auto told = json->find("expires_in"); told != json->end() && !told->is_null()) {
    const auto lifetime = read_lifetime(*told);
    if (!lifetime) return unusable_token("its lifetime is no positive number");
    token.lifetime = *lifetime;
  }
  std::string header;
  header.reserve(value->size() + 7);
  header.append("Bearer ").append(value->data(), value->size());
  token.header = Secret(std::move(header));
  return token;
}

/// Words of the server for an Error: printable, short, and nothing that it may have quoted of ours.
DEEPSEEK_DECL std::string server_words(const std::optional<WipedString>& text, const SentForms& sent) {
  if (!text) return {};
  std::string words;
  for (const char c : *text)
    if (words.size() < 200 && c >= 0x20 && c < 0x7F) words += c;
  const std::string_view whole(text->data(), text->size());
  const bool quotes = std::any_of(sent.begin(), sent.end(), [whole](const Secret& form) {
    return !form.empty() && whole.find(form.reveal()) != whole.npos;
  });
  if (quotes || words.find("eyJ") != std::string::npos) return {};
  return words;
}

DEEPSEEK_DECL Error refused_by_server(const FetchReply& reply, const SentForms& sent) {
  ErrorDetails details;
  details.http_status = reply.status;
  details.retry_after = reply.retry_after;
  details.outcome = Outcome::http_error;
  if (reply.status >= 300 && reply.status < 400) {
    details.code = ErrorCode::redirected;
    details.message = "the token endpoint redirects, which is never followed";
    details.advice = "use the address it moved to";
    return Error(std::move(details));
  }
  const bool lasting = reply.status >= 400 && reply.status < 500 && reply.status != 408 && reply.status != 429;
  details.code = lasting ? ErrorCode::authentication : ErrorCode::token_failed;
  if (const auto json = parse_strict_object<SecretJson>(reply.body.reveal())) {
    details.service.code = server_words(string_member(*json, "error"), sent);
    details.service.message = server_words(string_member(*json, "error_description"), sent);
  }
  details.message = lasting ? "the authorization server refused the client" : "the authorization server failed";
  if (!details.service.code.empty()) details.message += ": " + details.service.code;
  if (details.service.code == "invalid_client")
    details.advice = "check client id, secret or key, and OAuth2Options::auth";
  return Error(std::move(details));
}

/// An exchange that did not come to an answer. What no repeat can help keeps its own code.
DEEPSEEK_DECL Error failed_exchange(const Error& error) {
  const int code = static_cast<int>(error.code());
  if (code < 200 || code >= 400 || error.code() == ErrorCode::tls_failed) return error;
  return error.with([&](ErrorDetails& details) {
    details.code = ErrorCode::token_failed;
    details.message = "the token endpoint: " + error.message();
    details.cause = to_string(error.code()) + (error.cause().empty() ? "" : ": " + error.cause());
  });
}

// --- who is told -------------------------------------------------------------------------------------

/// One token request that is over. Words of our tables and numbers: nothing that the server or the options said.
struct TokenRequestEnd {
  const Error* error;  // null: there is a token
  Duration took;
  std::size_t waiters;
};

DEEPSEEK_DECL void count_token_request(MetricSink& sink, const TokenRequestEnd& end) {
  const std::string_view result = end.error ? "failed" : "ok";
  const std::string_view word = end.error ? to_string(end.error->code()) : std::string_view();
  sink.add(metric::token_refreshes, {result, word}, 1);
  sink.observe(metric::token_refresh_duration, {result}, std::chrono::duration<double>(end.took).count());
  if (end.waiters > 0) sink.add(metric::token_waits, {}, static_cast<double>(end.waiters));
}

DEEPSEEK_DECL void log_token_request(const OAuth2Options& o, WallTime now, const TokenRequestEnd& end) {
  const LogLevel level = end.error ? LogLevel::warn : LogLevel::info;
  if (level < o.log_level) return;
  LogRecord record(level, end.error ? LogEvent::token_failed : LogEvent::token_refreshed, now);
  record.text(LogField::outcome, end.error ? "failure" : "success");
  if (end.error) record.text(LogField::error_code, to_string(end.error->code()));
  record.number(LogField::duration_ns, std::chrono::nanoseconds(end.took).count());
  if (end.error && end.error->http_status() != 0) record.number(LogField::status_code, end.error->http_status());
  const Result<BaseUrl> url = parse_base_url(o.token_url);
  if (url) record.text(LogField::server_address, url->host);
  record.number(LogField::count, static_cast<std::int64_t>(end.waiters));
  o.log->write(record);
}

// --- the source --------------------------------------------------------------------------------------

/// Everything is guarded by one mutex; nobody is called with it held. No timer: whoever asks looks at the clock.
class OAuthSource final : public CredentialSource, public std::enable_shared_from_this<OAuthSource> {
 public:
  explicit OAuthSource(OAuth2Options options)
      : options_(std::make_shared<const OAuth2Options>(std::move(options))),
        clock_(options_->clock ? options_->clock : std::make_shared<Clock>()),
        broken_(check(*options_)),
        generation_(fork_generation()) {}

  bool present() const override { return true; }

  void authorization(Function<void(Result<Secret>)> done) override {
    if (broken_) return done(*broken_);
    std::optional<Result<Secret>> answer;
    std::shared_ptr<BackgroundLoop> fetch_on;
    std::uint64_t flight = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      leave_parent();
      const TimePoint now = clock_->steady_now();
      const bool usable = token_is_usable(now);
      if (usable) answer = token_->header;
      if (!in_flight_ && now >= next_try_ && (!usable || now >= token_->refresh_at)) {
        in_flight_ = true;
        flight = ++flight_;
        launched_ = now;
        if (!background_) background_ = BackgroundLoop::shared(options_->clock);
        fetch_on = background_;
      }
      if (!answer && in_flight_) waiters_.push_back(std::move(done));
      if (!answer && !in_flight_) answer = backing_off(now);
    }
    if (fetch_on) launch(*fetch_on, flight);
    // NOLINTNEXTLINE(bugprone-use-after-move): moved only where there is no answer
    if (answer) done(*std::move(answer));
  }

  void rejected(const Secret& value) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    // Many calls report the same token: the first drops it, and the next authorization() fetches one.
    if (!token_ || token_->header != value) return;
    // The API refuses what the authorization server just gave in its place: asking on and on would help nobody.
    constexpr std::chrono::seconds pause(30);
    if (token_->replaces_rejected && clock_->steady_now() < token_->since + pause) return;
    token_.reset();
    replacing_ = true;
  }

 private:
  struct Held {
    Secret header;
    TimePoint since;
    TimePoint refresh_at;
    TimePoint until;
    WallTime wall_until;
    bool replaces_rejected;
  };

  // Both clocks: the steady one stands still while a machine sleeps, the other may be set. Whichever says so first.
  bool token_is_usable(TimePoint now) const {
    return token_ && now < token_->until && clock_->wall_now() < token_->wall_until;
  }

  void launch(BackgroundLoop& loop, std::uint64_t flight) {
    const auto sent = std::make_shared<SentForms>();
    loop.fetch(
        [options = options_, clock = clock_, sent] { return make_token_request(*options, clock->wall_now(), *sent); },
        [weak = weak_from_this(), sent, flight](const Result<FetchReply>& reply) {
          if (const auto self = weak.lock()) self->land(flight, self->judge(reply, *sent));
        });
  }

  Result<AccessToken> judge(const Result<FetchReply>& reply, const SentForms& sent) const {
    if (!reply) return failed_exchange(reply.error());
    if (reply->status != 200) return refused_by_server(*reply, sent);
    return read_token(reply->body.reveal(), options_->default_lifetime);
  }

  void land(std::uint64_t flight, const Result<AccessToken>& token) {
    std::vector<Function<void(Result<Secret>)>> waiters;
    std::optional<Result<Secret>> answer;
    TimePoint launched;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (flight != flight_) return;
      in_flight_ = false;
      launched = launched_;
      waiters.swap(waiters_);
      if (token) {
        hold(*token);
        answer = token->header;
      } else {
        back_off(token.error());
        answer = backing_off(clock_->steady_now());  // with the pause, so that a repeat does not come too early
      }
    }
    tell({token ? nullptr : &token.error(), clock_->steady_now() - launched, waiters.size()});
    for (const auto& waiter : waiters) waiter(*answer);
  }

  void tell(const TokenRequestEnd& end) const {
    if (options_->metrics) count_token_request(*options_->metrics, end);
    if (options_->log) log_token_request(*options_, clock_->wall_now(), end);
  }

  void hold(const AccessToken& token) {
    using std::chrono::milliseconds;
    const TimePoint now = clock_->steady_now();
    const milliseconds ahead = std::min(options_->refresh_ahead, token.lifetime / 5);
    // A token that expires on its way would cost a 401 and a second request.
    const milliseconds margin = std::min(milliseconds(10'000), token.lifetime / 10);
    const milliseconds life = token.lifetime - margin;
    token_ = Held{token.header,
                  now,
                  now + std::min(token.lifetime - ahead, life),
                  now + life,
                  clock_->wall_now() + life,
                  std::exchange(replacing_, false)};
    failures_ = 0;
    next_try_ = {};
    last_error_.reset();
  }

  void back_off(const Error& error) {
    using std::chrono::milliseconds;
    const milliseconds most = options_->backoff_most;
    milliseconds wait = options_->backoff_first;
    for (int i = 0; i < failures_ && wait < most; ++i) wait *= 2;
    wait = std::min(wait, most);
    ++failures_;
    unsigned char random = 128;
    RAND_bytes(&random, 1);  // without it half the jitter is lost, no more
    wait = wait / 2 + wait * random / 512;
    if (error.retry_after()) wait = std::max(wait, std::min(*error.retry_after(), most));
    next_try_ = clock_->steady_now() + wait;
    last_error_ = error;
  }

  Error backing_off(TimePoint now) const {
    return last_error_->with([&](ErrorDetails& details) {
      details.retry_after = std::chrono::ceil<std::chrono::milliseconds>(next_try_ - now);
    });
  }

  // In a forked child: what was under way belongs to the parent, and so do the calls that wait for it.
  void leave_parent() {
    if (generation_ == fork_generation()) return;
    generation_ = fork_generation();
    new std::vector<Function<void(Result<Secret>)>>(std::move(waiters_));  // leaked on purpose
    waiters_.clear();
    background_.reset();
    in_flight_ = false;
    ++flight_;
  }

  const std::shared_ptr<const OAuth2Options> options_;
  const std::shared_ptr<Clock> clock_;
  const std::optional<Error> broken_;

  std::mutex mutex_;
  std::optional<Held> token_;  // guarded, as all that follows
  std::vector<Function<void(Result<Secret>)>> waiters_;
  std::shared_ptr<BackgroundLoop> background_;
  std::optional<Error> last_error_;
  TimePoint next_try_{};
  TimePoint launched_{};
  int failures_ = 0;
  bool in_flight_ = false;
  bool replacing_ = false;
  std::uint64_t flight_ = 0;
  unsigned generation_;
};

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> check(const OAuth2Options& options) {
  if (auto error = detail::check_server_url(options.token_url, options.allow_plain_http, "OAuth2Options::token_url"))
    return error;
  if (options.client_id.empty() || !detail::is_plain_text(options.client_id))
    return detail::bad_oauth("client_id is empty or holds a control character");
  for (const std::string& scope : options.scopes)
    if (scope.empty() || !detail::is_plain_text(scope) || scope.find_first_of(" \"\\") != std::string::npos)
      return detail::bad_oauth("scopes holds an empty name, a blank or a quote", "one scope in each string");
  if (auto error = detail::check_client_auth(options)) return error;
  return detail::check_oauth_times(options);
}

DEEPSEEK_DECL Credential oauth2(OAuth2Options options) {
  return Credential(std::make_shared<detail::OAuthSource>(std::move(options)));
}

DEEPSEEK_END_NAMESPACE
