// Service -> istio.workload.Service, and which of its ports an endpoint serves.
#pragma once

#include <optional>
#include <string>

#include "agent/controller/model/settings.h"
#include "proto/api/istio_networking.pb.h"
#include "proto/api/kube_core.pb.h"
#include "proto/workload.pb.h"

namespace mesh::controller {

std::string HostnameOf(const api::Service& service, const Settings& settings);
std::string ResourceNameOf(const api::Service& service, const Settings& settings);  // ns/hostname

// What a port speaks, by its appProtocol, its name, or (server-first protocols) its number.
enum class PortProtocol { kUnknown, kHttp, kHttp2, kGrpc, kGrpcWeb, kTls, kTcp, kUdp };
PortProtocol ProtocolOf(const api::ServicePort& port);
PortProtocol ProtocolOf(const api::ServiceEntryPort& port);
// The same on the wire; UNKNOWN for what the wire has no word for.
istio::workload::AppProtocol AppProtocolOf(const api::ServicePort& port);
istio::workload::AppProtocol AppProtocolOf(const api::ServiceEntryPort& port);
// The target as a number; 0 when it is a name.
uint32_t TargetNumber(const api::ServicePort& port);
uint32_t FindNamedPort(const api::Pod& pod, const std::string& name);  // 0: none
// Topology preference: the first of `field`, the object's annotation, its namespace's annotation.
void AddDistribution(const std::string& field, const api::ObjectMeta& meta,
                     const api::Namespace* space, istio::workload::Service& out);

// What is not sent: ExternalName.
bool IsSent(const api::Service& service);

// `space` is the service's Namespace; null when there is no such object.
istio::workload::Service TranslateService(const api::Service& service, const api::Namespace* space,
                                          const Settings& settings);

// The service's TCP ports as `pod` serves them; named target ports that the pod does not have are
// left out.
istio::workload::PortList PortsOn(const api::Service& service, const api::Pod& pod);
// The same for endpoints listed by hand: ports meet by name.
istio::workload::PortList PortsOn(const api::Service& service, const api::EndpointSlice& slice);

}  // namespace mesh::controller
