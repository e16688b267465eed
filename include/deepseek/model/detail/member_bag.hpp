// Members that this library does not know, kept as text. Private.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/core/raw_json.hpp>
#include <deepseek/model/detail/json_text.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Named JSON values in the order they first came. Holds at most `max_members`; further names are dropped.
class MemberBag {
 public:
  /// Keeps the newest value; null never replaces another one. True if anything changed.
  bool set(std::string_view raw_key, JsonValue value);
  /// Joins the pieces of a stream: strings and arrays grow, anything else as set(). True if anything changed.
  bool join(std::string_view raw_key, JsonValue value);
  bool empty() const noexcept { return members_.empty(); }
  /// The members as one object, or nothing if there are none.
  RawJson json() const;

 private:
  static constexpr std::size_t max_members = 256;
  struct Member {
    std::string raw_key;
    std::string value;
    bool hollow;  ///< an array without items
    void assign(JsonValue from);
  };
  Member* find(std::string_view raw_key);
  bool add(std::string_view raw_key, JsonValue value);
  std::vector<Member> members_;
};

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/model/impl/member_bag.ipp>
#endif
