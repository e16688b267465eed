#pragma once
#include <deepseek/policy/resume.hpp>

#include <string>
#include <utility>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Did the stream stop through nobody's will?
DEEPSEEK_DECL bool broke_off(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::truncated:
    case ErrorCode::connection_lost:
    case ErrorCode::timeout_between_tokens:
    case ErrorCode::timeout_idle:
      return true;
    default:
      return false;
  }
}

class ResumePolicy final : public Policy {
 public:
  explicit ResumePolicy(const ResumeOptions& options) : options_(options) {}
  Phase phase() const override { return Phase::resume; }

  void start(CallPtr call, SinkPtr sink, Next next) override {
    const bool possible = options_.enabled && call->codec && call->operation.stream && call->safe_to_repeat;
    if (!possible) return next(std::move(call), std::move(sink));
    auto run = std::make_shared<Run>(options_, call, std::move(sink), next);
    next(std::move(call), std::move(run));
  }

 private:
  /// One call over the replies that its answer is put together from.
  struct Run final : CallSink, std::enable_shared_from_this<Run> {
    Run(const ResumeOptions& its_options, CallPtr its_call, SinkPtr its_sink, Next rest)
        : options(its_options),
          call(std::move(its_call)),
          sink(std::move(its_sink)),
          next(rest),
          asked_at(call->operation.base) {}

    void on_frame(const Frame& frame) override {
      if (frame.kind == FrameKind::token) delivered = true;
      sink->on_frame(frame);
    }

    void on_end(std::optional<Error> error) override {
      const auto keep = shared_from_this();
      add_up();
      if (!error || call->ended) return finish(std::move(error));
      if (!delivered) return finish(cut ? in_vain(*error) : std::move(error));
      if (!broke_off(*error)) return finish(std::move(error));
      const std::string why_not = go_on(*error);
      if (!why_not.empty()) finish(explained(*error, why_not));
    }

    /// Asks for the rest; or says why not.
    std::string go_on(const Error& error) {
      if (resumes == options.max_resumes) return "not resumed: ResumeOptions::max_resumes is reached";
      const auto so_far = call->decoder->so_far();
      if (!so_far || so_far->content.size() < options.min_content)
        return "not resumed: too little of the answer, or more than text, had come";
      const std::string& body = resumes == 0 ? call->body : asked_body;
      auto rest = call->codec->continue_from(body, so_far->content, so_far->reasoning);
      if (!rest) return "not resumed: " + rest.error().message();
      if (resumes++ == 0) asked_body = std::move(call->body);
      call->body = *std::move(rest);
      call->operation.base = call->codec->continue_at();
      call->endpoints_left = 0;
      call->decoder->go_on(options.min_overlap);
      ++call->facts.resumed;
      delivered = false;
      cut = error;
      next(call, shared_from_this());
      return {};
    }

    /// Nothing came of the second request: what the first one ended with is what the caller has to know.
    Error in_vain(const Error& error) {
      if (error.outcome() == Outcome::cancelled || error.code() == ErrorCode::timeout_total) return error;
      --call->facts.resumed;
      return explained(*cut, "resumed in vain: " + error.message());
    }

    static Error explained(const Error& error, const std::string& why) {
      return error.with(
          [&why](ErrorDetails& details) { details.advice += (details.advice.empty() ? "" : "; ") + why; });
    }

    void add_up() {
      CallFacts& facts = call->facts;
      if (first_token.count() == 0) first_token = facts.first_token;
      used.prompt += facts.usage.prompt;
      used.cached_prompt += facts.usage.cached_prompt;
      used.completion += facts.usage.completion;
      used.reasoning += facts.usage.reasoning;
    }

    void finish(std::optional<Error> error) {
      if (resumes != 0) {
        call->facts.usage = used;
        call->facts.first_token = first_token;
        call->body = std::move(asked_body);
        call->operation.base = asked_at;
      }
      sink->on_end(std::move(error));
    }

    const ResumeOptions& options;
    CallPtr call;
    SinkPtr sink;
    Next next;
    const Operation::Base asked_at;
    std::string asked_body;                    // of the first request, once there is a second
    std::optional<Error> cut;                  // what the reply before ended with
    TokenUsage used;                           // over all replies
    std::chrono::microseconds first_token{0};  // of the first reply
    int resumes = 0;
    bool delivered = false;  // of the reply under way
  };

  const ResumeOptions options_;
};

}  // namespace detail

DEEPSEEK_DECL std::optional<Error> check(const ResumeOptions& options) {
  const auto wrong = [](const char* what) { return Error(ErrorCode::invalid_options, what); };
  if (options.max_resumes < 1 || options.max_resumes > 16)
    return wrong("ResumeOptions::max_resumes is outside 1 ... 16");
  if (options.min_overlap < 4 || options.min_overlap > 256)
    return wrong("ResumeOptions::min_overlap is outside 4 ... 256");
  return std::nullopt;
}

DEEPSEEK_DECL std::shared_ptr<Policy> make_resume_policy(const ResumeOptions& options) {
  return std::make_shared<detail::ResumePolicy>(options);
}

DEEPSEEK_END_NAMESPACE
