// A string that must not be seen.
#pragma once
#include <iosfwd>
#include <string>
#include <string_view>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Holds a key or token. Prints as `***`, compares in constant time, and is overwritten when dropped.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value);
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret other) noexcept;
  ~Secret();

  bool empty() const noexcept { return value_.empty(); }
  /// The only way to the characters: search for it to find every place where a secret leaves.
  std::string_view reveal() const noexcept { return value_; }
  friend bool operator==(const Secret& a, const Secret& b) noexcept { return a.equals(b); }
  friend bool operator!=(const Secret& a, const Secret& b) noexcept { return !a.equals(b); }

 private:
  bool equals(const Secret& other) const noexcept;
  std::string value_;
};

std::ostream& operator<<(std::ostream& out, const Secret&);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/secret.ipp>
#endif
