# Components: each one optional, in src/component/<name>, with the library it stands on.
set(deepseek_components prometheus redis sqlite)

# deepseek_component_option(NAME NEEDS): DEEPSEEK_WITH_<NAME>, which says whether deepseek::NAME is built.
function(deepseek_component_option name needs)
  string(TOUPPER "${name}" upper)
  set(DEEPSEEK_WITH_${upper} ${deepseek_with_default} CACHE STRING "Build deepseek::${name} (needs ${needs}): AUTO, ON or OFF")
  set_property(CACHE DEEPSEEK_WITH_${upper} PROPERTY STRINGS AUTO ON OFF)
endfunction()

# deepseek_component_missing(NAME LIBRARY NEEDS): LIBRARY was not found. An error where the component was asked for.
function(deepseek_component_missing name library needs)
  string(TOUPPER "${name}" upper)
  if(DEEPSEEK_WITH_${upper} STREQUAL "AUTO")
    message(STATUS "deepseek: ${library} is missing, deepseek::${name} is not built")
  else()
    message(FATAL_ERROR "deepseek: DEEPSEEK_WITH_${upper} needs ${needs}")
  endif()
endfunction()

# deepseek_component(NAME library...): deepseek::NAME from the sources in this folder.
function(deepseek_component name)
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  set(target deepseek_${name})
  add_library(${target} ${sources})
  add_library(deepseek::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${name}
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(${target} PUBLIC deepseek::deepseek PRIVATE ${ARGN})
  deepseek_target_settings(${target})
endfunction()
