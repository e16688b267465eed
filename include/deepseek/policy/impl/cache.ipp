#pragma once
#include <deepseek/core/detail/splitmix.hpp>
#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/detail/cache_entry.hpp>
#include <deepseek/policy/detail/cache_key.hpp>
#include <deepseek/policy/impl/cache_store.ipp>

#include <algorithm>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// --- playing an entry --------------------------------------------------------------------------------

/// Gives a kept reply to a call, as a transport gives a fresh one. Keeps itself alive until the call has its end.
class CachePlayer final : public std::enable_shared_from_this<CachePlayer> {
 public:
  CachePlayer(Loop& loop, CallPtr call, SinkPtr sink, CacheEntryPtr entry)
      : loop_(loop), call_(std::move(call)), sink_(std::move(sink)), entry_(std::move(entry)), frames_(*entry_) {}

  void begin() {
    if (is_negative(*entry_)) return sink_->on_end(negative_error(*entry_));
    self_ = shared_from_this();
    paused_ = call_->paused;
    call_->on_abort = [this](Error error) { abort(std::move(error)); };
    call_->on_pause = [this](bool paused) { pause(paused); };
    if (!paused_) play();
  }

 private:
  /// Frames played in one go: a long stream must not keep the loop from others.
  static constexpr int at_once = 256;

  void play() {
    const auto keep = shared_from_this();
    playing_ = true;
    int left = at_once;
    std::string_view data;
    while (!paused_ && !aborted_ && !settled_ && left-- > 0 && frames_.next(data)) give(data);
    playing_ = false;
    if (aborted_) return finish(std::move(aborted_));
    if (settled_ || frames_.at_end()) return finish(call_->decoder->conclude(true));
    if (!paused_) play_later();
  }

  void give(std::string_view data) {
    const FrameKind kind = call_->decoder->inspect(data);
    settled_ = kind != FrameKind::data && kind != FrameKind::token;
    if (kind == FrameKind::token && call_->facts.first_token.count() == 0) {
      const auto since = std::chrono::duration_cast<std::chrono::microseconds>(loop_.now() - call_->started);
      call_->facts.first_token = std::max(since, std::chrono::microseconds(1));  // zero would say that none came
    }
    sink_->on_frame({data, kind, false});
  }

  void play_later() {
    if (std::exchange(posted_, true)) return;
    loop_.post([self = shared_from_this()] {
      self->posted_ = false;
      if (self->self_ && !self->paused_) self->play();
    });
  }

  void pause(bool paused) {
    paused_ = paused;
    if (!paused && !playing_) play_later();
  }

  void abort(Error error) {
    if (playing_) {
      if (!aborted_) aborted_ = std::move(error);
      return;
    }
    finish(std::move(error));
  }

  void finish(std::optional<Error> error) {
    const auto keep = std::move(self_);
    if (!keep) return;
    call_->release_holds();
    sink_->on_end(std::move(error));
  }

  Loop& loop_;
  CallPtr call_;
  SinkPtr sink_;
  CacheEntryPtr entry_;
  CacheFrames frames_;
  std::shared_ptr<CachePlayer> self_;  // null: not begun, or ended
  std::optional<Error> aborted_;       // from inside on_frame()
  bool paused_ = false;
  bool playing_ = false;
  bool posted_ = false;
  bool settled_ = false;
};

// --- recording a reply -------------------------------------------------------------------------------

/// The call's decoder, watched for where its reply begins anew. That the decoder is reset is the one sign of it that
/// all calls have: of those that share a request, all but one count no attempts.
class WatchedDecoder final : public Decoder {
 public:
  explicit WatchedDecoder(std::shared_ptr<Decoder> own) : own_(std::move(own)) {}
  /// True once after each reset().
  bool begun_anew() noexcept { return std::exchange(begun_anew_, false); }

  FrameKind inspect(std::string_view data) override { return own_->inspect(data); }
  std::optional<Error> conclude(bool clean) override { return own_->conclude(clean); }
  Error error_from_body(int status, std::string_view body) override { return own_->error_from_body(status, body); }
  TokenUsage usage() const override { return own_->usage(); }
  void reset() override {
    begun_anew_ = true;
    own_->reset();
  }
  std::optional<AnswerSoFar> so_far() const override { return own_->so_far(); }
  void go_on(std::size_t overlap) override { own_->go_on(overlap); }
  std::shared_ptr<Decoder> another() const override { return own_->another(); }

 private:
  const std::shared_ptr<Decoder> own_;
  bool begun_anew_ = false;
};

// --- the policy --------------------------------------------------------------------------------------

