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
  std::string_view data{};  ///< JSON text, or bytes if `binary`
  FrameKind kind = FrameKind::data;
  bool binary = false;  ///< audio or a file's bytes: for transports whose replies are not JSON alone
};

/// Where and how a request goes. The codec fills it; a transport maps it onto its own addresses.
struct Operation {
  enum class Base {
    plain,             ///< the base URL as it is
    beta_if_deepseek,  ///< /beta where the endpoint is DeepSeek, plain elsewhere (FIM, strict tools)
    beta_only,         ///< refused where there is no /beta (prefix completion)
    host_root,         ///< a final /v1 or /beta dropped (balance)
  };
  std::string_view name{};    ///< "chat", "completion", "models", "balance": static storage
  std::string_view method{};  ///< "POST", "GET": static storage
  std::string_view path{};    ///< "/chat/completions": static storage
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

/// Who may go first where there is not room for all.
enum class Priority { interactive, batch };

/// What a call may do with the client's caches.
enum class CacheUse { normal, off, read_only, write_only };

/// Tokens as the service counts them. A cached prompt token is a prompt token, a reasoning token one of the completion.
struct TokenUsage {
  std::uint64_t prompt = 0;
  std::uint64_t cached_prompt = 0;
  std::uint64_t completion = 0;
  std::uint64_t reasoning = 0;

  /// False while no token is counted: nobody said.
  bool told() const noexcept { return prompt != 0 || completion != 0; }
};

/// The text of an answer that broke off. Borrowed from its decoder.
struct AnswerSoFar {
  std::string_view content{};
  std::string_view reasoning{};
};

/// Decodes the frames of one call and judges its end. Supplied by the codec, so that whoever produces
/// frames (a transport, a cache) can feed the clocks and policies by how the stream really went. On the
/// loop only; one per call, reset() before each attempt but the first.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Decodes one frame. Whoever produces a frame calls this first and stores the answer in the frame.
  virtual FrameKind inspect(std::string_view data) = 0;
  /// The outcome after the last frame. `clean`: HTTP framing (or its like) says that nothing is missing.
  /// Returns the error, or nothing if the outcome is `complete`.
  virtual std::optional<Error> conclude(bool clean) = 0;
  /// The typed error of a response with status >= 400, whatever its content type; of one below 300: of an event
  /// that is named an error.
  virtual Error error_from_body(int status, std::string_view body) = 0;
  /// What the reply said it used; all zero if it did not say.
  virtual TokenUsage usage() const;
  /// Forgets everything since the beginning, or since go_on(): a new attempt begins.
  virtual void reset() = 0;
  /// What an answer that broke off can be gone on from; nothing: it cannot be.
  virtual std::optional<AnswerSoFar> so_far() const;
  /// The frames that follow are of another reply, which goes on where this one broke off: the text stays. If that
  /// reply begins with at least `overlap` bytes that end the text so far, they are taken out of its frames.
  virtual void go_on(std::size_t overlap);
  /// A fresh one of the same kind, for a second request beside this one's; null: there can be none.
  virtual std::shared_ptr<Decoder> another() const;
};

/// The codec's hand on a request: what policies may ask of a body without ever parsing it. Stateless, static storage,
/// safe from all threads. Bodies are those the codec itself wrote.
class RequestCodec {
 public:
  virtual ~RequestCodec() = default;
  /// The same request for another model.
  virtual Result<std::string> for_model(std::string_view body, std::string_view model) const = 0;
  /// The request whose reply goes on where an answer broke off behind `content` (and `reasoning` before it). Where
  /// it must be sent: continue_at(). Fails with unsupported if such an answer cannot be gone on with.
  virtual Result<std::string> continue_from(std::string_view body, std::string_view content,
                                            std::string_view reasoning) const = 0;
  /// Operation::base of a request that continue_from() made.
  virtual Operation::Base continue_at() const = 0;
  /// A canonical text of every field that changes the answer: the model and user_id, but not whether it is streamed.
  virtual std::string canonical(std::string_view body) const = 0;
  /// The frames of a complete reply that says `text`, streamed or whole. None: there is no such reply.
  virtual std::vector<std::string> answer(std::string_view text, bool stream) const;
};

/// What one attempt came to. Reset by the pipeline before each.
struct AttemptFacts {
  std::shared_ptr<const Endpoint> endpoint{};  ///< that was asked; null: none was
  int http_status = 0;
  int http_version = 0;
  std::string trace_id{};
  std::uint64_t bytes_received = 0;  ///< of bodies, keep-alives included
  std::uint64_t keep_alives = 0;     ///< comment lines and leading blank lines
  HttpTimings http{};
  std::chrono::microseconds first_token{0};  ///< since the call began; zero: none came
  std::optional<std::chrono::milliseconds> retry_after{};
  /// Set beside or instead of retry_after if the server named a date. Needs the wall clock.
  WallTime retry_at{};
  TokenUsage usage{};  ///< set before the end; not told(): the reply did not say
};

