// Credential: how a request proves who sends it.
#pragma once
#include <memory>
#include <string>

#include <deepseek/core/function.hpp>
#include <deepseek/core/secret.hpp>
#include <deepseek/result.hpp>

DEEPSEEK_BEGIN_NAMESPACE

class Loop;

/// Produces the value of the Authorization header. Copies of a Credential may serve several clients, each with a loop
/// of its own: implementations must be safe from any of them.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  /// Called once for each client that uses the source, before its first authorization(). `loop` lives as long as the
  /// client does; authorization() is called on it.
  virtual void attach(Loop& loop) { (void)loop; }
  /// Calls `done` once, at once or later and from any thread, with the whole header value
  /// ("Bearer ..."), or an empty secret for none. Whoever asked may be gone by then.
  virtual void authorization(Function<void(Result<Secret>)> done) = 0;
  /// The same if it is known at once and never changes, else null; then authorization() is not called. Lives
  /// as long as the source.
  virtual const Secret* known() const noexcept { return nullptr; }
  /// The server answered 401 to `value`, which authorization() gave. What comes next should be another one, if the
  /// source can get one: the request is then repeated once. On a loop.
  virtual void rejected(const Secret& value) { (void)value; }
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
/// The content of a file, read now whoever may read it (api_key_file() is strict); one trailing newline is ignored.
Result<Credential> api_key_from_file(const std::string& path);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/core/impl/credential.ipp>
#endif
