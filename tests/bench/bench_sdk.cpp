// bench_sdk: this SDK in a table with other clients of a loopback server that plays DeepSeek.
//
//   bench_sdk MODE BASE_URL REQUESTS IN_FLIGHT [WARM]
//
//   parse    streams, decoded into chunks: content, reasoning, tools, finish reason, usage, text gathered
//   count    the same, but only the bytes of the chunks are added up
//   json     replies that are not streamed
//   cancel   REQUESTS streams, cancelled from another thread; BASE_URL is not used ("-"): the server is in here
//
// One JSON line comes out. WARM requests (2) go first and count for nothing; with several in flight that is
// IN_FLIGHT of mode json and none of the others, as in the clients it is compared with.
//
//   DEEPSEEK_BENCH_FACE    pull or callback: the face that streams one at a time; default: callback
//   DEEPSEEK_BENCH_POLICIES  none or all: every policy that does not change what is sent; default: none
//   DEEPSEEK_BENCH_ALLOCS  1: count every heap allocation of the process, libcurl's included
//   BENCH_CA, BENCH_CAPATH a CA bundle, a hashed folder of CAs
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deepseek/core/log.hpp>
#include <deepseek/core/metrics.hpp>
#include <deepseek/deepseek.hpp>
#include <functional>
#include <future>
#include <iostream>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

// --- heap allocations --------------------------------------------------------------------------------

namespace {
std::atomic<bool> counting_allocations{false};
std::atomic<std::uint64_t> allocations{0};

void count_allocation() noexcept {
  if (counting_allocations.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

// glibc lets a program stand before its allocator; what these return is freed by its own free().
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BENCH_COUNTS_ALLOCATIONS 1
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

__attribute__((visibility("default"))) void* malloc(std::size_t size) {
  count_allocation();
  return __libc_malloc(size);
}
__attribute__((visibility("default"))) void* calloc(std::size_t count, std::size_t size) {
  count_allocation();
  return __libc_calloc(count, size);
}
__attribute__((visibility("default"))) void* realloc(void* old, std::size_t size) {
  count_allocation();
  return __libc_realloc(old, size);
}
__attribute__((visibility("default"))) void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count_allocation();
  return __libc_memalign(alignment, size);
}
}
#else
#define BENCH_COUNTS_ALLOCATIONS 0
#endif

namespace {

// --- what the process uses ---------------------------------------------------------------------------

std::uint64_t clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}
std::uint64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }

/// The number after `name` in /proc/self/status, in KiB; 0 if there is none.
long status_kb(const char* name) {
  long value = 0;
  std::FILE* const file = std::fopen("/proc/self/status", "r");
  if (!file) return 0;
  char line[256];
  const std::string_view wanted(name);
  while (std::fgets(line, sizeof line, file))
    if (std::string_view(line).substr(0, wanted.size()) == wanted)
      value = std::strtol(line + wanted.size(), nullptr, 10);
  std::fclose(file);
  return value;
}
long resident_kb() { return status_kb("VmRSS:"); }

class Latencies {
 public:
  explicit Latencies(std::size_t room) { nanoseconds_.reserve(room); }
  void add(std::uint64_t began_ns, std::uint64_t ended_ns) {
    const std::uint64_t spent = ended_ns > began_ns ? ended_ns - began_ns : 0;
    nanoseconds_.push_back(
        static_cast<std::uint32_t>(std::min<std::uint64_t>(spent, std::numeric_limits<std::uint32_t>::max())));
  }
  void clear() { nanoseconds_.clear(); }
  double quantile_us(double q) {
    if (nanoseconds_.empty()) return -1;
    const auto rank =
        std::min(nanoseconds_.size() - 1, static_cast<std::size_t>(q * static_cast<double>(nanoseconds_.size())));
    const auto at = nanoseconds_.begin() + static_cast<std::ptrdiff_t>(rank);
    std::nth_element(nanoseconds_.begin(), at, nanoseconds_.end());
    return *at / 1e3;
  }

 private:
  std::vector<std::uint32_t> nanoseconds_;
};

struct Options {
  std::string mode, base_url;
  std::uint64_t requests = 1, in_flight = 1, warm = 2;
  bool pull = false;
};

/// Everything a run counts. Written by one thread at a time: the one that runs the callbacks, or the puller.
struct Meter {
  explicit Meter(std::size_t expected) : latency(expected) {}
  std::uint64_t events = 0, bytes = 0, first_ns = 0;
  Latencies latency;
  long resident_before = 0, resident_full = 0;
  std::uint64_t cpu_begin = 0, cpu_end = 0, wall_begin = 0, wall_end = 0;
  std::uint64_t allocations_begin = 0, allocations_end = 0;

