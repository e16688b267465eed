// RedisReader: bytes become replies. hiredis' parser, with bounds of our own. Private to the component.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "component/redis/connection.hpp"

struct redisReader;

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

class RedisReader {
 public:
  enum class Status { reply, more, broken };

  explicit RedisReader(std::uint64_t max_reply_bytes);
  ~RedisReader();
  RedisReader(const RedisReader&) = delete;
  RedisReader& operator=(const RedisReader&) = delete;

  /// False if the bytes are no RESP, or a reply is larger than allowed.
  bool feed(std::string_view bytes);
  Status next(RedisReply& reply);

 private:
  struct Free {
    void operator()(redisReader* reader) const noexcept;
  };
  std::unique_ptr<redisReader, Free> reader_;
  std::uint64_t max_reply_bytes_;
  std::uint64_t unread_ = 0;  // bytes of the reply that is not whole yet, at most
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE
