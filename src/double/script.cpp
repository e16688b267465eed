// Script files. A JSON array of replies, or one reply a line. A reply is an object with at most one of
//
//   say, think, call_tool          an answer; may stand together
//   faithful                       true: what the double answers without a script
//   status                         an error; with "message"
//   raw_body, raw_body_file        any body; with "status" and "content_type"
//   raw_stream, raw_stream_file    an event stream, byte for byte
//   garbage                        bytes that need not be HTTP
//   drop, endless_headers          true
//
// and any of the builder's modifiers, by the same names (script_help() lists them). Times are milliseconds.
#include "script.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>

#include "answer.hpp"
#include "json_depth.hpp"

DEEPSEEK_BEGIN_NAMESPACE
namespace test {

namespace detail {

const char* script_help() {
  return "Script: a JSON array of replies, or one reply a line. Each request takes the next one; then the\n"
         "double answers by itself. A reply is an object. What is answered:\n"
         "\n"
         "  {\"say\": \"text\"}                         a text answer\n"
         "  {\"think\": \"reasoning\", \"say\": \"text\"}\n"
         "  {\"call_tool\": {\"name\": \"f\", \"arguments\": {...} or \"text\"}}   or a list of such calls\n"
         "  {\"faithful\": true}                      the answer of a double without script\n"
         "  {\"status\": 429, \"message\": \"...\"}       an error\n"
         "  {\"raw_body\": \"...\", \"status\": 200, \"content_type\": \"text/html\"}   or raw_body_file\n"
         "  {\"raw_stream\": \"data: ...\"}             or raw_stream_file\n"
         "  {\"garbage\": \"bytes\"} {\"drop\": true} {\"endless_headers\": true}\n"
         "\n"
         "Modifiers (times in milliseconds):\n"
         "\n"
         "  finish_reason, title, model: text   pieces: [text]   leading_blanks: n   unchecked: true\n"
         "  after: ms   after_head: ms   pace: ms between events (a whole answer waits as long as its stream)\n"
         "  keep_alive: {every, total}   drip: {bytes, every}\n"
         "  cut_after_bytes, reset_after_bytes, stall_after_bytes: n\n"
         "  cut_after_events, reset_after_events, stall_after_events: n\n"
         "  keep_alive_in_stall: ms   end_without_done, end_without_finish, done_then_more: true\n"
         "  malformed_event: index   error_in_band: {index, message}   huge_event: bytes\n"
         "  usage_chunk_separate, without_usage, octet_stream, close_connection, close_delimited,\n"
         "  event_ids: true   chunk_sizes: [n]   line_ends: text   headers: {name: value}\n"
         "  retry_after, retry_after_date: seconds   retry_after_ms: ms\n"
         "  times: n    the same reply n times\n"
         "\n"
         "A reply is sent in at most 1000000 pieces.\n";
}

Result<std::string> read_file(const std::string& name) {
  constexpr std::size_t largest = 1u << 30;
  std::ifstream in(name, std::ios::binary);
  if (!in) return Error(ErrorCode::io_error, std::strerror(errno));
  std::string text;
  std::vector<char> block(64 * 1024);
  // Reading a folder fails where opening it does not, and the stream then says nothing but "bad".
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0) {
    text.append(block.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > largest) return Error(ErrorCode::io_error, "larger than 1 GiB");
  }
  if (in.bad()) return Error(ErrorCode::io_error, "it cannot be read: is it a file?");
  return text;
}

std::string folder_of(const std::string& file) {
  const auto slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

}  // namespace detail

namespace {

using detail::Json;
using std::chrono::milliseconds;

// A script is the operator's own, but a slip of the keyboard should not end in a machine without memory.
constexpr std::uint64_t largest_event = 2ull << 30;
constexpr std::int64_t most_keep_alives = 100'000;
constexpr std::size_t most_replies = 1'000'000;

struct Bad {
  std::string what;
};

std::uint64_t number(const Json& value) {
  if (!value.is_number_unsigned()) throw Bad{"needs a number from 0"};
  return value.get<std::uint64_t>();
}
std::uint64_t at_most(std::uint64_t most, const Json& value) {
  const auto count = number(value);
  if (count > most) throw Bad{"needs a number up to " + std::to_string(most)};
  return count;
}
milliseconds time(const Json& value) {
  const auto count = number(value);
  if (count > 1'000'000'000) throw Bad{"is too long a time"};
  return milliseconds(count);
}
std::string text(const Json& value) {
  if (!value.is_string()) throw Bad{"needs a text"};
  return value.get<std::string>();
}
const Json& member(const Json& value, const char* name) {
  if (!value.is_object() || !value.contains(name)) throw Bad{std::string("needs \"") + name + '"'};
  return value[name];
}
template <class T, class Read>
std::vector<T> list(const Json& value, Read read) {
  if (!value.is_array() || value.empty()) throw Bad{"needs a list"};
  std::vector<T> all;
  for (const auto& item : value) all.push_back(static_cast<T>(read(item)));
  return all;
}

std::string file_text(const std::string& folder, const Json& value) {
  const auto name = text(value);
  auto content = detail::read_file(name.substr(0, 1) == "/" ? name : folder + '/' + name);
  if (!content) throw Bad{"cannot read " + name + ": " + content.error().message()};
  return *std::move(content);
}

void add_call(Reply& reply, const Json& call) {
  const auto arguments = call.find("arguments");
  std::string written = "{}";
  if (arguments != call.end())
    written = arguments->is_string() ? arguments->get<std::string>() : detail::spaced_json(*arguments);
  reply.call_tool(text(member(call, "name")), std::move(written));
}

Reply begin_reply(const Json& object, const std::string& folder) {
  const auto given_status = object.contains("status") ? number(object["status"]) : 200;
  if (given_status < 100 || given_status > 999) throw Bad{"\"status\" is no HTTP status"};
  const auto status_code = static_cast<int>(given_status);
  const auto type = object.contains("content_type") ? text(object["content_type"]) : "application/json";
  if (object.contains("raw_body")) return raw_body(status_code, type, text(object["raw_body"]));
  if (object.contains("raw_body_file")) return raw_body(status_code, type, file_text(folder, object["raw_body_file"]));
  if (object.contains("raw_stream")) return raw_stream(text(object["raw_stream"]));
  if (object.contains("raw_stream_file")) return raw_stream(file_text(folder, object["raw_stream_file"]));
  if (object.contains("garbage")) return garbage(text(object["garbage"]));
  if (object.contains("drop")) return drop();
  if (object.contains("endless_headers")) return endless_headers();
  if (object.contains("status")) return status(status_code, object.contains("message") ? text(object["message"]) : "");
  Reply reply;
  if (object.contains("think")) reply.think(text(object["think"]));
  if (object.contains("say")) reply.say(text(object["say"]));
  if (object.contains("call_tool")) {
    const auto& calls = object["call_tool"];
    if (!calls.is_array())
      add_call(reply, calls);
    else
      for (const auto& call : calls) add_call(reply, call);
  }
  return reply;
}

using Modifier = std::function<void(Reply&, const Json&)>;

template <class Set>
Modifier flag(Set set) {
  return [set](Reply& reply, const Json& value) {
    if (!value.is_boolean()) throw Bad{"needs true or false"};
    if (value.get<bool>()) (reply.*set)();
  };
}
template <class Set>
Modifier with_number(Set set) {
  return [set](Reply& reply, const Json& value) { (reply.*set)(number(value)); };
}
template <class Set>
Modifier with_text(Set set) {
  return [set](Reply& reply, const Json& value) { (reply.*set)(text(value)); };
}
template <class Set>
Modifier with_time(Set set) {
  return [set](Reply& reply, const Json& value) { (reply.*set)(time(value)); };
}
template <class Set>
Modifier with_seconds(Set set) {
  return [set](Reply& reply, const Json& value) {
    (reply.*set)(std::chrono::duration_cast<std::chrono::seconds>(time(value) * 1000));
  };
}

const std::map<std::string, Modifier>& modifiers() {
  static const std::map<std::string, Modifier> all{
      {"finish_reason", with_text(&Reply::finish_reason)},
      {"title", with_text(&Reply::title)},
      {"model", with_text(&Reply::model)},
      {"line_ends", with_text(&Reply::line_ends)},
      {"content_type", with_text(&Reply::content_type)},
      {"unchecked", flag(&Reply::unchecked)},
      {"end_without_done", flag(&Reply::end_without_done)},
      {"end_without_finish", flag(&Reply::end_without_finish)},
      {"done_then_more", flag(&Reply::done_then_more)},
      {"close_connection", flag(&Reply::close_connection)},
      {"usage_chunk_separate", flag(&Reply::usage_chunk_separate)},
      {"without_usage", flag(&Reply::without_usage)},
      {"octet_stream", flag(&Reply::octet_stream)},
      {"close_delimited", flag(&Reply::close_delimited)},
      {"event_ids", flag(&Reply::event_ids)},
      {"cut_after_bytes", with_number(&Reply::cut_after_bytes)},
      {"reset_after_bytes", with_number(&Reply::reset_after_bytes)},
      {"stall_after_bytes", with_number(&Reply::stall_after_bytes)},
      {"cut_after_events", with_number(&Reply::cut_after_events)},
      {"reset_after_events", with_number(&Reply::reset_after_events)},
      {"stall_after_events", with_number(&Reply::stall_after_events)},
      {"malformed_event", with_number(&Reply::malformed_event)},
      {"huge_event",
       [](Reply& reply, const Json& v) { reply.huge_event(static_cast<std::size_t>(at_most(largest_event, v))); }},
      {"after", with_time(&Reply::after)},
      {"after_head", with_time(&Reply::after_head)},
      {"pace", with_time(&Reply::pace)},
      {"keep_alive_in_stall", with_time(&Reply::keep_alive_in_stall)},
      {"retry_after_ms", with_time(&Reply::retry_after_ms)},
      {"retry_after", with_seconds(&Reply::retry_after)},
      {"retry_after_date", with_seconds(&Reply::retry_after_date)},
      {"leading_blanks",
       [](Reply& reply, const Json& v) { reply.leading_blanks(static_cast<int>(number(v) % 10'000)); }},
      {"pieces", [](Reply& reply, const Json& v) { reply.pieces(list<std::string>(v, text)); }},
      {"chunk_sizes", [](Reply& reply, const Json& v) { reply.chunk_sizes(list<std::size_t>(v, number)); }},
      {"keep_alive",
       [](Reply& reply, const Json& v) {
         const auto every = time(member(v, "every")), total = time(member(v, "total"));
         if (every.count() > 0 && total / every > most_keep_alives) throw Bad{"asks for too many keep-alives"};
         reply.keep_alive(every, total);
       }},
      {"drip", [](Reply& reply, const Json& v) { reply.drip(number(member(v, "bytes")), time(member(v, "every"))); }},
      {"error_in_band",
       [](Reply& reply, const Json& v) {
         reply.error_in_band(number(member(v, "index")), text(member(v, "message")));
       }},
      {"headers",
       [](Reply& reply, const Json& v) {
         if (!v.is_object()) throw Bad{"needs an object of names and values"};
         for (const auto& item : v.items()) reply.header(item.key(), text(item.value()));
       }},
  };
  return all;
}

bool is_kind_word(const std::string& word) {
  for (const auto* known : {"say", "think", "call_tool", "faithful", "status", "message", "raw_body", "raw_body_file",
                            "raw_stream", "raw_stream_file", "garbage", "drop", "endless_headers", "times"}) {
    if (word == known) return true;
  }
  return false;
}

/// What can be foreseen; the plan of a reply is checked again when it is made.
void check_pieces(const detail::ReplySpec& spec) {
  const auto bytes = spec.huge_event + spec.bytes.size() + spec.text.value_or("").size();
  const auto drip = spec.drip.bytes > 0 ? spec.drip.bytes : bytes;
  const auto chunk = spec.chunk_sizes.empty() ? bytes : std::max<std::size_t>(1, spec.chunk_sizes.back());
  if (bytes / std::max<std::size_t>(1, std::min(drip, chunk)) <= detail::most_steps) return;
  throw Bad{"would be sent in more than " + std::to_string(detail::most_steps) + " pieces"};
}

Reply read_reply(const Json& object, const std::string& folder) {
  if (!object.is_object()) throw Bad{"is not an object"};
  auto reply = begin_reply(object, folder);
  for (const auto& item : object.items()) {
    const auto found = modifiers().find(item.key());
    if (found == modifiers().end()) {
      if (is_kind_word(item.key())) continue;
      throw Bad{"has an unknown word \"" + item.key() + '"'};
    }
    try {
      found->second(reply, item.value());
    } catch (const Bad& bad) {
      throw Bad{'"' + item.key() + "\" " + bad.what};
    }
  }
  check_pieces(reply.spec());
  return reply;
}

std::vector<Json> read_objects(std::string_view all) {
  if (detail::nested_deeper(all, detail::deepest_json)) throw Bad{"is nested too deep"};
  auto whole = Json::parse(all, nullptr, false);
  if (whole.is_array()) return {whole.begin(), whole.end()};
  if (whole.is_object()) return {std::move(whole)};
  std::vector<Json> objects;
  while (!all.empty()) {
    const auto end = std::min(all.find('\n'), all.size());
    const auto line = all.substr(0, end);
    all.remove_prefix(std::min(end + 1, all.size()));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    auto object = Json::parse(line, nullptr, false);
    if (object.is_discarded()) throw Bad{"line " + std::to_string(objects.size() + 1) + " is not JSON"};
    objects.push_back(std::move(object));
  }
  return objects;
}

}  // namespace

Result<std::vector<Reply>> parse_script(std::string_view all, const std::string& folder) {
  std::vector<Reply> replies;
  std::size_t index = 0;
  try {
    for (const auto& object : read_objects(all)) {
      ++index;
      auto reply = read_reply(object, folder);
      const auto times = object.contains("times") ? number(object["times"]) : 1;
      if (times > most_replies - replies.size()) throw Bad{"\"times\" is too large"};
      replies.insert(replies.end(), static_cast<std::size_t>(times), reply);
    }
  } catch (const Bad& bad) {
    const auto place = index == 0 ? std::string() : "reply " + std::to_string(index) + ' ';
    return Error(ErrorCode::invalid_options, "script: " + place + bad.what);
  }
  return replies;
}

}  // namespace test
DEEPSEEK_END_NAMESPACE
