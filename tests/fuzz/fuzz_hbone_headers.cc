// What a tunnel's peer writes into :authority, baggage and forwarded: one input, read as each of
// them.
#include <cstdint>
#include <string>

#include "ztunnel/core/hbone/headers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto authority = mesh::hbone::ParseAuthority(text);
  if (authority.ok()) {
    if (const auto* address = std::get_if<mesh::SocketAddress>(&*authority)) {
      // What was read is written so that it is read the same.
      const auto again = mesh::hbone::ParseAuthority(address->ToString());
      if (!again.ok() || *again != mesh::hbone::Authority(*address)) __builtin_trap();
    }
  }
  (void)mesh::hbone::ParseBaggage({{"baggage", text}, {"other", text}, {"baggage", text}});
  (void)mesh::hbone::ParseForwardedHost(text);
  return 0;
}
