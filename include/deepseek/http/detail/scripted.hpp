// A scripted response as a transfer: what fakes and replays have in common. Private.
#pragma once
#include <memory>

#include <deepseek/http/fake.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Plays `reply` to `handler` on `loop`, beginning with the loop's next turn.
std::shared_ptr<HttpTransfer> start_scripted(Loop& loop, FakeReply reply, std::shared_ptr<HttpHandler> handler);

}  // namespace detail
DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/fake.ipp>
#endif
