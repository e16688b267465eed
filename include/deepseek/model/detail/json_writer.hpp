// Writing JSON: appends to one string, members in the order they are given. Private.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Puts the commas itself; the caller keeps objects and arrays balanced. Checks nothing.
class JsonWriter {
 public:
  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  /// A name of this library's own: never needs escaping.
  void key(std::string_view name);
  void string(std::string_view text);
  void integer(std::int64_t value);
  void number(double value);
  void boolean(bool value) { raw(value ? "true" : "false"); }
  /// A whole value, or a whole `"key":value`, as it is.
  void raw(std::string_view json);

  void reserve(std::size_t bytes) { out_.reserve(bytes); }
  std::string take() { return std::move(out_); }

 private:
  void open(char bracket);
  void close(char bracket);
  void separate();

  std::string out_;
  bool comma_ = false;  ///< a value stands right before
};

/// Appends `text` as it must stand between quotes.
void append_escaped(std::string& out, std::string_view text);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/json_writer.ipp>
#endif
