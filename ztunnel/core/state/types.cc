#include "ztunnel/core/state/types.h"

namespace mesh::state {

std::string GatewayAddress::DestinationString() const {
  return std::visit([](const auto& d) { return d.ToString(); }, destination);
}

}  // namespace mesh::state
