#pragma once
#include <atomic>
#include <deque>
#include <mutex>
#include <utility>

#include <deepseek/core/detail/loop_port.hpp>
#include <deepseek/http/detail/header.hpp>
#include <deepseek/http/detail/scripted.hpp>
#include <deepseek/http/fake.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// One scripted response under way. On the loop only, but for the two flags.
class FakeTransfer final : public HttpTransfer, public std::enable_shared_from_this<FakeTransfer> {
 public:
  FakeTransfer(Loop& loop, FakeReply reply, std::shared_ptr<HttpHandler> handler)
      : loop_(loop),
        handler_(std::move(handler)),
        status_(reply.status),
        version_(reply.version),
        headers_(std::move(reply.headers)),
        end_(reply.end),
        code_(reply.code),
        wait_(reply.head_after),
        started_(loop.now()) {
    for (FakeChunk& chunk : reply.chunks) chunks_.push_back(std::move(chunk));
  }
  ~FakeTransfer() override {
    if (timer_ != 0) loop_.unschedule(timer_);  // without a timer the loop may be gone already
  }

  void cancel() override {
    cancelled_ = true;
    drop();
  }
  /// Ends it without a word to anybody. The loop is not used any more; of a transfer that is over not even now.
  void drop() {
    if (timer_ != 0) loop_.unschedule(std::exchange(timer_, 0));
    handler_.reset();
  }
  void pause(bool paused) override {
    if (paused_.exchange(paused) && !paused) go_on();
  }
  HttpTimings timings() const override {
    HttpTimings timings;
    timings.first_byte = first_byte_;
    timings.total = elapsed();
    timings.reused_connection = true;
    return timings;
  }

  void go_on() {
    if (timer_ != 0 || posted_ || !handler_) return;
    posted_ = true;
    loop_.post([self = shared_from_this()] {
      self->posted_ = false;
      self->pump();
    });
  }
  void add(std::string data) {
    chunks_.emplace_back(std::move(data));
    go_on();
  }
  void finish(FakeReply::End end, ErrorCode code) {
    end_ = end;
    code_ = code;
    go_on();
  }
  bool cancelled() const { return cancelled_; }
  bool paused() const { return paused_; }

 private:
  static constexpr int chunks_per_turn = 64;  // other calls of the loop want their turn as well

  std::chrono::microseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(loop_.now() - started_);
  }

  /// True if there is time to wait for; pump() is called again then.
  bool must_wait() {
    if (wait_.count() <= 0) return false;
    timer_ = loop_.schedule(loop_.now() + std::exchange(wait_, {}), [this] {
      timer_ = 0;
      pump();
    });
    return true;
  }

  void pump() {
    const auto self = shared_from_this();  // the handler may drop the last other reference
    if (!handler_ || must_wait()) return;
    if (!head_sent_ && !send_head()) return;
    for (int sent = 0; handler_ && !paused_; ++sent) {
      if (chunks_.empty()) {
        if (end_ != FakeReply::End::hold) deliver_end(end_ == FakeReply::End::clean, true);
        return;
      }
      if (!std::exchange(chunk_waited_, true)) wait_ = chunks_.front().after;
      if (must_wait()) return;
      if (sent == chunks_per_turn) return go_on();
      const FakeChunk chunk = std::move(chunks_.front());
      chunks_.pop_front();
      chunk_waited_ = false;
      const auto handler = handler_;
      handler->on_data(chunk.data);
    }
  }

  /// False if the response ends here.
  bool send_head() {
    if (end_ == FakeReply::End::before_head || end_ == FakeReply::End::inside_head) {
      deliver_end(false, false);
      return false;
    }
    head_sent_ = true;
    first_byte_ = elapsed();
    std::string block;
    for (const HttpHeader& header : headers_) block += header.name + ": " + header.value + "\r\n";
    const auto handler = handler_;
    handler->on_head({status_, version_, block});
    return handler_ != nullptr;
  }

  void deliver_end(bool clean, bool head_complete) {
    HttpEnd end;
    end.clean = clean;
    end.head_complete = head_complete;
    end.code = end_ == FakeReply::End::inside_head ? ErrorCode::truncated : code_;
    if (!clean) end.cause = "scripted";
    end.timings = timings();
    std::exchange(handler_, nullptr)->on_end(end);
  }

  Loop& loop_;
  std::shared_ptr<HttpHandler> handler_;  // null: over
  int status_;
  int version_;
  std::vector<HttpHeader> headers_;
  std::deque<FakeChunk> chunks_;
  FakeReply::End end_;
  ErrorCode code_;
  std::chrono::microseconds wait_;
  std::chrono::microseconds first_byte_{0};
  TimePoint started_;
  Loop::TimerId timer_ = 0;
  bool posted_ = false;
  bool head_sent_ = false;
  bool chunk_waited_ = false;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> paused_{false};
};

DEEPSEEK_DECL std::shared_ptr<HttpTransfer> start_scripted(Loop& loop, FakeReply reply,
                                                           std::shared_ptr<HttpHandler> handler) {
  auto transfer = std::make_shared<FakeTransfer>(loop, std::move(reply), std::move(handler));
  transfer->go_on();
  return transfer;
}

