// ReplayTransport: plays recorded calls without a network.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <deepseek/transport/transport.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// One recorded response: the head, then the body's chunks with their original boundaries and pace.
struct RecordedChunk {
  std::chrono::microseconds after{0};  ///< since the chunk before (the first: since the request); up to a day
  std::string data{};
};
struct RecordedResponse {
  int status = 200;  ///< 200 to 599 if the head is complete
  std::vector<HttpHeader> headers{};
  std::vector<RecordedChunk> chunks{};
  bool head_complete = true;  ///< false: the connection broke inside the header block
  bool clean_end = true;      ///< false: the connection broke in the body
};
/// One recorded exchange. An empty member of the request matches anything.
struct RecordedCall {
  std::string method{};
  std::string path{};     ///< as Operation::path
  std::string request{};  ///< body; compared byte for byte if not empty
  RecordedResponse response{};
};

/// Reads the JSON-lines file that `deepseek double --record` writes. One call a line, every key optional,
/// unknown keys ignored:
///
///     {"method":"POST","path":"/chat/completions","request":TEXT,
///      "status":200,"headers":[["content-type","text/event-stream"],...],
///      "chunks":[[MICROSECONDS,TEXT],...],"head_complete":true,"clean_end":true}
///
/// TEXT is a string, or {"base64":"..."} where the bytes are not UTF-8. Blank lines and lines that begin
/// with '#' are skipped. Fails with io_error if the file cannot be read, with limit_exceeded if it has more than
/// 1 GiB or does not fit into memory, with malformed_json (and the line's number) if a line is not such an object:
/// also if a pause is longer than a day, or a complete head has a status outside 200 to 599.
Result<std::vector<RecordedCall>> load_recording(const std::string& file);
/// The same from text.
Result<std::vector<RecordedCall>> parse_recording(std::string_view text);
/// The inverse of parse_recording(): keys in a fixed order, a line end behind each call. What parse_recording()
/// would refuse is written as what comes next to it: a pause as 0 or a day, a status outside 200 to 599 as that of
/// a head that is not complete.
std::string dump_recording(const std::vector<RecordedCall>& calls);

struct ReplayOptions {
  bool original_timing = false;  ///< false: as fast as the reader takes it
  bool repeat = true;            ///< start again after the last call; false: further calls fail with connect_failed
};

/// Answers each call with the first recorded one that matches, taking calls of one kind in turn.
std::shared_ptr<Transport> make_replay_transport(std::vector<RecordedCall> calls, ReplayOptions options = {});

DEEPSEEK_END_NAMESPACE

#ifdef DEEPSEEK_HEADER_ONLY
#include <deepseek/transport/impl/replay.ipp>
#endif
