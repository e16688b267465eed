#pragma once
#include <deepseek/model/detail/member_bag.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

DEEPSEEK_DECL MemberBag::Member* MemberBag::find(std::string_view raw_key) {
  for (Member& member : members_)
    if (member.raw_key == raw_key) return &member;
  return nullptr;
}

DEEPSEEK_DECL void MemberBag::Member::assign(JsonValue from) {
  value = from.raw();
  hollow = from.is_array() && !JsonItems(from).next();
}

DEEPSEEK_DECL bool MemberBag::add(std::string_view raw_key, JsonValue value) {
  if (members_.size() >= max_members) return false;
  members_.push_back({std::string(raw_key), {}, false});
  members_.back().assign(value);
  return true;
}

DEEPSEEK_DECL bool MemberBag::set(std::string_view raw_key, JsonValue value) {
  Member* const member = find(raw_key);
  if (member == nullptr) return add(raw_key, value);
  if (value.is_nothing() || member->value == value.raw()) return false;
  member->assign(value);
  return true;
}

DEEPSEEK_DECL bool MemberBag::join(std::string_view raw_key, JsonValue value) {
  Member* const member = find(raw_key);
  if (member == nullptr) return add(raw_key, value);
  const JsonKind kind = JsonValue(member->value).kind();
  if (kind != value.kind() || (kind != JsonKind::string && kind != JsonKind::array)) return set(raw_key, value);
  std::string_view inner = value.raw();
  inner.remove_prefix(1);
  inner.remove_suffix(1);
  const bool array = kind == JsonKind::array;
  if (array && !JsonItems(value).next()) return false;
  const char close = member->value.back();
  member->value.pop_back();
  if (array && !member->hollow) member->value += ',';
  member->hollow = false;
  member->value += inner;
  member->value += close;
  return true;
}

DEEPSEEK_DECL RawJson MemberBag::json() const {
  if (members_.empty()) return {};
  std::string text = "{";
  for (const Member& member : members_) {
    if (text.size() > 1) text += ',';
    text += member.raw_key;
    text += ':';
    text += member.value;
  }
  text += '}';
  return RawJson(std::move(text));
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
