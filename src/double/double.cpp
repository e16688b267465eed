// Double: the public face.
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include "core.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test {

namespace {

[[noreturn]] void cannot_start(const std::string& why) {
  throw Exception(Error(ErrorCode::invalid_options, "the double cannot start: " + why));
}

std::unique_ptr<detail::DoubleCore> start(DoubleOptions options) {
  const auto port = options.port;
  try {
    return std::make_unique<detail::DoubleCore>(std::move(options));
  } catch (const boost::system::system_error& error) {
    if (error.code() != boost::system::errc::address_in_use && error.code() != boost::system::errc::permission_denied)
      cannot_start(error.what());
    cannot_start("port " + std::to_string(port) + ": " + error.code().message());
  } catch (const std::runtime_error& error) {
    cannot_start(error.what());
  }
}

}  // namespace

std::string ReceivedRequest::header(std::string_view name) const {
  return std::string(detail::find_header(headers, name));
}

Double::Double(DoubleOptions options) : core_(start(std::move(options))) {}
Double::~Double() { core_->stop(); }

void Double::script(std::vector<Reply> replies) {
  const std::lock_guard lock(core_->mutex);
  core_->playbook.script(std::move(replies));
}
void Double::then(Reply reply) {
  const std::lock_guard lock(core_->mutex);
  core_->playbook.then(std::move(reply));
}
std::size_t Double::script_left() const {
  const std::lock_guard lock(core_->mutex);
  return core_->playbook.left();
}

std::uint16_t Double::port() const noexcept { return core_->port; }
std::string Double::base_url() const {
  const bool tls = core_->options.certificate != Certificate::none;
  return (tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(core_->port);
}
const std::string& Double::ca_pem() const noexcept { return core_->ca_pem; }
const std::string& Double::ca_file() const noexcept { return core_->ca_file; }

std::vector<ReceivedRequest> Double::requests() const {
  const std::lock_guard lock(core_->mutex);
  return {core_->requests.begin(), core_->requests.end()};
}
void Double::forget_requests() {
  const std::lock_guard lock(core_->mutex);
  core_->requests.clear();
}
std::size_t Double::active() const noexcept { return core_->active.load(); }
std::size_t Double::open_connections() const noexcept { return core_->open.load(); }
std::uint64_t Double::connections_accepted() const noexcept { return core_->accepted.load(); }
std::uint64_t Double::tls_failures() const noexcept { return core_->tls_failures.load(); }

bool Double::wait_for_requests(std::size_t count, std::chrono::milliseconds limit) const {
  return core_->wait(limit, [&] { return core_->requests_seen >= count; });
}
bool Double::wait_for_active(std::size_t count, std::chrono::milliseconds limit) const {
  return core_->wait(limit, [&] { return core_->active.load() == count; });
}

void Double::max_concurrent(std::size_t count) { core_->max_concurrent.store(count); }
void Double::refuse_connections(bool refuse) { core_->refuse_connections(refuse); }
void Double::reset_connections() { core_->reset_connections(); }

}  // namespace test
DEEPSEEK_END_NAMESPACE
