// Transport: moves messages. One operation with its JSON request in; frames and one outcome out.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/core/cancel.hpp>
#include <deepseek/core/function.hpp>
#include <deepseek/core/loop.hpp>
#include <deepseek/core/secret.hpp>
#include <deepseek/http/engine.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct Endpoint;

/// What a frame means, as told by the call's Decoder. Transports, clocks and policies act on this word
/// and never look into the frame.
enum class FrameKind {
  data,       ///< progress without a token: a role, a finish reason, usage, a whole body
  token,      ///< content, reasoning or tool arguments: the first one stops the first-token clock
  end,        ///< the stream's end mark
  error,      ///< an error object in the place of data
  malformed,  ///< cannot be decoded
};

/// One message of a reply. Borrowed: valid until on_frame() returns.
struct Frame {
  std::string_view data = {};  ///< JSON text, or bytes if `binary`
  FrameKind kind = FrameKind::data;
  bool binary = false;
};

/// Where and how a request goes. The codec fills it; a transport maps it onto its own addresses.
struct Operation {
  enum class Base {
    plain,             ///< the base URL as it is
    beta_if_deepseek,  ///< /beta where the endpoint is DeepSeek, plain elsewhere (FIM, strict tools)
    beta_only,         ///< refused where there is no /beta (prefix completion)
    host_root,         ///< a final /v1 or /beta dropped (balance)
  };
  std::string_view name = {};    ///< "chat", "completion", "models", "balance": static storage
  std::string_view method = {};  ///< "POST", "GET": static storage
  std::string_view path = {};    ///< "/chat/completions": static storage
  Base base = Base::plain;
  bool stream = false;  ///< the reply is an event stream
};

/// Time limits of one call. Zero: none. dns, connect, tls, first_byte and first_token start at the phase
/// before; between_tokens is progress (re-armed by data, not by keep-alives); idle is liveness (re-armed
/// by any byte); total is absolute.
struct Timeouts {
  std::chrono::milliseconds dns{10'000};
  std::chrono::milliseconds connect{10'000};
  std::chrono::milliseconds tls{10'000};
  /// From the request sent to the response head. The service answers at once and then keeps alive, but
  /// other servers send nothing while a request waits for a slot: 10 minutes, as the service itself waits.
  std::chrono::milliseconds first_byte{600'000};
  /// Streams only: from the request sent to the first content, reasoning or tool delta.
  std::chrono::milliseconds first_token{600'000};
  /// Streams only: between two data events once the first token came.
  std::chrono::milliseconds between_tokens{300'000};
  std::chrono::milliseconds idle{300'000};
  std::chrono::milliseconds total{0};
};

/// Sizes of what a server may send, in bytes. Beyond: limit_exceeded, and what came before is kept.
struct SizeLimits {
  std::uint64_t header_bytes = 256 * 1024;
  std::uint64_t line_bytes = 16 * 1024 * 1024;         ///< one line of an event stream
  std::uint64_t event_bytes = 16 * 1024 * 1024;        ///< one event (its data lines together)
  std::uint64_t body_bytes = 64 * 1024 * 1024;         ///< a body that is not a stream
  std::uint64_t stream_bytes = 4096ull * 1024 * 1024;  ///< a whole stream
  std::uint64_t error_body_bytes = 256 * 1024;         ///< the rest of a longer error body is dropped, not refused
};

/// Decodes the frames of one call and judges its end. Supplied by the codec, so that whoever produces
/// frames (a transport, a cache) can feed the clocks and policies by how the stream really went. On the
/// loop only; one per attempt.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Decodes one frame. Whoever produces a frame calls this first and stores the answer in the frame.
  virtual FrameKind inspect(std::string_view data) = 0;
  /// The outcome after the last frame. `clean`: HTTP framing (or its like) says that nothing is missing.
  /// Returns the error, or nothing if the outcome is `complete`.
  virtual std::optional<Error> conclude(bool clean) = 0;
  /// The typed error of a response with status >= 400, whatever its content type.
  virtual Error error_from_body(int status, std::string_view body) = 0;
  /// Forgets everything: a new attempt begins.
  virtual void reset() = 0;
};

/// Facts gathered while a call runs.
struct CallFacts {
  int attempts = 0;
  int http_status = 0;
  int http_version = 0;
  std::string trace_id = {};
  std::uint64_t bytes_received = 0;  ///< of bodies, keep-alives included
  std::uint64_t keep_alives = 0;     ///< comment lines and leading blank lines
  HttpTimings http = {};
  std::chrono::microseconds first_token{0};  ///< since the call began; zero: none came
  std::chrono::microseconds total{0};
  std::optional<std::chrono::milliseconds> retry_after = {};
  /// Set beside or instead of retry_after if the server named a date. Needs the wall clock.
  std::optional<WallTime> retry_at = {};
};

/// One operation on its way. Made by the api layer, seen by every policy, executed by a transport. On
/// the loop only, except where a member says otherwise.
struct Call {
  Operation operation = {};
  std::string body = {};                 ///< JSON request; empty for GET. Not changed once it is set:
                                         ///< a policy that needs another body asks for a new one.
  std::vector<HttpHeader> headers = {};  ///< extra headers of the user; per attempt: the authoriser's
  Timeouts timeouts = {};
  SizeLimits limits = {};
  TimePoint started = {};
  std::optional<TimePoint> deadline = {};  ///< absolute, over all attempts
  std::shared_ptr<Decoder> decoder = {};
  std::shared_ptr<const Endpoint> endpoint = {};  ///< chosen by the route policy
  Secret authorization = {};                      ///< header value, set by the authoriser
  CallFacts facts = {};

  // What policies need to know of the request, told by the codec: they never parse the body.
  bool safe_to_repeat = true;  ///< before any byte was delivered
  std::uint64_t weight = 0;    ///< estimated tokens, for budgets

  /// Set by whoever holds the call now; runs on the loop when the call is cancelled. The holder must
  /// then end the call with `cancelled` exactly once.
  Function<void(Error)> on_abort = {};
  /// The transport's own, while it holds the call: finds its state in pause() without a search.
  void* transport_state = nullptr;
};
using CallPtr = std::shared_ptr<Call>;

/// Receives the frames of a call, then exactly one end and nothing after. On the loop. Must not block.
class CallSink {
 public:
  virtual ~CallSink() = default;
  virtual void on_frame(const Frame& frame) = 0;
  /// Nothing: complete. Otherwise the reason; facts stand in the call.
  virtual void on_end(std::optional<Error> error) = 0;
};
using SinkPtr = std::shared_ptr<CallSink>;

/// Moves messages between this process and one kind of server. Used by one client, on its loop only.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Called once before the first call; `loop` outlives the transport.
  virtual void attach(Loop& loop) = 0;
  /// Sends one attempt of `call`. Never calls `sink` before it returns. Sets call->on_abort.
  virtual void start(CallPtr call, SinkPtr sink) = 0;
  /// Holds back (true) or lets go on (false) the frames of a call that was started here.
  virtual void pause(Call& call, bool paused) = 0;
};

DEEPSEEK_END_NAMESPACE
