// HTTP/1.1 responses: the first byte chooses the limit on the head and whether HEAD was asked, the second a cut.
// However the rest is cut, the head, the body, the end and the fault are the same, and nothing handed out lies
// outside of what may be read.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <deepseek/http/detail/http1_reader.hpp>

namespace {

using namespace deepseek;
using detail::Http1Reader;
using Part = Http1Reader::Part;

void require(bool holds) {
  if (!holds) std::abort();
}

bool lies_in(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

struct Run {
  std::string head, body;
  Part last = Part::none;
  std::size_t used = 0;  // up to the end
  std::string fault;
  bool begun = false, head_complete = false, whole_at_close = false, reusable = false;
  int heads = 0;
  bool operator==(const Run& other) const {
    return head == other.head && body == other.body && last == other.last && fault == other.fault &&
           (last != Part::end || used == other.used) && begun == other.begun && head_complete == other.head_complete &&
           whole_at_close == other.whole_at_close && reusable == other.reusable;
  }
};

void take_head(Run& run, const Http1Reader& reader) {
  const HttpHead head = reader.head();
  require(++run.heads == 1 && run.body.empty());
  require(head.status >= 200 && head.status <= 999 && head.version >= 10 && head.version <= 19);
  require(head.block.empty() || head.block.back() == '\n');
  require(head.block.find('\0') == head.block.npos && head.block.find("\n\n") == head.block.npos);
  run.head = std::to_string(head.status) + ' ' + std::to_string(head.version) + '\n';
  run.head += head.block;
}

/// `scratch` is shared with other readers: whatever lies there is of no account.
Run read(std::string_view bytes, std::size_t piece, std::uint64_t limit, bool head_only, std::string& scratch) {
  Http1Reader reader(limit, head_only);
  Run run;
  while (!bytes.empty() && run.last != Part::end && run.last != Part::fault) {
    // A copy of its own size, so that a sanitizer sees a read beyond it and a view that outlives it.
    const std::vector<char> block(bytes.begin(),
                                  bytes.begin() + static_cast<std::ptrdiff_t>(std::min(piece, bytes.size())));
    bytes.remove_prefix(block.size());
    const std::string_view all(block.data(), block.size());
    std::string_view rest = all;
    for (std::size_t steps = 0;; ++steps) {
      require(steps <= 2 * all.size() + 3);
      const std::size_t before = rest.size();
      run.last = reader.next(rest, scratch);
      require(rest.size() <= before && lies_in(rest, all));
      if (run.last == Part::head) take_head(run, reader);
      if (run.last == Part::data) {
        const std::string_view data = reader.data();
        require(!data.empty() && run.heads == 1 && data.size() <= before - rest.size());
        require(lies_in(data, all) || lies_in(data, scratch));
        run.body += data;
      }
      if (run.last == Part::none) require(rest.empty());
      if (run.last != Part::head && run.last != Part::data) break;
    }
    run.used += all.size() - rest.size();
  }
  if (run.last == Part::fault) run.fault = reader.fault_text();
  run.begun = reader.begun();
  run.head_complete = reader.head_complete();
  run.whole_at_close = reader.whole_at_close();
  run.reusable = run.last == Part::end && reader.reusable();
  // A fault may be seen before or after the state of the body says so; where it lies is the same.
  if (run.last == Part::fault) run.head_complete = run.heads == 1, run.whole_at_close = false;
  require(run.heads == 0 || run.head.size() <= limit + 16);
  return run;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const bool head_only = (data[0] & 1) != 0;
  const std::uint64_t limit = (data[0] & 2) != 0 ? data[0] : 64u * 1024;
  std::string scratch = "left over";
  const Run whole = read(bytes, bytes.size() + 1, limit, head_only, scratch);
  const std::size_t cut = data[1] % 64u + 1;
  require(read(bytes, 1, limit, head_only, scratch) == whole);
  require(read(bytes, cut, limit, head_only, scratch) == whole);
  require(read(bytes, data[1] * 97u + 64, limit, head_only, scratch) == whole);
  return 0;
}
