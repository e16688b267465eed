// The bodies of the credentials: beside the policies, on transport and http.
#pragma once
#include <deepseek/auth/impl/credentials.ipp>
#include <deepseek/auth/impl/encoding.ipp>
#include <deepseek/auth/impl/fetch.ipp>
#include <deepseek/auth/impl/jwks.ipp>
#include <deepseek/auth/impl/jwt.ipp>
#include <deepseek/auth/impl/oauth.ipp>