class LayeredCache final : public CachePolicy {
 public:
  LayeredCache(const CacheOptions& options, const std::vector<std::string>& base_urls,
               std::shared_ptr<const Clock> clock, CacheDropWatch dropped)
      : options_(options),
        clock_(std::move(clock)),
        dropped_(std::move(dropped)),
        keys_(options.digest, base_urls, options.scope),
        random_(static_cast<std::uint64_t>(clock_->steady_now().time_since_epoch().count())) {
    if (check(options)) return;
    if (options.memory)
      stores_.push_back(options.memory);
    else if (options.memory_bytes != 0)
      stores_.push_back(memory_store(options.memory_bytes));
    if (options.redis) stores_.push_back(options.redis);
    if (options.disk) stores_.push_back(options.disk);
  }

  ~LayeredCache() override { LayeredCache::detach(); }

  void detach() override {
    const auto until = std::chrono::steady_clock::now() + flush_at_most;
    for (const auto& session : sessions_) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      session->flush(std::max(left, std::chrono::milliseconds(0)));
    }
    sessions_.clear();
    tell_dropped();
  }

  Phase phase() const override { return Phase::cache; }

  void attach(Loop& loop) override {
    loop_ = &loop;
    for (const auto& store : stores_) sessions_.push_back(store->open(loop, options_.notice));
  }

  std::vector<CacheLevelStats> stats() const override {
    std::vector<CacheLevelStats> all;
    all.reserve(stores_.size());
    for (const auto& store : stores_) all.push_back({store->level(), store->stats()});
    return all;
  }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    if (sessions_.empty() || call->cache == CacheUse::off) return next(std::move(call), std::move(sink));
    const std::string& key = keys_.key_of(*call);
    if (key.empty()) return next(std::move(call), std::move(sink));
    const std::size_t bytes = keys_.canonical_bytes();
    if (call->cache == CacheUse::write_only) return record(std::move(call), std::move(sink), next, key, bytes);

    const Wanted wanted{false, clock_->wall_now()};
    // The usual way, on the stack: nothing is allocated for a lookup that is answered at once.
    for (std::size_t level = 0; level < sessions_.size(); ++level) {
      if (!sessions_[level]->immediate()) {
        auto lookup = std::make_shared<Lookup>(*this, std::move(call), std::move(sink), key, wanted);
        lookup->none = [this, lookup = lookup.get(), next, bytes] {
          miss(std::move(lookup->call), std::move(lookup->sink), next, lookup->key, bytes);
        };
        return look_up(std::move(lookup), level);
      }
      if (CacheEntryPtr entry = sessions_[level]->find(key); usable(entry, wanted))
        return hit(std::move(call), std::move(sink), key, std::move(entry), level);
    }
    miss(std::move(call), std::move(sink), next, key, bytes);
  }

  void play_kept(CallPtr call, SinkPtr sink, Function<void()> none) override {
    const std::string key = call->cache == CacheUse::write_only ? std::string() : keys_.key_of(*call);
    if (sessions_.empty() || call->cache == CacheUse::off || key.empty()) return none();
    const Wanted wanted{true, clock_->wall_now()};
    auto lookup = std::make_shared<Lookup>(*this, std::move(call), std::move(sink), key, wanted);
    lookup->none = std::move(none);
    look_up(std::move(lookup), 0);
  }

 private:
  static constexpr std::chrono::milliseconds flush_at_most{2'000};

  /// What makes an entry good enough.
  struct Wanted {
    bool stale;
    WallTime now;
  };

  struct LastPut {
    std::string key;
    TimePoint turn;
    std::weak_ptr<const CacheEntry> entry;  // gone: no store has kept it
  };

  /// A lookup that a store answers later.
  struct Lookup {
    Lookup(LayeredCache& its_cache, CallPtr its_call, SinkPtr its_sink, const std::string& its_key, Wanted its_wanted)
        : cache(its_cache), call(std::move(its_call)), sink(std::move(its_sink)), key(its_key), wanted(its_wanted) {}
    LayeredCache& cache;
    CallPtr call;
    SinkPtr sink;
    std::string key;
    Wanted wanted;
    Function<void()> none;
    bool aborted = false;
  };

  /// Copies the frames of a reply on its way, and keeps them if it ends well.
  struct Recorder final : CallSink {
    Recorder(LayeredCache& its_cache, CallPtr its_call, SinkPtr its_sink, const std::string& its_key,
             std::size_t its_bytes)
        : cache(its_cache),
          call(std::move(its_call)),
          sink(std::move(its_sink)),
          key(its_key),
          bytes(its_bytes),
          decoder(std::make_shared<WatchedDecoder>(call->decoder)) {
      call->decoder = decoder;
    }

    void on_frame(const Frame& frame) override {
      if (decoder->begun_anew()) begin_anew();
      if (recording) record(frame);
      sink->on_frame(frame);
    }

    void on_end(std::optional<Error> error) override {
      // Before the end is told: who asks again at once finds it.
      if (decoder->begun_anew()) begin_anew();
      const CallFacts& facts = call->facts;
      const bool sound = recording && facts.degraded.empty() && facts.resumed == 0;
      if (sound && !error && !empty) cache.keep(*call, key, bytes, writer);
      if (sound && error && empty) cache.keep_refusal(key, *error);
      writer = CacheEntryWriter();
      sink->on_end(std::move(error));
    }

    /// Frames of two attempts are no reply that any server gave.
    void begin_anew() {
      writer = CacheEntryWriter();
      empty = recording = true;
    }

    void record(const Frame& frame) {
      empty = false;
      const bool too_long = writer.size() + frame.data.size() > cache.options_.max_entry_bytes;
      recording = !frame.binary && !too_long;
      if (recording)
        writer.add(frame.data);
      else
        writer = CacheEntryWriter();
    }

    LayeredCache& cache;
    CallPtr call;
    SinkPtr sink;
    std::string key;
    std::size_t bytes;
    const std::shared_ptr<WatchedDecoder> decoder;
    CacheEntryWriter writer;
    bool empty = true;  // no frame came
    bool recording = true;
  };

  static bool usable(const CacheEntryPtr& entry, const Wanted& wanted) {
    if (!entry) return false;
    if (wanted.stale) return entry->times().kept(wanted.now) && !is_negative(*entry);
    return entry->times().fresh(wanted.now);
  }

  void look_up(std::shared_ptr<Lookup> lookup, std::size_t level) {
    for (; level < sessions_.size(); ++level) {
      CacheSession& session = *sessions_[level];
      if (!session.immediate()) return look_up_later(std::move(lookup), level);
      CacheEntryPtr entry = session.find(lookup->key);
      if (usable(entry, lookup->wanted))
        return hit(std::move(lookup->call), std::move(lookup->sink), lookup->key, std::move(entry), level);
    }
    lookup->none();
  }

  void look_up_later(std::shared_ptr<Lookup> lookup, std::size_t level) {
    lookup->call->on_abort = [lookup](Error error) {
      if (std::exchange(lookup->aborted, true)) return;
      // NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
      const auto keep = lookup;  // the function goes with on_abort
      keep->call->on_abort = nullptr;
      keep->sink->on_end(std::move(error));
    };
    sessions_[level]->find(lookup->key, [lookup, level](CacheEntryPtr entry) {
      if (lookup->aborted) return;
      lookup->call->on_abort = nullptr;
      LayeredCache& cache = lookup->cache;
      if (!usable(entry, lookup->wanted)) return cache.look_up(lookup, level + 1);
      cache.hit(std::move(lookup->call), std::move(lookup->sink), lookup->key, std::move(entry), level);
    });
  }

  void hit(CallPtr call, SinkPtr sink, std::string_view key, CacheEntryPtr entry, std::size_t level) {
    if (call->cache == CacheUse::normal && !is_negative(*entry))
      for (std::size_t nearer = 0; nearer < level; ++nearer) sessions_[nearer]->put(key, entry);
    call->facts.cache_level = stores_[level]->level();
    std::make_shared<CachePlayer>(*loop_, std::move(call), std::move(sink), std::move(entry))->begin();
  }

  void miss(CallPtr call, SinkPtr sink, const Next& next, const std::string& key, std::size_t bytes) {
    call->facts.cache_level = "miss";
    if (call->cache == CacheUse::read_only) return next(std::move(call), std::move(sink));
    record(std::move(call), std::move(sink), next, key, bytes);
  }

  void record(CallPtr call, SinkPtr sink, const Next& next, const std::string& key, std::size_t bytes) {
    auto recorder = std::make_shared<Recorder>(*this, call, std::move(sink), key, bytes);
    next(std::move(call), std::move(recorder));
  }

  void keep(const Call& call, std::string_view key, std::size_t bytes, CacheEntryWriter& writer) {
    const CacheQuery query{call.operation.name, call.model, call.weight, bytes, call.operation.stream};
    const auto ttl = ttl_of(query);
    if (ttl.count() <= 0) return;
    put(key, writer, ttl, options_.keep_stale);
  }

  // An exception of the user's cannot cross the loop.
  std::chrono::milliseconds ttl_of(const CacheQuery& query) const {
    if (!options_.ttl) return cache_ttl_by_complexity(query);
    try {
      return options_.ttl(query).time();
    } catch (...) {
      return cache_ttl_by_complexity(query);
    }
  }

  void keep_refusal(std::string_view key, const Error& error) {
    if (options_.negative_ttl.count() <= 0 || error.code() != ErrorCode::bad_request) return;
    CacheEntryWriter writer;
    writer.add_negative(error);
    put(key, writer, options_.negative_ttl, std::chrono::milliseconds(0));
  }

  void put(std::string_view key, CacheEntryWriter& writer, std::chrono::milliseconds ttl,
           std::chrono::milliseconds keep_stale) {
    const WallTime now = clock_->wall_now();
    if (just_put(key, writer, now)) return;
    constexpr std::chrono::milliseconds ten_years = std::chrono::hours(24 * 3650);
    const double share = 1.0 + options_.ttl_jitter * (2.0 * uniform() - 1.0);
    const std::chrono::duration<double, std::milli> scaled = std::min(ttl, ten_years) * share;
    const auto life = std::chrono::duration_cast<std::chrono::milliseconds>(scaled);
    CacheTimes times;
    times.written = now;
    times.fresh_until = times.written + std::max(life, std::chrono::milliseconds(1));
    times.keep_until = times.fresh_until + std::min(keep_stale, ten_years);
    const CacheEntryPtr entry = writer.finish(key, times);
    for (const auto& session : sessions_) session->put(key, entry);
    last_ = {std::string(key), loop_->now(), entry};
    tell_dropped();
  }

  /// Those that share a request end in one turn of the loop, all with the same reply.
  bool just_put(std::string_view key, const CacheEntryWriter& writer, WallTime now) const {
    if (last_.turn != loop_->now() || last_.key != key) return false;
    const CacheEntryPtr entry = last_.entry.lock();
    return entry && entry->times().fresh(now) && writer.same_frames(*entry);
  }

  void tell_dropped() {
    if (!dropped_) return;
    for (const auto& store : stores_)
      if (const std::uint64_t count = store->take_dropped_writes()) dropped_(store->level(), count);
  }

  double uniform() {
    if (options_.random) return std::clamp(options_.random(), 0.0, 1.0);
    return static_cast<double>(splitmix64(random_) >> 11) / 9007199254740992.0;  // 53 bits
  }

  const CacheOptions options_;
  const std::shared_ptr<const Clock> clock_;
  const CacheDropWatch dropped_;
  CacheKeys keys_;
  std::uint64_t random_;
  std::vector<std::shared_ptr<CacheStore>> stores_;
  std::vector<std::unique_ptr<CacheSession>> sessions_;  // as stores_, nearest first
  Loop* loop_ = nullptr;
  LastPut last_;
};

