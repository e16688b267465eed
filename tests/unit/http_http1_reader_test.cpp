// One HTTP/1.1 response, however its bytes are cut, and everything that makes its end doubtful.
#include "support/catch.hpp"

#include <deepseek/http/detail/http1_reader.hpp>

#include <algorithm>
#include <string>

using deepseek::ErrorCode;
using deepseek::detail::Http1Reader;

namespace {

struct Reading {
  std::string head;  // status and block
  std::string body;
  std::string rest;  // behind the end
  bool ended = false;
  bool fault = false;
  bool whole_at_close = false;
  bool reusable = false;
  ErrorCode code = ErrorCode::internal;
};

Reading read(const std::string& wire, std::size_t piece, bool head_only = false, std::uint64_t limit = 1000) {
  Http1Reader reader(limit, head_only);
  std::string scratch;
  Reading got;
  for (std::size_t at = 0; at < wire.size() && !got.ended && !got.fault; at += piece) {
    const std::string owned = wire.substr(at, piece);  // of its own: a view that outlives it is caught
    std::string_view bytes = owned;
    for (bool more = true; more;) switch (reader.next(bytes, scratch)) {
        case Http1Reader::Part::none:
          REQUIRE(bytes.empty());
          more = false;
          break;
        case Http1Reader::Part::head:
          got.head += std::to_string(reader.head().status) + '/' + std::to_string(reader.head().version) + '|' +
                      std::string(reader.head().block);
          break;
        case Http1Reader::Part::data:
          got.body += reader.data();
          break;
        case Http1Reader::Part::end:
          got.ended = true;
          got.rest = std::string(bytes) + wire.substr(std::min(at + piece, wire.size()));
          more = false;
          break;
        case Http1Reader::Part::fault:
          got.fault = true;
          got.code = reader.fault_code();
          more = false;
          break;
      }
  }
  got.whole_at_close = reader.whole_at_close();
  got.reusable = reader.reusable();
  return got;
}

const std::size_t pieces[] = {1, 2, 3, 7, 16, 10'000};

bool refused(const std::string& wire) {
  return std::all_of(std::begin(pieces), std::end(pieces), [&](std::size_t piece) {
    const Reading got = read(wire, piece);
    return got.fault && got.code == ErrorCode::http_protocol && got.body.empty();
  });
}

}  // namespace

TEST_CASE("a counted response is whole at its length, and what follows is left alone", "[http][modes]") {
  const std::string wire = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhelloHTTP/1.1 ...";
  for (const std::size_t piece : pieces) {
    const Reading got = read(wire, piece);
    CHECK(got.head == "200/11|Content-Length: 5\r\nX: y\r\n");
    CHECK(got.body == "hello");
    CHECK(got.ended);
    CHECK(got.reusable);
    CHECK(got.rest == "HTTP/1.1 ...");
  }
}

TEST_CASE("a chunked response is whole at its last chunk", "[http][modes]") {
  const std::string wire =
      "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\r\nhello\r\n1\r\n \r\n0\r\nTrailer: t\r\n\r\n";
  for (const std::size_t piece : pieces) {
    const Reading got = read(wire, piece);
    CHECK(got.body == "hello ");
    CHECK(got.ended);
    CHECK(got.reusable);
    CHECK(got.rest.empty());
  }
}

TEST_CASE("without a length the close is the end", "[http][modes]") {
  for (const std::size_t piece : pieces) {
    const Reading got = read("HTTP/1.1 200 OK\r\nServer: old\r\n\r\nall of it", piece);
    CHECK(got.body == "all of it");
    CHECK_FALSE(got.ended);
    CHECK(got.whole_at_close);
    CHECK_FALSE(got.reusable);
  }
}

TEST_CASE("a cut body is not whole at the close", "[http]") {
  for (const char* wire : {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "HTTP/1.1 200 OK\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "HTTP/1.", ""})
    for (const std::size_t piece : pieces) {
      INFO(wire);
      const Reading got = read(wire, piece);
      CHECK_FALSE(got.ended);
      CHECK_FALSE(got.fault);
      CHECK_FALSE(got.whole_at_close);
    }
}

TEST_CASE("interim responses are passed over, within the same limit", "[http][modes]") {
  const std::string wire =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
  for (const std::size_t piece : pieces) {
    const Reading got = read(wire, piece);
    CHECK(got.head == "204/11|");
    CHECK(got.ended);
    CHECK(got.reusable);
  }
  std::string endless;
  for (int i = 0; i < 100; ++i) endless += "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
  for (const std::size_t piece : pieces) CHECK(read(endless, piece).code == ErrorCode::limit_exceeded);
}

TEST_CASE("answers that have no body whatever they say", "[http]") {
  CHECK(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 1).ended);
  CHECK(read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 1, true).ended);
  CHECK(read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1).ended);
}

