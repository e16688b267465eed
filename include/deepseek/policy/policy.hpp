// Policy: one concern between the api and the transport (retry, limits, auth, cache ...).
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <deepseek/transport/endpoint.hpp>
#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Where in the pipeline a policy stands. Order is by phase, never by insertion: once per operation from
/// check to retry, once per attempt from route to observe_attempt. The hedge policy between them makes two attempts of
/// one.
enum class Phase {
  check,
  deadline,
  observe_operation,
  user_operation,
  cache,
  degrade,
  resume,
  single_flight,
  retry,
  hedge,
  route,
  breaker,
  admission,
  authorise,
  user_attempt,
  observe_attempt,
};

class Pipeline;

/// The rest of the pipeline. Copy it to start an attempt later or again. Does nothing once the operation has ended.
class Next {
 public:
  void operator()(CallPtr call, SinkPtr sink) const;

 private:
  friend class Pipeline;
  Next(const Pipeline* pipeline, std::size_t index) : pipeline_(pipeline), index_(index) {}
  const Pipeline* pipeline_;
  std::size_t index_;
};

/// State per client lives in the policy (touched on the loop only), state per call in the sink it wraps.
/// A policy never blocks, never sleeps, never touches a socket and never parses a body.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual Phase phase() const = 0;
  /// Called once before the first call; `loop` lives until detach().
  virtual void attach(Loop& loop) { (void)loop; }
  /// Called when the client goes, after its calls have ended, perhaps on another thread than the loop's but never
  /// beside it. The loop must not be used any more: a host may keep the policy for longer than its client.
  virtual void detach() {}
  /// Passes the call on (`next(call, sink)`), perhaps with another sink, later, or again; or ends it
  /// (`sink->on_end`), perhaps before this returns: whoever calls next() must count on it that the call has ended, and
  /// that all which only the call kept is gone, when next() comes back. While it holds the call it must set
  /// call->on_abort, and take it back before it passes the call on or ends it. A policy that starts the call again
  /// resets the decoder first.
  virtual void start(CallPtr call, SinkPtr sink, Next next) = 0;
};

DEEPSEEK_END_NAMESPACE
