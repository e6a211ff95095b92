# mesh_bpf_object(connect SOURCE prog/connect.bpf.c) makes the target bpf_connect_skel: an INTERFACE
# library whose users include "bpf/connect.skel.h". No kernel with BTF is needed to build: the types
# that the programs touch are declared in bpf/include/vmlinux.h and relocated by CO-RE at load time.
find_program(MESH_BPFTOOL bpftool PATHS /usr/sbin /sbin REQUIRED)
find_program(MESH_BPF_CLANG clang-19 REQUIRED)
find_program(MESH_LLVM_STRIP NAMES llvm-strip-19 llvm-strip)

function(mesh_bpf_object name)
  cmake_parse_arguments(A "" "SOURCE" "" ${ARGN})
  set(out ${CMAKE_BINARY_DIR}/generated/bpf)
  set(object ${out}/${name}.bpf.o)
  set(skeleton ${out}/${name}.skel.h)
  get_filename_component(source ${A_SOURCE} ABSOLUTE)
  file(MAKE_DIRECTORY ${out})
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${MESH_BPF_CLANG} -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_x86
            -Wall -Wextra -Werror -Wno-unused-parameter -MD -MF ${object}.d -MT ${skeleton}
            -I${CMAKE_SOURCE_DIR} -I${CMAKE_SOURCE_DIR}/bpf/include -c ${source} -o ${object}
    COMMAND ${MESH_BPFTOOL} gen skeleton ${object} name ${name}_bpf > ${skeleton}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "BPF ${name}"
    VERBATIM)
  add_custom_target(bpf_${name}_gen DEPENDS ${skeleton})
  add_library(bpf_${name}_skel INTERFACE)
  add_dependencies(bpf_${name}_skel bpf_${name}_gen)
  target_link_libraries(bpf_${name}_skel INTERFACE mesh_abi PkgConfig::libbpf)
endfunction()
