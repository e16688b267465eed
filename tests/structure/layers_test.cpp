// The rules a compiler does not keep: which layer may include which, what a public header may pull in,
// and what library code may never call. Each rule is also shown a planted offence.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/shared_data.hpp"

namespace {

namespace fs = std::filesystem;
using Complaints = std::vector<std::string>;

struct Source {
  std::string path;  // from the project root, with forward slashes
  std::string text;
};

bool ends_with(const std::string& text, const std::string& tail) {
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<Source> sources_under(const std::string& folder) {
  const fs::path root = DEEPSEEK_SOURCE_DIR;
  std::vector<Source> found;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".hpp" && extension != ".ipp" && extension != ".cpp") continue;
    found.push_back({fs::relative(entry.path(), root).generic_string(), deepseek_tests::read_file(entry.path())});
  }
  std::sort(found.begin(), found.end(), [](const Source& a, const Source& b) { return a.path < b.path; });
  return found;
}

std::string join(const Complaints& complaints) {
  std::string all;
  for (const auto& line : complaints) all += line + "\n";
  return all;
}

std::vector<std::string> includes_of(const std::string& text) {
  static const std::regex line(R"(^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"])", std::regex::multiline);
  std::vector<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), line), end; it != end; ++it) names.push_back((*it)[1]);
  return names;
}

/// Comments and the contents of literals become blanks; line breaks stay.
std::string code_only(const std::string& text) {
  enum class In { code, line_comment, block_comment, string, character } state = In::code;
  std::string out = text;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (state == In::code) {
      const bool separator = c == '\'' && i > 0 && std::isxdigit(static_cast<unsigned char>(text[i - 1])) != 0;
      if (c == '/' && next == '/') state = In::line_comment;
      if (c == '/' && next == '*') state = In::block_comment;
      if (c == 'R' && next == '"') {
        const std::size_t open = text.find('(', i);
        const std::string close = ")" + text.substr(i + 2, open - i - 2) + "\"";
        const std::size_t last = std::min(text.find(close, open), text.size() - close.size()) + close.size();
        for (; i < last; ++i) out[i] = text[i] == '\n' ? '\n' : ' ';
        --i;
        continue;
      }
      if (c == '"') state = In::string;
      if (c == '\'' && !separator) state = In::character;
      if (state == In::line_comment || state == In::block_comment) out[i] = ' ';
      continue;
    }
    if (c != '\n') out[i] = ' ';
    if (state == In::line_comment && c == '\n') state = In::code;
    if (state == In::block_comment && c == '*' && next == '/') {
      out[++i] = ' ';
      state = In::code;
    }
    if (state == In::string || state == In::character) {
      if (c == '\\' && next != '\n') out[++i] = ' ';
      if (c == (state == In::string ? '"' : '\'')) state = In::code;
    }
  }
  return out;
}

/// The layer of a path below include/deepseek/, or of src/<layer>.cpp.
std::string layer_of(const std::string& path) {
  static const std::set<std::string> of_core = {"error.hpp", "result.hpp", "fwd.hpp", "config.hpp", "version.hpp"};
  static const std::set<std::string> folders = {"core", "http", "transport", "auth", "policy", "model"};
  if (of_core.count(path) != 0) return "core";
  const std::string first = path.substr(0, path.find('/'));
  if (folders.count(first) != 0) return first;
  if (first == "testing" || first == "interop" || first == "component") return first;
  return "client";
}

bool may_include(const std::string& from, const std::string& to) {
  static const std::map<std::string, std::set<std::string>> below = {
      {"core", {"core"}},
      {"http", {"core", "http"}},
      {"transport", {"core", "http", "transport"}},
      {"auth", {"core", "http", "transport", "auth"}},
      {"policy", {"core", "transport", "policy"}},
      {"model", {"core", "transport", "model"}},
      {"client", {"core", "http", "transport", "auth", "policy", "model", "client"}},
      {"testing", {"core", "http", "transport", "auth", "policy", "model", "client", "testing"}},
      {"component", {"core", "http", "transport", "auth", "policy", "component"}},
      {"interop", {"core", "model", "interop"}},
  };
  return below.at(from).count(to) != 0;
}

Complaints layer_complaints(const Source& source) {
  const std::string root = "include/deepseek/";
  if (source.path == root + "src.hpp") return {};  // lists every body by design
  const std::string own = source.path.rfind(root, 0) == 0 ? source.path.substr(root.size()) : source.path.substr(4);
  const std::string from = source.path.rfind(root, 0) == 0 ? layer_of(own) : own.substr(0, own.find('.'));
  Complaints found;
  for (const std::string& name : includes_of(source.text)) {
    if (name.rfind("deepseek/", 0) != 0) continue;
    const std::string to = layer_of(name.substr(9));
    if (!may_include(from, to)) found.push_back(source.path + ": layer " + from + " includes " + name);
  }
  return found;
}

