// Routing and the choice between script, recording and the service's own behaviour.
#include "playbook.hpp"

#include "http.hpp"
#include "rules.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test::detail {

namespace {

constexpr std::size_t prefixes_kept = 4096;
constexpr std::uint64_t cache_unit = 128;  // hit counts are multiples of it

struct Route {
  enum class What { unknown, chat, fim, models, balance } what = What::unknown;
  bool beta = false;
};

Route route(const ReceivedRequest& request) {
  Route found;
  const auto path = without_base(request.path);
  found.beta = path.size() < request.path.size() && request.path[1] == 'b';
  const bool post = request.method == "POST";
  const bool get = request.method == "GET";
  if (post && path == "/chat/completions") found.what = Route::What::chat;
  if (post && path == "/completions") found.what = Route::What::fim;
  if (get && path == "/models") found.what = Route::What::models;
  if (get && path == "/user/balance") found.what = Route::What::balance;
  return found;
}

/// Replies that close the connection before or inside the head need no check of their own.
bool is_raw(const ReplySpec& spec) {
  using Kind = ReplySpec::Kind;
  return spec.kind == Kind::garbage || spec.kind == Kind::drop || spec.kind == Kind::endless_headers ||
         spec.kind == Kind::recorded;
}

}  // namespace

Plan Playbook::error(int status, const std::string& message, bool keep, bool octet_stream) {
  return make_plan(
      ReplySpec(),
      json_body(status, error_body(status, message), octet_stream ? "application/octet-stream" : "application/json"),
      keep, trace_id());
}

Plan Playbook::too_many(bool keep) {
  ++served_;
  return error(429, known_message(429), keep);
}

bool Playbook::key_fits(const ReceivedRequest& request, std::string& shown) const {
  constexpr std::string_view scheme = "Bearer ";
  std::string_view value = find_header(request.headers, "authorization");
  if (!same_name(value.substr(0, scheme.size()), scheme)) return false;
  value.remove_prefix(scheme.size());
  shown = value.size() > 4 ? value.substr(value.size() - 4) : value;
  return !value.empty() && (key_.empty() || value == key_);
}

Reply Playbook::take_scripted() {
  auto reply = std::move(script_.front());
  script_.pop_front();
  if (loop_) script_.push_back(reply);
  return reply;
}

std::optional<Plan> Playbook::scripted_raw(bool keep) {
  if (script_.empty() || script_.front().spec().has_content()) return std::nullopt;
  const auto reply = take_scripted();
  const auto& spec = reply.spec();
  if (is_raw(spec)) return raw_plan(spec, keep);
  Body body;
  body.status = spec.status;
  if (spec.kind == ReplySpec::Kind::stream) {
    body.sse = true;
    body.content_type = "text/event-stream; charset=utf-8";
    body.parts = split_events(spec.bytes);
  } else {
    body = json_body(spec.status, spec.bytes);
  }
  return make_plan(spec, std::move(body), keep, trace_id());
}

Plan Playbook::answer(const ReceivedRequest& request, bool keep) {
  ++served_;
  try {
    return choose(request, keep);
  } catch (const Json::exception&) {  // a member of a wrong type that no rule has looked at
    return error(400, known_message(400), keep);
  } catch (const TooManySteps& why) {
    return error(500, why.what(), keep);
  }
}

Plan Playbook::choose(const ReceivedRequest& request, bool keep) {
  if (!replay_.empty()) return replayed(request, keep);
  if (auto plan = scripted_raw(keep)) return std::move(*plan);

  const auto target = route(request);
  if (target.what == Route::What::unknown) return error(404, known_message(404), keep);
  const bool unchecked = !check_ || (!script_.empty() && script_.front().spec().unchecked);
  std::string shown;
  if (!unchecked && !key_fits(request, shown)) {
    return error(401, "Authentication Fails, Your api key: ****" + shown + " is invalid", keep);
  }
  switch (target.what) {
    case Route::What::models:
      return make_plan(ReplySpec(), json_body(200, models_body()), keep, trace_id());
    case Route::What::balance:
      return make_plan(ReplySpec(), json_body(200, balance_body()), keep, trace_id());
    default:
      return talk(request, target.beta, target.what == Route::What::fim, keep);
  }
}

Plan Playbook::talk(const ReceivedRequest& request, bool beta, bool fim, bool keep) {
  Ask ask;
  ask.raw = request.body;
  ask.beta = beta;
  ask.fim = fim;
  const bool unchecked = !check_ || (!script_.empty() && script_.front().spec().unchecked);
  auto verdict = read_ask(request.body, ask);
  if (!verdict && !unchecked) verdict = judge(ask);
  if (verdict) return error(verdict->status, verdict->message, keep, verdict->octet_stream);

  const auto reply = script_.empty() ? Reply() : take_scripted();
  auto answer = make_answer(ask, reply.spec(), served_);
  answer.cached_tokens = cached_prefix(ask);
  return make_plan(reply.spec(), encode(ask, reply.spec(), answer), keep, trace_id());
}

Plan Playbook::replayed(const ReceivedRequest& request, bool keep) {
  std::vector<const RecordedCall*> fitting;
  for (const auto& call : replay_) {
    const bool fits = (call.method.empty() || call.method == request.method) &&
                      (call.path.empty() || without_base(call.path) == without_base(request.path)) &&
                      (call.request.empty() || call.request == request.body);
    if (fits) fitting.push_back(&call);
  }
  if (fitting.empty()) return error(404, "No recorded call fits this request", keep);
  auto& next = replay_next_[request.method + ' ' + request.path];
  return replay_plan(fitting[next++ % fitting.size()]->response, replay_timing_, keep);
}

std::uint64_t Playbook::cached_prefix(const Ask& ask) {
  const auto* messages = ask.find("messages");
  if (messages == nullptr) return 0;
  if (prefixes_.size() > prefixes_kept) prefixes_.clear();
  const auto* tools = ask.find("tools");
  std::size_t hash = std::hash<std::string>()(ask.text("user_id") + (tools != nullptr ? tools->dump() : ""));
  std::uint64_t hit = 0;
  std::uint64_t tokens = tools != nullptr ? tools->dump().size() / 4 : 0;
  for (const auto& message : *messages) {
    const auto text = message.dump(-1, ' ', false, Json::error_handler_t::replace);
    hash ^= std::hash<std::string>()(text) + 0x9e3779b9u + (hash << 6) + (hash >> 2);
    tokens += text.size() / 4;
    const auto [entry, fresh] = prefixes_.try_emplace(hash, tokens);
    if (!fresh) hit = entry->second;
  }
  hit = std::min(hit, count_prompt_tokens(ask));
  return hit / cache_unit * cache_unit;
}

}  // namespace test::detail
DEEPSEEK_END_NAMESPACE