/// Facts gathered while a call runs: of the attempt now, and of the operation over all its attempts.
struct CallFacts : AttemptFacts {
  int attempts = 0;                    ///< requests sent, over all endpoints
  int retries = 0;                     ///< repeated by the retry policy
  int failovers = 0;                   ///< went on at another endpoint
  int hedges = 0;                      ///< sent a second time while the first still ran
  int resumed = 0;                     ///< answers that broke off and were gone on with
  std::chrono::microseconds total{0};  ///< set at the end of the operation
  std::chrono::nanoseconds waited{0};  ///< for this client's own limits
  double cost = 0;                     ///< of the attempts whose usage is known, by the client's price table
  std::string currency{};              ///< of `cost`, ISO 4217 in lower case; empty: no cost was booked
  // Words in static storage.
  std::string_view cache_level{};  ///< what answered: "memory", "redis", "disk"; "miss"; empty: no cache was asked
  std::string_view degraded{};     ///< how the answer is less than was asked for; empty: it is not
  std::optional<Error> degraded_because{};  ///< set with `degraded`: what the answer that was asked for failed with

  /// Forgets the attempt before and counts one more.
  void begin_attempt(std::shared_ptr<const Endpoint> endpoint = nullptr);
};

/// One operation on its way. Made by the api layer, seen by every policy, executed by a transport. On
/// the loop only, except where a member says otherwise.
struct Call {
  Operation operation{};
  std::string body{};                 ///< JSON request; empty for GET. Changed by whoever asks `codec` for another
                                      ///< one, and only between attempts.
  std::vector<HttpHeader> headers{};  ///< extra headers of the user, and of policies
  Timeouts timeouts{};
  SizeLimits limits{};
  TimePoint started{};
  std::optional<TimePoint> deadline{};  ///< absolute, over all attempts
  std::shared_ptr<Decoder> decoder{};
  std::shared_ptr<const Endpoint> endpoint{};  ///< chosen by the route policy
  Secret authorization{};                      ///< header value, set by the authoriser
  CallFacts facts{};

  // What policies need to know of the request, told by the codec: they never parse the body.
  std::string model{};                  ///< that is asked; empty: the operation has none
  std::string user_id{};                ///< the service's end user; empty: none
  bool safe_to_repeat = true;           ///< before any byte was delivered
  std::uint64_t weight = 0;             ///< estimated tokens of prompt and answer, for budgets
  const RequestCodec* codec = nullptr;  ///< null: the request has no body that could be another
  Priority priority = Priority::interactive;
  CacheUse cache = CacheUse::normal;
  bool may_wait = true;  ///< for its turn where limits leave no room; otherwise it is refused then

  // Of the route policy: where the last attempt went (-1: nowhere yet), since when (nothing: its end is known), and a
  // bit for each endpoint this call is done with.
  int endpoint_index = -1;
  std::optional<TimePoint> asked_since{};
  std::uint64_t endpoints_left = 0;

  bool ended = false;     ///< the operation is over: an attempt that comes too late is not started
  bool end_told = false;  ///< metrics and log know of its end: they are told once, by whoever sees it first
  /// The consumer holds frames back. Whoever takes the call looks at it first, for on_pause tells only of changes.
  bool paused = false;
  /// Set by whoever holds the call now, and taken back when it passes the call on or ends it; runs on the loop when
  /// the call is given up. The holder must then end the call with that error exactly once.
  Function<void(Error)> on_abort{};
  /// Set beside on_abort by a holder that has frames to hold back; runs on the loop after `paused` has changed.
  Function<void(bool)> on_pause{};

  /// Holds frames back (true) or lets them go on (false), whoever holds the call now, or will.
  void pause(bool hold);
  /// Gives up the holding of the call.
  void release_holds();
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

/// Moves messages between this process and one kind of server. Used by one client, on its loop only, except where a
/// member says otherwise.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Why `endpoint` cannot be used, asked when a client is made; nothing: it can. Here: http(s) addresses can.
  /// Any thread.
  virtual std::optional<Error> check(const Endpoint& endpoint) const;
  /// True if nobody on the way to `endpoint` can read what is sent: it is encrypted or stays on this machine. No
  /// credential is sent otherwise, unless the endpoint allows it. Here: https, or http to loopback. Any thread.
  virtual bool confidential(const Endpoint& endpoint) const;
  /// Called once before the first call; `loop` lives until detach().
  virtual void attach(Loop& loop) = 0;
  /// Called when the client goes, after its calls have ended, perhaps on another thread than the loop's but never
  /// beside it. A host may keep the transport for longer than its client. An attempt that was given up, as a hedge that
  /// lost, may still be under way: it is dropped without a word.
  virtual void detach();
  /// Sends one attempt of `call`. Never calls `sink` before it returns. Sets call->on_abort and on_pause, heeds
  /// call->paused, and takes both back before it ends the call.
  virtual void start(CallPtr call, SinkPtr sink) = 0;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/transport/impl/transport.ipp>
#endif
