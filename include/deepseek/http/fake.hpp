// FakeHttpEngine: answers from a script, without a network. For tests of programs that use the library.
#pragma once
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <deepseek/core/function.hpp>
#include <deepseek/http/engine.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// One piece of a scripted body: the handler gets it in one on_data().
struct FakeChunk {
  FakeChunk(std::string bytes, std::chrono::microseconds wait = {});
  FakeChunk(const char* bytes, std::chrono::microseconds wait = {});
  std::string data;
  std::chrono::microseconds after;  ///< waited for before this piece, on the loop's clock
};

/// One scripted response.
struct FakeReply {
  enum class End {
    clean,        ///< the body is whole
    broken,       ///< the connection breaks behind the last chunk, for `code`
    inside_head,  ///< it breaks after the status line; the chunks are not sent
    before_head,  ///< it breaks, for `code`, before anything came
    hold,         ///< nothing more happens until FakeHttpEngine::finish()
  };
  int status = 200;
  int version = 11;
  std::vector<HttpHeader> headers{};
  std::vector<FakeChunk> chunks{};
  End end = End::clean;
  ErrorCode code = ErrorCode::connection_lost;
  std::chrono::microseconds head_after{0};  ///< waited for before the head
};

/// What a request looked like.
struct FakeRequest {
  std::string method{};
  std::string url{};
  std::vector<HttpHeader> headers{};
  std::string body{};
  /// The first header of that name (any case); empty if none.
  std::string header(std::string_view name) const;
};

/// Requests are numbered from 0 in the order they came. Every member may be called from any thread,
/// except those of HttpEngine. May outlive its client: then it still tells what was asked, and nothing is sent any
/// more.
class FakeHttpEngine final : public HttpEngine {
 public:
  FakeHttpEngine();
  ~FakeHttpEngine() override;
  FakeHttpEngine(const FakeHttpEngine&) = delete;
  FakeHttpEngine& operator=(const FakeHttpEngine&) = delete;

  /// Adds a reply to the script. Requests take them in turn; one that finds none gets connect_failed.
  void reply(FakeReply reply);
  /// Answers each request by calling `answer` on the loop, in place of the script.
  void answer_with(Function<FakeReply(const FakeRequest&)> answer);

  /// A copy of what was asked so far.
  std::vector<FakeRequest> requests() const;
  /// Sends one more piece of the body of a held response.
  void send(std::size_t request, std::string data);
  /// Ends a held response.
  void finish(std::size_t request, FakeReply::End end = FakeReply::End::clean,
              ErrorCode code = ErrorCode::connection_lost);
  /// True once the request was given up by its owner.
  bool cancelled(std::size_t request) const;
  /// True while its owner holds its data back.
  bool paused(std::size_t request) const;

  void attach(Loop& loop) override;
  void detach() override;
  std::shared_ptr<HttpTransfer> start(HttpRequest request, std::shared_ptr<HttpHandler> handler) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/http/impl/fake.ipp>
#endif