DEEPSEEK_DECL Error bad_cache_options(const char* what, const char* advice) {
  return Error(ErrorCode::invalid_options, what, advice);
}

}  // namespace detail

DEEPSEEK_DECL std::chrono::milliseconds cache_ttl_by_complexity(const CacheQuery& query) {
  if (query.tokens <= 512) return std::chrono::hours(1);
  return query.tokens <= 8192 ? std::chrono::hours(6) : std::chrono::hours(24);
}

DEEPSEEK_DECL std::optional<Error> check(const CacheOptions& options) {
  if (options.memory && options.memory_bytes != 0)
    return detail::bad_cache_options("CacheOptions::memory and memory_bytes contradict each other", "set one");
  if (!(options.ttl_jitter >= 0.0 && options.ttl_jitter <= 0.9))
    return detail::bad_cache_options("CacheOptions::ttl_jitter is outside 0 ... 0.9", "0.1 is the default");
  if (options.keep_stale.count() < 0 || options.negative_ttl.count() < 0)
    return detail::bad_cache_options("a time in CacheOptions is negative", "use 0 for none");
  if (options.max_entry_bytes < 1024 || options.max_entry_bytes > 1024ull * 1024 * 1024)
    return detail::bad_cache_options("CacheOptions::max_entry_bytes is outside 1 KiB ... 1 GiB",
                                     "8 MiB is the default");
  if (options.memory_bytes != 0)
    if (auto error = memory_store(options.memory_bytes)->check()) return error;
  for (const auto& store : {options.memory, options.redis, options.disk})
    if (store)
      if (auto error = store->check()) return error;
  if (!detail::CacheKeys(options.digest, {}, {}).ok())
    return detail::bad_cache_options("OpenSSL has no such digest here", "use CacheDigest::sha256");
  return std::nullopt;
}

DEEPSEEK_DECL std::shared_ptr<CachePolicy> make_cache_policy(const CacheOptions& options,
                                                             const std::vector<std::string>& base_urls,
                                                             std::shared_ptr<const Clock> clock,
                                                             CacheDropWatch dropped) {
  return std::make_shared<detail::LayeredCache>(options, base_urls, std::move(clock), std::move(dropped));
}

DEEPSEEK_END_NAMESPACE
