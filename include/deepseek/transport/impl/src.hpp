// The bodies of layer 2.
#pragma once
#include <deepseek/transport/impl/http.ipp>
#include <deepseek/transport/impl/replay.ipp>
#include <deepseek/transport/impl/response_reader.ipp>
#include <deepseek/transport/impl/retry_after.ipp>
#include <deepseek/transport/impl/sse.ipp>
#include <deepseek/transport/impl/transport.ipp>
#include <deepseek/transport/impl/url.ipp>
