# What our own targets are compiled with; nothing of it reaches a user's target.

set(DEEPSEEK_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wpedantic)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False positives inside the standard library of GCC 12.
  list(APPEND DEEPSEEK_WARNINGS -Wno-stringop-overflow -Wno-restrict)
endif()

function(deepseek_warnings target)
  target_compile_options(${target} PRIVATE ${DEEPSEEK_WARNINGS} $<$<BOOL:${DEEPSEEK_DEVELOPER}>:-Werror>)
endfunction()

function(deepseek_sanitize target)
  if(NOT DEEPSEEK_SANITIZE)
    return()
  endif()
  target_compile_options(${target} PRIVATE
    -fsanitize=${DEEPSEEK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(DEEPSEEK_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-tsan)  # Asio's fences, which GCC's runtime does not model
  endif()
  if(DEEPSEEK_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)  # coverage, for the fuzzer to follow
  endif()
  # Whatever links one of these objects needs the runtime too.
  target_link_options(${target} PUBLIC $<BUILD_INTERFACE:-fsanitize=${DEEPSEEK_SANITIZE}>)
endfunction()

function(deepseek_target_settings target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  deepseek_warnings(${target})
  deepseek_sanitize(${target})
endfunction()
