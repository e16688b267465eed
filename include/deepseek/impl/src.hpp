// The bodies of layer 5.
#pragma once
#include <deepseek/impl/awaited.ipp>
#include <deepseek/impl/call.ipp>
#include <deepseek/impl/chunk_batch.ipp>
#include <deepseek/impl/client.ipp>
#include <deepseek/impl/conversation.ipp>
#include <deepseek/impl/json_schema.ipp>
#include <deepseek/impl/options.ipp>
#include <deepseek/impl/pattern.ipp>
#include <deepseek/impl/queue.ipp>
#include <deepseek/impl/schema.ipp>
#include <deepseek/impl/stream.ipp>
#include <deepseek/impl/tools.ipp>
