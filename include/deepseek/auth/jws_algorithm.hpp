// JwsAlgorithm: how a token is signed. Tokens themselves: jwt.hpp.
#pragma once
#include <deepseek/config.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Signature algorithms (RFC 7518, RFC 8037). `none` is not among them and never accepted.
enum class JwsAlgorithm { HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA };

/// The name in a token's header, for example "RS256". Never null.
const char* to_string(JwsAlgorithm algorithm) noexcept;

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/auth/jwt.hpp>
#endif
