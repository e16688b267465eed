// Session: one connection. Reads requests, plays plans.
#pragma once
#include <deque>

#include <boost/asio/steady_timer.hpp>

#include "http.hpp"
#include "plan.hpp"
#include "wire.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

class Session;

/// What sessions need of the server.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  /// A request is whole. The host calls session.play(), or begin() and push() later.
  virtual void on_request(Session& session, ReceivedRequest request, bool keep) = 0;
  virtual void on_done(Session& session) = 0;  ///< an answer has ended
  virtual void on_gone(Session& session) = 0;  ///< the connection has ended; called once
  virtual void on_handshake_failed() = 0;
};

/// On the server's thread only. Lives as long as operations are pending.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::unique_ptr<Wire> wire, SessionHost& host, std::uint64_t number);
  void start(bool tls);

  void play(Plan plan);
  /// For answers that come bit by bit: begin(), push()..., then end().
  void begin();
  void push(Step step);
  void end(Plan::End how);
  std::size_t queued_bytes() const noexcept { return queued_; }

  /// Ends the connection now, with RST if `reset`.
  void kill(bool reset);
  std::uint64_t number() const noexcept { return number_; }
  bool counted = false;              ///< the host counts this answer as active
  std::function<void()> on_drained;  ///< after each write, for who pushes
  std::shared_ptr<void> attachment;  ///< kept until the answer ends

 private:
  enum class State { reading, answering, closing, gone };
  void read();
  void received(std::string_view bytes);
  void dispatch();
  void refuse(int status);
  void pump();
  void write_next();
  void answer_over();
  void linger();
  void gone();

  std::unique_ptr<Wire> wire_;
  SessionHost& host_;
  std::uint64_t number_;
  asio::steady_timer timer_;
  HttpReader reader_;
  State state_ = State::reading;
  std::vector<char> buffer_;
  std::string pending_;  ///< bytes of the next request
  Plan plan_;
  std::deque<Step> steps_;
  std::string writing_;
  std::size_t queued_ = 0;
  bool busy_ = false;  ///< a write or a wait is under way
  bool more_coming_ = false;
  bool continued_ = false;
};

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