bool is_standard(const std::string& name) {
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") == std::string::npos;
}

/// A header that users may include: neither bodies nor another library comes with it.
Complaints header_complaints(const Source& source) {
  static const std::set<std::string> heavy = {"iostream", "fstream", "sstream", "regex", "filesystem", "locale"};
  if (!ends_with(source.path, ".hpp") || contains(source.path, "/interop/")) return {};
  const bool own_detail = contains(source.path, "/detail/");
  const bool lists_bodies = contains(source.path, "/impl/") || ends_with(source.path, "deepseek/src.hpp");
  Complaints found;
  for (const std::string& name : includes_of(source.text)) {
    const bool ours = name.rfind("deepseek/", 0) == 0;
    if (!ours && (!is_standard(name) || heavy.count(name) != 0)) {
      found.push_back(source.path + ": public header includes " + name);
    }
    if (ours && ends_with(name, ".ipp") && !lists_bodies && !contains(source.text, "#ifdef DEEPSEEK_HEADER_ONLY")) {
      found.push_back(source.path + ": includes the body " + name + " in every mode");
    }
    if (ours && contains(name, "/detail/") && !own_detail && !lists_bodies &&
        !contains(source.text, "#ifdef DEEPSEEK_HEADER_ONLY") && !ends_with(source.path, "/coro.hpp")) {
      found.push_back(source.path + ": public header includes the private " + name);
    }
  }
  return found;
}

/// libcurl is known to layer 1 alone, and no policy reads JSON.
Complaints third_party_complaints(const Source& source) {
  static const std::map<std::string, std::set<std::string>> homes = {
      {"curl/", {"http"}},
      {"simdjson", {"model"}},
      {"nlohmann/", {"transport", "auth", "model", "client", "interop"}},
      {"boost/", {}},
  };
  const std::string root = "include/deepseek/";
  Complaints found;
  for (const std::string& name : includes_of(source.text)) {
    for (const auto& [prefix, layers] : homes) {
      if (name.rfind(prefix, 0) != 0) continue;
      if (layers.count(layer_of(source.path.substr(root.size()))) == 0) {
        found.push_back(source.path + ": " + name + " has no place in this layer");
      }
    }
  }
  return found;
}

/// What an embedded library must not do to its host, and what would make a number depend on the locale.
Complaints habit_complaints(const Source& source) {
  // A call, not a declaration (`void signal(Waiter&)`) nor a member of something (`other.signal()`).
  static const auto call = [](const std::string& names) {
    return std::regex(R"((^\s*|[;{}(),=!&|?+]\s*|:\s+|\b(return|else|do)\s+)(std::|::)?()" + names + R"()\s*\()");
  };
  static const std::vector<std::pair<std::regex, std::string>> rules = {
      {std::regex(R"(\bstd::(cout|cerr|clog|cin)\b)"), "writes to a standard stream"},
      {call("printf|puts|putchar|vprintf|fprintf|perror"), "prints"},
      {call(R"(exit|_exit|_Exit|quick_exit|terminate|abort(?=\s*\(\s*\)))"), "ends the process"},
      {call("signal|sigaction|raise|atexit"), "touches signals or exit"},
      {call("setlocale|srand|rand|setenv|putenv|system|popen"), "touches the host's state"},
      {call("stoi|stol|stoul|stoull|stoll|stod|stof|strtod|atof|atoi|sscanf"), "reads a number in the host's locale"},
      {std::regex(R"(\busing\s+namespace\b)"), "using namespace"},
      {std::regex(R"(\bnamespace\s*\{)"), "anonymous namespace, which one-TU mode would merge"},
      {std::regex(R"(\bstd::this_thread::sleep)"), "sleeps"},
  };
  const std::string code = code_only(source.text);
  Complaints found;
  std::size_t number = 0;
  for (std::size_t start = 0; start < code.size();) {
    const std::size_t end = std::min(code.find('\n', start), code.size());
    const std::string line = code.substr(start, end - start);
    ++number;
    for (const auto& [pattern, what] : rules) {
      if (std::regex_search(line, pattern)) {
        found.push_back(source.path + ":" + std::to_string(number) + ": " + what);
      }
    }
    start = end + 1;
  }
  return found;
}

