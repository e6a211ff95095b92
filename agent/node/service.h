// Services as this node's programs know them. Plain values.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "ztunnel/base/ip.h"

namespace mesh::node {

// A port of a service's address.
struct ServiceFront {
  IpAddress ip;
  uint16_t port = 0;
  bool udp = false;
  auto operator<=>(const ServiceFront&) const = default;
};

// Who is ready behind it, of the same family, sorted and without doubles; nobody: connections are
// refused.
using ServiceTable = std::map<ServiceFront, std::vector<SocketAddress>>;

}  // namespace mesh::node
