// Credential: how a request proves who sends it.
#pragma once
#include <memory>
#include <string>

#include <deepseek/core/function.hpp>
#include <deepseek/core/secret.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Produces the value of the Authorization header. Implementations must be safe from any loop thread.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  /// Calls `done` once, at once or later on the same loop, with the whole header value
  /// ("Bearer ..."), or an empty secret for none.
  virtual void authorization(Function<void(Result<Secret>)> done) = 0;
  /// The same if it is known at once and never changes, else null; then authorization() is not called. Lives
  /// as long as the source.
  virtual const Secret* known() const noexcept { return nullptr; }
  /// False if it never produces anything: lets the client refuse early where a key is needed.
  virtual bool present() const = 0;
};

/// One copyable class for every kind, so that a braced list of endpoints may mix them. Copies share the source.
class Credential {
 public:
  Credential();  ///< none: no Authorization header
  explicit Credential(std::shared_ptr<CredentialSource> source) : source_(std::move(source)) {}
  CredentialSource& source() const noexcept { return *source_; }
  bool present() const { return source_->present(); }

 private:
  std::shared_ptr<CredentialSource> source_;
};

/// A key known now. Blanks around it and one trailing newline are dropped; a key with control characters is
/// refused by DeepSeekClient::create.
Credential api_key(Secret key);
Credential api_key(std::string key);
/// The value of an environment variable, read now. Unset or empty: none.
Credential api_key_from_env(const char* name);
/// The content of a file, read now; one trailing newline is ignored.
Result<Credential> api_key_from_file(const std::string& path);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/credential.ipp>
#endif
