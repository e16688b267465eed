#include "front.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "shared_data.hpp"

extern char** environ;

namespace deepseek_tests {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

/// Tries until it works or ten seconds have passed; yields the processor between two tries.
template <class Try>
bool eventually(Try attempt) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < until) {
    if (attempt()) return true;
    poll(nullptr, 0, 5);
  }
  return false;
}

pid_t spawn(const std::vector<std::string>& command, const std::string& log) {
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid = -1;
  const int failed = posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return failed ? -1 : pid;
}

void run(const std::vector<std::string>& command, const std::string& log) {
  const pid_t pid = spawn(command, log);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
    throw std::runtime_error(command.front() + " failed: " + read_file(log));
}

}  // namespace

std::string find_program(const std::string& name) {
  for (const char* folder : {"/usr/sbin/", "/usr/bin/", "/usr/local/bin/", "/usr/local/sbin/"})
    if (access((folder + name).c_str(), X_OK) == 0) return folder + name;
  return {};
}

std::uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (bind(socket, reinterpret_cast<sockaddr*>(&address), size) != 0) throw std::runtime_error("no free port");
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  close(socket);
  return ntohs(address.sin_port);
}

std::uint64_t raise_open_files(std::uint64_t wanted) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

Front::Front() {
  std::string pattern = (std::filesystem::temp_directory_path() / "deepseek-front-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
  folder_ = pattern;
}

Front::~Front() {
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Front::write(const std::string& name, const std::string& text) const {
  std::ofstream(folder_ + "/" + name) << text;
}

bool Front::start(const std::vector<std::string>& command) {
  pid_ = spawn(command, folder_ + "/log");
  return pid_ > 0;
}

bool Front::await_port(std::uint16_t port) const {
  return eventually([&] {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    const bool open = connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(socket);
    return open;
  });
}

bool Front::log_mentions(const std::string& word) const {
  return eventually([&] { return read_file(folder_ + "/log").find(word) != std::string::npos; });
}

// A test authority, a server certificate for localhost and 127.0.0.1, and a client certificate.
void Front::make_certificates() const {
  write("ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n");
  const auto path = [this](const char* name) { return folder_ + "/" + name; };
  const std::string openssl = find_program("openssl");
  const auto request = [&](const char* name, const char* subject) {
    run({openssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
         path((std::string(name) + ".key").c_str()), "-out", path((std::string(name) + ".csr").c_str()), "-subj",
         subject},
        path("openssl.log"));
    run({openssl, "x509", "-req", "-in", path((std::string(name) + ".csr").c_str()), "-CA", path("ca.pem"), "-CAkey",
         path("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", path("ext"), "-out",
         path((std::string(name) + ".pem").c_str())},
        path("openssl.log"));
  };
  run({openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
       "-keyout", path("ca.key"), "-out", path("ca.pem"), "-subj", "/CN=front test authority", "-addext",
       "keyUsage=critical,keyCertSign"},
      path("openssl.log"));
  request("server", "/CN=localhost");
  request("client", "/CN=a client");
}

std::unique_ptr<Front> Front::h2(std::uint16_t port) {
  const std::string program = find_program("nghttpx");
  if (program.empty() || find_program("openssl").empty()) return nullptr;
  std::unique_ptr<Front> front(new Front());
  front->make_certificates();
  const std::uint16_t own = free_port();
  front->url_ = "https://127.0.0.1:" + std::to_string(own);
  front->start({program, "--conf=/dev/null", "--frontend=127.0.0.1," + std::to_string(own),
                "--backend=127.0.0.1," + std::to_string(port), "--workers=1", "--no-ocsp",
                front->folder_ + "/server.key", front->folder_ + "/server.pem"});
  if (!front->await_port(own)) throw std::runtime_error("nghttpx did not start: " + read_file(front->folder_ + "/log"));
  return front;
}

std::unique_ptr<Front> Front::nginx(std::uint16_t port) {
  const std::string program = find_program("nginx");
  if (program.empty() || find_program("openssl").empty()) return nullptr;
  std::unique_ptr<Front> front(new Front());
  front->make_certificates();
  const std::uint16_t own = free_port();
  const std::string& folder = front->folder_;
  front->url_ = "https://127.0.0.1:" + std::to_string(own);
  std::string temp;
  for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
    temp += std::string(kind) + "_temp_path " + folder + "/" + kind + ";\n";
  const std::string pass = "location / { proxy_pass http://127.0.0.1:" + std::to_string(port) +
                           "; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; }\n";
  front->write("nginx.conf", "daemon off; master_process off; pid " + folder + "/pid; error_log " + folder +
                                 "/log;\nevents {}\nhttp {\n" + temp +
                                 "access_log off;\nserver { listen unix:" + folder + "/http.sock; " + pass +
                                 "}\nserver { listen 127.0.0.1:" + std::to_string(own) +
                                 " ssl http2; ssl_certificate " + folder + "/server.pem; ssl_certificate_key " +
                                 folder + "/server.key; ssl_client_certificate " + folder +
                                 "/ca.pem; ssl_verify_client on; " + pass + "}\n}\n");
  front->start({program, "-p", folder, "-c", folder + "/nginx.conf", "-e", folder + "/log"});
  if (!front->await_port(own)) throw std::runtime_error("nginx did not start: " + read_file(folder + "/log"));
  return front;
}

std::unique_ptr<Front> Front::http_proxy() {
  const std::string program = find_program("tinyproxy");
  if (program.empty()) return nullptr;
  std::unique_ptr<Front> front(new Front());
  const std::uint16_t own = free_port();
  front->url_ = "http://127.0.0.1:" + std::to_string(own);
  front->write("conf", "Port " + std::to_string(own) +
                           "\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nLogLevel Connect\nMaxClients 50\n");
  front->start({program, "-d", "-c", front->folder_ + "/conf"});
  if (!front->await_port(own))
    throw std::runtime_error("tinyproxy did not start: " + read_file(front->folder_ + "/log"));
  return front;
}

std::unique_ptr<Front> Front::socks_proxy() {
  const std::string program = find_program("microsocks");
  if (program.empty()) return nullptr;
  std::unique_ptr<Front> front(new Front());
  const std::uint16_t own = free_port();
  front->url_ = "socks5h://127.0.0.1:" + std::to_string(own);
  front->start({program, "-i", "127.0.0.1", "-p", std::to_string(own)});
  if (!front->await_port(own)) throw std::runtime_error("microsocks did not start");
  return front;
}

}  // namespace deepseek_tests
