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
foreach(component prometheus redis sqlite)
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

# A static library hands its dependencies on. They stand under Requires, not Requires.private: with
# `pkg-config --static` Debian's libcurl asks for libraries that nobody has installed.
if(BUILD_SHARED_LIBS)
  set(pc_requires "")
else()
  set(pc_requires "libcurl, libcrypto, simdjson")
endif()
file(RELATIVE_PATH pc_prefix "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(cmake/deepseek.pc.in deepseek.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/deepseek.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(TARGET deepseek_testing)
  configure_file(cmake/deepseek-testing.pc.in deepseek-testing.pc @ONLY)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/deepseek-testing.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endif()

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
  include(CPack)
endif()
