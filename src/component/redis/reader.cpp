#include "component/redis/reader.hpp"

#include <hiredis/read.h>

#include <new>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {
namespace {

/// A hostile server may announce any number of elements: they cost memory before they come.
constexpr int max_elements = 64 * 1024;

RedisReply::Kind kind_of(int type) {
  switch (type) {
    case REDIS_REPLY_STATUS:
      return RedisReply::Kind::status;
    case REDIS_REPLY_ERROR:
      return RedisReply::Kind::error;
    default:
      return RedisReply::Kind::text;
  }
}

/// Where the reply of `task` belongs: a new root, or its place in the array around it.
RedisReply* place_of(const redisReadTask* task) noexcept {
  if (!task->parent) return new (std::nothrow) RedisReply();
  auto* array = static_cast<RedisReply*>(task->parent->obj);
  const auto index = static_cast<std::size_t>(task->idx);
  return index < array->elements.size() ? &array->elements[index] : nullptr;
}

// hiredis is C: nothing may be thrown through it. Null tells it that memory ran out.
template <class Fill>
void* filled(const redisReadTask* task, Fill&& fill) noexcept {
  RedisReply* reply = place_of(task);
  if (!reply) return nullptr;
  try {
    fill(*reply);
    return reply;
  } catch (const std::bad_alloc&) {
    if (!task->parent) delete reply;
    return nullptr;
  }
}

void* create_string(const redisReadTask* task, char* text, std::size_t size) {
  return filled(task, [&](RedisReply& reply) {
    reply.kind = kind_of(task->type);
    reply.text.assign(text, size);
  });
}

void* create_array(const redisReadTask* task, int count) {
  if (count > max_elements) return nullptr;
  return filled(task, [&](RedisReply& reply) {
    reply.kind = RedisReply::Kind::array;
    reply.elements.resize(static_cast<std::size_t>(count));
  });
}

void* create_integer(const redisReadTask* task, long long value) {
  return filled(task, [&](RedisReply& reply) {
    reply.kind = RedisReply::Kind::integer;
    reply.integer = value;
  });
}

void* create_nil(const redisReadTask* task) {
  return filled(task, [](RedisReply&) {});
}

void free_reply(void* reply) { delete static_cast<RedisReply*>(reply); }

redisReplyObjectFunctions functions = {create_string, create_array, create_integer, create_nil, free_reply};

}  // namespace

void RedisReader::Free::operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }

RedisReader::RedisReader(std::uint64_t max_reply_bytes)
    : reader_(redisReaderCreateWithFunctions(&functions)), max_reply_bytes_(max_reply_bytes) {}

RedisReader::~RedisReader() = default;

bool RedisReader::feed(std::string_view bytes) {
  unread_ += bytes.size();
  return reader_ && unread_ <= max_reply_bytes_ &&
         redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) == REDIS_OK;
}

RedisReader::Status RedisReader::next(RedisReply& reply) {
  void* whole = nullptr;
  if (redisReaderGetReply(reader_.get(), &whole) != REDIS_OK) return Status::broken;
  if (!whole) return Status::more;
  const std::unique_ptr<RedisReply> owned(static_cast<RedisReply*>(whole));
  reply = std::move(*owned);
  unread_ = reader_->len - reader_->pos;
  return Status::reply;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
