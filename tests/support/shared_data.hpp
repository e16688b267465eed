// Recorded replies and public suites that lie outside the project.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace deepseek_tests {

/// The folder of shared data; it may not exist.
inline std::filesystem::path shared_dir() {
  if (const char* set = std::getenv("DEEPSEEK_SHARED_DIR")) return set;
  return DEEPSEEK_SHARED_DIR_DEFAULT;
}

inline bool has_shared(const std::string& relative) { return std::filesystem::exists(shared_dir() / relative); }

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return std::move(out).str();
}

inline std::string read_shared(const std::string& relative) { return read_file(shared_dir() / relative); }

}  // namespace deepseek_tests
