// What anybody may send to the port of health probes.
#include <cstdint>
#include <string_view>

#include "ztunnel/admin/probe_server.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)mesh::admin::ParseProbe({reinterpret_cast<const char*>(data), size});
  return 0;
}
