#pragma once
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <new>
#include <utility>

#include <nlohmann/json.hpp>

#include <deepseek/http/detail/scripted.hpp>
#include <deepseek/transport/detail/http_transport.hpp>
#include <deepseek/transport/replay.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

using RecordingJson = nlohmann::ordered_json;

// --- text --------------------------------------------------------------------------------------------

inline constexpr char base64_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

DEEPSEEK_DECL std::string to_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) text += k <= count ? base64_letters[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

DEEPSEEK_DECL std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.size() - text.substr(0, text.find('=')).size();
  if (padding > 2 || text.find_first_not_of('=', text.size() - padding) != std::string_view::npos) return std::nullopt;
  text.remove_suffix(padding);
  constexpr std::string_view letters(base64_letters, 64);
  std::string bytes;
  std::uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    const std::size_t value = letters.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    group = (group << 6 | static_cast<std::uint32_t>(value)) & 0xFFFFFF;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(group >> bits & 0xFF);
  }
  return bytes;
}

/// How many bytes the UTF-8 sequence at the front of `text` has; 0 if it is none.
DEEPSEEK_DECL std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const unsigned second = byte(1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool beyond = (lead == 0xED && second >= 0xA0) || (lead == 0xF4 && second >= 0x90);
  return overlong || beyond ? 0 : size;
}

DEEPSEEK_DECL bool is_utf8_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = utf8_sequence(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

// --- recordings --------------------------------------------------------------------------------------

inline constexpr std::size_t largest_recording = std::size_t{1} << 30;
inline constexpr int highest_status = 999;                              // of three digits
inline constexpr std::int64_t longest_recorded_pause = 86'400'000'000;  // a day, in microseconds

/// Statuses below 200 announce a response, and beyond 599 there are none.
DEEPSEEK_DECL bool is_final_status(int status) { return status >= 200 && status <= 599; }

DEEPSEEK_DECL RecordingJson text_to_json(const std::string& text) {
  if (is_utf8_text(text)) return text;
  RecordingJson wrapped;
  wrapped["base64"] = to_base64(text);
  return wrapped;
}

DEEPSEEK_DECL std::optional<std::string> text_from_json(const RecordingJson& json) {
  if (json.is_string()) return json.get<std::string>();
  if (!json.is_object()) return std::nullopt;
  const auto found = json.find("base64");
  if (found == json.end() || !found->is_string()) return std::nullopt;
  return from_base64(found->get_ref<const std::string&>());
}

/// Reads members of one line; after a first mismatch `ok` is false.
struct RecordingLine {
  const RecordingJson& json;
  bool ok = true;

  const RecordingJson* member(const char* name) const {
    const auto found = json.find(name);
    return found == json.end() ? nullptr : &*found;
  }
  void read(const char* name, std::string& into) {
    const RecordingJson* value = member(name);
    if (value == nullptr) return;
    std::optional<std::string> text = text_from_json(*value);
    ok = ok && text;
    if (text) into = *std::move(text);
  }
  void read(const char* name, bool& into) {
    const RecordingJson* value = member(name);
    if (value == nullptr) return;
    ok = ok && value->is_boolean();
    if (value->is_boolean()) into = value->get<bool>();
  }
  void read_status(int& into) {
    const RecordingJson* value = member("status");
    if (value == nullptr) return;
    const bool fits = value->is_number_unsigned() && value->get<std::uint64_t>() <= highest_status;
    ok = ok && fits;
    if (fits) into = value->get<int>();
  }
  /// Calls `take(first, second)` for each pair of the array `name`.
  template <class Take>
  void each_pair(const char* name, Take take) {
    const RecordingJson* list = member(name);
    if (list == nullptr) return;
    ok = ok && list->is_array();
    if (!ok) return;
    for (const RecordingJson& pair : *list) ok = ok && pair.is_array() && pair.size() == 2 && take(pair[0], pair[1]);
  }
};

DEEPSEEK_DECL bool add_recorded_header(std::vector<HttpHeader>& into, const RecordingJson& name,
                                       const RecordingJson& value) {
  const std::optional<std::string> name_text = text_from_json(name);
  const std::optional<std::string> value_text = text_from_json(value);
  if (!name_text || !value_text) return false;
  into.push_back({*name_text, *value_text});
  return true;
}

DEEPSEEK_DECL bool add_recorded_chunk(std::vector<RecordedChunk>& into, const RecordingJson& after,
                                      const RecordingJson& data) {
  std::optional<std::string> text = text_from_json(data);
  if (!text || !after.is_number_unsigned() || after.get<std::uint64_t>() > longest_recorded_pause) return false;
  into.push_back({std::chrono::microseconds(after.get<std::int64_t>()), *std::move(text)});
  return true;
}

DEEPSEEK_DECL std::optional<RecordedCall> call_from_json(const RecordingJson& json) {
  if (!json.is_object()) return std::nullopt;
  RecordedCall call;
  RecordedResponse& response = call.response;
  RecordingLine line{json};
  line.read("method", call.method);
  line.read("path", call.path);
  line.read("request", call.request);
  line.read_status(response.status);
  line.each_pair("headers", [&](const RecordingJson& name, const RecordingJson& value) {
    return add_recorded_header(response.headers, name, value);
  });
  line.each_pair("chunks", [&](const RecordingJson& after, const RecordingJson& data) {
    return add_recorded_chunk(response.chunks, after, data);
  });
  line.read("head_complete", response.head_complete);
  line.read("clean_end", response.clean_end);
  if (!line.ok || (response.head_complete && !is_final_status(response.status))) return std::nullopt;
  return call;
}

DEEPSEEK_DECL RecordingJson call_to_json(const RecordedCall& call) {
  const RecordedResponse& response = call.response;
  RecordingJson headers = RecordingJson::array();
  for (const HttpHeader& header : response.headers)
    headers.push_back(RecordingJson::array({text_to_json(header.name), text_to_json(header.value)}));
  RecordingJson chunks = RecordingJson::array();
  for (const RecordedChunk& chunk : response.chunks) {
    const std::int64_t pause = std::clamp<std::int64_t>(chunk.after.count(), 0, longest_recorded_pause);
    chunks.push_back(RecordingJson::array({pause, text_to_json(chunk.data)}));
  }
  RecordingJson json;
  json["method"] = text_to_json(call.method);
  json["path"] = text_to_json(call.path);
  json["request"] = text_to_json(call.request);
  json["status"] = std::clamp(response.status, 0, highest_status);
  json["headers"] = std::move(headers);
  json["chunks"] = std::move(chunks);
  json["head_complete"] = response.head_complete && is_final_status(response.status);
  json["clean_end"] = response.clean_end;
  return json;
}

// --- replay ------------------------------------------------------------------------------------------

DEEPSEEK_DECL FakeReply reply_of(const RecordedResponse& response, bool original_timing) {
  FakeReply reply;
  reply.status = response.status;
  reply.headers = response.headers;
  for (const RecordedChunk& chunk : response.chunks)
    reply.chunks.emplace_back(chunk.data, original_timing ? chunk.after : std::chrono::microseconds(0));
  if (!response.head_complete)
    reply.end = FakeReply::End::inside_head;
  else if (!response.clean_end)
    reply.end = FakeReply::End::broken;
  return reply;
}

/// Plays recordings as if they came over a network.
class ReplayEngine final : public HttpEngine {
 public:
  ReplayEngine(std::vector<RecordedCall> calls, ReplayOptions options)
      : calls_(std::move(calls)), played_(calls_.size(), false), options_(options) {}

  void attach(Loop& loop) override { loop_ = &loop; }
  std::shared_ptr<HttpTransfer> start(HttpRequest request, std::shared_ptr<HttpHandler> handler) override {
    return start_scripted(*loop_, choose(request), std::move(handler));
  }

 private:
  static bool matches(const RecordedCall& call, const HttpRequest& request) {
    const std::string_view body = request.body ? request.body->contiguous() : std::string_view();
    return (call.method.empty() || call.method == request.method) && (call.path.empty() || call.path == request.url) &&
           (call.request.empty() || call.request == body);
  }

  FakeReply choose(const HttpRequest& request) {
    for (int round = 0; round < (options_.repeat ? 2 : 1); ++round) {
      for (std::size_t i = 0; i < calls_.size(); ++i) {
        if (played_[i] || !matches(calls_[i], request)) continue;
        played_[i] = true;
        return reply_of(calls_[i].response, options_.original_timing);
      }
      // All of this kind were played: they begin again.
      for (std::size_t i = 0; i < calls_.size(); ++i)
        if (matches(calls_[i], request)) played_[i] = false;
    }
    FakeReply none;
    none.end = FakeReply::End::before_head;
    none.code = ErrorCode::connect_failed;
    return none;
  }

  std::vector<RecordedCall> calls_;
  std::vector<bool> played_;
  ReplayOptions options_;
  Loop* loop_ = nullptr;
};

/// The whole file. It may be no file at all but a device without end.
DEEPSEEK_DECL Result<std::string> read_recording(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text;
  char piece[64 * 1024];
  while (in.read(piece, sizeof piece) || in.gcount() > 0) {
    text.append(piece, static_cast<std::size_t>(in.gcount()));
    if (text.size() > largest_recording)
      return Error(ErrorCode::limit_exceeded, "the recording is larger than 1 GiB: " + file);
  }
  if (!in.eof()) return Error(ErrorCode::io_error, "the recording cannot be read: " + file);
  return text;
}

/// A recording knows no hosts: its address is the operation's path.
DEEPSEEK_DECL Result<std::string> address_in_recording(const Call& call) { return std::string(call.operation.path); }

}  // namespace detail

