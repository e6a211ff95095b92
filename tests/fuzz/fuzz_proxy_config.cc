// The text of PROXY_CONFIG, and that of the mesh's file.
#include <cstdint>
#include <string>

#include "ztunnel/cmd/proxy_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)mesh::cmd::WithProxyConfig({{"PROXY_CONFIG", text}}, text);
  return 0;
}
