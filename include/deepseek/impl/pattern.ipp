#pragma once
#include <deepseek/detail/json_schema.hpp>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

// A regular expression is compiled to a small program and run on all its states at once, so that time is
// bounded by text x pattern: std::regex backtracks without end on "(a+)+$" and overflows the stack on long text.

struct CharRange {
  char32_t first, last;
};
struct CharSet {
  std::vector<CharRange> ranges;
  bool negated = false;
  bool contains(char32_t c) const {
    for (const CharRange& range : ranges) {
      if (c >= range.first && c <= range.last) return !negated;
    }
    return negated;
  }
};

struct PatternStep {
  enum class Kind { set, split, jump, begin, end, word_edge, no_word_edge } kind;
  int x = 0;  ///< set: its index; split, jump: distance to go
  int y = 0;  ///< split: the other distance
};
using PatternProgram = std::vector<PatternStep>;

struct PatternParts {
  PatternProgram program;
  std::vector<CharSet> sets;
};

class PatternCompiler {
 public:
  explicit PatternCompiler(std::u32string_view text) : text_(text) {}

  std::optional<PatternProgram> compile() {
    PatternProgram program = alternatives(0);
    if (failed_ || at_ != text_.size()) return std::nullopt;
    return program;
  }
  std::vector<CharSet> take_sets() { return std::move(sets_); }

 private:
  static constexpr int max_nesting = 50;
  static constexpr std::size_t max_steps = 5000;
  static constexpr std::size_t max_ranges = 2000;  // of all sets together
  std::size_t ranges_ = 0;
  using Kind = PatternStep::Kind;

  bool done() const { return failed_ || at_ >= text_.size(); }
  bool next_is(char32_t c) const { return !done() && text_[at_] == c; }
  bool take(char32_t c) { return next_is(c) && ++at_; }
  PatternProgram fail() { return failed_ = true, PatternProgram{}; }
  static int length(const PatternProgram& program) { return static_cast<int>(program.size()); }
  static void append(PatternProgram& to, const PatternProgram& from) { to.insert(to.end(), from.begin(), from.end()); }

  PatternProgram alternatives(int nesting) {
    if (nesting > max_nesting) return fail();
    PatternProgram left = sequence(nesting);
    while (take(U'|')) {
      const PatternProgram right = sequence(nesting);
      PatternProgram both{{Kind::split, 1, length(left) + 2}};
      append(both, left);
      both.push_back({Kind::jump, length(right) + 1});
      append(both, right);
      left = std::move(both);
      if (left.size() > max_steps) return fail();
    }
    return left;
  }

  PatternProgram sequence(int nesting) {
    PatternProgram all;
    while (!done() && !next_is(U'|') && !next_is(U')')) {
      append(all, repeated(atom(nesting)));
      if (all.size() > max_steps) return fail();
    }
    return all;
  }

  PatternProgram repeated(PatternProgram one) {
    int least = 1, most = 1;
    if (take(U'*')) {
      least = 0, most = -1;
    } else if (take(U'+')) {
      most = -1;
    } else if (take(U'?')) {
      least = 0;
    } else if (!next_is(U'{') || !counts(least, most)) {
      return one;
    }
    take(U'?');  // lazy or not, the same texts match
    if (next_is(U'*') || next_is(U'+') || next_is(U'?')) return fail();
    const int copies = most < 0 ? least + 1 : most;
    if (copies > 1000 || one.size() * static_cast<std::size_t>(copies) > max_steps) return fail();
    PatternProgram all;
    for (int i = 0; i < least; ++i) append(all, one);
    if (most < 0) {
      all.push_back({Kind::split, 1, length(one) + 2});
      append(all, one);
      all.push_back({Kind::jump, -(length(one) + 1)});
    }
    for (int i = least; i < most; ++i) {
      all.push_back({Kind::split, 1, length(one) + 1});
      append(all, one);
    }
    return all;
  }

  bool number(int& out) {
    if (done() || text_[at_] < U'0' || text_[at_] > U'9') return false;
    for (out = 0; !done() && text_[at_] >= U'0' && text_[at_] <= U'9' && out < 100000; ++at_) {
      out = out * 10 + static_cast<int>(text_[at_] - U'0');
    }
    return true;
  }

  /// {n}, {n,} or {n,m}; anything else leaves the brace to be an ordinary character.
  bool counts(int& least, int& most) {
    const std::size_t start = at_++;
    int low = 0, high = 0;
    if (number(low)) {
      high = low;
      if (take(U',') && !number(high)) high = -1;
      if (take(U'}') && (high < 0 || high >= low)) return least = low, most = high, true;
    }
    at_ = start;
    failed_ = true;
    return false;
  }

