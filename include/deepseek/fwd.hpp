// Names only: include this to mention the library's types without paying for their headers.
#pragma once
#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE
template <class T>
class Result;
class Error;
class Secret;
class RawJson;
class CancelSource;
class CancelToken;
class Executor;
class Clock;
class Loop;
class HttpEngine;
class Transport;
class Policy;
class Credential;
struct ChatRequest;
struct CompletionRequest;
struct ChatReply;
class ChatChunk;
struct Message;
struct ModelList;
struct Balance;
struct ClientOptions;
struct CallOptions;
class DeepSeekClient;
class CallHandle;
class Stream;
class EventQueue;
class Conversation;
class Tools;
DEEPSEEK_END_NAMESPACE
