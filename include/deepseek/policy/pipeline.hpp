// The pipeline: policies in phase order over a transport.
#pragma once
#include <deepseek/policy/breaker.hpp>
#include <deepseek/policy/failover.hpp>
#include <deepseek/policy/hedge.hpp>
#include <deepseek/policy/policy.hpp>
#include <deepseek/policy/retry.hpp>

DEEPSEEK_BEGIN_NAMESPACE

struct ObserveOptions;

class Pipeline {
 public:
  /// Sorts `policies` by phase (stable inside a phase).
  Pipeline(std::vector<std::shared_ptr<Policy>> policies, std::shared_ptr<Transport> transport, Loop& loop);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  void start(CallPtr call, SinkPtr sink) const;
  Transport& transport() const { return *transport_; }

 private:
  friend class Next;
  std::vector<std::shared_ptr<Policy>> policies_;
  std::shared_ptr<Transport> transport_;
};

/// What the policies that every client has are made from. `transport` is the pipeline's.
struct BasePolicies {
  std::vector<Endpoint> endpoints{};
  std::shared_ptr<const Transport> transport{};
  RetryOptions retry{};
  FailoverOptions failover{};
  BreakerOptions breaker{};
  const ObserveOptions* observe = nullptr;  ///< who is told when a breaker changes; null: nobody. Read at once
  std::shared_ptr<const Clock> clock{};     ///< null: the system's
  HedgeOptions hedge{};
};
/// Deadline, retry (where something may be repeated or learned), hedge (where it is wanted), route with its breakers,
/// authorise.
std::vector<std::shared_ptr<Policy>> make_base_policies(const BasePolicies& options);
/// The same without retry.
std::vector<std::shared_ptr<Policy>> make_base_policies(const std::vector<Endpoint>& endpoints,
                                                        std::shared_ptr<const Transport> transport);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/pipeline.ipp>
#endif
