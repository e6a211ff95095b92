// What a ztunnel may send to the agent: the hello and the answers.
#include <cstdint>
#include <string_view>

#include "agent/node/zds/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view packet(reinterpret_cast<const char*>(data), size);
  (void)mesh::node::zds::CheckHello(packet);
  (void)mesh::node::zds::CheckAck(packet);
  return 0;
}
