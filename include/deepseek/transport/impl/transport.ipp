#pragma once
#include <deepseek/transport/detail/url.hpp>
#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE

DEEPSEEK_DECL TokenUsage Decoder::usage() const { return {}; }
DEEPSEEK_DECL std::optional<AnswerSoFar> Decoder::so_far() const { return std::nullopt; }
DEEPSEEK_DECL void Decoder::go_on(std::size_t /*overlap*/) {}
DEEPSEEK_DECL std::shared_ptr<Decoder> Decoder::another() const { return nullptr; }

DEEPSEEK_DECL std::vector<std::string> RequestCodec::answer(std::string_view /*text*/, bool /*stream*/) const {
  return {};
}

DEEPSEEK_DECL void CallFacts::begin_attempt(std::shared_ptr<const Endpoint> its_endpoint) {
  static_cast<AttemptFacts&>(*this) = AttemptFacts();
  endpoint = std::move(its_endpoint);
  ++attempts;
}

DEEPSEEK_DECL void Call::pause(bool hold) {
  if (hold == paused) return;
  paused = hold;
  if (const auto tell = on_pause) tell(hold);  // a copy: the holder may go from inside it
}

DEEPSEEK_DECL void Call::release_holds() {
  on_abort = nullptr;
  on_pause = nullptr;
}

DEEPSEEK_DECL std::optional<Error> Transport::check(const Endpoint& endpoint) const {
  return detail::check_http_endpoint(endpoint);
}

DEEPSEEK_DECL bool Transport::confidential(const Endpoint& endpoint) const {
  return detail::is_confidential_http(endpoint);
}

DEEPSEEK_DECL void Transport::detach() {}

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/transport/impl/url.ipp>
#endif
