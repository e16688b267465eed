// API keys that change while a client lives.
#pragma once
#include <chrono>
#include <cstddef>
#include <string>

#include <deepseek/core/credential.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// A key that `provider` gives, asked anew for every attempt: rotate it by returning another. It is called on a
/// client's loop, by several at once if several clients share the credential, and must not block. Blanks around the
/// key are dropped; an error, an empty key or one with control characters fails the call. An exception is an error.
Credential api_key_from(Function<Result<Secret>()> provider);

struct SecretFileOptions {
  /// Accept a file that others may read or that the group may write. Default: refused with the mode to set.
  bool allow_loose_permissions = false;
  std::size_t max_bytes = 64 * 1024;
};

/// The content of a file, read now: a regular file, not larger than max_bytes; one trailing newline is dropped. Fails
/// with io_error.
Result<Secret> secret_from_file(const std::string& path, const SecretFileOptions& options = {});

struct KeyFileOptions {
  SecretFileOptions file{};
  std::chrono::milliseconds check_every{1000};  ///< how often at most its time and size are looked at
};

/// A key in a file that is read again when the file changes, and when the server rejects the key. Fails with io_error
/// if it cannot be read now. If it cannot be read later (in the middle of a rotation), the key read last is used until
/// the server rejects it. Files are read on a client's loop: for a local disk.
Result<Credential> api_key_file(const std::string& path, const KeyFileOptions& options = {});

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/auth/impl/credentials.ipp>
#endif
