# mesh_library, mesh_binary, mesh_test, mesh_fuzz: how every C++ target of this repository is made.
#
# A target is named after its folder (ztunnel_core_h2), so the DEPS line of a library is the list of
# its friends. Exceptions are off; a library that meets a throwing package lists the adapter files in
# THROWS, and those catch everything at their edge.

set(MESH_SANITIZE "" CACHE STRING "sanitizers, as given to -fsanitize=")
option(MESH_FUZZ "build the libFuzzer targets of tests/fuzz" OFF)

find_program(MESH_CCACHE ccache)
if(MESH_CCACHE)
  # base_dir lets two checkouts share what they compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${MESH_CCACHE})
endif()

add_library(mesh_flags INTERFACE)
target_compile_options(mesh_flags INTERFACE
  -Wall -Wextra -Werror -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
  -pthread  # gRPC brings it, and the precompiled header must agree
  -fPIE -fstack-protector-strong "SHELL:-Xclang -fno-pch-timestamp")
target_compile_definitions(mesh_flags INTERFACE
  SPDLOG_NO_EXCEPTIONS _GLIBCXX_ASSERTIONS MESH_VERSION="${PROJECT_VERSION}")
target_include_directories(mesh_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_include_directories(mesh_flags SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/generated)
target_link_libraries(mesh_flags INTERFACE Threads::Threads)
target_link_options(mesh_flags INTERFACE -fuse-ld=lld -pie -Wl,-z,relro,-z,now)
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(mesh_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(MESH_SANITIZE)
  target_compile_options(mesh_flags INTERFACE -fsanitize=${MESH_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(mesh_flags INTERFACE -fsanitize=${MESH_SANITIZE})
endif()

# What nearly every file includes, parsed once.
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/mesh_pch.cc CONTENT "")
add_library(mesh_pch OBJECT ${CMAKE_BINARY_DIR}/mesh_pch.cc)
target_link_libraries(mesh_pch PRIVATE mesh_flags spdlog::spdlog fmt::fmt absl::statusor)
target_compile_options(mesh_pch PRIVATE -fno-exceptions)
target_precompile_headers(mesh_pch PRIVATE
  <algorithm> <array> <cstdint> <functional> <map> <memory> <optional> <span> <string> <string_view>
  <unordered_map> <utility> <variant> <vector> <absl/status/statusor.h> <absl/time/time.h>
  <spdlog/spdlog.h>)

function(_mesh_sources target)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;THROWS" ${ARGN})
  target_link_libraries(${target} PRIVATE mesh_flags spdlog::spdlog fmt::fmt absl::statusor)
  target_precompile_headers(${target} REUSE_FROM mesh_pch)
  foreach(source ${A_SOURCES})
    set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -fno-exceptions)
  endforeach()
  foreach(source ${A_THROWS})
    set_source_files_properties(${source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON COMPILE_OPTIONS
                                -fexceptions)
  endforeach()
endfunction()

function(mesh_library name)
  cmake_parse_arguments(A "" "" "SOURCES;THROWS;DEPS" ${ARGN})
  if(A_SOURCES OR A_THROWS)
    add_library(${name} STATIC ${A_SOURCES} ${A_THROWS})
    _mesh_sources(${name} SOURCES ${A_SOURCES} THROWS ${A_THROWS})
    target_link_libraries(${name} PUBLIC ${A_DEPS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${A_DEPS})
  endif()
endfunction()

function(mesh_binary name)
  cmake_parse_arguments(A "" "OUTPUT" "SOURCES;THROWS;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES} ${A_THROWS})
  _mesh_sources(${name} SOURCES ${A_SOURCES} THROWS ${A_THROWS})
  target_link_libraries(${name} PRIVATE ${A_DEPS})
  if(A_OUTPUT)
    set_target_properties(${name} PROPERTIES OUTPUT_NAME ${A_OUTPUT})
  endif()
endfunction()

# LABEL is unit, bpf, netns or e2e; all but unit need root. SERIAL tests share something of the
# machine (bpffs, cores for timing) and run alone.
function(mesh_test name)
  cmake_parse_arguments(A "SERIAL" "LABEL;TIMEOUT" "SOURCES;THROWS;DEPS;ENV" ${ARGN})
  if(NOT A_LABEL)
    set(A_LABEL unit)
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  add_executable(${name} ${A_SOURCES} ${A_THROWS})
  _mesh_sources(${name} SOURCES ${A_SOURCES} THROWS ${A_THROWS})
  target_link_libraries(${name} PRIVATE ${A_DEPS} mesh_test_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${A_LABEL} TIMEOUT ${A_TIMEOUT}
    SKIP_RETURN_CODE 77)  # tests/support/test_main.cc
  if(A_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
  if(MESH_SANITIZE STREQUAL "thread")
    list(APPEND A_ENV "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp")
  endif()
  if(A_ENV)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "${A_ENV}")
  endif()
endfunction()

# A libFuzzer target; without MESH_FUZZ it is compiled against a driver that replays the corpus once,
# so the corpus is a unit test of every build.
function(mesh_fuzz name)
  cmake_parse_arguments(A "" "CORPUS" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  _mesh_sources(${name} SOURCES ${A_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  target_link_libraries(${name} PRIVATE ${A_DEPS})
  if(MESH_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -max_total_time=20 -rss_limit_mb=2048
             -artifact_prefix=${CMAKE_BINARY_DIR}/fuzz/ ${A_CORPUS})
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    add_test(NAME ${name} COMMAND ${name} ${A_CORPUS})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()
