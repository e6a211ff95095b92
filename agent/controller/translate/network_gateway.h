// Gateways of other networks: a Gateway of class istio-remote with the label
// topology.istio.io/network says how that network is reached.
#pragma once

#include <string>
#include <vector>

#include "agent/controller/model/settings.h"
#include "agent/k8s/object.h"
#include "proto/workload.pb.h"

namespace mesh::controller {

// One for each address of the gateway; empty when it is no network's.
struct NetworkGateway {
  std::string network;
  istio::workload::GatewayAddress address;
  istio::workload::Workload workload;  // carries the gateway's identity
};
std::vector<NetworkGateway> NetworkGatewaysOf(const api::Gateway& gateway,
                                              const Settings& settings);

}  // namespace mesh::controller
