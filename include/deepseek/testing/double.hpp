// Double: a server that plays DeepSeek, for the tests of applications. Link deepseek::testing.
//
//   using deepseek::test::say;
//   deepseek::test::Double server;
//   server.script({say("Hello").cut_after_bytes(20), say("Hello again")});
//   auto client = deepseek::DeepSeekClient::create(server.client_options());
//
// Each request takes the next reply of the script; when it is used up (or there is none) the double
// answers and refuses as the service does. All bodies are in libdeepseek_testing, never in headers.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/options.hpp>
#include <deepseek/result.hpp>
#include <deepseek/transport/replay.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test {

namespace detail {
struct ReplySpec;
class DoubleCore;
}  // namespace detail

/// One scripted reply and how it goes wrong. A value: copies are independent. Made by say(), think() and
/// their kin below; modifiers may be combined and return the reply itself.
///
/// Replies with content (say, think, call_tool, faithful) are sent as an event stream or as one JSON body,
/// as the request asks; they serve chat and FIM requests only and are kept while other requests come. A
/// request that the service would refuse is refused and does not use them up (see unchecked()). All other
/// replies answer whatever request comes next.
///
/// An event is one `data:` event of a stream; in a JSON reply the whole body is one. Bytes count from
/// the first byte of the status line, chunk framing included. A reply that would be sent in more than a million
/// pieces (drip, chunk_sizes, events, keep_alive) is not: the double answers 500 and says so.
class Reply {
 public:
  Reply();  ///< the faithful answer, for modifiers
  explicit Reply(std::shared_ptr<detail::ReplySpec> spec) : spec_(std::move(spec)) {}
  ~Reply();
  Reply(const Reply&);
  Reply(Reply&&) noexcept;
  Reply& operator=(const Reply&);
  Reply& operator=(Reply&&) noexcept;

  // What is said.
  Reply& think(std::string reasoning);  ///< reasoning before the text (not sent while thinking is off)
  Reply& say(std::string text);         ///< text before the calls
  /// A further tool call in the same turn. `arguments` is sent as it is, valid JSON or not.
  Reply& call_tool(std::string name, std::string arguments = "{}");
  Reply& finish_reason(std::string word);         ///< any word, known or not
  Reply& pieces(std::vector<std::string> texts);  ///< the text, one delta each, instead of own tokens
  Reply& title(std::string text);                 ///< delta.title in the last chunk, message.title in a body
  Reply& leading_blanks(int count);               ///< blanks around the text, as JSON mode pads
  Reply& model(std::string name);                 ///< the model named in the reply
  Reply& unchecked();                             ///< no refusals: also for requests that the service would refuse

  // When it is said.
  Reply& after(std::chrono::milliseconds delay);       ///< silence before the status line
  Reply& after_head(std::chrono::milliseconds delay);  ///< silence between the head and the first event
  /// Between events. A whole answer comes after the time that its stream would have taken.
  Reply& pace(std::chrono::milliseconds between);
  /// After the head, for `total`: comments in a stream, blank lines in a JSON reply.
  Reply& keep_alive(std::chrono::milliseconds every, std::chrono::milliseconds total);
  Reply& drip(std::size_t bytes, std::chrono::milliseconds every);  ///< so many bytes at a time

  // How it breaks.
  Reply& cut_after_bytes(std::uint64_t count);    ///< FIN
  Reply& reset_after_bytes(std::uint64_t count);  ///< RST
  Reply& stall_after_bytes(std::uint64_t count);  ///< silence with an open connection
  Reply& cut_after_events(std::size_t count);
  Reply& reset_after_events(std::size_t count);
  Reply& stall_after_events(std::size_t count);
  Reply& keep_alive_in_stall(std::chrono::milliseconds every);  ///< the silence is filled with comments, forever
  Reply& end_without_done();                                    ///< everything but [DONE]
  Reply& end_without_finish();                ///< no finish_reason and no [DONE]; the framing ends well
  Reply& done_then_more();                    ///< further events after [DONE], and the connection stays open
  Reply& malformed_event(std::size_t index);  ///< broken JSON at this place (from 0); in a body: half of it
  Reply& error_in_band(std::size_t index, std::string message);  ///< {"error":…} at this place, then the end
  Reply& huge_event(std::size_t bytes);  ///< one event with a comment field of this size, before the others
  Reply& close_connection();             ///< Connection: close, and so it is

  // How it is written.
  Reply& usage_chunk_separate();  ///< usage in a chunk of its own with empty choices
  Reply& without_usage();
  Reply& octet_stream();  ///< content type application/octet-stream
  Reply& content_type(std::string type);
  Reply& header(std::string name, std::string value);
  Reply& retry_after(std::chrono::seconds delay);          ///< Retry-After: seconds
  Reply& retry_after_date(std::chrono::seconds from_now);  ///< Retry-After: HTTP date
  Reply& retry_after_ms(std::chrono::milliseconds delay);  ///< retry-after-ms
  Reply& chunk_sizes(std::vector<std::size_t> sizes);  ///< the body in HTTP chunks of these sizes, the last repeated
  Reply& close_delimited();              ///< neither length nor chunks: the end of the connection ends the body
  Reply& line_ends(std::string ending);  ///< of event lines, e.g. "\r\n"
  Reply& event_ids();                    ///< `id: N` on each event and a comment between them

