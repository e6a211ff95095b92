// What the CNI plugin may send, and what a state file may hold.
#include <cstdint>
#include <string_view>

#include "agent/node/cni/event.h"
#include "agent/node/enroll/state_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)mesh::node::ParseCniEvent(text);
  (void)mesh::node::ParseState(text);
  return 0;
}
