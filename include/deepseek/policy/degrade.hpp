// Degrade: what stands in for an answer that failed in the end.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <deepseek/policy/cache.hpp>
#include <deepseek/policy/policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// The text that stands in for an answer that failed with the given error; nothing, or an empty text: there is none.
/// Runs on the I/O thread and must not wait. If it throws, there is none.
using DegradeAnswer = Function<std::optional<std::string>(const Error&)>;

/// One thing that may stand in for an answer.
class Degradation {
 public:
  enum class Kind { stale_cache, fallback_model, answer };

  /// What the cache kept of an equal call, fresh or not. Needs CacheOptions::keep_stale.
  static Degradation stale_cache();
  /// The same request to another model, with retries and endpoints of its own.
  static Degradation fallback_model(std::string name);
  /// A text of the program's own, as if the service had said it.
  static Degradation answer(DegradeAnswer text);

  Kind kind() const noexcept { return kind_; }
  const std::string& model() const noexcept { return model_; }
  const DegradeAnswer& text() const noexcept { return text_; }

 private:
  explicit Degradation(Kind kind) : kind_(kind) {}
  Kind kind_;
  std::string model_;
  DegradeAnswer text_;
};

/// When retries and endpoints are used up, `steps` are tried in their order until one gives an answer; that it is less
/// than was asked for stands in CallInfo::degraded ("stale_cache", "fallback_model", "answer"), and why in
/// CallInfo::degraded_because. If none does, the first error is the call's.
///
/// Only what the caller cannot help is made up for: the network, an overloaded or failing server, a reply that is
/// empty, cut off or unreadable, used up balance, limits, budgets and open circuits. Never a request that was refused
/// for what it is or whose key was, a filtered answer, a cancelled call, one whose deadline passed, and never once a
/// part of the answer was delivered.
struct DegradeOptions {
  std::vector<Degradation> steps{};  ///< at most 16

  bool any() const noexcept;
  bool uses_cache() const noexcept;
};

/// Why these options cannot be used; nothing: they can.
std::optional<Error> check(const DegradeOptions& options);

/// The policy at Phase::degrade. `cache` may be null: then stale_cache finds nothing.
std::shared_ptr<Policy> make_degrade_policy(DegradeOptions options, std::shared_ptr<CachePolicy> cache);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/degrade.ipp>
#endif