  const detail::ReplySpec& spec() const noexcept { return *spec_; }

 private:
  detail::ReplySpec& edit();  // copies what is shared
  std::shared_ptr<detail::ReplySpec> spec_;
};

/// A text answer without reasoning.
Reply say(std::string text);
/// Reasoning, then an answer; an empty `text` leaves the answer empty.
Reply think(std::string reasoning, std::string text);
/// A turn that calls a tool; .call_tool() adds further calls.
Reply call_tool(std::string name, std::string arguments = "{}");
/// What the double would answer without a script, so that it can be given faults.
Reply faithful();
/// An error with the service's envelope. Empty message: the service's known text for this status.
Reply status(int code, std::string message = {});
/// Any body under any status.
Reply raw_body(int status, std::string content_type, std::string bytes);
/// 200 and an event stream of these bytes, one HTTP chunk per event.
Reply raw_stream(std::string bytes);
/// Bytes that need not be HTTP, then FIN.
Reply garbage(std::string bytes);
/// The connection is closed without an answer.
Reply drop();
/// A head that never ends.
Reply endless_headers();
/// A recorded response, chunk by chunk at its original pace (`timing`) or at once.
Reply recorded(RecordedResponse response, bool timing = true);

/// Reads the script format of `deepseek double --script` (a JSON array, or one object a line).
/// Fails with invalid_options naming the place and the word. Relative `*_file` names start at `folder`.
Result<std::vector<Reply>> parse_script(std::string_view text, const std::string& folder = ".");

/// What the double received.
struct ReceivedRequest {
  std::string method{};
  std::string path{};  ///< without the query
  std::string query{};
  std::vector<HttpHeader> headers{};
  std::string body{};
  std::uint64_t connection = 0;  ///< counts from 1; equal for requests that share a connection
  /// First header of this name, case-insensitive; empty if there is none.
  std::string header(std::string_view name) const;
};

/// The certificate that a TLS double shows.
enum class Certificate {
  none,  ///< plain HTTP
  good,  ///< for localhost, 127.0.0.1 and ::1, signed by the double's own test authority
  expired,
  not_yet_valid,
  wrong_host,  ///< for another.example
  self_signed,
  unknown_ca,  ///< signed by an authority that ca_pem() does not hold
};

struct DoubleOptions {
  std::uint16_t port = 0;  ///< on loopback; 0: the kernel chooses
  Certificate certificate = Certificate::none;
  bool require_tls13 = false;
  std::string key{};                    ///< the only key accepted; empty: any non-empty one
  std::size_t max_concurrent = 0;       ///< requests at once, 429 beyond; 0: no cap
  std::size_t requests_kept = 100'000;  ///< of requests(); older ones are dropped
  bool check_requests = true;           ///< refuse what the service refuses
  bool loop_script = false;             ///< begin the script again when it is used up
  std::string record_upstream{};        ///< base URL: forward instead of playing, and record (command: --record)
  std::string record_file{};            ///< where; appended, one JSON object a line, without Authorization
  std::string upstream_ca_file{};       ///< authorities for an https upstream; empty: the system's
  std::vector<RecordedCall> replay{};   ///< answers requests like the recorded ones; others get 404
  bool replay_timing = true;            ///< with the recorded pace
};

/// The server. Starts in the constructor on a thread of its own and stops in the destructor, which closes
/// every connection. All members are safe from all threads.
class Double {
 public:
  /// Throws Exception if it cannot start (port in use, files).
  explicit Double(DoubleOptions options = {});
  ~Double();
  Double(const Double&) = delete;
  Double& operator=(const Double&) = delete;

  /// Replaces what is left of the script.
  void script(std::vector<Reply> replies);
  /// Adds to the script.
  void then(Reply reply);
  /// Replies left.
  std::size_t script_left() const;

  std::uint16_t port() const noexcept;
  std::string base_url() const;
  /// Options of a client for this server: its address, a key, its authority, short timeouts.
  ClientOptions client_options() const;
  /// The test authority as PEM, and a file that holds it while the double lives. Empty without TLS.
  const std::string& ca_pem() const noexcept;
  const std::string& ca_file() const noexcept;

  std::vector<ReceivedRequest> requests() const;
  void forget_requests();
  std::size_t active() const noexcept;  ///< requests being answered now
  std::size_t open_connections() const noexcept;
  std::uint64_t connections_accepted() const noexcept;
  std::uint64_t tls_failures() const noexcept;  ///< handshakes that failed
  /// Wait until so many requests came since the start (or are being answered now); false after `limit`.
  bool wait_for_requests(std::size_t count, std::chrono::milliseconds limit = std::chrono::seconds(10)) const;
  bool wait_for_active(std::size_t count, std::chrono::milliseconds limit = std::chrono::seconds(10)) const;

  void max_concurrent(std::size_t count);
  /// True: connections are refused by the kernel, the port stays reserved. False: accepted again.
  void refuse_connections(bool refuse);
  /// Resets every open connection.
  void reset_connections();

 private:
  std::unique_ptr<detail::DoubleCore> core_;
};

}  // namespace test
DEEPSEEK_END_NAMESPACE
