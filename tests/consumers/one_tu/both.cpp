// A copied-in build beside the installed library in one process.
bool talk_library(const char* base_url);
bool talk_embedded(const char* base_url);

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (!talk_embedded(argv[1])) return 3;
  return talk_library(argv[1]) ? 0 : 4;
}
