#pragma once
#include <deepseek/options.hpp>

DEEPSEEK_BEGIN_NAMESPACE

DEEPSEEK_DECL ClientOptions::ClientOptions() = default;
DEEPSEEK_DECL ClientOptions::ClientOptions(const ClientOptions&) = default;
DEEPSEEK_DECL ClientOptions::ClientOptions(ClientOptions&&) noexcept = default;
DEEPSEEK_DECL ClientOptions& ClientOptions::operator=(const ClientOptions&) = default;
DEEPSEEK_DECL ClientOptions& ClientOptions::operator=(ClientOptions&&) noexcept = default;
DEEPSEEK_DECL ClientOptions::~ClientOptions() = default;

DEEPSEEK_END_NAMESPACE