DEEPSEEK_DECL std::string read_whole(HttpBody& body) {
  if (const std::string_view all = body.contiguous(); !all.empty()) return std::string(all);
  std::string text;
  char piece[4096];
  while (text.size() < body.size()) {
    const Result<std::size_t> count = body.read(text.size(), piece, sizeof piece);
    if (!count || *count == 0) break;
    text.append(piece, *count);
  }
  return text;
}

}  // namespace detail

DEEPSEEK_DECL FakeChunk::FakeChunk(std::string bytes, std::chrono::microseconds wait)
    : data(std::move(bytes)), after(wait) {}
DEEPSEEK_DECL FakeChunk::FakeChunk(const char* bytes, std::chrono::microseconds wait) : data(bytes), after(wait) {}

DEEPSEEK_DECL std::string FakeRequest::header(std::string_view name) const {
  for (const HttpHeader& header : headers)
    if (detail::same_header_name(header.name, name)) return header.value;
  return {};
}

struct FakeHttpEngine::State {
  mutable std::mutex mutex;
  Loop* loop = nullptr;                    // on the loop only
  std::shared_ptr<detail::LoopPort> port;  // null: no client yet
  std::deque<FakeReply> script;
  Function<FakeReply(const FakeRequest&)> answer;
  std::vector<FakeRequest> requests;
  std::vector<std::shared_ptr<detail::FakeTransfer>> transfers;

  std::shared_ptr<detail::FakeTransfer> transfer(std::size_t index) const {
    const std::lock_guard<std::mutex> lock(mutex);
    return index < transfers.size() ? transfers[index] : nullptr;
  }
  /// Runs `task` with a transfer, on the loop; not at all once the client has gone.
  template <class Run>
  void on_loop(std::size_t index, Run run) {
    std::shared_ptr<detail::FakeTransfer> chosen;
    std::shared_ptr<detail::LoopPort> way;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (index >= transfers.size() || !port) return;
      chosen = transfers[index];
      way = port;
    }
    way->post([chosen, run = std::move(run)]() mutable { run(*chosen); });
  }
  FakeReply next_reply(const FakeRequest& request) {
    Function<FakeReply(const FakeRequest&)> chosen;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!answer && !script.empty()) {
        FakeReply reply = std::move(script.front());
        script.pop_front();
        return reply;
      }
      chosen = answer;
    }
    if (chosen) return chosen(request);
    FakeReply none;
    none.end = FakeReply::End::before_head;
    none.code = ErrorCode::connect_failed;
    return none;
  }
};

DEEPSEEK_DECL FakeHttpEngine::FakeHttpEngine() : state_(std::make_shared<State>()) {}

DEEPSEEK_DECL FakeHttpEngine::~FakeHttpEngine() { FakeHttpEngine::detach(); }

DEEPSEEK_DECL void FakeHttpEngine::reply(FakeReply reply) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->script.push_back(std::move(reply));
}

DEEPSEEK_DECL void FakeHttpEngine::answer_with(Function<FakeReply(const FakeRequest&)> answer) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->answer = std::move(answer);
}

DEEPSEEK_DECL std::vector<FakeRequest> FakeHttpEngine::requests() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->requests;
}

DEEPSEEK_DECL void FakeHttpEngine::send(std::size_t request, std::string data) {
  state_->on_loop(request,
                  [data = std::move(data)](detail::FakeTransfer& transfer) mutable { transfer.add(std::move(data)); });
}

DEEPSEEK_DECL void FakeHttpEngine::finish(std::size_t request, FakeReply::End end, ErrorCode code) {
  state_->on_loop(request, [end, code](detail::FakeTransfer& transfer) { transfer.finish(end, code); });
}

DEEPSEEK_DECL bool FakeHttpEngine::cancelled(std::size_t request) const {
  const auto transfer = state_->transfer(request);
  return transfer && transfer->cancelled();
}

DEEPSEEK_DECL bool FakeHttpEngine::paused(std::size_t request) const {
  const auto transfer = state_->transfer(request);
  return transfer && transfer->paused();
}

DEEPSEEK_DECL void FakeHttpEngine::attach(Loop& loop) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->loop = &loop;
  state_->port = std::make_shared<detail::LoopPort>(loop);
}

DEEPSEEK_DECL void FakeHttpEngine::detach() {
  std::vector<std::shared_ptr<detail::FakeTransfer>> transfers;
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    if (state_->port) state_->port->close();
    transfers = state_->transfers;
  }
  // Whoever still holds one must not be called any more. They stay in the list: cancelled() may be asked later.
  for (const auto& transfer : transfers) transfer->drop();
}

DEEPSEEK_DECL std::shared_ptr<HttpTransfer> FakeHttpEngine::start(HttpRequest request,
                                                                  std::shared_ptr<HttpHandler> handler) {
  FakeRequest seen;
  seen.method = std::move(request.method);
  seen.url = std::move(request.url);
  seen.headers = std::move(request.headers);
  if (request.body) seen.body = detail::read_whole(*request.body);
  auto transfer = std::make_shared<detail::FakeTransfer>(*state_->loop, state_->next_reply(seen), std::move(handler));
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->requests.push_back(std::move(seen));
    state_->transfers.push_back(transfer);
  }
  transfer->go_on();
  return transfer;
}

DEEPSEEK_END_NAMESPACE
