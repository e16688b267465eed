// A real redis-server on a port and a socket of its own, and a loop to talk to it from a test.
#pragma once
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <deepseek/core/detail/reactor.hpp>

#include "integration/child.hpp"

namespace deepseek_tests {

/// A loopback port that was free a moment ago.
inline int free_loopback_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at);
  socklen_t size = sizeof at;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  ::close(fd);
  return ntohs(at.sin_port);
}

class RealRedis {
 public:
  enum class Kind { plain, acl, tls };

  static bool installed() { return Child({"redis-server", "--version"}).await("Redis server v="); }

  explicit RealRedis(Kind kind = Kind::plain) : kind_(kind), port_(free_loopback_port()) {
    if (kind == Kind::tls) make_certificates();
    write_config();
    start();
  }

  bool start() {
    child_ = std::make_unique<Child>(std::vector<std::string>{"redis-server", folder_.file("redis.conf")});
    return up_ = child_->await("Ready to accept connections");
  }
  void kill() {
    child_->end(SIGKILL);
    up_ = false;
  }
  void freeze() { child_->tell(SIGSTOP); }
  void thaw() { child_->tell(SIGCONT); }
  bool up() const { return up_; }
  std::string log() const { return child_->seen(); }

  std::string address() const {
    return (kind_ == Kind::tls ? "rediss://localhost:" : "redis://127.0.0.1:") + std::to_string(port_);
  }
  std::string socket() const { return folder_.file("redis.sock"); }
  std::string ca_file() const { return folder_.file("ca.pem"); }
  int port() const { return port_; }

 private:
  void write_config() const {
    std::ofstream config(folder_.file("redis.conf"));
    config << "bind 127.0.0.1\nsave \"\"\nappendonly no\ndaemonize no\ndir " << folder_.path() << "\nunixsocket "
           << socket() << "\n";
    if (kind_ == Kind::tls) {
      config << "port 0\ntls-port " << port_ << "\ntls-auth-clients no\ntls-protocols \"TLSv1.3\"\ntls-cert-file "
             << folder_.file("cert.pem") << "\ntls-key-file " << folder_.file("key.pem") << "\ntls-ca-cert-file "
             << ca_file() << "\n";
    } else {
      config << "port " << port_ << "\n";
    }
    if (kind_ == Kind::acl) {
      std::ofstream(folder_.file("users.acl"))
          << "user default off\n"
             "user cache on >se%cret@:/ ~model:* +@read +@write +@scripting +@connection\n"
             "user blind on >pass ~none:* +@all\n";
      config << "aclfile " << folder_.file("users.acl") << "\n";
    }
  }

  void make_certificates() const {
    const auto run = [](const std::vector<std::string>& command) { Child(command).wait(); };
    std::ofstream(folder_.file("ext")) << "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
    run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign", "-keyout", folder_.file("ca.key"),
         "-out", ca_file()});
    run({"openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=redis",
         "-keyout", folder_.file("key.pem"), "-out", folder_.file("csr.pem")});
    run({"openssl", "x509", "-req", "-in", folder_.file("csr.pem"), "-CA", ca_file(), "-CAkey", folder_.file("ca.key"),
         "-CAcreateserial", "-days", "2", "-extfile", folder_.file("ext"), "-out", folder_.file("cert.pem")});
  }

  TempFolder folder_;
  Kind kind_;
  int port_;
  std::unique_ptr<Child> child_;
  bool up_ = false;
};

/// A client's loop without a client.
class TestLoop {
 public:
  ~TestLoop() { stop(); }
  /// Afterwards this thread has for itself what belongs to the loop.
  void stop() { reactor_->stop(); }
  deepseek::Loop& loop() { return *reactor_; }

  /// Runs `work` on the loop and waits until it calls what it is given.
  template <class Work>
  void until_done(Work work) {
    deepseek::detail::Waiter waiter;
    reactor_->post_before_wait([&] { work([&] { reactor_->signal(waiter); }); });
    reactor_->wait(waiter);
  }
  template <class Work>
  void run(Work work) {
    until_done([&](auto done) {
      work();
      done();
    });
  }
  /// Turns the loop until `ready` says so; false after ten seconds.
  template <class Ready>
  bool await(Ready ready) {
    bool good = false;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    until_done([&](auto done) {
      look_ = [this, &good, until, ready, done] {
        good = ready();
        if (good || std::chrono::steady_clock::now() > until) return done();
        reactor_->schedule(reactor_->now() + std::chrono::milliseconds(2), look_);
      };
      look_();
    });
    return good;
  }

 private:
  std::shared_ptr<deepseek::detail::Reactor> reactor_ =
      std::make_shared<deepseek::detail::Reactor>(std::make_shared<deepseek::Clock>());
  deepseek::Task look_;
};

}  // namespace deepseek_tests
