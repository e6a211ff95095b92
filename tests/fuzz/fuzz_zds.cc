// Requests of the node agent, as decoded from a packet.
#include <fcntl.h>

#include <cstdint>

#include "ztunnel/pods/zds_packet.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<mesh::UniqueFd> fds;
  for (int i = 0; i < data[0] % 3; ++i) fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  (void)mesh::pods::DecodeRequest(
      std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1), std::move(fds));
  return 0;
}
