// The bodies of layer 4.
#pragma once
#include <deepseek/model/impl/chat.ipp>
#include <deepseek/model/impl/codec.ipp>
#include <deepseek/model/impl/lint.ipp>
#include <deepseek/model/impl/message.ipp>
#include <deepseek/model/impl/request_codec.ipp>
