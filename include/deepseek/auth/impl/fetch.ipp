#pragma once
#include <deepseek/auth/detail/fetch.hpp>

#include <deepseek/core/detail/platform.hpp>
#include <deepseek/core/detail/reactor.hpp>
#include <deepseek/transport/detail/retry_after.hpp>
#include <deepseek/transport/detail/url.hpp>

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// A request body that is overwritten when it is sent.
class SecretBody final : public HttpBody {
 public:
  explicit SecretBody(Secret text) : text_(std::move(text)) {}
  std::uint64_t size() const override { return text_.reveal().size(); }
  Result<std::size_t> read(std::uint64_t offset, char* into, std::size_t capacity) override {
    const std::string_view rest = text_.reveal().substr(static_cast<std::size_t>(offset));
    const std::size_t count = std::min(rest.size(), capacity);
    std::memcpy(into, rest.data(), count);
    return count;
  }
  std::string_view contiguous() const override { return text_.reveal(); }

 private:
  Secret text_;
};

/// Bytes that leave no copy behind when they grow.
class WipedBuffer {
 public:
  ~WipedBuffer() { OPENSSL_cleanse(text_.data(), text_.size()); }
  std::size_t size() const { return text_.size(); }
  void append(std::string_view more) {
    if (text_.size() + more.size() > text_.capacity()) {
      std::string larger;
      larger.reserve(std::max<std::size_t>(4096, 2 * (text_.size() + more.size())));
      larger = text_;
      text_.swap(larger);
      OPENSSL_cleanse(larger.data(), larger.size());
    }
    text_.append(more);
  }
  Secret take() { return Secret(std::move(text_)); }

 private:
  std::string text_;
};

/// Loop only. Alive in its owner's list until finish().
class Fetch final : public HttpHandler, public std::enable_shared_from_this<Fetch> {
 public:
  Fetch(BackgroundLoop& owner, BackgroundLoop::Done done) : owner_(&owner), done_(std::move(done)) {}

  void start(FetchRequest request) {
    auto engine = request.engine();
    if (!engine) return finish(std::move(engine).error());
    engine_ = *std::move(engine);
    Reactor& loop = *owner_->reactor_;
    engine_->attach(loop);
    max_bytes_ = request.max_bytes;
    HttpRequest http;
    http.method = std::move(request.method);
    http.url = std::move(request.url);
    http.headers = std::move(request.headers);
    http.limits.header_bytes = 64 * 1024;
    if (!request.body.empty()) http.body = std::make_shared<SecretBody>(std::move(request.body));
    timer_ = loop.schedule(loop.now() + request.timeout, [this] {
      timer_ = 0;
      finish(Error(ErrorCode::timeout_total, "no whole answer in time"));
    });
    transfer_ = engine_->start(std::move(http), shared_from_this());
  }

  void on_head(const HttpHead& head) override {
    reply_.status = head.status;
    const RetryAfter asked = parse_retry_after(head);
    reply_.retry_after = asked.delay;
    if (asked.date) {
      const auto wait = *asked.date - owner_->clock_->wall_now();
      reply_.retry_after = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(wait), {});
    }
  }

  void on_data(std::string_view data) override {
    if (body_.size() + data.size() > max_bytes_)
      return finish(Error(ErrorCode::limit_exceeded, "the answer is larger than its limit"));
    body_.append(data);
  }

  void on_end(const HttpEnd& end) override {
    transfer_.reset();
    if (!end.clean) {
      return finish(Error(end.code, "the server cannot be reached or broke off").with([&](ErrorDetails& details) {
        details.cause = end.cause;
      }));
    }
    reply_.body = body_.take();
    finish(std::move(reply_));
  }

  /// Ends without a word.
  void drop() {
    release();
    done_ = nullptr;
  }

 private:
  void finish(Result<FetchReply> result) {
    if (!done_) return;
    const auto done = std::exchange(done_, nullptr);
    const auto keep = shared_from_this();
    auto& live = owner_->live_;
    live.erase(std::remove(live.begin(), live.end(), keep), live.end());
    const auto reactor = owner_->reactor_;  // the owner may go in done()
    release();
    done(std::move(result));
    reactor->end_hosted();
  }

  void release() {
    Reactor& loop = *owner_->reactor_;
    loop.unschedule(std::exchange(timer_, 0));
    if (transfer_) std::exchange(transfer_, nullptr)->cancel();
    // We may be inside one of the engine's own callbacks: it goes from the loop's own level, later.
    if (engine_) loop.post([engine = std::shared_ptr<HttpEngine>(std::move(engine_))] {});
  }

  BackgroundLoop* owner_;
  BackgroundLoop::Done done_;
  std::unique_ptr<HttpEngine> engine_;
  std::shared_ptr<HttpTransfer> transfer_;
  Loop::TimerId timer_ = 0;
  std::size_t max_bytes_ = 0;
  FetchReply reply_;
  WipedBuffer body_;
};

