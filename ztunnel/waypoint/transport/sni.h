// The server name that a TLS client asks for, read from its first record.
#pragma once

#include <span>
#include <string>

#include <cstddef>

namespace mesh::transport {

// Lower case; empty when there is none, when the ClientHello is not all in `first`, and when it is
// malformed (RFC 8446, 4.1.2; RFC 6066, 3).
std::string SniOf(std::span<const std::byte> first);

}  // namespace mesh::transport
