# Installed tree: headers and bodies, libraries, the command, CMake and pkg-config files, packages.
include(CMakePackageConfigHelpers)

set(installed_targets deepseek_deepseek deepseek_header_only)
if(TARGET deepseek_testing)
  list(APPEND installed_targets deepseek_testing)
endif()

if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.23)
  # Bodies travel with the headers (two of the three modes compile them), but only headers that stand
  # alone in C++17 are verified.
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS include/*.hpp)
  file(GLOB_RECURSE bodies CONFIGURE_DEPENDS include/*.ipp)
  set(alone ${headers})
  list(FILTER alone EXCLUDE REGEX "/impl/|/deepseek/src\\.hpp$|/deepseek/coro\\.hpp$")
  list(REMOVE_ITEM headers ${alone})
  target_sources(deepseek_deepseek
    PUBLIC FILE_SET deepseek_headers TYPE HEADERS BASE_DIRS include FILES ${alone}
    PUBLIC FILE_SET deepseek_bodies TYPE HEADERS BASE_DIRS include FILES ${headers} ${bodies})
  set_target_properties(deepseek_deepseek PROPERTIES INTERFACE_HEADER_SETS_TO_VERIFY deepseek_headers)
  set(header_sets FILE_SET deepseek_headers FILE_SET deepseek_bodies)
else()
  install(DIRECTORY include/deepseek DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
endif()

install(TARGETS ${installed_targets} EXPORT deepseekTargets ${header_sets})
if(TARGET deepseek_cli)
  install(TARGETS deepseek_cli)
endif()

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/deepseek")
# An export of its own for each component: who does not ask for it does not need what it stands on.
foreach(component IN LISTS deepseek_components)
  if(TARGET deepseek_${component})
    install(TARGETS deepseek_${component} EXPORT deepseek_${component}_targets)
    install(EXPORT deepseek_${component}_targets NAMESPACE deepseek:: DESTINATION "${package_dir}"
            FILE deepseek-${component}-targets.cmake)
  endif()
endforeach()
configure_package_config_file(cmake/Config.cmake.in deepseekConfig.cmake INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file(deepseekConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(EXPORT deepseekTargets NAMESPACE deepseek:: DESTINATION "${package_dir}")
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/deepseekConfig.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/deepseekConfigVersion.cmake"
  DESTINATION "${package_dir}")

# One pkg-config file for each library. A static library hands its dependencies on. They stand under Requires, not
# Requires.private: with `pkg-config --static` Debian's libcurl asks for libraries that nobody has installed.
file(RELATIVE_PATH pc_prefix "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
function(deepseek_pkg_config target name description) # more words: what the library stands on
  if(NOT TARGET ${target})
    return()
  endif()
  get_target_property(type ${target} TYPE)
  get_target_property(output_name ${target} OUTPUT_NAME)
  if(NOT output_name)
    set(output_name ${target})
  endif()
  set(pc_requires "")
  if(NOT name STREQUAL "deepseek")
    set(pc_requires "deepseek = ${PROJECT_VERSION}")
  endif()
  if(type STREQUAL "STATIC_LIBRARY")
    list(APPEND pc_requires ${ARGN})
  endif()
  string(REPLACE ";" ", " pc_requires "${pc_requires}")
  configure_file(cmake/deepseek.pc.in ${name}.pc @ONLY)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/${name}.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endfunction()
deepseek_pkg_config(deepseek_deepseek deepseek "${PROJECT_DESCRIPTION}" libcurl libcrypto simdjson)
deepseek_pkg_config(deepseek_testing deepseek-testing "In-process test double for applications that use deepseek" libssl libcrypto)
deepseek_pkg_config(deepseek_prometheus deepseek-prometheus "Metrics of deepseek for Prometheus" prometheus-cpp-pull prometheus-cpp-core)
deepseek_pkg_config(deepseek_redis deepseek-redis "Redis as a cache and as shared limits for deepseek" "hiredis >= 0.14" libssl libcrypto)
deepseek_pkg_config(deepseek_sqlite deepseek-sqlite "SQLite as a cache for deepseek" sqlite3 libcrypto)

if(PROJECT_IS_TOP_LEVEL)
  set(CPACK_GENERATOR "DEB;TGZ")
  set(CPACK_PACKAGE_VENDOR "deepseek")
  set(CPACK_PACKAGE_CONTACT "deepseek maintainers <maintainers@deepseek.invalid>")
  set(CPACK_RESOURCE_FILE_LICENSE "${CMAKE_CURRENT_SOURCE_DIR}/LICENSE")
  set(CPACK_PACKAGING_INSTALL_PREFIX "/usr")
  set(CPACK_STRIP_FILES ON)
  set(CPACK_DEBIAN_PACKAGE_NAME "libdeepseek-dev")
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_PACKAGE_SECTION "libdevel")
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  # What a program that links the static library, or uses header-only mode, must have.
  set(CPACK_DEBIAN_PACKAGE_DEPENDS
      "libcurl4-openssl-dev, libssl-dev, libsimdjson-dev, nlohmann-json3-dev")
  set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libhiredis-dev, libsqlite3-dev, prometheus-cpp-dev")  # of static components
  include(CPack)
endif()
