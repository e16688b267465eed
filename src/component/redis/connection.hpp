// RedisConnection: commands to one Redis server over one connection that mends itself. Private to the component.
#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/component/redis.hpp>
#include <deepseek/core/loop.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// What Redis answered to one command.
struct RedisReply {
  enum class Kind { nil, text, status, integer, error, array };
  Kind kind = Kind::nil;
  std::string text = {};  ///< text, status, and an error's own words ("NOSCRIPT ...")
  long long integer = 0;
  std::vector<RedisReply> elements = {};

  bool is_error() const noexcept { return kind == Kind::error; }
};

class RedisReader;
class RedisStream;
class RedisTls;
class HostLookup;
struct SocketAddress;

/// Sends commands in order and hands each its reply. Connects when it is told to and again after a growing pause when
/// the connection breaks; commands given meanwhile wait for it, each until its own deadline. On the loop only, but for
/// drain() and the destructor, which may also run after the loop has ended.
class RedisConnection final : private IoWatcher {
 public:
  using Done = Function<void(Result<RedisReply>)>;
  using Notice = Function<void(std::string_view text)>;

  struct Limits {
    std::uint64_t unsent_bytes = 16 * 1024 * 1024;
    std::uint64_t reply_bytes = 64 * 1024 * 1024;
    std::size_t waiting = 16 * 1024;  ///< commands without a reply
  };

  RedisConnection(RedisServer server, Loop& loop, Notice notice, Limits limits);
  RedisConnection(RedisServer server, Loop& loop, Notice notice);
  /// Commands without a reply are dropped; their `done` is not called.
  ~RedisConnection() override;

  /// Begins to connect, if it is not connected nor at it.
  void connect();

  /// Sends a command. `done` (may be empty) runs once, never before this returns, no later than `deadline` by more
  /// than the loop is late: with the reply (an error reply is a RedisReply too), or an Error if there is no
  /// connection, it broke before the reply came, the answer is no RESP, or the deadline passed. It may have been
  /// carried out nevertheless. Fails at once (that is, at the next turn) while the server is known to be away, or
  /// has left another command unanswered beyond its deadline.
  void command(std::initializer_list<std::string_view> words, TimePoint deadline, Done done);
  void command(const std::vector<std::string_view>& words, TimePoint deadline, Done done);

  /// Looks for the reply to the command just sent for some microseconds, if a thread waits for it and for nothing else:
  /// a server near by answers sooner than that thread would wake. Not while servers prove to be farther away.
  void look_out();

  /// True if a command sent now has a chance: connected, or first connecting, and not late with its answers.
  bool hopeful() const noexcept;
  bool connected() const noexcept { return state_ == State::ready; }
  std::uint64_t unsent_bytes() const noexcept { return unsent_.size() - sent_; }

  /// Sends and reads without the loop until every command has its reply, for at most `most`. Gives
  /// replies to their `done` as they come. Returns how many commands stayed without a reply.
  std::size_t drain(std::chrono::milliseconds most);

 private:
  enum class State { idle, resolving, connecting, handshake, greeting, ready, pausing };

  struct Waiting {
    Done done;
    TimePoint deadline;
    bool greets = false;   // AUTH, SELECT or PING at the connection's start
    bool expired = false;  // its `done` has been called; the reply is still to come
  };

  void on_io(bool readable, bool writable) override;
  template <class Words>
  void send_command(const Words& words, TimePoint deadline, Done done);
  void begin_connect();
  void on_resolved();
  void open_next_address();
  void greet();
  void greeted();
  void send_some();
  void read_some();
  void take_replies();
  void take_reply(RedisReply reply);
  bool refuses_greeting(const RedisReply& reply);
  void watch(int fd, bool read, bool write);
  void unwatch();
  void update_watch();
  void fail(std::string_view what);
  void drop_connection();
  void end_waiting(const Error& error);
  void call_later(Done done, const Error& error);
  void arm(TimePoint when);
  void check_deadlines();
  void arm_connect(TimePoint when);
  void on_connect_timer();
  void check_idle();
  void look_again();
  void look_closely();

  RedisServer server_;
  Loop& loop_;
  Notice notice_;
  Limits limits_;
  State state_ = State::idle;
  int fd_ = -1;
  int watched_ = -1;
  bool watch_write_ = false;
  std::shared_ptr<RedisTls> tls_;
  std::unique_ptr<RedisStream> stream_;
  std::unique_ptr<RedisReader> reader_;
  std::shared_ptr<HostLookup> lookup_;
  std::vector<SocketAddress> addresses_;
  std::size_t next_address_ = 0;
  std::string unsent_;  // sent_ bytes of it are gone
  std::size_t sent_ = 0;
  std::size_t greeting_bytes_ = 0;  // at the front of unsent_
  std::size_t greetings_ = 0;       // without a reply, at the front of waiting_
  bool blocked_ = false;            // the socket takes no more for now
  std::deque<Waiting> waiting_;     // in the order of their replies
  std::size_t expired_ = 0;         // of waiting_
  TimePoint connect_began_ = {};
  TimePoint last_io_ = {};
  std::chrono::milliseconds pause_{0};  // before the next attempt; 0: the last one went well, or none was made
  unsigned jitter_ = 1;
  Loop::TimerId timer_ = 0;  // deadlines of commands
  TimePoint timer_at_ = {};
  Loop::TimerId connect_timer_ = 0;  // the end of an attempt to connect, or of the pause before one
  bool draining_ = false;
  bool looking_ = false;       // look_again() is posted
  std::uint64_t replies_ = 0;  // that were taken
  unsigned far_ = 0;           // look_out() does nothing so often: the reply was longer in coming
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
