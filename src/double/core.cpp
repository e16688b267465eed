// The server's thread: accepting, counting, handing requests to the playbook.
#include "core.hpp"

#include <csignal>
#include <cstdio>
#include <future>
#include <stdexcept>

#include <boost/asio/post.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {
constexpr auto accept_again = std::chrono::milliseconds(20);  // out of descriptors: wait for some to be closed
}

DoubleCore::DoubleCore(DoubleOptions given)
    : options(std::move(given)),
      playbook(options),
      max_concurrent(options.max_concurrent),
      io_(1),
      forever_(asio::make_work_guard(io_)),
      acceptor_(io_),
      accept_pause_(io_) {
  if (options.certificate != Certificate::none) prepare_tls();
  if (!options.record_upstream.empty()) recorder_ = std::make_unique<Recorder>(io_, options);
  port = options.port;
  open_acceptor(true);
  accept();
  thread_ = std::thread([this] { run(); });
}

DoubleCore::~DoubleCore() { stop(); }

void DoubleCore::stop() {
  if (!thread_.joinable()) return;
  asio::post(io_, [this] {
    refusing_ = true;
    error_code ignored;
    acceptor_.close(ignored);
    accept_pause_.cancel();
    while (!sessions_.empty()) (*sessions_.begin())->kill(false);
    forever_.reset();  // run() returns once every aborted operation has had its handler
  });
  thread_.join();
  if (!ca_file.empty()) std::remove(ca_file.c_str());
}

void DoubleCore::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals belong to the host's threads
  io_.run();
}

void DoubleCore::prepare_tls() {
  auto material = make_certificates(options.certificate);
  ca_pem = material.authority_pem;
  ca_file = write_private_file(ca_pem);
  tls_ = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  use_certificate(*tls_, material, options.require_tls13);
}

void DoubleCore::open_acceptor(bool listen) {
  acceptor_.open(asio::ip::tcp::v4());
  acceptor_.set_option(asio::socket_base::reuse_address(true));
  acceptor_.bind({asio::ip::address_v4::loopback(), port});
  port = acceptor_.local_endpoint().port();
  if (listen) acceptor_.listen(asio::socket_base::max_listen_connections);
}

void DoubleCore::accept() {
  if (!acceptor_.is_open() || refusing_) return;
  acceptor_.async_accept([this](error_code error, asio::ip::tcp::socket socket) {
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (!error) {
      accepted_one(std::move(socket));
      return accept();
    }
    accept_pause_.expires_after(accept_again);
    accept_pause_.async_wait([this](error_code) { accept(); });
  });
}

void DoubleCore::accepted_one(asio::ip::tcp::socket socket) {
  const auto number = ++accepted;
  auto wire = tls_ ? tls_wire(std::move(socket), *tls_) : plain_wire(std::move(socket));
  const auto session = std::make_shared<Session>(std::move(wire), *this, number);
  sessions_.insert(session.get());
  ++open;
  session->start(tls_ != nullptr);
}

void DoubleCore::keep_request(const ReceivedRequest& request) {
  ++requests_seen;
  if (options.requests_kept == 0) return;
  if (requests.size() >= options.requests_kept) requests.pop_front();
  requests.push_back(request);
}

void DoubleCore::on_request(Session& session, ReceivedRequest request, bool keep) {
  const auto cap = max_concurrent.load();
  const bool over = cap > 0 && active.load() >= cap;
  Plan plan;
  {
    const std::lock_guard lock(mutex);
    keep_request(request);
    session.counted = !over;
    if (!over) ++active;
    if (over)
      plan = playbook.too_many(keep);
    else if (!recorder_)
      plan = playbook.answer(request, keep);
  }
  changed.notify_all();
  if (recorder_ && !over) return recorder_->forward(session, std::move(request), keep);
  session.play(std::move(plan));
}

void DoubleCore::not_active(Session& session) {
  if (!session.counted) return;
  {
    const std::lock_guard lock(mutex);
    session.counted = false;
    --active;
  }
  changed.notify_all();
}

void DoubleCore::on_done(Session& session) { not_active(session); }

void DoubleCore::on_gone(Session& session) {
  not_active(session);
  {
    const std::lock_guard lock(mutex);
    --open;
  }
  sessions_.erase(&session);
  changed.notify_all();
}

void DoubleCore::on_thread(std::function<void()> task) {
  // Shared: the waiter may wake while set_value() is still at work on the promise.
  const auto done = std::make_shared<std::promise<void>>();
  auto ready = done->get_future();
  asio::post(io_, [task = std::move(task), done] {
    task();
    done->set_value();
  });
  ready.wait();
}

void DoubleCore::refuse_connections(bool refuse) {
  on_thread([this, refuse] {
    if (refuse != refusing_) {
      refusing_ = refuse;
      // A socket that is bound but does not listen keeps the port, and the kernel refuses connections to it.
      acceptor_.close();
      open_acceptor(!refuse);
      accept();
    }
  });
}

void DoubleCore::reset_connections() {
  on_thread([this] {
    while (!sessions_.empty()) (*sessions_.begin())->kill(true);
  });
}

bool DoubleCore::wait(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, limit, condition);
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