  void begin() {
    events = bytes = 0;
    latency.clear();
    allocations_begin = allocations.load();
    cpu_begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    wall_begin = now_ns();
  }
  void end() {
    wall_end = now_ns();
    cpu_end = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    allocations_end = allocations.load();
  }
  void print(const Options& options) {
    const bool counted = counting_allocations.load();
    std::printf(
        "{\"events\":%llu,\"bytes\":%llu,\"requests\":%llu,\"cpu_us\":%.1f,\"wall_us\":%.1f,\"rss0_kb\":%ld,"
        "\"rss_kb\":%ld,\"peak_kb\":%ld,\"first_ns\":%llu,\"lat_p50_us\":%.1f,\"lat_p99_us\":%.1f,\"allocs\":%lld}\n",
        static_cast<unsigned long long>(events), static_cast<unsigned long long>(bytes),
        static_cast<unsigned long long>(options.requests), static_cast<double>(cpu_end - cpu_begin) / 1e3,
        static_cast<double>(wall_end - wall_begin) / 1e3, resident_before,
        resident_full > 0 ? resident_full : resident_kb(), status_kb("VmHWM:"),
        static_cast<unsigned long long>(first_ns), latency.quantile_us(0.5), latency.quantile_us(0.99),
        counted ? static_cast<long long>(allocations_end - allocations_begin) : -1LL);
  }
};

[[noreturn]] void fail(const std::string& why) {
  std::cerr << "bench_sdk: " << why << std::endl;
  std::_Exit(1);  // calls may be live: no destructor waits for them
}

// --- client and request ------------------------------------------------------------------------------

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

bool with_policies() {
  const std::string wanted = environment("DEEPSEEK_BENCH_POLICIES");
  if (!wanted.empty() && wanted != "none" && wanted != "all") fail("DEEPSEEK_BENCH_POLICIES is neither none nor all");
  return wanted == "all";
}

/// Everything is on, and nothing of it ever strikes.
void add_policies(deepseek::ClientOptions& options) {
  options.retry = {};
  options.limits.requests_per_minute = 100'000'000;
  options.limits.requests_burst = 100'000'000;
  options.limits.tokens_per_minute = 1'000'000'000;
  options.limits.tokens_burst = 1'000'000'000;
  options.limits.in_flight = 1'000'000;
  options.breaker.minimum_calls = 20;
  options.metrics = std::make_shared<deepseek::Metrics>();
  options.log = deepseek::make_null_log();
  options.cache.memory_bytes = 64 * deepseek::KiB;
}

/// The cache is asked and never told.
deepseek::CallOptions call_options() {
  deepseek::CallOptions options;
  if (with_policies()) options.cache = deepseek::CacheUse::read_only;
  return options;
}

deepseek::DeepSeekClient make_client(const std::string& base_url) {
  deepseek::ClientOptions options;
  options.endpoints = {{base_url, deepseek::api_key("sk-loopback")}};
  options.retry.max_attempts = 1;
  if (with_policies()) add_policies(options);
  options.tls.ca_file = environment("BENCH_CA");
  options.tls.ca_path = environment("BENCH_CAPATH");
  auto client = deepseek::DeepSeekClient::create(std::move(options));
  if (!client) fail(to_string(client.error()));
  return *std::move(client);
}

deepseek::ChatRequest make_request() {
  deepseek::ChatRequest request;
  request.model = "deepseek-chat";
  request.messages = {deepseek::Message::system("You are a helpful assistant."),
                      deepseek::Message::user("Write a short story about a robot.")};
  return request;
}

// --- what is done with an answer ---------------------------------------------------------------------

/// The send time that a paced event carries as its text: 'T' and 16 hexadecimal digits.
std::optional<std::uint64_t> stamp_of(std::string_view text) {
  if (text.size() != 17 || text.front() != 'T') return std::nullopt;
  std::uint64_t sent = 0;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), sent, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return sent;
}

class Reader {
 public:
  Reader(const Options& options, Meter& meter) : parse_(options.mode == "parse"), meter_(meter) {}

  void on_chunk(const deepseek::ChatChunk& chunk) {
    const std::string_view text = parse_ ? chunk.content() : chunk.raw();
    if (text.empty()) return;
    if (meter_.first_ns == 0) meter_.first_ns = now_ns();
    chunk_bytes_ += text.size();
    if (!parse_) return;
    ++meter_.events;
    if (const auto sent = stamp_of(text)) meter_.latency.add(*sent, now_ns());
  }

