// Addresses of Redis servers.
#include <deepseek/component/redis.hpp>

#include <charconv>
#include <optional>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

Error bad_address(const char* what) {
  return Error(ErrorCode::invalid_options, std::string("the address of Redis ") + what,
               "write redis://[user:password@]host[:port][/database], rediss://... or unix:///path");
}

std::optional<int> number_up_to(std::string_view text, int most) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > most) return std::nullopt;
  return value;
}

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') return lower - 'a' + 10;
  return std::nullopt;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const auto high = hex_digit(text[i + 1]);
    const auto low = hex_digit(text[i + 2]);
    if (!high || !low) return std::nullopt;
    out += static_cast<char>(*high * 16 + *low);
    i += 2;
  }
  return out;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// `user:password@`, `:password@` or nothing; the rest stays in `text`.
bool take_user(std::string_view& text, std::size_t authority_end, RedisServer& server) {
  const std::size_t at = text.substr(0, authority_end).rfind('@');
  if (at == std::string_view::npos) return true;
  const std::string_view both = text.substr(0, at);
  text.remove_prefix(at + 1);
  const std::size_t colon = both.find(':');
  auto user = percent_decoded(both.substr(0, colon));
  auto password = percent_decoded(colon == std::string_view::npos ? std::string_view() : both.substr(colon + 1));
  if (!user || !password) return false;
  server.user = *std::move(user);
  server.password = Secret(*std::move(password));
  return true;
}

Result<RedisServer> unix_server(std::string_view rest) {
  RedisServer server;
  if (!take_user(rest, rest.find('/'), server)) return bad_address("has a broken % sequence");
  const std::size_t query = rest.find('?');
  if (query != std::string_view::npos) {
    std::string_view option = rest.substr(query + 1);
    const auto database = take_prefix(option, "db=") ? number_up_to(option, 1'000'000) : std::nullopt;
    if (!database) return bad_address("has an option other than db=NUMBER");
    server.database = *database;
  }
  server.unix_socket = rest.substr(0, query);
  if (server.unix_socket.empty() || server.unix_socket.front() != '/') return bad_address("has no absolute path");
  if (server.unix_socket.size() > 107) return bad_address("has a path that is too long for a socket");
  return server;
}

Result<RedisServer> network_server(std::string_view rest, bool tls) {
  RedisServer server;
  server.tls = tls;
  if (!take_user(rest, rest.find('/'), server)) return bad_address("has a broken % sequence");
  const std::size_t slash = rest.find('/');
  if (slash != std::string_view::npos && slash + 1 < rest.size()) {
    const auto database = number_up_to(rest.substr(slash + 1), 1'000'000);
    if (!database) return bad_address("names no database by its number");
    server.database = *database;
  }
  std::string_view host = rest.substr(0, slash);
  std::size_t colon = host.rfind(':');
  if (!host.empty() && host.front() == '[') {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) return bad_address("lacks a ]");
    colon = end + 1 < host.size() ? end + 1 : std::string_view::npos;
    if (colon != std::string_view::npos && host[colon] != ':') return bad_address("has something behind the ]");
    server.host = host.substr(1, end - 1);
  } else {
    server.host = host.substr(0, colon);
  }
  if (server.host.empty() || (server.host.find(':') != std::string::npos && host.front() != '['))
    return bad_address("names no host");
  if (colon == std::string_view::npos) return server;
  const auto port = number_up_to(host.substr(colon + 1), 65'535);
  if (!port || *port == 0) return bad_address("has a port that is none");
  server.port = *port;
  return server;
}

}  // namespace
}  // namespace detail

Result<RedisServer> redis_server(std::string_view address) {
  if (address.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos)
    return detail::bad_address("has control characters");
  if (detail::take_prefix(address, "redis://")) return detail::network_server(address, false);
  if (detail::take_prefix(address, "rediss://")) return detail::network_server(address, true);
  if (detail::take_prefix(address, "unix://")) return detail::unix_server(address);
  return detail::bad_address("begins neither with redis:// nor rediss:// nor unix://");
}

DEEPSEEK_END_NAMESPACE
