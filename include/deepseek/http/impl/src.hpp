// The bodies of layer 1.
#pragma once
#include <deepseek/http/impl/chunked.ipp>
#include <deepseek/http/impl/curl.ipp>
#include <deepseek/http/impl/curl_options.ipp>
#include <deepseek/http/impl/curl_transfer.ipp>
#include <deepseek/http/impl/engine.ipp>
#include <deepseek/http/impl/fake.ipp>
#include <deepseek/http/impl/http1_engine.ipp>
#include <deepseek/http/impl/http1_reader.ipp>
#include <deepseek/http/impl/proxy_route.ipp>