  PatternProgram one_of(CharSet set) {
    ranges_ += set.ranges.size();
    if (ranges_ > max_ranges) return fail();
    sets_.push_back(std::move(set));
    return {{Kind::set, static_cast<int>(sets_.size()) - 1}};
  }

  PatternProgram atom(int nesting) {
    const char32_t c = text_[at_++];
    switch (c) {
      case U'^':
        return {{Kind::begin}};
      case U'$':
        return {{Kind::end}};
      case U'.':
        return one_of({{{U'\n', U'\n'}, {U'\r', U'\r'}, {0x2028, 0x2029}}, true});
      case U'(':
        return group(nesting);
      case U'[':
        return bracket();
      case U'*':
      case U'+':
      case U'?':
        return fail();
      case U'\\':
        if (take(U'b')) return {{Kind::word_edge}};
        if (take(U'B')) return {{Kind::no_word_edge}};
        {
          CharSet set;
          return escape(set) ? one_of(std::move(set)) : fail();
        }
      default:
        return one_of({{{c, c}}, false});
    }
  }

  PatternProgram group(int nesting) {
    if (take(U'?')) {
      if (take(U'<')) {  // a name; "<=" and "<!" look behind
        while (!done() && text_[at_] != U'>') {
          if (text_[at_] == U'=' || text_[at_] == U'!') return fail();
          ++at_;
        }
        if (!take(U'>')) return fail();
      } else if (!take(U':')) {
        return fail();
      }
    }
    PatternProgram inner = alternatives(nesting + 1);
    return take(U')') ? inner : fail();
  }

