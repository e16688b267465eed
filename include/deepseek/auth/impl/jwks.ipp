#pragma once
#include <deepseek/auth/jwks.hpp>

#include <deepseek/auth/detail/encoding.hpp>
#include <deepseek/auth/detail/fetch.hpp>
#include <deepseek/auth/impl/strict_json.ipp>
#include <deepseek/core/detail/platform.hpp>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// The key that a token names; nothing for one without a name or without a readable header, which is refused later.
DEEPSEEK_DECL std::optional<std::string> named_key(std::string_view token, std::size_t max_bytes) {
  if (token.size() > max_bytes) return std::nullopt;
  const auto text = from_base64url(token.substr(0, token.find('.')));
  const auto json = text ? parse_strict_object(*text) : std::nullopt;
  return json ? string_member(*json, "kid") : std::nullopt;
}

DEEPSEEK_DECL Result<std::shared_ptr<const JwkSet>> read_key_set(const Result<FetchReply>& reply) {
  if (!reply) return reply.error();
  if (reply->status != 200) {
    ErrorDetails details;
    details.code = reply->status >= 300 && reply->status < 400 ? ErrorCode::redirected : ErrorCode::http_error;
    details.outcome = Outcome::http_error;
    details.http_status = reply->status;
    details.message = "the issuer gave no keys";
    return Error(std::move(details));
  }
  auto set = JwkSet::parse(reply->body.reveal());
  if (!set) return std::move(set).error();
  return std::shared_ptr<const JwkSet>(std::make_shared<JwkSet>(*std::move(set)));
}

}  // namespace detail

/// Guarded by one mutex; nobody is called, and no signature verified, with it held.
struct JwksSource::State : std::enable_shared_from_this<JwksSource::State> {
  struct Waiting {
    std::string token;
    JwtRules rules;
    Function<void(Result<JwtClaims>)> done;
  };

  explicit State(JwksOptions its_options)
      : options(std::make_shared<const JwksOptions>(std::move(its_options))),
        clock(options->clock ? options->clock : std::make_shared<Clock>()),
        generation(detail::fork_generation()) {}

  void verify(Waiting waiting);
  void launch(detail::BackgroundLoop& loop, std::uint64_t flight);
  void land(std::uint64_t flight, const Result<std::shared_ptr<const JwkSet>>& set);
  bool begin(TimePoint now);
  void leave_parent();

  const std::shared_ptr<const JwksOptions> options;
  const std::shared_ptr<Clock> clock;

  std::mutex mutex;
  std::shared_ptr<const JwkSet> set;  // guarded, as all that follows
  std::optional<Error> last_error;
  std::vector<Waiting> waiters;
  std::shared_ptr<detail::BackgroundLoop> background;
  std::optional<TimePoint> asked;
  TimePoint received{};
  bool in_flight = false;
  std::uint64_t flight = 0;
  unsigned generation;

  static void judge(const Waiting& waiting, const std::shared_ptr<const JwkSet>& keys,
                    const std::optional<Error>& error, WallTime now) {
    if (!keys) return waiting.done(*error);
    waiting.done(verify_jwt(waiting.token, *keys, waiting.rules, now));
  }
};

// With the mutex held. True if a request may go out now, and is then counted as gone.
DEEPSEEK_DECL bool JwksSource::State::begin(TimePoint now) {
  // After a failure sooner again: without keys nothing can be verified.
  const auto pause = last_error ? std::min(options->min_interval, std::chrono::seconds(2)) : options->min_interval;
  if (in_flight || (asked && now < *asked + pause)) return false;
  asked = now;
  in_flight = true;
  ++flight;
  if (!background) background = detail::BackgroundLoop::shared(options->clock);
  return true;
}

// In a forked child: as OAuthSource::leave_parent().
DEEPSEEK_DECL void JwksSource::State::leave_parent() {
  if (generation == detail::fork_generation()) return;
  generation = detail::fork_generation();
  new std::vector<Waiting>(std::move(waiters));  // leaked on purpose
  waiters.clear();
  background.reset();
  in_flight = false;
  asked.reset();
  ++flight;
}

