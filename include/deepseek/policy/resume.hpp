// Resume: a stream that broke off is gone on with where it did.
#pragma once
#include <cstddef>
#include <memory>
#include <optional>

#include <deepseek/policy/policy.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// A stream that was cut off, lost or stalled after a part of its answer was delivered is continued by a second
/// request, which gives that part to the service as the beginning of its answer (prefix completion). The reader sees
/// one stream; CallInfo::resumed says how many times it was put together, and the usage is the sum of what each
/// reply told (one that was cut off seldom tells any). Each request has its own retries.
///
/// Off by default: the part is paid for again as prompt, and the service may go on otherwise than it would have.
/// Needs an endpoint with /beta for chat. Not gone on with: what has tools, a response format or log probabilities,
/// an answer of which only reasoning came, whole replies.
struct ResumeOptions {
  bool enabled = false;
  int max_resumes = 1;          ///< of one call, 1 to 16
  std::size_t min_content = 1;  ///< bytes of the answer below which the error is told instead
  /// Where the second reply begins with at least so many bytes as the first one ended with, they are not delivered
  /// twice; looked for in its last 256 bytes. Not where its last min_overlap bytes stand earlier in those too: a text
  /// that repeats itself may well do so again. 4 to 256.
  std::size_t min_overlap = 16;
};

/// Why these options cannot be used; nothing: they can.
std::optional<Error> check(const ResumeOptions& options);

/// The policy at Phase::resume.
std::shared_ptr<Policy> make_resume_policy(const ResumeOptions& options);

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/policy/impl/resume.ipp>
#endif