  /// Every reply must be whole, or the figures mean nothing.
  void on_reply(const deepseek::Result<deepseek::ChatReply>& reply, bool streamed) {
    if (!reply) fail(to_string(reply.error()));
    if (reply->finish_reason() != "stop" || !reply->usage || reply->content().empty()) fail("a reply is not whole");
    if (meter_.first_ns == 0) meter_.first_ns = now_ns();
    if (streamed && parse_ && reply->content().size() != chunk_bytes_)
      fail("a reply's text is not the text of its chunks");
    meter_.bytes += streamed ? std::exchange(chunk_bytes_, 0) : reply->content().size();
  }

 private:
  bool parse_;
  Meter& meter_;
  std::size_t chunk_bytes_ = 0;  // of the reply under way
};

// --- the faces ---------------------------------------------------------------------------------------

/// One after the other on this thread: `once` makes one request from its beginning to its reply.
void run_waiting(const Options& options, Meter& meter, const std::function<void()>& once) {
  for (std::uint64_t i = 0; i < options.warm; ++i) once();
  meter.begin();
  for (std::uint64_t i = 0; i < options.requests; ++i) once();
  meter.end();
}

void run_pull(const Options& options, Meter& meter) {
  const auto client = make_client(options.base_url);
  const auto request = make_request();
  const auto call = call_options();
  Reader reader(options, meter);
  run_waiting(options, meter, [&] {
    auto stream = client.stream(request, call);
    while (const deepseek::ChatChunk* chunk = stream.next()) reader.on_chunk(*chunk);
    reader.on_reply(stream.result(), true);
  });
}

void run_sync(const Options& options, Meter& meter) {
  const auto client = make_client(options.base_url);
  const auto request = make_request();
  const auto call = call_options();
  Reader reader(options, meter);
  run_waiting(options, meter, [&] { reader.on_reply(client.chat(request, call), false); });
}

/// IN_FLIGHT requests at once; each reply starts the next request. Its members belong to the I/O thread
/// once the first request has started, except `over_`.
class Pushing {
 public:
  Pushing(const Options& options, Meter& meter)
      : options_(options),
        meter_(meter),
        request_(make_request()),
        call_(call_options()),
        client_(make_client(options.base_url)) {}

  void run() {
    const std::uint64_t all = options_.requests + options_.warm;
    left_to_start_ = all;
    left_to_finish_ = all;
    if (options_.warm == 0) meter_.begin();
    const auto slots = static_cast<std::size_t>(std::min(options_.in_flight, all));
    readers_ = std::vector<Reader>(slots, Reader(options_, meter_));
    left_to_start_ -= slots;
    for (Reader& reader : readers_) start(reader);
    wait();
  }

 private:
  void start(Reader& reader) {
    if (options_.mode == "json") {
      client_.chat_whole_async(request_, [this, &reader](const auto& reply) { finished(reader, reply, false); }, call_);
      return;
    }
    deepseek::ChatHandler handler;
    handler.on_chunk = [&reader](const deepseek::ChatChunk& chunk) { reader.on_chunk(chunk); };
    handler.on_end = [this, &reader](const auto& reply) { finished(reader, reply, true); };
    client_.chat_async(request_, std::move(handler), call_);
  }

  void finished(Reader& reader, const deepseek::Result<deepseek::ChatReply>& reply, bool streamed) {
    reader.on_reply(reply, streamed);
    --left_to_finish_;
    if (left_to_finish_ == options_.requests) meter_.begin();
    if (left_to_start_ > 0) {
      --left_to_start_;
      return start(reader);
    }
    if (left_to_finish_ > 0) return;
    meter_.end();
    std::lock_guard lock(mutex_);
    over_ = true;
    all_done_.notify_one();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    // Memory at full load, looked at now and then; one stream alone is left in peace.
    while (options_.in_flight > 1 &&
           !all_done_.wait_for(lock, std::chrono::milliseconds(300), [this] { return over_; }))
      meter_.resident_full = std::max(meter_.resident_full, resident_kb());
    all_done_.wait(lock, [this] { return over_; });
  }

  const Options& options_;
  Meter& meter_;
  deepseek::ChatRequest request_;
  deepseek::CallOptions call_;
  std::vector<Reader> readers_;
  std::uint64_t left_to_start_ = 0, left_to_finish_ = 0;
  std::mutex mutex_;
  std::condition_variable all_done_;
  bool over_ = false;
  deepseek::DeepSeekClient client_;  // goes first: no callback runs when the others go
};