/// A body's macros end with the body.
Complaints macro_complaints(const Source& source) {
  if (!ends_with(source.path, ".ipp")) return {};
  static const std::regex define(R"(^[ \t]*#[ \t]*define[ \t]+(\w+))", std::regex::multiline);
  Complaints found;
  for (std::sregex_iterator it(source.text.begin(), source.text.end(), define), end; it != end; ++it) {
    const std::string name = (*it)[1];
    if (!contains(source.text, "#undef " + name)) found.push_back(source.path + ": macro " + name + " leaks");
  }
  return found;
}

template <class Rule>
void check_all(const std::string& folder, Rule rule) {
  Complaints all;
  const auto sources = sources_under(folder);
  REQUIRE(sources.size() > 5);
  for (const Source& source : sources) {
    for (auto& complaint : rule(source)) all.push_back(std::move(complaint));
  }
  INFO(join(all));
  CHECK(all.empty());
}

}  // namespace

TEST_CASE("no layer includes one above it", "[structure]") {
  check_all("include", layer_complaints);
  for (const Source& source : sources_under("src")) {
    if (std::count(source.path.begin(), source.path.end(), '/') != 1)
      continue;  // the command and the double sit on top
    INFO(source.path);
    CHECK(join(layer_complaints(source)).empty());
  }

  CHECK(layer_complaints({"include/deepseek/http/x.hpp", "#include <deepseek/policy/policy.hpp>\n"}).size() == 1);
  CHECK(layer_complaints({"include/deepseek/policy/impl/x.ipp", "# include \"deepseek/model/chat.hpp\"\n"}).size() ==
        1);
  CHECK(layer_complaints({"include/deepseek/error.hpp", "#include <deepseek/client.hpp>\n"}).size() == 1);
  CHECK(layer_complaints({"src/core.cpp", "#include <deepseek/http/impl/src.hpp>\n"}).size() == 1);
  CHECK(layer_complaints({"include/deepseek/client.hpp", "#include <deepseek/policy/policy.hpp>\n"}).empty());
}

TEST_CASE("public headers include the standard library and each other only", "[structure]") {
  check_all("include", header_complaints);

  CHECK(header_complaints({"include/deepseek/http/curl.hpp", "#include <curl/curl.h>\n"}).size() == 1);
  CHECK(header_complaints({"include/deepseek/client.hpp", "#include <iostream>\n"}).size() == 1);
  CHECK(header_complaints({"include/deepseek/client.hpp", "#include <deepseek/impl/client.ipp>\n"}).size() == 1);
  CHECK(header_complaints({"include/deepseek/client.hpp", "#include <deepseek/core/detail/x.hpp>\n"}).size() == 1);
}

TEST_CASE("third-party headers stay in the layer that owns them", "[structure]") {
  check_all("include", third_party_complaints);

  CHECK(third_party_complaints({"include/deepseek/transport/impl/http.ipp", "#include <curl/curl.h>\n"}).size() == 1);
  CHECK(third_party_complaints({"include/deepseek/policy/impl/x.ipp", "#include <nlohmann/json.hpp>\n"}).size() == 1);
  CHECK(third_party_complaints({"include/deepseek/http/impl/curl.ipp", "#include <curl/curl.h>\n"}).empty());
}

TEST_CASE("library code leaves its host alone", "[structure]") {
  check_all("include", habit_complaints);

  const auto complaints = [](const char* text) { return habit_complaints({"x.ipp", text}).size(); };
  CHECK(complaints("std::cout << 1;") == 1);
  CHECK(complaints("  printf(\"x\");") == 1);
  CHECK(complaints("  std::exit(1);") == 1);
  CHECK(complaints("  if (bad) abort();") == 1);
  CHECK(complaints("  return abort(Error(code));  // a member") == 0);
  CHECK(complaints("  ::signal(SIGPIPE, SIG_IGN);") == 1);
  CHECK(complaints("  auto n = std::stoi(text);") == 1);
  CHECK(complaints("namespace {") == 1);
  CHECK(complaints("// never calls exit(1)\n/* std::cout */ auto text = \"printf(\";") == 0);
  CHECK(complaints("snprintf(buffer, size, \"%d\", 1); object.signal(); control->abort(); void signal(int);") == 0);
  CHECK(complaints("auto raw = R\"(exit(1))\"; exit(2);") == 1);
}

TEST_CASE("bodies do not leak macros", "[structure]") {
  check_all("include", macro_complaints);

  CHECK(macro_complaints({"x.ipp", "#define TWO 2\n"}).size() == 1);
  CHECK(macro_complaints({"x.ipp", "#define TWO 2\n#undef TWO\n"}).empty());
}
