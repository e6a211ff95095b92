// How a node proxy introduces itself to the control plane.
#pragma once

#include <map>
#include <string>

#include "proto/discovery.pb.h"

namespace mesh::xds {

struct NodeInfo {
  std::string kind = "ztunnel";  // or waypoint
  std::string instance_ip;       // INSTANCE_IP; empty: 1.1.1.1
  std::string pod_name;          // POD_NAME
  std::string pod_namespace;     // POD_NAMESPACE
  std::string node_name;         // NODE_NAME
  std::string service_account;   // SERVICE_ACCOUNT; may be empty
  std::string cluster_id = "Kubernetes";
  std::string network;
  // Every variable of the environment; ISTIO_META_X becomes key X, ISTIO_METAJSON_X a JSON value.
  std::map<std::string, std::string> environment;
};

envoy::service::discovery::v3::Node MakeNode(const NodeInfo& info);

}  // namespace mesh::xds