DEEPSEEK_DECL std::shared_ptr<BackgroundLoop> BackgroundLoop::shared(const std::shared_ptr<Clock>& clock) {
  struct Known {
    std::mutex mutex;
    std::weak_ptr<BackgroundLoop> loop;
  };
  // Never destroyed: a source with static storage may outlive anything that is.
  static Known& known = *new Known;
  if (clock) return std::make_shared<BackgroundLoop>(clock);
  const std::lock_guard<std::mutex> lock(known.mutex);
  auto loop = known.loop.lock();
  if (!loop || loop->fork_generation_ != fork_generation())
    known.loop = loop = std::make_shared<BackgroundLoop>(std::make_shared<Clock>());
  return loop;
}

DEEPSEEK_DECL BackgroundLoop::BackgroundLoop(std::shared_ptr<Clock> clock)
    : clock_(std::move(clock)), reactor_(std::make_shared<Reactor>(clock_)), fork_generation_(fork_generation()) {}

DEEPSEEK_DECL BackgroundLoop::~BackgroundLoop() {
  if (fork_generation_ != fork_generation()) {
    // The thread, the descriptors and perhaps a locked mutex are the parent's. Leaked on purpose.
    new std::shared_ptr<Reactor>(std::move(reactor_));
    new std::vector<std::shared_ptr<Fetch>>(std::move(live_));
    return;
  }
  if (reactor_->on_loop())
    cancel_all();
  else
    reactor_->post([this] { cancel_all(); });
  reactor_->stop();
}

DEEPSEEK_DECL void BackgroundLoop::fetch(Function<Result<FetchRequest>()> prepare, Done done) {
  // Counted before it is posted: the loop's thread must not rest before the end of the exchange.
  reactor_->begin_hosted();
  reactor_->post(
      [weak = weak_from_this(), reactor = reactor_, prepare = std::move(prepare), done = std::move(done)]() mutable {
        if (const auto self = weak.lock()) return self->start(prepare, std::move(done));
        reactor->end_hosted();
      });
}

DEEPSEEK_DECL void BackgroundLoop::start(const Function<Result<FetchRequest>()>& prepare, Done done) {
  auto request = reactor_->ok() ? prepare() : Error(ErrorCode::internal, "the process has no file descriptors left");
  if (!request) {
    const auto reactor = reactor_;
    done(std::move(request).error());
    return reactor->end_hosted();
  }
  auto fetch = std::make_shared<Fetch>(*this, std::move(done));
  live_.push_back(fetch);
  fetch->start(*std::move(request));
}

DEEPSEEK_DECL void BackgroundLoop::cancel_all() {
  for (const auto& fetch : std::exchange(live_, {})) {
    fetch->drop();
    reactor_->end_hosted();
  }
}

DEEPSEEK_DECL std::optional<Error> check_server_url(const std::string& url, bool allow_plain_http, const char* what) {
  // Unlike a base URL it may have a query (RFC 6749 3.2), which goes out as it is.
  const auto parsed = parse_base_url(std::string_view(url).substr(0, url.find('?')));
  const auto odd = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F || c == '#'; };
  if (!parsed || std::any_of(url.begin(), url.end(), odd))
    return Error(ErrorCode::invalid_options, std::string(what) + " is no address",
                 "use https://host[:port]/path, without a fragment");
  if (!parsed->https && !is_loopback(parsed->host) && !allow_plain_http)
    return Error(ErrorCode::insecure_credential, std::string(what) + " is plain http to another host",
                 "use https, or set allow_plain_http");
  return std::nullopt;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
