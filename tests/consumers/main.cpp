#include "talk.hpp"

int main(int argc, char** argv) { return argc == 2 && DEEPSEEK_TALK(argv[1]) ? 0 : 1; }