DEEPSEEK_DECL void JwksSource::State::verify(Waiting waiting) {
  const auto named = detail::named_key(waiting.token, waiting.rules.signature.max_bytes);
  std::shared_ptr<const JwkSet> keys;
  std::shared_ptr<detail::BackgroundLoop> fetch_on;
  std::optional<Error> error;
  std::uint64_t its_flight = 0;
  bool waits = false;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    leave_parent();
    const TimePoint now = clock->steady_now();
    const bool missing = !set || (named && !set->has(*named));
    const bool old = set && now >= received + options->max_age;
    if ((missing || old) && begin(now)) {
      fetch_on = background;
      its_flight = flight;
    }
    waits = missing && in_flight;
    if (waits)
      waiters.push_back(std::move(waiting));
    else
      keys = set, error = last_error;
  }
  if (fetch_on) launch(*fetch_on, its_flight);
  // NOLINTNEXTLINE(bugprone-use-after-move): moved only where it waits
  if (!waits) judge(waiting, keys, error, clock->wall_now());
}

DEEPSEEK_DECL void JwksSource::State::launch(detail::BackgroundLoop& loop, std::uint64_t its_flight) {
  const auto prepare = [options = options]() -> Result<detail::FetchRequest> {
    detail::FetchRequest request;
    request.url = options->url;
    request.headers = {{"Accept", "application/jwk-set+json, application/json"}};
    request.timeout = options->timeout;
    request.max_bytes = JwkSet::most_bytes;
    request.engine = options->engine ? options->engine : [options]() -> Result<std::unique_ptr<HttpEngine>> {
      CurlOptions curl;
      curl.tls = options->tls;
      curl.proxy = options->proxy;
      return make_curl_engine(std::move(curl));
    };
    return request;
  };
  loop.fetch(prepare, [weak = weak_from_this(), its_flight](const Result<detail::FetchReply>& reply) {
    if (const auto self = weak.lock()) self->land(its_flight, detail::read_key_set(reply));
  });
}

DEEPSEEK_DECL void JwksSource::State::land(std::uint64_t its_flight, const Result<std::shared_ptr<const JwkSet>>& got) {
  std::vector<Waiting> ready;
  std::shared_ptr<const JwkSet> keys;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    if (its_flight != flight) return;
    in_flight = false;
    ready.swap(waiters);
    if (got) {
      set = *got;
      received = clock->steady_now();
      last_error.reset();
    } else {
      last_error = got.error();
    }
    keys = set;
  }
  const std::optional<Error> error = got ? std::nullopt : std::optional<Error>(got.error());
  for (const Waiting& waiting : ready) judge(waiting, keys, error, clock->wall_now());
}

DEEPSEEK_DECL std::optional<Error> check(const JwksOptions& options) {
  const auto outside = [](auto value, auto least, auto most) { return value < least || value > most; };
  const auto bad = [](const char* what) {
    return Error(ErrorCode::invalid_options, std::string("JwksOptions::") + what);
  };
  using std::chrono::hours, std::chrono::milliseconds, std::chrono::minutes, std::chrono::seconds;
  if (outside(options.timeout, milliseconds(1), minutes(10))) return bad("timeout is outside 1 ms ... 10 min");
  if (outside(options.max_age, seconds(1), hours(24))) return bad("max_age is outside 1 s ... 24 h");
  if (outside(options.min_interval, seconds(1), hours(1))) return bad("min_interval is outside 1 s ... 1 h");
  return detail::check_server_url(options.url, options.allow_plain_http, "JwksOptions::url");
}

DEEPSEEK_DECL Result<JwksSource> JwksSource::create(JwksOptions options) {
  if (auto error = check(options)) return *std::move(error);
  return JwksSource(std::make_shared<State>(std::move(options)));
}

DEEPSEEK_DECL void JwksSource::verify(std::string token, JwtRules rules, Function<void(Result<JwtClaims>)> done) const {
  state_->verify({std::move(token), std::move(rules), std::move(done)});
}

DEEPSEEK_DECL std::shared_ptr<const JwkSet> JwksSource::keys() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->set;
}

DEEPSEEK_END_NAMESPACE
