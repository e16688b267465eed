// Writing JSON: one text, members in the order they are given. Private.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Puts the commas itself; the caller keeps objects and arrays balanced. Checks nothing. Short texts are written on
/// the stack, so that what take() returns is the one allocation, and of the size it needs.
class JsonWriter {
 public:
  JsonWriter() noexcept {}  // leaves the room as it is
  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  /// A name of this library's own: never needs escaping.
  void key(std::string_view name);
  void string(std::string_view text);
  /// One that is known to need no escaping.
  void plain_string(std::string_view text);
  void integer(std::int64_t value);
  void number(double value);
  void boolean(bool value) { raw(value ? "true" : "false"); }
  /// A whole value, or a whole `"key":value`, as it is.
  void raw(std::string_view json);

  /// Room for so many bytes in all.
  void reserve(std::size_t bytes) {
    if (bytes > capacity_) move_to(bytes);
  }
  std::string take() const { return std::string(at_, size_); }

  // What append_escaped() asks of a text.
  void append(const char* first, const char* last) { append({first, static_cast<std::size_t>(last - first)}); }
  void append(std::string_view text) {
    if (text.size() > capacity_ - size_) grow(text.size());
    if (!text.empty()) std::memcpy(at_ + size_, text.data(), text.size());
    size_ += text.size();
  }
  void push_back(char c) {
    if (size_ == capacity_) grow(1);
    at_[size_++] = c;
  }

 private:
  void open(char bracket);
  void close(char bracket);
  void separate() {
    if (comma_) push_back(',');
    comma_ = true;
  }
  void grow(std::size_t bytes);
  void move_to(std::size_t capacity);

  char room_[1024];
  std::unique_ptr<char[]> larger_;
  char* at_ = room_;
  std::size_t size_ = 0;
  std::size_t capacity_ = sizeof room_;
  bool comma_ = false;  ///< a value stands right before
};

/// Appends `text` as it must stand between quotes.
void append_escaped(std::string& out, std::string_view text);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/json_writer.ipp>
#endif
