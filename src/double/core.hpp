// DoubleCore: the server behind Double: acceptor, thread, counters.
#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_set>

#include <boost/asio/executor_work_guard.hpp>

#include "certificates.hpp"
#include "playbook.hpp"
#include "recorder.hpp"
#include "session.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

class DoubleCore final : public SessionHost {
 public:
  explicit DoubleCore(DoubleOptions options);  ///< throws boost::system::system_error or std::runtime_error
  ~DoubleCore() override;

  void on_request(Session& session, ReceivedRequest request, bool keep) override;
  void on_done(Session& session) override;
  void on_gone(Session& session) override;
  void on_handshake_failed() override { ++tls_failures; }

  /// Ends the thread and every connection. Called before destruction, while the object is still whole.
  void stop();
  void refuse_connections(bool refuse);
  void reset_connections();
  bool wait(std::chrono::milliseconds limit, const std::function<bool()>& condition);

  DoubleOptions options;
  std::uint16_t port = 0;
  std::string ca_pem;
  std::string ca_file;

  // Guarded by `mutex`.
  std::mutex mutex;
  std::condition_variable changed;
  Playbook playbook;
  std::deque<ReceivedRequest> requests;
  std::uint64_t requests_seen = 0;

  std::atomic<std::size_t> active{0};
  std::atomic<std::size_t> open{0};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> tls_failures{0};
  std::atomic<std::size_t> max_concurrent{0};

 private:
  void prepare_tls();
  void open_acceptor(bool listen);
  void accept();
  void accepted_one(asio::ip::tcp::socket socket);
  void keep_request(const ReceivedRequest& request);
  void not_active(Session& session);
  void run();
  /// Runs `task` on the server's thread and waits for it.
  void on_thread(std::function<void()> task);

  asio::io_context io_;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> forever_;
  std::unique_ptr<asio::ssl::context> tls_;
  std::unique_ptr<Recorder> recorder_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer accept_pause_;
  std::unordered_set<Session*> sessions_;
  bool refusing_ = false;
  std::thread thread_;
};

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
