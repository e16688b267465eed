#pragma once
#include <deepseek/core/secret.hpp>

#include <openssl/crypto.h>

#include <ostream>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE

DEEPSEEK_DECL Secret::Secret(std::string value) : value_(std::move(value)) {}

// A moved-from short string still holds its characters in place: those are copied and wiped. A long one
// hands its buffer over.
DEEPSEEK_DECL Secret::Secret(Secret&& other) noexcept {
  if (other.value_.capacity() > std::string().capacity()) {
    value_.swap(other.value_);
    return;
  }
  value_ = other.value_;
  OPENSSL_cleanse(other.value_.data(), other.value_.size());
  other.value_.clear();
}

DEEPSEEK_DECL Secret& Secret::operator=(Secret other) noexcept {
  value_.swap(other.value_);
  return *this;
}

DEEPSEEK_DECL Secret::~Secret() { OPENSSL_cleanse(value_.data(), value_.size()); }

DEEPSEEK_DECL bool Secret::equals(const Secret& other) const noexcept {
  return value_.size() == other.value_.size() && CRYPTO_memcmp(value_.data(), other.value_.data(), value_.size()) == 0;
}

DEEPSEEK_DECL std::ostream& operator<<(std::ostream& out, const Secret&) { return out << "***"; }

DEEPSEEK_END_NAMESPACE
