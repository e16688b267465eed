// The pipeline: policies in phase order over a transport.
#pragma once
#include <deepseek/policy/policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE

class Pipeline {
 public:
  /// Sorts `policies` by phase (stable inside a phase).
  Pipeline(std::vector<std::shared_ptr<Policy>> policies, std::shared_ptr<Transport> transport, Loop& loop);
  void start(CallPtr call, SinkPtr sink) const { Next(this, 0)(std::move(call), std::move(sink)); }
  Transport& transport() const { return *transport_; }

 private:
  friend class Next;
  std::vector<std::shared_ptr<Policy>> policies_;
  std::shared_ptr<Transport> transport_;
};

/// The policies every client has: deadline, route, authorise.
std::vector<std::shared_ptr<Policy>> make_base_policies(const std::vector<Endpoint>& endpoints);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/pipeline.ipp>
#endif
