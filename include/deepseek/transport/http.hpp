// HttpTransport: JSON and event streams over an HttpEngine, with the clocks of a stream.
#pragma once
#include <memory>

#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// A transport over `engine`, which no other transport may use.
std::shared_ptr<Transport> make_http_transport(std::shared_ptr<HttpEngine> engine);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/transport/impl/http.ipp>
#endif
