// A folder that goes with the test.
#pragma once
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace deepseek_tests {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "deepseek-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// Written beside and renamed, as whoever rotates a secret should.
  std::string write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    const std::string aside = file(name + ".new");
    std::ofstream(aside, std::ios::binary) << text;
    chmod(aside.c_str(), mode);
    std::filesystem::rename(aside, file(name));
    return file(name);
  }

 private:
  std::string path_;
};

}  // namespace deepseek_tests
