// The bodies of layer 3.
#pragma once
#include <deepseek/policy/impl/breaker.ipp>
#include <deepseek/policy/impl/cache.ipp>
#include <deepseek/policy/impl/cache_key.ipp>
#include <deepseek/policy/impl/cache_store.ipp>
#include <deepseek/policy/impl/cost.ipp>
#include <deepseek/policy/impl/degrade.ipp>
#include <deepseek/policy/impl/hedge.ipp>
#include <deepseek/policy/impl/limits.ipp>
#include <deepseek/policy/impl/observe.ipp>
#include <deepseek/policy/impl/pipeline.ipp>
#include <deepseek/policy/impl/resume.ipp>
#include <deepseek/policy/impl/retry.ipp>
#include <deepseek/policy/impl/router.ipp>
#include <deepseek/policy/impl/single_flight.ipp>
#include <deepseek/policy/impl/store_watches.ipp>
#include <deepseek/policy/impl/watches.ipp>
