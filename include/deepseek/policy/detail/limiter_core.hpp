// What stands behind Limiter: scopes, partitions, the queue. Private.
#pragma once
#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <deepseek/policy/detail/slots.hpp>
#include <deepseek/policy/detail/token_bucket.hpp>
#include <deepseek/policy/limit_options.hpp>
#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Why an attempt cannot go now.
struct Shortage {
  enum class Of { nothing, slots, requests, tokens, shared };
  Of of = Of::nothing;
  Duration wait{0};  // until it is over, as far as is known; zero: when something is given back
  const char* where = "";
};

/// One set of limits in force: of everything, or of one partition.
class LimitScope {
 public:
  LimitScope(const Limits& limits, const char* where, TimePoint now);

  /// Takes a slot, a request and the tokens, or nothing. Any thread.
  Shortage take(std::uint64_t tokens, TimePoint now) noexcept;
  /// Undoes take(): the attempt was never made.
  void undo(std::uint64_t tokens) noexcept;
  /// The attempt is over: `used` instead of the `reserved` tokens.
  void settle(std::uint64_t reserved, std::uint64_t used, TimePoint now) noexcept;

  Slots& slots() noexcept { return slots_; }
  const Slots& slots() const noexcept { return slots_; }
  /// Nothing would be forgotten with it.
  bool unused(TimePoint now) noexcept;
  const char* where() const noexcept { return where_; }

  std::uint64_t blocked_in_round = 0;  // guarded by the core's mutex

 private:
  Slots slots_;
  std::optional<TokenBucket> requests_;
  std::optional<TokenBucket> tokens_;
  const char* where_;
};

/// The scopes of one kind (keys, models or users), by name. Guarded by the core's mutex.
class Partitions {
 public:
  struct Entry {
    Entry(std::string its_name, const Limits& limits, const char* where, TimePoint now)
        : name(std::move(its_name)), scope(limits, where, now) {}
    std::string name;
    LimitScope scope;
    std::uint32_t users = 0;  // attempts that hold it or wait for it
  };

  Partitions(const Limits& limits, const char* where, std::uint32_t most)
      : limits_(limits), where_(where), most_(most) {}
  /// Counts one more user.
  Entry& enter(std::string_view name, TimePoint now);
  static void leave(Entry& entry) noexcept { --entry.users; }
  std::size_t size() const noexcept { return entries_.size(); }

 private:
  bool make_room(TimePoint now);

  Limits limits_;
  const char* where_;
  std::uint32_t most_;
  std::list<Entry> entries_;  // the one used last comes first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_name_;
  std::optional<Entry> rest_;  // shared by all for whom there is no room
};

/// What an attempt asks for.
struct LimitAsk {
  std::string_view key{};
  std::string_view model{};
  std::string_view user{};
  std::uint64_t tokens = 0;
  Priority priority = Priority::interactive;
};

/// What an attempt holds. Given back exactly once, by release() or undo().
struct Permit {
  std::array<Partitions::Entry*, 3> partitions{};
  std::uint64_t tokens = 0;
  TimePoint began{};
  bool held = false;
};

class LimiterCore;

/// One client of the limiter: where its attempts run. Kept by its policy and its waiters.
class LimitClient : public std::enable_shared_from_this<LimitClient> {
 public:
  LimitClient(std::shared_ptr<LimiterCore> core, Loop& loop) : core_(std::move(core)), loop_(loop) {}
  Loop& loop() noexcept { return loop_; }
  /// Before the loop goes. On the loop.
  void close();

 private:
  friend class LimiterCore;
  void arm(TimePoint when);  // on the loop

  std::shared_ptr<LimiterCore> core_;
  Loop& loop_;
  Loop::TimerId timer_ = 0;                // on the loop
  std::uint32_t waiting_ = 0;              // guarded by the core's mutex
  TimePoint alarm_at_ = TimePoint::max();  // guarded by the core's mutex
};

/// An attempt in the queue. Lives on its client's loop; what the core keeps in it is guarded by the core's mutex.
class LimitWaiter : public std::enable_shared_from_this<LimitWaiter> {
 public:
  virtual ~LimitWaiter() = default;
  /// On the loop, soon after the attempt got its turn, unless the waiter has left by then.
  virtual void on_turn() = 0;