// --- cancel ------------------------------------------------------------------------------------------

/// Answers each connection with the beginning of a stream and tells when the client has closed it.
class ClosingServer {
 public:
  ClosingServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      fail("no listening socket");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~ClosingServer() {
    ::shutdown(listener_, SHUT_RDWR);  // wakes accept()
    thread_.join();
    ::close(listener_);
  }

  int port() const { return port_; }
  /// When the next connection was closed by its client.
  std::uint64_t wait_for_close() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ns_ != 0; });
    return std::exchange(closed_ns_, 0);
  }

 private:
  void serve() {
    for (;;) {
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      answer(connection);
      ::close(connection);
    }
  }

  void answer(int connection) {
    static constexpr std::string_view beginning =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        "data: "
        "{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,"
        "\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n";
    char bytes[4096];
    std::string request;
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::recv(connection, bytes, sizeof bytes, 0);
      if (got <= 0) return;
      request.append(bytes, static_cast<std::size_t>(got));
    }
    if (::send(connection, beginning.data(), beginning.size(), MSG_NOSIGNAL) < 0) return;
    while (::recv(connection, bytes, sizeof bytes, 0) > 0) {  // the rest of the request's body
    }
    const std::uint64_t now = now_ns();
    std::lock_guard lock(mutex_);
    closed_ns_ = now;
    changed_.notify_one();
  }

  int listener_;
  int port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t closed_ns_ = 0;
};

/// From cancel() on this thread, while the I/O thread reads, to the server's view of the closed stream.
void run_cancel(const Options& options, Meter& meter) {
  ClosingServer server;
  const auto client = make_client("http://127.0.0.1:" + std::to_string(server.port()));
  const auto request = make_request();
  for (std::uint64_t i = 0; i < options.warm + options.requests; ++i) {
    if (i == options.warm) meter.begin();
    std::promise<void> began, ended;
    deepseek::ChatHandler handler;
    handler.on_chunk = [&](const deepseek::ChatChunk&) { began.set_value(); };
    handler.on_end = [&](const deepseek::Result<deepseek::ChatReply>& reply) {
      if (reply || reply.error().outcome() != deepseek::Outcome::cancelled) fail("a cancelled call did not end so");
      ended.set_value();
    };
    const auto call = client.chat_async(request, std::move(handler));
    began.get_future().wait();
    const std::uint64_t cancelled = now_ns();
    call.cancel();
    const std::uint64_t closed = server.wait_for_close();
    if (i >= options.warm) meter.latency.add(cancelled, closed);
    ended.get_future().wait();
  }
  meter.end();
}

// --- main --------------------------------------------------------------------------------------------

std::uint64_t number(const char* text) {
  std::uint64_t value = 0;
  const std::string_view all(text);
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  if (error != std::errc() || end != all.data() + all.size()) fail("not a number: " + std::string(all));
  return value;
}

std::optional<Options> parse_words(int argc, char** argv) {
  if (argc < 5 || argc > 6) return std::nullopt;
  Options options;
  options.mode = argv[1];
  options.base_url = argv[2];
  options.requests = number(argv[3]);
  options.in_flight = std::max<std::uint64_t>(1, number(argv[4]));
  if (argc > 5) options.warm = number(argv[5]);
  if (options.in_flight > 1) options.warm = options.mode == "json" ? options.in_flight : 0;
  options.pull = environment("DEEPSEEK_BENCH_FACE") == "pull";
  for (const char* mode : {"parse", "count", "json", "cancel"})
    if (options.mode == mode) return options;
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_words(argc, argv);
  if (!options) {
    std::cerr << "usage: bench_sdk parse|count|json|cancel BASE_URL REQUESTS IN_FLIGHT [WARM]\n";
    return 2;
  }
  counting_allocations = BENCH_COUNTS_ALLOCATIONS && !environment("DEEPSEEK_BENCH_ALLOCS").empty();
  Meter meter(1 << 20);
  meter.resident_before = resident_kb();
  const bool alone = options->in_flight == 1;
  if (options->mode == "cancel")
    run_cancel(*options, meter);
  else if (options->mode == "json" && alone)
    run_sync(*options, meter);
  else if (alone && options->pull)
    run_pull(*options, meter);
  else
    Pushing(*options, meter).run();
  meter.print(*options);
}
