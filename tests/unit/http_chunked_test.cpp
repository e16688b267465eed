// The chunked coding of HTTP/1.1, however the bytes are cut.
#include "support/catch.hpp"

#include <deepseek/http/detail/chunked.hpp>

#include <algorithm>
#include <string>

using deepseek::detail::ChunkedReader;
using deepseek::detail::Framing;
using deepseek::detail::framing_of;

namespace {

std::string read(const std::string& wire, std::size_t piece) {
  ChunkedReader reader;
  std::string scratch, body;
  for (std::size_t at = 0; at < wire.size(); at += piece) {
    std::string_view block = std::string_view(wire).substr(at, piece);
    body += reader.feed(block, scratch);
    if (reader.done()) return body + "<end>" + std::string(block) + wire.substr(std::min(at + piece, wire.size()));
  }
  return reader.fault() ? body + "<fault>" : body;
}

}  // namespace

TEST_CASE("chunks are joined whatever the reads", "[http][modes]") {
  const std::string wire =
      "5\r\nhello\r\n1;name=value\r\n \r\n00A\r\n0123456789\r\n6\r\nw\r\n\rld\r\n0\r\nTrailer: x\r\n\r\nbeyond";
  for (std::size_t piece = 1; piece <= wire.size(); ++piece)
    REQUIRE(read(wire, piece) == "hello 0123456789w\r\n\rld<end>beyond");
}

TEST_CASE("the end of a chunked body is the empty line behind its trailer", "[http][modes]") {
  const std::string body = "2\r\nhi\r\n";
  for (std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{100}}) {
    CHECK(read(body + "0\r\n\r\n", piece) == "hi<end>");
    CHECK(read(body + "000;x=y\r\nA: b\r\nC: d\r\n\r\nHTTP/1.1", piece) == "hi<end>HTTP/1.1");
    CHECK(read(body + "0\n\nrest", piece) == "hi<end>rest");
    CHECK(read(body + "0\r\nA: b\r\n", piece) == "hi");  // not over yet
    CHECK(read(body + "0\r\n" + std::string(70'000, 'x'), 1000) == "hi<fault>");
  }
}

TEST_CASE("one chunk in a read is handed out where it lies", "[http]") {
  ChunkedReader reader;
  std::string scratch;
  const std::string wire = "5\r\nhello\r\n";
  std::string_view block = wire;
  const std::string_view body = reader.feed(block, scratch);
  REQUIRE(body == "hello");
  REQUIRE(body.data() == wire.data() + 3);
}

TEST_CASE("a broken framing stops the reader for good", "[http]") {
  for (const char* wire : {"x\r\n", "\r\n", "5\r\nhelloX\r\n", "fffffffffffffffffff\r\n", "-1\r\n"})
    for (std::size_t piece : {std::size_t{1}, std::size_t{100}}) {
      INFO(wire);
      const std::string body = read(std::string(wire) + "5\r\nevil!\r\n", piece);
      REQUIRE(body.find("<fault>") != std::string::npos);
      REQUIRE(body.find("evil") == std::string::npos);
    }
}

TEST_CASE("transfer codings: one chunked is understood, anything beside it is not", "[http][modes]") {
  for (const char* plain : {"", "identity", ", ,", " identity ,"}) CHECK(framing_of(plain) == Framing::plain);
  for (const char* chunked : {"chunked", "Chunked,", "identity,chunked,", ", chunked ,", "chunked, identity"})
    CHECK(framing_of(chunked) == Framing::chunked);
  for (const char* unknown :
       {"gzip, chunked", "chunked, chunked", "xchunked", "chunked;q=1", "chunke", "folded,chunked"})
    CHECK(framing_of(unknown) == Framing::unknown);
}