TEST_CASE("what may carry another request", "[http]") {
  const auto reusable = [](const std::string& fields, const char* version = "1.1") {
    const Reading got = read(std::string("HTTP/") + version + " 200 OK\r\n" + fields + "\r\n", 100);
    REQUIRE(got.ended);
    return got.reusable;
  };
  CHECK(reusable("Content-Length: 0\r\n"));
  CHECK_FALSE(reusable("Content-Length: 0\r\nConnection: Close\r\n"));
  CHECK_FALSE(reusable("Content-Length: 0\r\nConnection: keep-alive, close\r\n"));
  CHECK_FALSE(reusable("Content-Length: 0\r\n", "1.0"));
  CHECK(reusable("Content-Length: 0\r\nConnection: keep-alive\r\n", "1.0"));
  // Two framings: whoever reads along the way may have taken the other one.
  CHECK_FALSE(read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 9).reusable);
}

TEST_CASE("what makes the end of a body doubtful is refused", "[http][modes]") {
  const auto with = [](const std::string& fields) { return "HTTP/1.1 200 OK\r\n" + fields + "\r\n12345"; };
  CHECK(refused(with("Content-Length: 5\r\nContent-Length: 6\r\n")));
  CHECK(refused(with("Content-Length: 5, 5\r\n")));
  CHECK(refused(with("Content-Length: +5\r\n")));
  CHECK(refused(with("Content-Length: -5\r\n")));
  CHECK(refused(with("Content-Length: 0x5\r\n")));
  CHECK(refused(with("Content-Length:\r\n")));
  CHECK(refused(with("Content-Length: 99999999999999999999\r\n")));
  CHECK(refused(with("Content-Length: 5\r\n 6\r\n")));
  CHECK(refused(with("Content-Length : 5\r\n")));
  CHECK(refused(with("Transfer-Encoding: gzip, chunked\r\n")));
  CHECK(refused(with("Transfer-Encoding: chunked\r\n , gzip\r\n")));
  CHECK(refused(with("Transfer-Encoding\t: chunked\r\n")));
  CHECK(refused(with("no colon\r\n")));
  CHECK(refused(with(": no name\r\n")));
  CHECK(refused("HTTP/1.1 200 OK\r\nX: a" + std::string(1, '\0') + "\r\n\r\n"));
  CHECK(read(with("Content-Length: 5\r\nContent-Length: 5\r\n"), 3).body == "12345");
  CHECK(read(with("X: folded\r\n  over\r\nContent-Length: 5\r\n"), 3).body == "12345");
}

TEST_CASE("what is not HTTP/1.1 is refused at its first bytes", "[http][modes]") {
  for (const char* wire :
       {"SSH-2.0-OpenSSH\r\n", "HTTP/2 200\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1\r\n\r\n",
        "HTTP/1.x 200 OK\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "\x16\x03\x01\x02"}) {
    INFO(wire);
    CHECK(refused(wire));
  }
  CHECK(read("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 1).ended);  // the reason may be missing
}

TEST_CASE("a head beyond its limit is refused, one at the limit is not", "[http][modes]") {
  const std::string start = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
  for (const std::size_t piece : pieces) {
    const auto padded = [&](std::size_t size) {
      return start + std::string(size - start.size() - 4, 'x') + "\r\n\r\n";
    };
    CHECK(read(padded(1000), piece).ended);
    CHECK(read(padded(1001), piece).code == ErrorCode::limit_exceeded);
    CHECK(read(start + std::string(100'000, 'x'), piece).code == ErrorCode::limit_exceeded);
  }
}

TEST_CASE("broken chunks end the response after what came before them", "[http]") {
  for (const std::size_t piece : pieces) {
    const Reading got = read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nXX\r\nevil", piece);
    CHECK(got.fault);
    CHECK(got.body == "hello");
  }
}
