// http[].match[] of a VirtualService -> mesh.l7.v1.RouteMatch.
#pragma once

#include <optional>

#include "proto/api/istio_traffic.pb.h"
#include "proto/l7_frontend.pb.h"

namespace mesh::controller {

// None: nothing on this port matches it.
std::optional<mesh::l7::v1::RouteMatch> TranslateHttpMatch(const api::HttpMatch& match,
                                                           uint32_t port);

// Whether a list of `gateways` holds for traffic inside the mesh.
template <typename Names>
bool IsForMesh(const Names& gateways) {
  if (gateways.empty()) return true;
  for (const auto& name : gateways) {
    if (name == "mesh") return true;
  }
  return false;
}

}  // namespace mesh::controller