DEEPSEEK_DECL Result<std::vector<RecordedCall>> parse_recording(std::string_view text) {
  std::vector<RecordedCall> calls;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos || line.front() == '#') continue;
    const detail::RecordingJson json = detail::RecordingJson::parse(line, nullptr, /*allow_exceptions=*/false);
    std::optional<RecordedCall> call = detail::call_from_json(json);
    if (!call)
      return Error(ErrorCode::malformed_json,
                   "line " + std::to_string(number) + " of the recording is not a recorded call");
    calls.push_back(*std::move(call));
  }
  return calls;
}

DEEPSEEK_DECL std::string dump_recording(const std::vector<RecordedCall>& calls) {
  std::string text;
  for (const RecordedCall& call : calls) text += detail::call_to_json(call).dump() + '\n';
  return text;
}

DEEPSEEK_DECL Result<std::vector<RecordedCall>> load_recording(const std::string& file) {
  try {
    const Result<std::string> text = detail::read_recording(file);
    if (!text) return text.error();
    return parse_recording(*text);
  } catch (const std::bad_alloc&) {  // parsed, a recording takes several times its size
    return Error(ErrorCode::limit_exceeded, "the recording does not fit into memory: " + file);
  }
}

DEEPSEEK_DECL std::shared_ptr<Transport> make_replay_transport(std::vector<RecordedCall> calls, ReplayOptions options) {
  return detail::make_transport_over(std::make_shared<detail::ReplayEngine>(std::move(calls), options),
                                     detail::address_in_recording);
}

DEEPSEEK_END_NAMESPACE
