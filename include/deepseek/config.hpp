// How this copy of the library is built: one of three modes from the same sources.
#pragma once

// | mode        | macro              | inline namespace | bodies                                             |
// |-------------|--------------------|------------------|----------------------------------------------------|
// | library     | DEEPSEEK_COMPILED  | v1               | in libdeepseek (what CMake and pkg-config set)     |
// | one TU      | DEEPSEEK_EMBEDDED  | v1_tu, hidden    | in the one source file that includes deepseek/src.hpp |
// | header-only | neither            | v1_ho            | included with each header, all inline              |
//
// The mode is part of every symbol's name, so a copied-in build and an installed library can share a
// process, and handing an object from one to the other fails to link instead of failing at run time.
#if defined(DEEPSEEK_COMPILED) && defined(DEEPSEEK_EMBEDDED)
#error "deepseek: define DEEPSEEK_COMPILED or DEEPSEEK_EMBEDDED, not both"
#endif

#if defined(__GNUC__)
#define DEEPSEEK_VISIBILITY(kind) __attribute__((visibility(#kind)))
#else
#define DEEPSEEK_VISIBILITY(kind)
#endif

#if defined(DEEPSEEK_COMPILED)
#define DEEPSEEK_DECL
#define DEEPSEEK_BEGIN_NAMESPACE \
  namespace deepseek {           \
  inline namespace v1 DEEPSEEK_VISIBILITY(default) {
#elif defined(DEEPSEEK_EMBEDDED)
#define DEEPSEEK_DECL
#define DEEPSEEK_BEGIN_NAMESPACE \
  namespace deepseek {           \
  inline namespace v1_tu DEEPSEEK_VISIBILITY(hidden) {
#else
#define DEEPSEEK_HEADER_ONLY 1
#define DEEPSEEK_DECL inline
#define DEEPSEEK_BEGIN_NAMESPACE \
  namespace deepseek {           \
  inline namespace v1_ho {
#endif
#define DEEPSEEK_END_NAMESPACE \
  }                            \
  }
