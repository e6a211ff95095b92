// SPIFFE ids: what parses is what it was written from.
#include <cstdint>
#include <string_view>

#include "ztunnel/core/identity/identity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto id = mesh::identity::Identity::Parse(text);
  if (id.ok() && id->ToString() != text) __builtin_trap();
  return 0;
}
