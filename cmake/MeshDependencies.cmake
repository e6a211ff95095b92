# Everything comes from Debian (12 and 13); what each is for stands in docs/ARCHITECTURE.md.
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(libbpf REQUIRED IMPORTED_TARGET libbpf)
# Not named re2: gRPC's own search of that name would take our cached answer for its own.
pkg_check_modules(mesh_re2 REQUIRED IMPORTED_TARGET re2)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
# Its header's classes depend on the switches that the library was built with; the .pc file tells them.
pkg_check_modules(cpp_httplib REQUIRED IMPORTED_TARGET cpp-httplib)

if(TARGET yaml-cpp::yaml-cpp)  # 0.8 (Debian 13) names it so, 0.7 (Debian 12) does not
  set(MESH_YAML yaml-cpp::yaml-cpp)
else()
  set(MESH_YAML yaml-cpp)
endif()
