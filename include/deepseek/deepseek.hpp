// Everything a C++17 program needs. Not here: coro.hpp (C++20), src.hpp, component/, interop/, testing/; nor what few
// programs need: auth/jwt.hpp and auth/jwks.hpp (servers), core/log.hpp, core/metrics.hpp, core/metric_list.hpp,
// policy/cost.hpp and policy/limits.hpp, whose types the options only hold.
#pragma once
#include <deepseek/auth/credentials.hpp>
#include <deepseek/auth/oauth.hpp>
#include <deepseek/client.hpp>
#include <deepseek/conversation.hpp>
#include <deepseek/error.hpp>
#include <deepseek/http/curl.hpp>
#include <deepseek/http/engine.hpp>
#include <deepseek/http/fake.hpp>
#include <deepseek/model/balance.hpp>
#include <deepseek/model/chat.hpp>
#include <deepseek/model/completion.hpp>
#include <deepseek/model/lint.hpp>
#include <deepseek/model/models.hpp>
#include <deepseek/options.hpp>
#include <deepseek/policy/pipeline.hpp>
#include <deepseek/queue.hpp>
#include <deepseek/result.hpp>
#include <deepseek/schema.hpp>
#include <deepseek/stream.hpp>
#include <deepseek/tools.hpp>
#include <deepseek/transport/http.hpp>
#include <deepseek/transport/replay.hpp>
#include <deepseek/version.hpp>
