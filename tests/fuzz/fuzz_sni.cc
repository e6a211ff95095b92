// First bytes of a connection at a waypoint: what they are, and the server name in a ClientHello.
#include <cstdint>
#include <cstdlib>

#include "ztunnel/waypoint/transport/sni.h"
#include "ztunnel/waypoint/transport/sniff_transport.h"

using mesh::transport::SniOf;
using mesh::transport::Spoken;
using mesh::transport::WhatIs;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const std::string name = SniOf(bytes);
  if (name.size() > size) std::abort();
  // What was decided does not change as more comes.
  const Spoken whole = WhatIs(bytes);
  for (size_t n = 0; n < size && n < 64; ++n) {
    const Spoken part = WhatIs(bytes.first(n));
    if (part != Spoken::kUndecided && part != whole) std::abort();
  }
  return 0;
}
