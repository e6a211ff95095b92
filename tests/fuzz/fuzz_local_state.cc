// The text of LOCAL_XDS.
#include <cstdint>
#include <string_view>

#include "ztunnel/core/xds/local_state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mesh::state::StateStore store;
  (void)mesh::xds::LoadLocalState({reinterpret_cast<const char*>(data), size}, "cluster", store);
  (void)store.Publish();
  return 0;
}
