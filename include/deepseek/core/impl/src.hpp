// The bodies of layer 0.
#pragma once
#include <deepseek/core/impl/cancel.ipp>
#include <deepseek/core/impl/credential.ipp>
#include <deepseek/core/impl/error.ipp>
#include <deepseek/core/impl/host.ipp>
#include <deepseek/core/impl/log.ipp>
#include <deepseek/core/impl/metrics.ipp>
#include <deepseek/core/impl/platform.ipp>
#include <deepseek/core/impl/process.ipp>
#include <deepseek/core/impl/reactor.ipp>
#include <deepseek/core/impl/redact.ipp>
#include <deepseek/core/impl/secret.ipp>
#include <deepseek/core/impl/socket.ipp>
