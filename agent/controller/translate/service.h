// Service -> istio.workload.Service, and which of its ports an endpoint serves.
#pragma once

#include <optional>
#include <string>

#include "agent/controller/model/settings.h"
#include "proto/api/kube_core.pb.h"
#include "proto/workload.pb.h"

namespace mesh::controller {

std::string HostnameOf(const api::Service& service, const Settings& settings);
std::string ResourceNameOf(const api::Service& service, const Settings& settings);  // ns/hostname

// What a protocol's word means on the wire; UNKNOWN for words that the wire does not have.
istio::workload::AppProtocol ProtocolNamed(std::string_view word);
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