 private:
  friend class LimiterCore;
  enum class Place { outside, queue, turn };
  Permit permit_;
  Priority priority_ = Priority::interactive;
  Shortage shortage_;
  Place place_ = Place::outside;
  std::shared_ptr<LimitClient> client_;
  std::list<std::shared_ptr<LimitWaiter>>::iterator self_;
};

/// Decides who may go. The way without waiting and without partitions takes no lock; everything else takes the mutex.
///
/// Nobody is forgotten: whoever joins the queue counts himself in `waiting_` and only then looks for room; whoever
/// gives something back does so first and only then looks at `waiting_`. Both are sequentially consistent, so one sees
/// the other. Room that comes with time has an alarm on the loop of every client that waits, for a loop whose consumer
/// is busy elsewhere may stand still.
class LimiterCore {
 public:
  enum class Joined { turn, waits, refused };

  explicit LimiterCore(const LimitOptions& options, TimePoint now);

  const LimitOptions& options() const noexcept { return options_; }
  LimiterState state() const noexcept;

  /// Takes what is asked for, or says what is missing. Nobody who waits is passed.
  Shortage take(const LimitAsk& ask, Permit& permit, TimePoint now);
  /// Joins the queue: has its turn at once (accept() it), waits for on_turn(), or is refused, for shortage_of(): the
  /// queue is full, or its turn is known not to come before `until`.
  Joined join(LimitWaiter& waiter, const std::shared_ptr<LimitClient>& client, const LimitAsk& ask, TimePoint until,
              TimePoint now);
  /// Takes over what the waiter's turn brought; false: it has none.
  bool accept(LimitWaiter& waiter, Permit& permit);
  /// Leaves the queue, or gives back a turn that will not be used.
  void leave(LimitWaiter& waiter, TimePoint now);
  /// What the waiter was last seen to lack.
  Shortage shortage_of(const LimitWaiter& waiter) const;
  /// The alarm of a client.
  void look_again(LimitClient& client, TimePoint now);

  /// The attempt is over and used that many tokens.
  void release(Permit& permit, std::uint64_t used, const LoadSign& sign, TimePoint now);
  /// The attempt was never made.
  void undo(Permit& permit, TimePoint now);

  /// More tokens than one attempt may ever take; no limit: the largest number.
  std::uint64_t most_tokens() const noexcept { return most_tokens_; }
  void count_wait() noexcept { waited_.fetch_add(1, std::memory_order_relaxed); }
  void count_refusal() noexcept { refused_.fetch_add(1, std::memory_order_relaxed); }

 private:
  using Queue = std::list<std::shared_ptr<LimitWaiter>>;
  static constexpr unsigned interactive_in_a_row = 7;

  bool partitioned() const noexcept { return keys_ || models_ || users_; }
  bool adaptive() const noexcept;
  void enter_partitions(const LimitAsk& ask, Permit& permit, TimePoint now);
  void leave_partitions(Permit& permit) noexcept;
  Shortage take_all(Permit& permit, TimePoint now) noexcept;
  void undo_all(Permit& permit) noexcept;
  void serve(TimePoint now);
  void remove(LimitWaiter& waiter) noexcept;
  void serve_if_waiting(TimePoint now);
  void set_alarms(TimePoint when);
  bool too_late(const Shortage& shortage, TimePoint until, TimePoint now) const noexcept;

  const LimitOptions options_;
  const std::uint64_t most_tokens_;
  LimitScope total_;
  std::atomic<std::uint32_t> waiting_{0};
  std::atomic<std::uint64_t> waited_{0};
  std::atomic<std::uint64_t> refused_{0};

  mutable std::mutex mutex_;
  std::optional<Partitions> keys_, models_, users_;  // set once; their contents are guarded
  Queue interactive_, batch_;                        // guarded
  unsigned in_a_row_ = 0;                            // guarded: interactive turns while a batch call waited
  std::uint64_t round_ = 0;                          // guarded
  LimitWaiter* joining_ = nullptr;                   // guarded: needs no post to learn of its turn
  std::vector<LimitClient*> clients_;                // guarded: those with waiters
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
