// splitmix64: numbers that differ. Nothing that must be secret may depend on them. Private.
#pragma once
#include <cstdint>

#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// How far the state moves with each number.
inline constexpr std::uint64_t splitmix64_step = 0x9e3779b97f4a7c15u;

/// The next number of the sequence; moves `state` on. Every bit of it depends on every bit of the state.
inline std::uint64_t splitmix64(std::uint64_t& state) noexcept {
  std::uint64_t word = state += splitmix64_step;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
  return word ^ (word >> 31);
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