  static void add_class(CharSet& set, char32_t kind) {
    const bool inverse = kind < U'a';
    std::vector<CharRange> ranges;
    switch (kind | 0x20) {
      case U'd':
        ranges = {{U'0', U'9'}};
        break;
      case U'w':
        ranges = {{U'0', U'9'}, {U'A', U'Z'}, {U'_', U'_'}, {U'a', U'z'}};
        break;
      default:
        ranges = {{9, 13},          {32, 32},         {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                  {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    }
    char32_t from = 0;
    for (const CharRange& range : ranges) {
      if (!inverse) {
        set.ranges.push_back(range);
      } else if (range.first > from) {
        set.ranges.push_back({from, range.first - 1});
      }
      from = range.last + 1;
    }
    if (inverse) set.ranges.push_back({from, 0x10FFFF});
  }

  bool hex(int digits, char32_t& out) {
    for (out = 0; digits > 0; --digits, ++at_) {
      if (done()) return false;
      const char32_t c = text_[at_];
      const char32_t lower = c | 0x20;
      if (c >= U'0' && c <= U'9') {
        out = out * 16 + (c - U'0');
      } else if (lower >= U'a' && lower <= U'f') {
        out = out * 16 + (lower - U'a' + 10);
      } else {
        return false;
      }
    }
    return true;
  }

  /// What follows a backslash: one character or a class.
  bool escape(CharSet& set) {
    if (done()) return false;
    char32_t c = text_[at_++];
    switch (c) {
      case U'd':
      case U'D':
      case U'w':
      case U'W':
      case U's':
      case U'S':
        return add_class(set, c), true;
      case U'n':
        c = U'\n';
        break;
      case U'r':
        c = U'\r';
        break;
      case U't':
        c = U'\t';
        break;
      case U'f':
        c = U'\f';
        break;
      case U'v':
        c = U'\v';
        break;
      case U'0':
        c = 0;
        break;
      case U'x':
        if (!hex(2, c)) return false;
        break;
      case U'u':
        if (!hex(4, c)) return false;
        break;
      default:  // back-references, \p{...} and the like
        if ((c >= U'1' && c <= U'9') || (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z')) return false;
    }
    set.ranges.push_back({c, c});
    return true;
  }

  bool bracket_item(CharSet& set) {
    const char32_t c = text_[at_++];
    if (c != U'\\') return set.ranges.push_back({c, c}), true;
    if (take(U'b')) return set.ranges.push_back({8, 8}), true;
    return escape(set);
  }

  PatternProgram bracket() {
    CharSet set;
    set.negated = take(U'^');
    while (!done() && !next_is(U']')) {
      const std::size_t before = set.ranges.size();
      if (before > max_ranges) return fail();
      if (!bracket_item(set)) return fail();
      if (!next_is(U'-') || at_ + 1 >= text_.size() || text_[at_ + 1] == U']') continue;
      ++at_;
      CharSet last;
      if (!bracket_item(last)) return fail();
      CharRange& range = set.ranges.back();
      const bool single = set.ranges.size() == before + 1 && range.first == range.last && last.ranges.size() == 1 &&
                          last.ranges[0].first == last.ranges[0].last;
      if (!single || last.ranges[0].first < range.first) return fail();
      range.last = last.ranges[0].last;
    }
    return take(U']') ? one_of(std::move(set)) : fail();
  }

  std::u32string_view text_;
  std::size_t at_ = 0;
  std::vector<CharSet> sets_;
  bool failed_ = false;
};

class PatternRun {
 public:
  PatternRun(const PatternProgram& program, const std::vector<CharSet>& sets, std::u32string_view text)
      : program_(program), sets_(sets), text_(text), seen_(program.size() + 1, 0) {}

  bool found() {
    std::vector<int> now, then;
    for (std::size_t at = 0;; ++at) {
      enter(0, at, now);  // a match may begin anywhere
      if (matched_) return true;
      if (at == text_.size()) return false;
      ++mark_;
      then.clear();
      for (int pc : now) {
        if (sets_[static_cast<std::size_t>(program_[static_cast<std::size_t>(pc)].x)].contains(text_[at])) {
          enter(pc + 1, at + 1, then);
        }
      }
      if (matched_) return true;
      now.swap(then);
    }
  }

 private:
  using Kind = PatternStep::Kind;

  static bool is_word(char32_t c) {
    return (c >= U'0' && c <= U'9') || (c >= U'A' && c <= U'Z') || (c >= U'a' && c <= U'z') || c == U'_';
  }
  bool at_word_edge(std::size_t at) const {
    const bool before = at > 0 && is_word(text_[at - 1]);
    const bool after = at < text_.size() && is_word(text_[at]);
    return before != after;
  }

  /// Adds the state `pc` and all that are reached from it without a character.
  void enter(int pc, std::size_t at, std::vector<int>& states) {
    todo_.assign(1, pc);
    while (!todo_.empty()) {
      const int here = todo_.back();
      todo_.pop_back();
      const auto index = static_cast<std::size_t>(here);
      if (seen_[index] == mark_) continue;
      seen_[index] = mark_;
      if (index == program_.size()) {
        matched_ = true;
        return;
      }
      const PatternStep& step = program_[index];
      switch (step.kind) {
        case Kind::set:
          states.push_back(here);
          break;
        case Kind::jump:
          todo_.push_back(here + step.x);
          break;
        case Kind::split:
          todo_.push_back(here + step.x);
          todo_.push_back(here + step.y);
          break;
        case Kind::begin:
          if (at == 0) todo_.push_back(here + 1);
          break;
        case Kind::end:
          if (at == text_.size()) todo_.push_back(here + 1);
          break;
        case Kind::word_edge:
          if (at_word_edge(at)) todo_.push_back(here + 1);
          break;
        case Kind::no_word_edge:
          if (!at_word_edge(at)) todo_.push_back(here + 1);
          break;
      }
    }
  }

  const PatternProgram& program_;
  const std::vector<CharSet>& sets_;
  std::u32string_view text_;
  std::vector<std::uint64_t> seen_;
  std::vector<int> todo_;
  std::uint64_t mark_ = 1;
  bool matched_ = false;
};

/// `text` is valid UTF-8: it comes out of a JSON parser.
DEEPSEEK_DECL std::u32string code_points(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t c = size == 1 ? lead : lead & (0xFFu >> (size + 1));
    for (std::size_t k = 1; k < size && i + k < text.size(); ++k)
      c = c << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3Fu);
    out.push_back(c);
    i += size;
  }
  return out;
}

DEEPSEEK_DECL std::optional<Pattern> Pattern::compile(std::string_view expression) {
  const std::u32string text = code_points(expression);
  PatternCompiler compiler(text);
  std::optional<PatternProgram> program = compiler.compile();
  if (!program) return std::nullopt;
  auto parts = std::make_shared<PatternParts>();
  parts->program = *std::move(program);
  parts->sets = compiler.take_sets();
  Pattern pattern;
  pattern.cost_ = parts->program.size() + 1;
  for (const CharSet& set : parts->sets) pattern.cost_ += set.ranges.size();
  pattern.parts_ = std::move(parts);
  return pattern;
}

DEEPSEEK_DECL bool Pattern::found_in(std::string_view text) const {
  const std::u32string subject = code_points(text);
  return PatternRun(parts_->program, parts_->sets, subject).found();
}

DEEPSEEK_DECL PatternMatch match_pattern(std::string_view expression, std::string_view text) {
  constexpr std::uint64_t max_work = 50'000'000;
  const std::optional<Pattern> pattern = Pattern::compile(expression);
  if (!pattern) return PatternMatch::unsupported;
  if (pattern->work(text) > max_work) return PatternMatch::no;
  return pattern->found_in(text) ? PatternMatch::yes : PatternMatch::no;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
