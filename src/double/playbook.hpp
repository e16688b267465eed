// Playbook: decides what a request is answered: by the script, a recording, or as the service would.
#pragma once
#include <deque>
#include <map>
#include <unordered_map>

#include "answer.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

/// Not synchronised: its owner locks.
class Playbook {
 public:
  explicit Playbook(const DoubleOptions& options)
      : key_(options.key),
        check_(options.check_requests),
        loop_(options.loop_script),
        replay_(options.replay),
        replay_timing_(options.replay_timing) {}

  void script(std::vector<Reply> replies) { script_.assign(replies.begin(), replies.end()); }
  void then(Reply reply) { script_.push_back(std::move(reply)); }
  std::size_t left() const noexcept { return script_.size(); }

  /// The whole answer to one request. `keep`: the client wants to use the connection again.
  Plan answer(const ReceivedRequest& request, bool keep);
  Plan too_many(bool keep);

 private:
  Plan choose(const ReceivedRequest& request, bool keep);
  Plan error(int status, const std::string& message, bool keep, bool octet_stream = false);
  Plan talk(const ReceivedRequest& request, bool beta, bool fim, bool keep);
  Plan replayed(const ReceivedRequest& request, bool keep);
  std::optional<Plan> scripted_raw(bool keep);
  Reply take_scripted();
  bool key_fits(const ReceivedRequest& request, std::string& shown) const;
  std::uint64_t cached_prefix(const Ask& ask);
  std::string trace_id() const { return hex_id(served_, 32); }

  std::string key_;
  bool check_;
  bool loop_;
  std::vector<RecordedCall> replay_;
  bool replay_timing_;
  std::map<std::string, std::size_t> replay_next_;
  std::deque<Reply> script_;
  std::uint64_t served_ = 0;
  std::unordered_map<std::size_t, std::uint64_t> prefixes_;  ///< hash of a prompt's beginning -> its tokens
};

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
