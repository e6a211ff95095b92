// PROXY protocol v2, as written to an application that asked for it (a workload's application
// tunnel).
#pragma once

#include <optional>
#include <string>

#include "ztunnel/base/ip.h"
#include "ztunnel/core/identity/identity.h"

namespace mesh::hbone {

// Command PROXY over TCP; addresses of different families are written as IPv6. The identity that
// the peer proved goes into the record 0xD0.
std::string ProxyProtocolHeader(const SocketAddress& source, const SocketAddress& destination,
                                const std::optional<identity::Identity>& identity);

}  // namespace mesh::hbone
